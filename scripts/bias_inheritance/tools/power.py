"""How many seeds and items each claim needs, before GPU time is spent.

  bias-inheritance power results/PILOT/scores.csv --seeds 5
  bias-inheritance power --run-sd 0.02 --item-sd 0.6 --items 100 --seeds 5
  bias-inheritance power results/PILOT/scores.csv --looks 3 5 8 12 --spending pocock
  bias-inheritance power --looks 3 5 8 12 --spending pocock

inheritance.csv and the tables of misalignment/ next to scores.csv are read too. Contrasts without a row are listed below
the table with the reason. The effect to detect is each contrast's margin, the smallest that would matter, unless --effect
is given. The variance of a seed's contrast has a run component (pool, originals, training) and an item component:
variance = run sd² + item sd² / items. From a pilot, the item component is estimated from the within-run intervals as if
cells had independent items; since they share items, it tends to be overestimated.

With --looks, the seeds that a study with these looks (`looks` in config.yaml) takes on average until a contrast is decided,
from simulated studies; without a pilot and --run-sd, by size of the effect alone.
"""

import argparse
import math
import sys
from collections import Counter
from pathlib import Path

from bias_inheritance.claims import contrasts, frames, testing
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.stats import sequential, statistics
from bias_inheritance.study import catalog, checks, declarations, grid

Z = 1.96  # half the width of a 95% interval, in standard errors
MOST_ITEMS = 1_000_000
RANKED = "A correlation over bias types is decided by their number, not by that of seeds."
EFFECTS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # in sd of a seed's contrast
SIMULATED = 2_000  # studies per row of a pilot; 10,000 by size of the effect
EACH = {"biases": "any one bias type", "mitigation": "any one mitigation", "groups": "any one group"}


def main(words):
    """Print the table; exit status 1 with one line for wrong input."""
    arguments = parse(words)
    try:
        checks.check_claims(arguments.claims)
        declared = {**catalog.claims(arguments.claims), "types": catalog.bias_types()}
        if arguments.looks:
            print(by_effect(arguments.looks, arguments.spending))
            if not arguments.scores and arguments.run_sd is None:
                return
            print()
        if arguments.scores:
            scores = read_pilot(arguments.scores)
            declared = {
                **grid.declared({"grid": grid_of(scores), "rounds": {"count": int(scores["round"].max())}}),
                **declared,
            }
            rows, left_out = rows_of_pilot(declared, scores, arguments.effect)
        else:
            rows, left_out = rows_without_pilot(
                declared, arguments.run_sd, arguments.item_sd, arguments.items, arguments.effect
            )
        if not rows:
            raise UserError(
                f"{arguments.scores}: no contrast of {arguments.claims} has two seeds there; run a pilot with three seeds at least"
            )
    except UserError as fault:
        sys.exit(f"power: {fault}")
    except OSError as fault:
        sys.exit(
            f"power: {fault.filename}: {fault.strerror}; give a pilot's scores.csv, such as results/demo/scores.csv"
        )
    rows = [row | needs(row, declared, arguments.seeds) for row in rows]
    if arguments.looks:
        rows = [row | with_looks(row, arguments.looks, arguments.spending) for row in rows]
    print(table(rows, arguments.seeds, declared["power"]))
    print("\nleft out:", *(f"  {claim}  {contrast}: {reason}" for claim, contrast, reason in left_out), sep="\n")


