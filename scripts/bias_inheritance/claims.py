"""Claims declared in catalog/claims.yaml, evaluated on a study's tables: which runs, which test, which verdict.

A declared contrast becomes weights over cells (bias, γ, mitigation, round) and over outcomes (task, dataset, metric, group).
One seed gives one number, the weighted sum of its scores; the numbers of all seeds give a paired t test, and that
test alone gives the verdict (study, section 10; docs/statistics.md). A correlation over bias types is tested over these.
"""

from itertools import product

from bias_inheritance import corpora, opinions, statistics
from bias_inheritance.errors import UserError

CELL = ["bias", "gamma", "mitigation", "round"]
OUTCOME = ["domain", "task", "dataset", "metric", "group", "scoring"]
KEYS = [
    "model",
    "domain",
    "bias",
    "gamma",
    "mitigation",
    "seed",
    "round",
    "task",
    "dataset",
    "relation",
    "metric",
    "group",
    "scoring",
]
COLUMNS = [
    "claim",
    "contrast",
    "metric",
    "estimate",
    "ci_low",
    "ci_high",
    "p",
    "p_adjusted",
    "test",
    "n_seeds",
    "n_items",
    "mde",
]
COLUMNS += ["margin", "verdict", "reason", "published"]
SEED_TEST = "paired t over seeds"
RANK_TEST = "exact permutation of bias types"
RANK_OVER_SEEDS = "t over seeds, these bias types only"
ABOVE_ZERO = [0.01, 0.99]  # γ are written with two decimals


class NotTested(Exception):
    """What the study lacks for a contrast, in one sentence."""


# Tables


def read_scores(path):
    """scores.csv, or a table of its layout, as a frame. Raises UserError for a missing column or a row that is there twice."""
    import pandas as pd

    try:
        scores = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: not readable as CSV ({fault}); delete it and run again") from None
    return checked(scores, path)


def checked(scores, name):
    """The frame with γ on two decimals, once it is known to have all columns and no row twice (else UserError)."""
    missing = [column for column in [*KEYS, "value", "n", "n_unparsed"] if column not in scores]
    if missing:
        raise UserError(f"{name}: lacks the column {missing[0]!r}; it needs {', '.join(KEYS)}, value, n, n_unparsed")
    scores = scores.assign(gamma=scores["gamma"].round(2))
    twice = scores[scores.duplicated(keys_of(scores))]
    if len(twice):
        row = twice.iloc[0]
        where = ", ".join(f"{key} {row[key]}" for key in keys_of(scores))
        raise UserError(
            f"{name}: two rows for {where}; a run has one value per metric, so delete the table and run again"
        )
    return scores


def read_misalignment(path):
    """A table of misalignment/ in the layout of scores: its file's name is the task, fields of the grid it lacks are filled.

    Needs model, domain, bias, seed, metric, group, value, n (issue 7). What belongs to a pool and not to a cell has no γ,
    mitigation or round: it stands at γ 0.00, none, 1. Texts whose group is unclear (n_unclear) are unreadable ones, which
    n counts like any others.
    """
    import pandas as pd

    table = pd.read_csv(path)
    if "n_unclear" in table:
        table = table.assign(n=table["n"] + table["n_unclear"], n_unparsed=table["n_unclear"])
    filled = {
        "gamma": 0.0,
        "mitigation": "none",
        "round": 1,
        "dataset": path.stem,
        "relation": "direct",
        "scoring": "logprob",
        "n_unparsed": 0,
    }
    for column, value in filled.items():
        # a column of nothing is read as numbers, which hold no text
        table[column] = value if column not in table or table[column].isna().all() else table[column].fillna(value)
    return checked(table.assign(task=path.stem), path)


def keys_of(scores):
    """The columns that tell rows apart; rounds studies have the arm among them."""
    return [*KEYS, "arm"] if "arm" in scores else KEYS


def effects(scores):
    """Per-seed effects of every cell (study, section 1): the scores' keys, effect, control, value, n.

    augmentation: cell - `original` of equal model, domain and seed, of its round or the last one before it.
    bias: cell - `neutral`, and - `faithful` where the study has it, of equal γ, mitigation, seed and round.
    n is the smaller number of items of the two. A cell whose control is missing has no row; an undefined score
    gives an undefined effect.
    """
    import numpy as np
    import pandas as pd

    cells = scores[(scores["bias"] != "untuned") & ~scores["metric"].isin(["uninformative", "collapsed"])]
    same = [key for key in keys_of(scores) if key not in CELL]
    originals = cells[cells["bias"] == "original"]
    tuned = cells[cells["bias"] != "original"]
    by_round = [
        originals[originals["round"] <= number]
        .sort_values("round")
        .groupby(same, dropna=False)
        .tail(1)
        .assign(round=number)
        for number in sorted(tuned["round"].unique())
    ]
    found = []
    for effect, control in (("augmentation", "original"), ("bias", "neutral"), ("bias", "faithful")):
        if control == "original":
            runs, controls, on = tuned, pd.concat(by_round) if by_round else originals, [*same, "round"]
        else:
            runs, controls, on = (
                tuned[tuned["bias"] != control],
                cells[cells["bias"] == control],
                [*same, "gamma", "mitigation", "round"],
            )
        both = runs.merge(controls[[*on, "value", "n"]], on=on, suffixes=("", "_control"))
        difference = both["value"] - both["value_control"]
        found.append(
            both[keys_of(scores)].assign(
                effect=effect, control=control, value=difference, n=np.minimum(both["n"], both["n_control"])
            )
        )
    return pd.concat(found, ignore_index=True).sort_values([*keys_of(scores), "effect", "control"], ignore_index=True)


