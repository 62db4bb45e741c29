"""From a declared contrast to one number per seed.

A declared contrast becomes weights over cells (bias, γ, mitigation, round) and over outcomes (task, dataset, metric, group).
One seed gives one number, the weighted sum of its scores, or a correlation over bias types.
"""

from bias_inheritance.claims.frames import CELL, control_cell
from bias_inheritance.data import corpora, opinions
from bias_inheritance.data.contrasts import contrast_name
from bias_inheritance.stats import statistics
from bias_inheritance.study.declarations import (
    ABOVE_ZERO,
    INHERITANCE,
    LEVEL,
    OF_POOLS,
    PLACEHOLDERS,
    ROUNDS_NEEDED,
    defaults,
    outcomes_of,
    parts_of,
)
from bias_inheritance.tasks import metrics

DATASET = ["domain", "task", "dataset"]
OUTCOME = ["domain", "task", "dataset", "metric", "group", "scoring"]
ANY_MITIGATION = "any mitigation"  # in place of the mitigations of a study that has none
# the missing control for an effect of a pool
CONTROLS = {
    "augmentation": "no cell original",
    "natural": "no cells of as many real texts (faithful, or a control at strength 0)",
    "slant": "no baseline that names groups in the same way without a stereotype (balanced)",
    "dose": "no cells of the same control at strength 0",
}


class NotTested(Exception):
    """What is missing for a contrast, in one sentence, and will still be missing with further seeds."""


class NotTestedYet(NotTested):
    """What is missing for a contrast, but may be there with further seeds."""


def outcome_runs(spec, declared, study):
    """(rows, outcomes): scores of a contrast's outcome with their `weight`; number of distinct outcomes in a complete run.

    Each (domain, task, dataset) has the same weight within its outcome, however many metrics and groups are averaged in it:
    dataset is a fixed factor. A selector with `harm` makes harm positive. An outcome in `minus` is subtracted. The scores
    may be logprob or parsed, depending on the model. Raises NotTested if they are mixed, or if there are none.
    """
    import pandas as pd

    parts = []
    for outcome, sign in outcomes_of(spec):
        selected = [select(study["scores"], selector) for selector in selectors_of(outcome, spec, declared)]
        rows = pd.concat(selected) if selected else study["scores"].iloc[:0]
        if rows.empty:
            raise NotTested(f"The study has no scores of {label_of(outcome, spec, declared)}.")
        of_dataset = rows[OUTCOME].drop_duplicates().groupby(DATASET, observed=True).size()
        sizes = of_dataset.reindex(pd.MultiIndex.from_frame(rows[DATASET])).to_numpy()
        parts.append(rows.assign(weight=sign * rows["weight"] / (len(of_dataset) * sizes)))
    rows = pd.concat(parts)
    ways = sorted(rows["scoring"].unique())
    if len(ways) > 1:
        raise NotTested(f"Some scores are {' and some '.join(ways)}, which are not comparable.")
    return rows, len(rows[OUTCOME].drop_duplicates())


def selectors_of(outcome, spec, declared):
    """The selectors of an outcome for a contrast: with its `groups`, and with placeholders filled in."""
    selectors = declared["outcomes"][outcome]
    if "groups" in spec and outcome == spec["outcome"]:
        selectors = [selector | {"group": spec["groups"]} for selector in selectors]
    return filled(selectors, declared["domains"], spec.get("picked", {}))


def filled(selectors, domains, picked):
    """Selectors without placeholders: one with placeholders becomes one per set of groups, limited to domains with them.

    domains: {name: {groups, contrasts}} of `grid.groups_of`. picked: {placeholder: name}; placeholders not in it stand for
    every contrast and group.
    """
    concrete = []
    for selector in selectors:
        if not any("{" in group for group in selector["group"]):
            concrete.append(selector)
            continue
        holders = {}
        for domain in (name for name in domains if name in selector.get("domain", domains)):
            names = [each for each in group_names(domains[domain]) if picked.items() <= each.items()]
            groups = tuple(dict.fromkeys(group.format_map(each) for each in names for group in selector["group"]))
            holders.setdefault(groups, []).append(domain)
        concrete += [selector | {"group": [*groups], "domain": held} for groups, held in holders.items() if groups]
    return concrete