def parse(words):
    parser = argparse.ArgumentParser(
        prog="bias-inheritance power", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path, nargs="?", help="a pilot's scores.csv")
    parser.add_argument(
        "--run-sd",
        type=float,
        help="without a pilot: sd of a seed's contrast with infinitely many items, in the metric's unit",
    )
    parser.add_argument(
        "--item-sd", type=float, help="without a pilot: sd of one item's contrast (for accuracies at most 1)"
    )
    parser.add_argument("--items", type=int, help="without a pilot: number of test items")
    parser.add_argument(
        "--effect", type=float, help="the effect to find in every contrast, in its metric's unit (default: its margin)"
    )
    parser.add_argument(
        "--seeds", type=int, default=5, help="seeds that can be afforded, for the number of items needed (default 5)"
    )
    parser.add_argument(
        "--claims",
        type=Path,
        default=catalog.CLAIMS,
        help="the declared claims (default catalog/claims.yaml)",
    )
    parser.add_argument(
        "--looks", type=int, nargs="+", metavar="N", help="number of seeds at each planned look, increasing"
    )
    parser.add_argument(
        "--spending", choices=sequential.SPENDING, default="pocock", help="how looks spend α (default pocock)"
    )
    arguments = parser.parse_args(words)
    without_pilot = [arguments.run_sd, arguments.item_sd, arguments.items]
    if arguments.looks and (arguments.looks[0] < 2 or arguments.looks != sorted(set(arguments.looks))):
        parser.error("--looks must be increasing numbers from 2 on")
    alone = arguments.looks and arguments.scores is None and not any(value is not None for value in without_pilot)
    if (
        not alone
        and (arguments.scores is None) == (None in without_pilot)
        or (arguments.scores and any(value is not None for value in without_pilot))
    ):
        parser.error("give either a pilot's scores.csv, or --run-sd, --item-sd and --items")
    if arguments.seeds < 2 or any(value is not None and not value > 0 for value in [*without_pilot, arguments.effect]):
        parser.error("--seeds must be 2 or more, and --run-sd, --item-sd, --items and --effect above 0")
    return arguments


def read_pilot(path):
    """scores.csv together with inheritance.csv and the misalignment tables of its study, if present."""
    import pandas as pd

    tables = [path.parent / "misalignment" / f"{name}.csv" for name in ("values", "groups", "distributions")]
    tables = [frames.read_misalignment(table) for table in tables if table.exists()]
    inherited = path.with_name("inheritance.csv")
    tables += [frames.read_inheritance(inherited)] if inherited.exists() else []
    return pd.concat([frames.read_scores(path), *tables], ignore_index=True)


def grid_of(scores):
    """The pools, domains and mitigations of a pilot that are in the catalog."""
    return {
        axis: [name for name in catalog.names(axis) if name in set(scores[axis])]
        for axis in ("bias", "domain", "mitigation")
    }


def rows_of_pilot(declared, scores, effect):
    """([{claim, contrast, run_sd, item_sd, items, seeds, effect, alpha}] of every contrast that the pilot measures,
    [(claim, contrast, reason)] of the others).

    seeds: number of seeds of the pilot, which determines the uncertainty of its sd. The manipulation check is assumed to
    have passed for all bias types.
    """
    import pandas as pd

    everything_passed = pd.DataFrame(
        [
            {"model": model, "domain": domain, "bias": bias, "passed": True}
            for model, domain in set(zip(scores["model"], scores["domain"], strict=True))
            for bias in declared["types"]
        ]
    )
    studies = testing.studies_of(declared, scores, everything_passed)
    planned = [test for study in studies for test in testing.plan(declared, study, studies)]
    rows, left_out = [], rules(declared)
    for test in planned:
        test |= testing.measure(test, declared)
    size = Counter(test["family"] for test in planned if not test["lacks"])
    for test in planned:
        reason = test["lacks"] or without_power(test, effect)
        if reason:
            left_out.append((test["claim"], test["contrast"], reason))
            continue
        variance = min(item_variance(test), test["sd"] ** 2)
        row = {
            "run_sd": math.sqrt(test["sd"] ** 2 - variance),
            "item_sd": math.sqrt(variance * test["n_items"]),
            "items": test["n_items"],
            "seeds": test["n"],
        }
        rows.append(
            {
                "claim": test["claim"],
                "contrast": test["contrast"],
                **row,
                "effect": effect or test["spec"]["margin"],
                "margin": test["spec"].get("margin"),
                "alpha": declared["alpha"] / size[test["family"]],
            }
        )
    return rows, left_out