def failed_manipulation(manipulation, model, domain, types):
    """{bias: `failed` or `not checked`} of the bias types that may not be tested in a domain (study, section 2)."""
    rows = manipulation[(manipulation["model"] == model) & (manipulation["domain"] == domain)]
    passed = rows["passed"].astype(str).str.lower()
    failed = {bias: "not checked" for bias in types if not (passed[rows["bias"] == bias] == "true").any()}
    return failed | dict.fromkeys(rows[passed == "false"]["bias"], "failed")


# From a declared contrast to one number per seed


def outcome_runs(name, minus, declared, study):
    """(rows, outcomes): the scores of an outcome with their `weight`, and the number of distinct outcomes in a full run.

    Each (domain, task, dataset, metric, group) weighs the same within its outcome: dataset is a fixed factor. A selector
    with `harm` counts harm as positive, whichever way its metric runs. `minus` is an outcome to subtract, or None. The
    scores may be logprob or parsed, as the model allows, but all the same way: else, and without any, NotTested is raised.
    """
    import pandas as pd

    parts = []
    for outcome, sign in ((name, 1.0), (minus, -1.0)):
        if outcome is None:
            continue
        found = [select(study["scores"], selector) for selector in declared["outcomes"][outcome]]
        rows = pd.concat(found) if found else study["scores"].iloc[:0]
        if rows.empty:
            raise NotTested(f"The study has no scores of {label_of(declared, outcome)}.")
        rows = rows.assign(weight=sign * rows["weight"] / len(rows[OUTCOME].drop_duplicates()))
        parts.append(rows)
    rows = pd.concat(parts)
    ways = sorted(rows["scoring"].unique())
    if len(ways) > 1:
        raise NotTested(f"Some of the scores are {' and some '.join(ways)}, which are not compared.")
    return rows, len(rows[OUTCOME].drop_duplicates())


def select(scores, selector):
    """The rows of scores that one selector of claims.yaml names, with weight 1, or -1 where lower is harm, and `fewest` items."""
    keep = (
        scores["task"].isin(selector["task"])
        & (scores["metric"] == selector["metric"])
        & scores["group"].isin(selector["group"])
    )
    if "relation" in selector:
        keep &= scores["relation"] == selector["relation"]
    if "domain" in selector:
        keep &= scores["domain"].isin(selector["domain"])
    weight = -1.0 if selector.get("harm") == "lower" else 1.0
    return scores[keep].assign(weight=weight, fewest=selector.get("fewest", 0))


def label_of(declared, outcome):
    """How an outcome is called in the table: its metric and group, its tasks, and what else its selectors ask for."""
    selectors = declared["outcomes"][outcome]
    names = [
        f"{selector['metric']} {'/'.join(selector['group'])} ({', '.join(selector['task'])}"
        + (f"; relation {selector['relation']}" if "relation" in selector else "")
        + (f"; domain {' or '.join(selector['domain'])}" if "domain" in selector else "")
        + ")"
        for selector in selectors
    ]
    return names[0] if len(names) == 1 else f"{outcome}: " + " + ".join(names)