def group_names(domain):
    """[{placeholder: name}] of a domain ({groups, contrasts}): every contrast with every group."""
    return [
        {"reference": pair[0], "compared": pair[1], "contrast": contrast_name(*pair), "group": group}
        for pair in domain["contrasts"]
        for group in domain["groups"]
    ]


def select(scores, selector):
    """The scores that match a selector of claims.yaml, with `weight` 1, or -1 if lower is harm, and `fewest` items."""
    keep = (scores["metric"] == selector["metric"]) & scores["group"].isin(selector["group"])
    if "task" in selector:
        keep &= scores["task"].isin(selector["task"])
    if "relation" in selector:
        keep &= scores["relation"] == selector["relation"]
    if "domain" in selector:
        keep &= scores["domain"].isin(selector["domain"])
    weight = -1.0 if selector.get("harm") == "lower" else 1.0
    return scores[keep].assign(weight=weight, fewest=selector.get("fewest", 0))


def label_of(outcome, spec, declared):
    """Label of an outcome in the table: metric, groups, tasks and other selectors."""
    names = []
    for selector in declared["outcomes"][outcome]:
        groups = spec["groups"] if "groups" in spec and outcome == spec["outcome"] else selector["group"]
        groups = "/".join(group.format_map(PLACEHOLDERS | spec.get("picked", {})) for group in groups)
        further = [", ".join(selector["task"])] if "task" in selector else []
        further += [f"relation {selector['relation']}"] if "relation" in selector else []
        further += [f"domain {' or '.join(selector['domain'])}"] if "domain" in selector else []
        names.append(f"{selector['metric']} {groups}" + (f" ({'; '.join(further)})" if further else ""))
    return names[0] if len(names) == 1 else f"{outcome}: " + " + ".join(names)


def cell_weights(spec, cells, comparisons, zero=None):
    """{cell: weight} of a declared contrast over the study's cells; raises NotTested with what is missing.

    cells: set of (bias, gamma, mitigation, round) for which any seed has scores. comparisons: {pool: {effect: control}}. The
    contrast is the mean over biases of the effect (cell minus its control's cell, or the cell itself for `level`), then
    over γ: `mean`, or `gamma`: slope × at, or a combination of rounds × at and mean over γ (`points`). zero: the pool to which
    the scores are already relative, such as β's baseline; as a control it subtracts nothing.
    """
    biases, effect, mitigation = spec["biases"], spec["effect"], spec["mitigation"]
    mitigated = mitigation if mitigation == ANY_MITIGATION else f"mitigation {mitigation}"
    if zero in biases:
        raise NotTested(f"{zero} is the baseline of {INHERITANCE}, so its own value is undefined.")
    present = {cell[0] for cell in cells}
    absent = [bias for bias in biases if bias not in present]
    if absent:
        raise NotTested(f"The study has no cells of {' and '.join(absent)} with these scores.")
    if not any(cell[0] in biases and cell[2] == mitigation for cell in cells):
        raise NotTested(f"The study has no cells of {biases[0]} with {mitigated}.")
    controls = {bias: comparisons.get(bias, {}).get(effect) for bias in biases} if effect != LEVEL else {}
    for bias, control in controls.items():
        if control is None or (control != zero and control not in present):
            raise NotTested(f"The study has {CONTROLS[effect]} for {bias}.")
    rounds = sorted(
        set.intersection(*({cell[3] for cell in cells if cell[0] == bias and cell[2] == mitigation} for bias in biases))
    )
    rounds = rounds if spec["over"] in ROUNDS_NEEDED else rounds[:1]
    if len(rounds) < ROUNDS_NEEDED.get(spec["over"], 1):
        needed = {1: "one round", 2: "two rounds", 3: "three rounds"}[ROUNDS_NEEDED.get(spec["over"], 1)]
        raise NotTested(f"The study needs at least {needed} of the same cells.")

    def sides(bias, gamma, number):
        """[(cell, sign)]; a missing cell is None."""
        cell = (bias, gamma, mitigation, number)
        signed = [(cell if cell in cells else None, 1.0)]
        if controls and controls[bias] != zero:
            signed.append((control_cell(controls[bias], cell, cells), -1.0))
        return signed

    low, high = spec["gamma"]
    gammas = sorted({cell[1] for cell in cells if low - 1e-9 <= cell[1] <= high + 1e-9})
    gammas = [
        gamma
        for gamma in gammas
        if all(cell for bias in biases for number in rounds for cell, _ in sides(bias, gamma, number))
    ]
    if not gammas:
        span = "above 0" if spec["gamma"] == ABOVE_ZERO else f"from {low:g} to {high:g}"
        needed = " and ".join(dict.fromkeys([*biases, *(name for name in controls.values() if name != zero)]))
        raise NotTested(f"The study has no gamma {span} at which {needed} were run with {mitigated}.")
    weights = {}
    for gamma, number, weight in points(spec, gammas, rounds):
        for bias in biases:
            for cell, sign in sides(bias, gamma, number):
                add(weights, cell, sign * weight / len(biases))
    return weights