def rules(declared):
    """[(claim, contrast, reason)] of the rows that are not decided by a test."""
    return [
        (claim, contrast["name"], "A rule over the verdicts of other rows.")
        for claim, entry in declared["claims"].items()
        for contrast in entry["contrasts"]
        if "rule" in contrast
    ]


def without_power(test, effect):
    """The reason why no number of seeds can be computed for a measured contrast, or None."""
    if reason := without_effect(test["spec"], effect):
        return reason
    if test["n"] == 1:
        return "The pilot has one seed of it."
    if test["sd"] != test["sd"]:
        return "All seeds of the pilot give the same value."
    return None


def without_effect(spec, effect):
    """The reason why there is no effect that a number of seeds could find in a declared contrast, or None."""
    if "with" in spec:
        return RANKED
    if effect is None and "margin" not in spec:
        return "No margin is declared, so --effect has to say what is to be found."
    return None


def item_variance(test):
    """Item component of the variance of a seed's contrast, from the within-run intervals, assuming independent cells."""
    rows, _ = contrasts.outcome_runs(test["spec"], test["declared"], test["study"])
    weights = [test["data"]["weights"].get(cell, 0.0) for cell in rows[frames.CELL].itertuples(index=False, name=None)]
    errors = (rows["ci_high"] - rows["ci_low"]) / (2 * Z)
    return float((weights * rows["weight"] * errors).pow(2).groupby(rows["seed"]).sum().mean())


def rows_without_pilot(declared, run_sd, item_sd, items, effect):
    """The same for every declared contrast, with one set of standard deviations for all."""
    rows, left_out, size = [], rules(declared), Counter()
    by_claim = {
        claim: [declarations.defaults(contrast) for contrast in entry["contrasts"] if "rule" not in contrast]
        for claim, entry in declared["claims"].items()
    }
    for claim, of_claim in by_claim.items():
        for contrast in of_claim:
            size[contrast.get("family", claim)] += row_count(contrast, declared)
    for claim, of_claim in by_claim.items():
        for contrast in of_claim:
            name = contrast["name"].format(**EACH | declarations.PLACEHOLDERS)
            if reason := without_effect(contrast, effect):
                left_out.append((claim, name, reason))
                continue
            row = {"run_sd": run_sd, "item_sd": item_sd, "items": items, "seeds": None}
            row |= {
                "effect": effect or contrast["margin"],
                "margin": contrast.get("margin"),
                "alpha": declared["alpha"] / size[contrast.get("family", claim)],
            }
            rows.append({"claim": claim, "contrast": name, **row})
    return rows, left_out


def row_count(contrast, declared):
    """Number of rows of claims.csv for a contrast in a study with the whole catalog and two groups."""
    known = {
        "types": declared["types"],
        "natural": [name for name in catalog.names("bias") if catalog.load("bias", name)["role"] == "natural"],
        "files": ["one"],
        "mitigations": [name for name in catalog.names("mitigation") if name != "none"],
    }
    each = contrast.get("each", {}).values()
    groups = 2 if "{group}" in contrast["name"] else 1
    return groups * math.prod(len(known[values] if isinstance(values, str) else values) for values in each)