def cell_weights(spec, grid):
    """{cell: weight} of a declared contrast over the study's cells; raises NotTested with what they lack.

    grid: set of (bias, gamma, mitigation, round) for which any seed has scores. The contrast is the mean over biases of
    cell - control, then over γ: `mean`, or `gamma`: slope × at, or `round`: slope over rounds × at and mean over γ.
    """
    biases, control, mitigation = spec["biases"], spec["control"], spec["mitigation"]
    present = {cell[0] for cell in grid}
    absent = [bias for bias in [*biases, *([] if control == "none" else [control])] if bias not in present]
    if absent:
        raise NotTested(f"The study has no cells of {' and '.join(absent)} with these scores.")
    if not any(cell[0] in biases and cell[2] == mitigation for cell in grid):
        raise NotTested(f"The study has no mitigation {mitigation} for {biases[0]}.")
    rounds = sorted(
        set.intersection(*({cell[3] for cell in grid if cell[0] == bias and cell[2] == mitigation} for bias in biases))
    )
    rounds = rounds if spec["over"] == "round" else rounds[:1]
    if not rounds or (spec["over"] == "round" and len(rounds) < 2):
        raise NotTested("The study needs two rounds of the same cells at least.")
    low, high = spec["gamma"]
    needed = [*biases, *([] if control in ("none", "original") else [control])]
    gammas = sorted({cell[1] for cell in grid if low - 1e-9 <= cell[1] <= high + 1e-9})
    gammas = [
        gamma
        for gamma in gammas
        if all((bias, gamma, mitigation, number) in grid for bias in needed for number in rounds)
    ]
    if not gammas:
        wanted = "above 0" if spec["gamma"] == ABOVE_ZERO else f"from {low:g} to {high:g}"
        raise NotTested(
            f"The study has no gamma {wanted} at which {' and '.join(needed)} were run with mitigation {mitigation}."
        )
    weights = {}
    for gamma, number, weight in points(spec, gammas, rounds):
        for bias in biases:
            add(weights, (bias, gamma, mitigation, number), weight / len(biases))
        if control == "original":
            add(weights, original_cell(grid, number), -weight)
        elif control != "none":
            add(weights, (control, gamma, mitigation, number), -weight)
    return weights


def points(spec, gammas, rounds):
    """[(gamma, round, weight)] by which a contrast combines the effects at its γ and rounds.

    Over γ, a bias effect is 0 at γ = 0 by definition and without noise (there the cell and its control are one run), so its
    line goes through the origin. An augmentation effect shares the noise of `original`, one measured cell like the others,
    so its line is the ordinary one over the cells' values, γ = 0 included.
    """
    if spec["over"] == "gamma":
        if spec["control"] == "original":
            slope = statistics.slope_weights([0.0, *gammas])[1:]
        else:
            slope = statistics.slope_weights(gammas, through_origin=True)
        return [(gamma, rounds[0], spec["at"] * weight) for gamma, weight in zip(gammas, slope, strict=True)]
    if spec["over"] == "round":
        slope = statistics.slope_weights(rounds)
        return [
            (gamma, number, spec["at"] * weight / len(gammas))
            for gamma in gammas
            for number, weight in zip(rounds, slope, strict=True)
        ]
    return [(gamma, rounds[0], 1 / len(gammas)) for gamma in gammas]


def original_cell(grid, number):
    """The γ = 0 cell that a round is held against: its own, or the last one before it (one node serves all rounds)."""
    return (
        "original",
        0.0,
        "none",
        max((cell[3] for cell in grid if cell[0] == "original" and cell[3] <= number), default=number),
    )


def add(weights, cell, weight):
    weights[cell] = weights.get(cell, 0.0) + weight


def seed_values(spec, declared, study):
    """One number per seed: {values (Series by seed), weights {cell: weight}, runs, n_items, incomplete}.

    Raises NotTested for what is missing, for a failed manipulation, and where a score that is needed is uninformative or
    rests on too few readable answers: to leave such a cell out would be to choose by its outcome.
    runs: one row per run with seed, cell, bias, value and the number of items read, over the whole grid, for what stands
    beside. incomplete: number of seeds left out for a missing cell.
    """
    minus = spec.get("minus", {})
    rows, outcomes = outcome_runs(spec["outcome"], minus.get("outcome"), declared, study)
    grid = set(rows[CELL].itertuples(index=False, name=None))
    used = chosen(spec, rows, study)
    if used["over"] == "round":
        refuse_collapsed(used, study)
    weights = cell_weights(used, grid)
    if "biases" in minus or "mitigation" in minus:
        for cell, weight in cell_weights(chosen(spec | minus, rows, study), grid).items():
            add(weights, cell, -weight)
    weights = {cell: weight for cell, weight in weights.items() if abs(weight) > 1e-12}

    rows = rows.assign(
        cell=list(rows[CELL].itertuples(index=False, name=None)),
        part=rows["weight"] * rows["value"],
        read=rows["n"] - rows["n_unparsed"],
    )
    refuse_unusable(rows[rows["cell"].isin(list(weights))], declared, study)
    by_run = rows.groupby(["seed", "cell", "bias", "round"])
    runs = by_run.agg(
        value=("part", "sum"), found=("part", "count"), items=("n", "sum"), read=("read", "sum")
    ).reset_index()
    runs = runs[runs["found"] == outcomes]
    here = runs[runs["cell"].isin(list(weights))]
    values = here["value"] * here["cell"].map(weights)
    complete = here.groupby("seed")["cell"].transform("nunique") == len(weights)
    everywhere = rows[rows["cell"].isin(list(weights))]["seed"].nunique()
    if not complete.any():
        raise NotTested(f"No seed has all {len(weights)} cells that this contrast needs.")
    values = values[complete].groupby(here["seed"]).sum() - spec.get("against", 0.0)
    return {
        "values": values,
        "weights": weights,
        "runs": runs[runs["round"].isin({cell[3] for cell in weights})],
        "n_items": int(here.loc[complete, "items"].min()),
        "incomplete": everywhere - len(values),
    }