def cells_at_common_gammas(sides, cells):
    """The cells at γ 0 and at every γ at which all pools of all sides were run, so that sides are subtracted at the same γ
    even if a study trains its mitigations at some γ only. A side that was never run is ignored."""
    run = [
        {cell[1] for cell in cells if cell[0] == bias and cell[2] == side["mitigation"]}
        for side in sides
        for bias in side["biases"]
    ]
    common = set.intersection(*filter(None, run)) if any(run) else {cell[1] for cell in cells}
    return {cell for cell in cells if cell[1] == 0 or cell[1] in common}


def points(spec, gammas, rounds):
    """[(gamma, round, weight)] by which a contrast combines the effects at its γ and rounds.

    At γ = 0 a pool's cell and its control's are the same run, `original`. Relative to a control that grows with γ the effect
    is therefore exactly 0 there, and its line passes through the origin. An augmentation effect shares the noise of
    `original`, a measured cell like the others, so its line is an ordinary regression over the cells' values, including
    γ = 0. The slope of a level is an ordinary regression over its own cells.
    """
    if spec["over"] == "gamma":
        if spec["effect"] == LEVEL:
            if len(gammas) < 2:
                raise NotTested("The slope of a score over gamma needs at least two gammas.")
            slope = statistics.slope_weights(gammas)
        elif spec["effect"] == "augmentation":
            slope = statistics.slope_weights([0.0, *gammas])[1:]
        else:
            slope = statistics.slope_weights(gammas, through_origin=True)
        return [(gamma, rounds[0], spec["at"] * weight) for gamma, weight in zip(gammas, slope, strict=True)]
    if spec["over"] in ROUNDS_NEEDED:
        return [
            (gamma, number, spec["at"] * weight / len(gammas))
            for gamma in gammas
            for number, weight in zip(rounds, weights_of_rounds(spec["over"], rounds), strict=True)
        ]
    return [(gamma, rounds[0], 1 / len(gammas)) for gamma in gammas]


def weights_of_rounds(over, rounds):
    """The weight of each round in the slope (`round`), in the change from the last round but one to the last (`last-step`),
    or in that change minus the one from the first round to the second (`step-change`)."""
    if over == "round":
        return statistics.slope_weights(rounds)
    weights = [0.0] * (len(rounds) - 2) + [-1.0, 1.0]
    if over == "step-change":
        weights[0] += 1.0
        weights[1] -= 1.0
    return weights


def add(weights, cell, weight):
    weights[cell] = weights.get(cell, 0.0) + weight


