"""Effects of a study's cells per outcome, and their rank correlations with other quantities, seed by seed."""

from bias_inheritance.claims import contrasts, frames
from bias_inheritance.stats import statistics

CELL = ["model", "domain", "bias", "gamma", "mitigation", "seed", "round"]
FEWEST = 4  # minimum number of cells per seed for a rank correlation


def informative(scores):
    """The scores without those of runs (cell or control) on tasks for which they are uninformative."""
    on = ["model", "domain", "task", "bias", "gamma", "mitigation", "seed", "round"]
    flagged = scores[(scores["metric"] == "uninformative") & (scores["value"] == 1)]
    keys = set(flagged[on].itertuples(index=False, name=None))
    return scores[[key not in keys for key in scores[on].itertuples(index=False, name=None)]]


def effects_of(scores, outcomes, comparisons):
    """Per cell, outcome and control: the mean effect over the outcome's tasks and datasets, harm positive; each has the same
    weight, as in claims (`contrasts.outcome_runs`)."""
    import pandas as pd

    effects, keys, means = frames.effects(scores, comparisons), [*CELL, "outcome", "effect", "control"], []
    for name, selectors in outcomes.items():
        rows = pd.concat(
            [effects.iloc[:0].assign(weight=1.0), *(contrasts.select(effects, selector) for selector in selectors)]
        )
        rows = rows.assign(outcome=name, value=rows["weight"] * rows["value"])
        of_datasets = rows.groupby([*keys, "task", "dataset"], as_index=False)["value"].mean()
        means.append(of_datasets.groupby(keys, as_index=False)["value"].mean())
    return pd.concat(means)


def correlation(points):
    """{rho, ci_low, ci_high, n_seeds, n_cells}: mean Spearman correlation of amount and value per seed; None if undefined.

    The interval is NaN for one seed, and if all seeds have the same correlation.
    """
    import numpy as np
    from scipy.stats import spearmanr

    by_seed, cells = [], 0
    for _, of_seed in points.dropna(subset=["amount", "value"]).groupby("seed"):
        cells = max(cells, len(of_seed))
        if len(of_seed) >= FEWEST and of_seed["amount"].nunique() > 1 and of_seed["value"].nunique() > 1:
            by_seed.append(spearmanr(of_seed["amount"], of_seed["value"]).statistic)
    blank = dict.fromkeys(("rho", "ci_low", "ci_high"))
    if not by_seed:
        return {**blank, "n_seeds": 0, "n_cells": cells}
    result = statistics.seed_test(by_seed)
    # NaN, without an interval, stays NaN
    bounds = {"ci_low": float(np.maximum(-1.0, result["ci_low"])), "ci_high": float(np.minimum(1.0, result["ci_high"]))}
    return {"rho": result["estimate"], **bounds, "n_seeds": len(by_seed), "n_cells": cells}