def chosen(spec, rows, study):
    """The contrast with its biases resolved: `types` are the study's bias types whose manipulation worked in all domains
    of `rows`, the outcome's scores."""
    present, failed = set(rows["bias"]), failed_in(rows["domain"].unique(), study)
    if spec["biases"] == "types":
        biases = [bias for bias in study["types"] if bias in present]
        if not biases:
            raise NotTested("The study has no bias type with these scores.")
        usable = [bias for bias in biases if bias not in failed]
    else:
        biases = spec["biases"]
        usable = biases if all(bias not in failed or bias not in present for bias in biases) else []
    if not usable:
        raise NotTested(f"Manipulation {', '.join(f'{failed[bias]} for {bias}' for bias in biases if bias in failed)}.")
    return spec | {"biases": usable}


def failed_in(domains, study):
    """{bias: `failed` or `not checked`} of the bias types that may not be tested in one at least of these domains."""
    found = {}
    for domain in domains:
        for bias, why in study["failed"][domain].items():
            found[bias] = "failed" if "failed" in (why, found.get(bias)) else why
    return found


def refuse_collapsed(used, study):
    """Raise NotTested where a chain of rounds ended early: the seeds and rounds that are left would be chosen by outcome."""
    scores = study["scores"]
    chains = scores[scores["bias"].isin(used["biases"]) & (scores["mitigation"] == used["mitigation"])]
    on = ["domain", "bias", "gamma", "seed"]
    ended = chains[chains["metric"] == "collapsed"][on].drop_duplicates()
    if len(ended):
        raise NotTested(f"Collapsed: {len(ended)} of {len(chains[on].drop_duplicates())} chains of rounds ended early.")


def refuse_unusable(rows, declared, study):
    """Raise NotTested where a needed run is uninformative, has fewer items or more unreadable answers than declared, or
    its data are a fixture of the project's own: opinion questions with invented shares, or texts of no corpus."""
    if (rows["dataset"] == opinions.FIXTURE).any():
        raise NotTested("The opinion questions are the fixture, whose shares are invented.")
    if rows["dataset"].astype(str).str.endswith(corpora.MARK).any():
        raise NotTested("The data are the project's fixtures, which say nothing about anybody; give data_dir.")
    few = rows[rows["n"] < rows["fewest"]]
    if len(few):
        fewest, found = few.iloc[0]["fewest"], few["n"].min()
        raise NotTested(f"In {len(few)} of {len(rows)} scores there are {found} items, where {fewest} are needed.")
    flags = study["scores"][(study["scores"]["metric"] == "uninformative") & (study["scores"]["value"] == 1)]
    on = ["domain", "task", "seed", *CELL]
    runs = rows[on].drop_duplicates()
    flagged = runs.merge(flags[on].drop_duplicates(), on=on)
    if len(flagged):
        task = flagged.iloc[0]["task"]
        raise NotTested(
            f"Uninformative: in {len(flagged)} of {len(runs)} runs {task} is decided by something else than what it asks."
        )
    unreadable = rows[(rows["n_unparsed"] > declared["unreadable_limit"] * rows["n"]) | (rows["n"] == 0)]
    if len(unreadable):
        limit = f"{declared['unreadable_limit']:.0%}"
        raise NotTested(f"In {len(unreadable)} of {len(rows)} scores more than {limit} of the answers are unreadable.")


def rank_correlation(spec, declared, study):
    """Per seed, Spearman's correlation over bias types between this contrast and another one (`with`): as `seed_values`,
    with n_types, and p and smallest of the exact permutation over the types. Raises NotTested below four types.
    """
    import numpy as np
    import pandas as pd

    rows, _ = outcome_runs(spec["outcome"], None, declared, study)
    biases = chosen(spec, rows, study)["biases"]
    if len(biases) < 4:
        raise NotTested(f"A correlation over bias types needs four of them, the study has {len(biases)}.")
    here = {bias: seed_values(spec | {"biases": [bias]}, declared, study) for bias in biases}
    there = {bias: seed_values(defaults(spec["with"]) | {"biases": [bias]}, declared, study) for bias in biases}
    first, second = (
        pd.DataFrame({bias: found["values"] for bias, found in side.items()}).dropna() for side in (here, there)
    )
    seeds = [
        seed
        for seed in first.index.intersection(second.index)
        if np.ptp(first.loc[seed]) > 0 and np.ptp(second.loc[seed]) > 0
    ]
    if not seeds:
        raise NotTested("No seed has both quantities, varying, for all bias types.")
    found = statistics.rank_permutation(first.loc[seeds], second.loc[seeds])
    return {
        "values": pd.Series(found["values"], seeds),
        "n_types": len(biases),
        "p": found["p"],
        "smallest": found["smallest"],
        "weights": None,
        "runs": None,
        "n_items": min(side["n_items"] for side in here.values()),
        "incomplete": len(first.index.union(second.index)) - len(seeds),
    }