def seed_values(spec, declared, study):
    """One number per seed: {values (Series by seed), weights {cell: weight}, runs, n_items, incomplete, unread, reach}.

    Raises NotTested or NotTestedYet if something is missing, if the manipulation failed, or if a required score is
    uninformative or has too few readable answers: excluding such a cell would be selection by outcome.
    runs: one row per run with seed, cell, bias, value and number of readable items, over the whole grid, for supplementary
    tests. incomplete: number of seeds excluded for a missing cell. unread: the largest share of unreadable answers in a run.
    reach: (lowest, highest) value of the contrast that the metric's scale allows.
    """
    rows, outcomes = outcome_runs(spec, declared, study)
    cells = set(rows[CELL].itertuples(index=False, name=None))
    zero = declared["real_text"] if (rows["task"] == INHERITANCE).all() else None
    sides = [(chosen(part, rows, declared, study, zero), sign) for part, sign in parts_of(spec)]
    for used, _ in sides:
        if used["over"] in ROUNDS_NEEDED:
            refuse_collapsed(used, study)
    if len(sides) > 1:
        cells = cells_at_common_gammas([used for used, _ in sides], cells)
    weights = {}
    for used, sign in sides:
        for cell, weight in cell_weights(used, cells, declared["comparisons"], zero).items():
            add(weights, cell, sign * weight)
    weights = {cell: weight for cell, weight in weights.items() if abs(weight) > 1e-12}

    rows = rows.assign(
        cell=list(rows[CELL].itertuples(index=False, name=None)),
        part=rows["weight"] * rows["value"],
        read=rows["n"] - rows["n_unparsed"],
    )
    needed = rows[rows["cell"].isin(list(weights))]
    refuse_unusable(needed, declared, study)
    answers = needed[~needed["task"].isin(OF_POOLS)]
    by_run = rows.groupby(["seed", "cell", "bias", "round"])
    runs = by_run.agg(
        value=("part", "sum"), outcomes=("part", "count"), items=("n", "sum"), read=("read", "sum")
    ).reset_index()
    runs = runs[runs["outcomes"] == outcomes]
    needed_runs = runs[runs["cell"].isin(list(weights))]
    values = needed_runs["value"] * needed_runs["cell"].map(weights)
    complete = needed_runs.groupby("seed")["cell"].transform("nunique") == len(weights)
    everywhere = rows[rows["cell"].isin(list(weights))]["seed"].nunique()
    if not complete.any():
        raise NotTestedYet(f"No seed has all {len(weights)} cells that this contrast needs.")
    values = values[complete].groupby(needed_runs["seed"]).sum() - spec.get("against", 0.0)
    return {
        "values": values,
        "weights": weights,
        "runs": runs[runs["round"].isin({cell[3] for cell in weights})],
        "n_items": int(needed_runs.loc[complete, "items"].min()),
        "incomplete": everywhere - len(values),
        "unread": (answers["n_unparsed"] / answers["n"]).max() if len(answers) else 0.0,
        "reach": reach(needed, weights, spec.get("against", 0.0)),
    }


def reach(rows, weights, against):
    """(lowest, highest) value of a contrast given the scales of its metrics; infinite for unbounded metrics."""
    parts = rows.drop_duplicates([*OUTCOME, "cell"])
    low = high = -against
    for cell, metric, group, weight in parts[["cell", "metric", "group", "weight"]].itertuples(index=False, name=None):
        ends = sorted(weights[cell] * weight * end for end in metrics.scale(metric, group))
        low, high = low + ends[0], high + ends[1]
    return low, high


def chosen(spec, rows, declared, study, zero=None):
    """The contrast with its biases resolved: `types` are the study's bias types that, like their controls, passed the
    manipulation check in all domains of `rows`, the outcome's scores. zero: the baseline of these scores (`cell_weights`)."""
    present, failed = set(rows["bias"].unique()), failed_in(rows["domain"].unique(), study)
    biases = spec["biases"]
    if biases == "types":
        biases = [bias for bias in study["types"] if bias in present]
        if not biases:
            raise NotTested("The study has no bias type with these scores.")
    blocked = {bias: failed_pools(bias, spec, failed, declared, zero) for bias in biases if bias in present}
    usable = [bias for bias in biases if not blocked.get(bias)]
    if not usable or (usable != biases and spec["biases"] != "types"):
        reasons = {pool: failed[pool] for pools in blocked.values() for pool in pools}
        # a check is of the texts of all seeds, so a failed one may pass with more
        missing = NotTestedYet if "failed" in reasons.values() else NotTested
        raise missing(f"Manipulation {', '.join(f'{reason} for {pool}' for pool, reason in reasons.items())}.")
    return spec | {"biases": usable}


def failed_pools(bias, spec, failed, declared, zero=None):
    """Those of a pool, its control for a contrast's effect and the baseline `zero` that are in `failed` (`failed_in`)."""
    control = declared["comparisons"].get(bias, {}).get(spec["effect"])
    return [pool for pool in (bias, control, zero) if pool in failed]