def needs(row, declared, seeds):
    """{sd, find, pessimistic, none, more_items}: the sd of a seed's contrast, seeds to detect the effect, the same at the
    upper 80% confidence limit of the pilot's sd, seeds to show that there is no effect beyond the margin (TOST), and items
    needed with the given number of seeds; None: infeasible, or without a margin.
    """
    from scipy.stats import chi2

    sd = math.sqrt(row["run_sd"] ** 2 + row["item_sd"] ** 2 / row["items"])
    luck = math.sqrt((row["seeds"] - 1) / chi2.ppf(0.2, row["seeds"] - 1)) if row["seeds"] else 1.0

    def find(spread):
        return statistics.seeds_needed(
            lambda n: statistics.power_of(row["effect"], spread, n, row["alpha"]) >= declared["power"]
        )

    affordable = row["effect"] / statistics.minimal_effect(1.0, seeds, row["alpha"], declared["power"])
    spare = affordable**2 - row["run_sd"] ** 2
    items = math.ceil(row["item_sd"] ** 2 / spare) if spare > 0 else None
    return {
        "sd": sd,
        "find": find(sd),
        "pessimistic": find(sd * luck),
        "none": row["margin"]
        and statistics.seeds_needed(
            lambda n: statistics.equivalence_power(row["margin"], sd, n, row["alpha"]) >= declared["power"]
        ),
        "more_items": items if items is None or items <= MOST_ITEMS else None,
    }


def with_looks(row, looks, spending):
    """{look_seeds, look_power, look_none}: mean number of seeds and power of a study with looks if the effect exists, and
    mean number of seeds if it does not; at the first step of Holm's method."""
    margin = row["margin"] and row["margin"] / row["sd"]
    design = (margin, looks, spending, row["alpha"], SIMULATED)
    with_effect, without = (sequential.stopping(effect, *design) for effect in (row["effect"] / row["sd"], 0.0))
    return {"look_seeds": with_effect["seeds"], "look_power": with_effect["found"], "look_none": without["seeds"]}


def by_effect(looks, spending):
    """The printed table of mean seeds until a decision, by size of the effect, beside a study of all seeds without looks."""
    lines = [
        f"looks at {', '.join(map(str, looks))} seeds, α spent as {spending}, simulated; one contrast alone in its family:",
        "",
        "effect/sd  seeds  found  found without looks",
    ]
    for effect in EFFECTS:
        planned, plain = (sequential.stopping(effect, None, seeds, spending) for seeds in (looks, looks[-1:]))
        lines.append(f"{effect:<9g}  {planned['seeds']:<5.1f}  {planned['found']:<5.2f}  {plain['found']:.2f}")
    return "\n".join(
        [
            *lines,
            "",
            "effect/sd: in standard deviations of a seed's contrast; seeds: mean number until the decision, or all of them;",
            "found: share of studies that find it with the right sign.",
        ]
    )


def table(rows, seeds, power):
    """The printed table with a legend of its columns."""
    head = [
        "claim",
        "contrast",
        "effect",
        "sd",
        "items",
        "seeds",
        "seeds (unlucky sd)",
        "seeds for none",
        f"items at {seeds} seeds",
    ]
    body = [
        [row["claim"], row["contrast"], f"{row['effect']:g}", f"{row['sd']:.3g}", str(row["items"])]
        + ["no number" if row[key] is None else str(row[key]) for key in ("find", "pessimistic", "none", "more_items")]
        for row in rows
    ]
    looked = bool(rows) and "look_seeds" in rows[0]
    if looked:
        head += ["seeds with looks", "power with looks", "seeds with looks for none"]
        for line, row in zip(body, rows, strict=True):
            line += [f"{row['look_seeds']:.1f}", f"{row['look_power']:.2f}", f"{row['look_none']:.1f}"]
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in [head, *body]
    ]
    note = [
        "",
        f"effect: the smallest that matters (the margin); seeds: to find it with {power:.0%} power after Holm's first step;",
        "seeds (unlucky sd): the same if the pilot's few seeds lay close together by luck (upper 80% limit of its sd);",
        "seeds for none: to show equivalence within the margin if there is no effect, whatever --effect says;",
        f"items at {seeds} seeds: to find it with this number of seeds; no number if runs differ too much for that, or",
        "without a margin.",
    ]
    if looked:
        note += [
            "seeds with looks: mean number until a contrast is decided, if the effect is there; power with looks: share of",
            "such studies that find it; seeds with looks for none: mean number until a decision if there is no effect.",
        ]
    return "\n".join([*lines, *note])