# From numbers to verdicts


def evaluate(declared, scores, manipulation, predictions):
    """claims.csv as a frame (COLUMNS): every declared claim, for each model of the study.

    declared: catalog/claims.yaml, parsed, with the study's bias types as `types`. scores: as `checked`, misalignment tables appended. manipulation: frame.
    predictions: function of (model, domain, bias, gamma, mitigation, seed, round, task) that returns a frame with item,
    group and correct, or None. Rows of one claim stand together: first the whole claim where it has several parts, then each
    contrast, then what stands beside it and never decides (verdict `beside`).
    """
    import pandas as pd

    studies = studies_of(declared, scores, manipulation)
    tests = [planned for study in studies for planned in plan(declared, study, studies)]
    for test in tests:
        test |= measure(test, declared)
    adjust(tests, declared)
    for test in tests:
        test |= verdict_of(test, declared)
    rows = []
    for claim, study in product(declared["claims"], studies):
        of_claim = [test for test in tests if test["claim"] == claim and test["study"] is study]
        of_claim += none_universal(declared, claim, study, of_claim)
        rows += compound(declared, claim, study, of_claim)
        for test in of_claim:
            rows += [test, *beside(test, predictions)]
    published = {claim: f"{entry['published']} ({entry['source']})" for claim, entry in declared["claims"].items()}
    blank = dict.fromkeys(COLUMNS, float("nan")) | {"n_seeds": 0, "n_items": 0}
    return pd.DataFrame(
        [
            blank | {key: row[key] for key in COLUMNS if key in row} | {"published": published[row["claim"]]}
            for row in rows
        ],
        columns=COLUMNS,
    )


def studies_of(declared, scores, manipulation):
    """One dict per model: model, label that tells it apart (or ""), scores, types, failed manipulations by domain, fitted models."""
    runs = scores[scores["bias"] != "untuned"]
    found = []
    groups = list(runs.groupby("model")) or [("", runs)]
    for model, rows in groups:
        label = f" [{model}]" if len(groups) > 1 else ""
        failed = {
            domain: failed_manipulation(manipulation, model, domain, declared["types"])
            for domain in rows["domain"].unique()
        }
        found.append(
            {"model": model, "label": label, "scores": rows, "types": declared["types"], "failed": failed, "fits": {}}
        )
    return found


def defaults(contrast):
    """A contrast with every key that it may leave out."""
    return {
        "biases": "types",
        "control": "neutral",
        "mitigation": "none",
        "over": "mean",
        "gamma": ABOVE_ZERO,
        "at": 1.0,
        "part": False,
    } | contrast


def plan(declared, study, studies):
    """The seed-level tests that the claims ask of one study: a contrast with `each` becomes one test per value.

    A claim on certain models is asked of these alone, or once, to say that they are missing.
    """
    tests = []
    for claim, entry in declared["claims"].items():
        models = entry.get("models", [study["model"]])
        asked = [other for other in studies if other["model"] in models] or studies[:1]
        if not any(study is other for other in asked):
            continue
        for contrast in entry["contrasts"]:
            spec = defaults(contrast) | {"models": models}
            if "rule" in spec:
                continue
            choices = [
                [(key, value) for value in each_value(value, study)] for key, value in spec.get("each", {}).items()
            ]
            for choice in product(*choices):
                picked = dict(choice)
                own = spec | {key: [value] if key in ("biases", "groups") else value for key, value in picked.items()}
                contrast_label = spec["name"].format(**picked) + study["label"]
                if spec["biases"] == "types" and "biases" not in picked:
                    contrast_label += types_label(spec, declared, study)
                tests.append(
                    {
                        "claim": claim,
                        "contrast": contrast_label,
                        "spec": own,
                        "study": study,
                        "family": spec.get("family", claim),
                        "picked": picked,
                    }
                )
    return tests


def each_value(values, study):
    """The values of one key of `each`: as listed, or the bias types that the study has where they are two at least."""
    if values != "types":
        return values
    present = [bias for bias in study["types"] if (study["scores"]["bias"] == bias).any()]
    return present if len(present) > 1 else []


def types_label(spec, declared, study):
    """The one bias type that a contrast over `types` comes down to in this study, or nothing."""
    outcomes = [part["outcome"] for part in (spec, spec.get("minus", {})) if "outcome" in part]
    selectors = [selector for outcome in outcomes for selector in declared["outcomes"][outcome]]
    domains = {domain for selector in selectors for domain in select(study["scores"], selector)["domain"]}
    failed, runs = failed_in(domains, study), set(study["scores"]["bias"])
    present = [bias for bias in study["types"] if bias in runs and bias not in failed]
    return f" ({present[0]})" if len(present) == 1 else ""