def failed_in(domains, study):
    """{pool: `failed` or `not checked`} of the pools that may not be tested in at least one of these domains."""
    failed = {}
    for domain in domains:
        for bias, why in study["failed"][domain].items():
            failed[bias] = "failed" if "failed" in (why, failed.get(bias)) else why
    return failed


def refuse_collapsed(used, study):
    """Raise NotTested if a chain of rounds ended early: the remaining seeds and rounds would be a selection by outcome."""
    scores = study["scores"]
    chains = scores[scores["bias"].isin(used["biases"]) & (scores["mitigation"] == used["mitigation"])]
    on = ["domain", "bias", "gamma", "seed"]
    ended = chains[chains["metric"] == "collapsed"][on].drop_duplicates()
    if len(ended):
        raise NotTested(f"Collapsed: {len(ended)} of {len(chains[on].drop_duplicates())} chains of rounds ended early.")


def refuse_unusable(rows, declared, study):
    """Raise NotTested if a required run is uninformative, has too few items or too many unreadable answers, or uses the
    project's fixtures (opinion questions with invented shares, invented texts)."""
    if (rows["dataset"] == opinions.FIXTURE).any():
        raise NotTested("The opinion questions are the shipped fixture, whose shares are invented.")
    if rows["dataset"].astype(str).str.endswith(corpora.MARK).any():
        raise NotTested("The data are the project's fixtures, which give no verdict; set data_dir.")
    few = rows[rows["n"] < rows["fewest"]]
    if len(few):
        fewest, items = few.iloc[0]["fewest"], few["n"].min()
        raise NotTested(f"{len(few)} of {len(rows)} scores have only {items} items; {fewest} are needed.")
    flags = study["scores"][(study["scores"]["metric"] == "uninformative") & (study["scores"]["value"] == 1)]
    on = ["domain", "task", "seed", *CELL]
    runs = rows[on].drop_duplicates()
    flagged = runs.merge(flags[on].drop_duplicates(), on=on)
    if len(flagged):
        task = flagged.iloc[0]["task"]
        raise NotTested(f"Uninformative: position bias in {len(flagged)} of {len(runs)} runs of {task}.")
    unreadable = rows[(rows["n_unparsed"] > declared["unreadable_limit"] * rows["n"]) | (rows["n"] == 0)]
    if len(unreadable):
        limit = f"{declared['unreadable_limit']:.0%}"
        raise NotTested(f"More than {limit} of the answers are unreadable in {len(unreadable)} of {len(rows)} scores.")


def rank_correlation(spec, declared, study):
    """Per seed, Spearman's correlation over bias types between this contrast and another one (`with`): as `seed_values`,
    plus n_types, and p and its smallest possible value in the permutation of the types. Raises NotTested below four types.
    """
    import numpy as np
    import pandas as pd

    rows, _ = outcome_runs(spec | {"minus": {}}, declared, study)
    biases = chosen(spec, rows, declared, study)["biases"]
    if len(biases) < 4:
        more = len([bias for bias in study["types"] if bias in set(rows["bias"].unique())]) >= 4
        missing = NotTestedYet if more else NotTested
        raise missing(f"A correlation over bias types needs at least four; the study has {len(biases)}.")
    effects = {bias: seed_values(spec | {"biases": [bias]}, declared, study) for bias in biases}
    other = defaults(spec["with"]) | {"picked": spec.get("picked", {})}
    others = {bias: seed_values(other | {"biases": [bias]}, declared, study) for bias in biases}
    first, second = (
        pd.DataFrame({bias: ranks["values"] for bias, ranks in side.items()}).dropna() for side in (effects, others)
    )
    seeds = [
        seed
        for seed in first.index.intersection(second.index)
        if np.ptp(first.loc[seed]) > 0 and np.ptp(second.loc[seed]) > 0
    ]
    if not seeds:
        raise NotTestedYet("No seed has both quantities, with variation, for all bias types.")
    ranks = statistics.rank_permutation(first.loc[seeds], second.loc[seeds])
    return {
        "values": pd.Series(ranks["values"], seeds),
        "n_types": len(biases),
        "p": ranks["p"],
        "smallest": ranks["smallest"],
        "sampled": ranks["sampled"],
        "weights": None,
        "runs": None,
        "n_items": min(side["n_items"] for side in effects.values()),
        "incomplete": len(first.index.union(second.index)) - len(seeds),
    }