def measure(test, declared):
    """The deciding test of one planned contrast, or what it lacks."""
    spec, study = test["spec"], test["study"]
    outcomes = declared["outcomes"]
    if "groups" in spec:
        declared = declared | {
            "outcomes": outcomes
            | {spec["outcome"]: [entry | {"group": spec["groups"]} for entry in outcomes[spec["outcome"]]]}
        }
    label = label_of(declared, spec["outcome"])
    if "outcome" in spec.get("minus", {}):
        label += f" - {label_of(declared, spec['minus']['outcome'])}"
    found = {
        "metric": label,
        "test": RANK_TEST if "with" in spec else SEED_TEST,
        "margin": spec.get("margin", float("nan")),
        "declared": declared,
        "lacks": None,
        "n_seeds": 0,
        "p_tost": float("nan"),
    }
    try:
        if study["model"] not in spec["models"]:
            raise NotTested(f"The study has no model {' or '.join(spec['models'])}.")
        data = (rank_correlation if "with" in spec else seed_values)(spec, declared, study)
    except NotTested as missing:
        return found | {"lacks": str(missing)}
    result = statistics.seed_test(data["values"].to_numpy(), declared["alpha"])
    if "with" in spec:
        # more seeds make a t test surer of the order of these few types, whether or not it is chance
        result |= dict.fromkeys(("sd", "ci_low", "ci_high"), float("nan")) | {"p": data["p"]}
    elif "margin" in spec:
        found["p_tost"] = statistics.tost(data["values"].to_numpy(), spec["margin"])
    return found | result | {"n_seeds": result["n"], "n_items": data["n_items"], "data": data}


def adjust(tests, declared):
    """Add p_adjusted and tost_adjusted (Holm within each family) and mde (at the family's first step) to every test."""
    for family in dict.fromkeys(test["family"] for test in tests):
        members = [test for test in tests if test["family"] == family and not test["lacks"]]
        for source, target in (("p", "p_adjusted"), ("p_tost", "tost_adjusted")):
            for test, value in zip(members, statistics.holm([test[source] for test in members]), strict=True):
                test[target] = float(value)
        judged = sum(test["p"] == test["p"] for test in members)
        for test in members:
            test["mde"] = statistics.minimal_effect(
                test["sd"], test["n"], declared["alpha"] / max(1, judged), declared["power"]
            )


def verdict_of(test, declared):
    """{verdict, reason} of one deciding test. p > alpha alone is never evidence of no effect (study, section 10).

    Equivalent comes before a direction: an effect shown to be smaller than the margin is no support for a claim that it
    matters, even where it is not 0. With direction `none` the claim is that there is none, so equivalence supports it.
    """
    if test["lacks"]:
        return {"verdict": "not tested", "reason": test["lacks"]}
    spec, n, alpha = test["spec"], test["n"], declared["alpha"]
    left_out = f" ({test['data']['incomplete']} more lack a cell)" if test["data"]["incomplete"] else ""
    if n == 1:
        return {
            "verdict": "inconclusive",
            "reason": f"One seed{left_out} cannot show how far runs differ by chance, so nothing follows from it.",
        }
    if test["p"] != test["p"]:
        return {
            "verdict": "inconclusive",
            "reason": f"All {n} seeds{left_out} give the same value, so chance cannot be judged.",
        }
    size = f"{test['estimate']:+.3g} (95% interval {test['ci_low']:.3g} to {test['ci_high']:.3g}, {n} seeds{left_out})"
    if "with" in spec:
        size = f"{test['estimate']:+.3g} (mean of {n} seeds{left_out}, over {test['data']['n_types']} bias types)"
    if test["tost_adjusted"] < alpha:
        verdict = "supported" if spec["direction"] == "none" else "equivalent"
        return {
            "verdict": verdict,
            "reason": f"{size} lies within the margin of ±{spec['margin']:g} (TOST p {test['tost_adjusted']:.2g} after Holm).",
        }
    if test["p_adjusted"] < alpha:
        agrees = {"greater": test["estimate"] > 0, "less": test["estimate"] < 0, "different": True, "none": False}[
            spec["direction"]
        ]
        claimed = "as claimed" if agrees else "against the claim"
        return {
            "verdict": "supported" if agrees else "contradicted",
            "reason": f"{size} differs from 0, {claimed} (p {test['p_adjusted']:.2g} after Holm).",
        }
    if "with" in spec:
        return {
            "verdict": "inconclusive",
            "reason": f"{size} may be a chance order of the types (p {test['p_adjusted']:.2g} after Holm); with so many types p cannot fall below {test['data']['smallest']:.2g}, before Holm.",
        }
    return {
        "verdict": "inconclusive",
        "reason": f"{size} is not clear of 0; {n} seeds could have seen an effect of {test['mde']:.2g} or more.",
    }


def none_universal(declared, claim, study, tests):
    """The row of `rule: none universal`: every tested mitigation fails on some bias type, or one works on all of them.

    Only types whose harm without mitigation is supported (family `where`) count: of no harm nothing can be reduced.
    """
    rows = []
    for contrast in declared["claims"][claim]["contrasts"]:
        if contrast.get("rule") != "none universal":
            continue
        spec = defaults(contrast)
        harmful = {
            test["picked"]["biases"]
            for test in tests
            if test["family"] == spec["where"] and test["verdict"] == "supported"
        }
        by_mitigation = {}
        for test in tests:
            counts = test["family"] == spec["of"] and test["picked"]["biases"] in harmful
            if counts and test["verdict"] != "not tested":
                by_mitigation.setdefault(test["picked"]["mitigation"], []).append(test["verdict"])
        works = [
            mitigation
            for mitigation, verdicts in by_mitigation.items()
            if len(verdicts) > 1 and set(verdicts) == {"supported"}
        ]
        fails = [
            mitigation
            for mitigation, verdicts in by_mitigation.items()
            if {"contradicted", "equivalent"} & set(verdicts)
        ]
        if len(harmful) < 2:
            verdict, reason = "not tested", "The study needs two bias types at least whose harm is supported."
        elif not any(len(verdicts) > 1 for verdicts in by_mitigation.values()):
            verdict, reason = "not tested", "The study needs two bias types at least under a mitigation."
        elif works:
            verdict, reason = "contradicted", f"{', '.join(works)} reduces harm for every bias type that does harm."
        elif len(fails) == len(by_mitigation):
            verdict, reason = "supported", "Every mitigation tested has a bias type whose harm it does not reduce."
        else:
            verdict, reason = (
                "inconclusive",
                "Some mitigation neither works for all bias types nor clearly fails for one.",
            )
        rows.append(_row(claim, spec["name"] + study["label"], "rule over verdicts", verdict, reason) | {"spec": spec})
    return rows


def compound(declared, claim, study, tests):
    """The row of a whole claim, where it has several parts: supported only if all of them are (study, section 10)."""
    parts = [test for test in tests if test["spec"]["part"]]
    if len(parts) < 2:
        return []
    count = {
        verdict: [part["contrast"] for part in parts if part["verdict"] == verdict]
        for verdict in ("supported", "contradicted", "equivalent", "inconclusive", "not tested")
    }
    if count["contradicted"]:
        verdict, reason = "contradicted", f"Contradicted in: {'; '.join(count['contradicted'])}."
    elif len(count["not tested"]) == len(parts):
        verdict, reason = "not tested", parts[0]["reason"]
    elif count["not tested"]:
        verdict, reason = (
            "not tested",
            f"{len(count['not tested'])} of {len(parts)} parts could not be tested: {'; '.join(count['not tested'])}.",
        )
    elif len(count["supported"]) == len(parts):
        verdict, reason = "supported", f"All {len(parts)} parts are supported."
    elif len(count["equivalent"]) == len(parts):
        verdict, reason = "equivalent", f"In all {len(parts)} parts the effect lies within the margin."
    else:
        verdict, reason = (
            "inconclusive",
            f"{len(count['supported'])} of {len(parts)} parts are supported, and none is contradicted.",
        )
    return [_row(claim, f"whole claim{study['label']}", "all parts", verdict, reason)]


def _row(claim, contrast, test, verdict, reason):
    return {"claim": claim, "contrast": contrast, "metric": "", "test": test, "verdict": verdict, "reason": reason}


# Beside the deciding tests


def beside(test, predictions):
    """What stands beside a deciding test and never decides: t over seeds of a correlation; other controls, mixed model, GEE,
    McNemar."""
    if test["test"] not in (SEED_TEST, RANK_TEST):
        return []
    rows = other_controls(test) if test["test"] == SEED_TEST else []
    if not test["lacks"] and test["test"] == RANK_TEST:
        rows += over_seeds(test)
    elif not test["lacks"]:
        rows += against_share(test) if "against" in test["spec"] else whole_grid(test)
        rows += item_level(test, predictions)
    return [row | {"claim": test["claim"], "metric": test["metric"], "verdict": "beside"} for row in rows]


def over_seeds(test):
    """The t interval of a correlation over seeds: how steady it is for these bias types."""
    result = statistics.seed_test(test["data"]["values"].to_numpy(), test["declared"]["alpha"])
    reason = "Beside the deciding test: how steady the order of these bias types is; it says nothing of other types."
    size = {"n_seeds": test["n_seeds"], "n_items": test["n_items"]}
    return [result | size | {"contrast": test["contrast"], "test": RANK_OVER_SEEDS, "reason": reason}]


def other_controls(test):
    """The same seed-level test against `original` (the augmentation effect) and `faithful`, where the study has them."""
    rows = []
    if test["spec"]["control"] == "neutral":
        for control, name in (
            ("original", "augmentation effect (minus original)"),
            ("faithful", "bias effect minus faithful"),
        ):
            other = measure(test | {"spec": test["spec"] | {"control": control}}, test["declared"])
            if not other["lacks"]:
                rows.append(
                    other
                    | {
                        "contrast": f"{test['contrast']}: {name}",
                        "reason": "Beside the deciding test, against another control.",
                    }
                )
    return rows


def whole_grid(test):
    """The mixed model over all runs of this outcome, fitted once for all contrasts of a study."""
    runs, fits = test["data"]["runs"], test["study"]["fits"]
    fitted_on = (test["metric"], tuple(sorted(runs["round"].unique())))
    if fitted_on not in fits:
        fits[fitted_on] = statistics.mixed_model(runs)
    found = statistics.cell_contrast(fits[fitted_on], test["data"]["weights"])
    reason = "Beside the deciding test: seed and seed x bias components over the whole grid; too sure with few seeds."
    size = {"n_seeds": test["n_seeds"], "n_items": test["n_items"]}
    return [found | size | {"contrast": test["contrast"], "test": "mixed model", "reason": reason}] if found else []


def against_share(test):
    """Exact binomial test of each seed's share against the declared one; its items are the pool's samples."""
    rows, share = [], test["spec"]["against"]
    runs = test["data"]["runs"]
    for _, run in runs[runs["cell"].isin(list(test["data"]["weights"]))].iterrows():
        result = statistics.binomial_share(round(run["value"] * run["read"]), int(run["read"]), share)
        shifted = {key: result[key] - share for key in ("estimate", "ci_low", "ci_high")}
        reason = "Beside the deciding test: the samples of this one pool, which say nothing of other pools."
        row = {
            "contrast": f"{test['contrast']}: seed {run['seed']}",
            "test": "exact binomial",
            "n_seeds": 1,
            "n_items": result["n"],
            "reason": reason,
        }
        rows.append(row | shifted | {"p": result["p"]})
    return rows


def item_level(test, predictions):
    """GEE over items (from 20 seeds), and exact McNemar per seed for one bias and one group at the largest γ."""
    selectors = test["declared"]["outcomes"][test["spec"]["outcome"]]
    selector = selectors[0]
    if "minus" in test["spec"] or len(selectors) > 1 or selector["metric"] != "accuracy" or len(selector["group"]) > 1:
        return []
    study, weights = test["study"], test["data"]["weights"]
    rows, group, task = [], selector["group"][0], selector["task"][0]
    domain = select(study["scores"], selector)["domain"].iloc[0]

    def items_of(cell, seed):
        bias, gamma, mitigation, number = cell
        return predictions(study["model"], domain, bias, gamma, mitigation, seed, number, task)

    if test["n_seeds"] >= statistics.SEEDS_FOR_GEE:
        rows += over_items(test, items_of, group)
    biases = {cell[0] for cell in weights} - {test["spec"]["control"]}
    if "-" not in group and len(biases) == 1 and test["spec"]["control"] in ("neutral", "faithful"):
        bias, gamma, mitigation, number = max(cell for cell in weights if cell[0] in biases)
        for seed in test["data"]["values"].index:
            pair = [
                items_of(cell, seed)
                for cell in ((bias, gamma, mitigation, number), (test["spec"]["control"], gamma, mitigation, number))
            ]
            if any(items is None for items in pair):
                continue
            first, second = (items[items["group"] == group].set_index("item")["correct"].astype(bool) for items in pair)
            shared = first.index.intersection(second.index)
            result = statistics.mcnemar_exact(first[shared], second[shared])
            contrast = f"{test['contrast']}: {bias} minus {test['spec']['control']} at gamma {gamma:.2f}, seed {seed}"
            reason = "Beside the deciding test: the items of this one run, which say nothing of other runs."
            size = {"n_seeds": 1, "n_items": result.pop("n")}
            rows.append(result | size | {"contrast": contrast, "test": "exact McNemar", "reason": reason})
    return rows


def over_items(test, items_of, group):
    """The GEE row of a contrast of accuracies, where every run's predictions are there."""
    import pandas as pd

    sides = group.split("-")  # a gap is named reference-compared
    signs = dict(zip(sides, (1.0, -1.0)[: len(sides)], strict=True))
    runs, weights = [], {}
    for cell, weight in test["data"]["weights"].items():
        for seed in test["data"]["values"].index:
            items = items_of(cell, seed)
            if items is None:
                return []
            items = items[items["group"].isin(signs)] if group != "all" else items.assign(group="all")
            named = [(*cell, name) for name in items["group"]]
            runs.append(pd.DataFrame({"seed": seed, "cell": named, "correct": items["correct"].astype(bool)}))
        weights |= {(*cell, name): weight * sign for name, sign in signs.items()}
    found = statistics.cell_contrast(statistics.gee(pd.concat(runs, ignore_index=True)), weights)
    reason = "Beside the deciding test: all items, robust to whatever correlates within a seed."
    size = {"n_seeds": test["n_seeds"], "n_items": test["n_items"]}
    return [found | size | {"contrast": test["contrast"], "test": "GEE", "reason": reason}] if found else []
