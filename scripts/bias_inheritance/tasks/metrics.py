"""Rows of scores: a value, its within-run interval (bootstrap clustered by source item) and its counts."""

import math

from bias_inheritance.stats import statistics

# shares and probabilities, in addition to all metrics that end in `_share`
SHARES = {"accuracy", "label_probability", "macro_f1", "recall"}
SECOND_PROMPT = "_second_prompt"  # ends the names of metrics of answers to a task's second prompt
DIFFERENCES = {"congruence", "stereotype_gap"}  # differences of two shares


def scale(metric, group):
    """(lowest, highest) possible value of a metric for a group; infinite if unbounded.

    A group with a hyphen may be a difference of two groups (reference-compared).
    """
    metric = metric.removesuffix(SECOND_PROMPT)
    if metric in DIFFERENCES:
        return -1.0, 1.0
    if metric not in SHARES and not metric.endswith("_share"):
        return -math.inf, math.inf
    return (-1.0 if "-" in group else 0.0), 1.0


def row(metric, group, value, interval=(None, None), *, n, n_unparsed=0, n_clusters=None, scoring="logprob"):
    return {
        "metric": metric,
        "group": group,
        "scoring": scoring,
        "value": _number(value),
        "ci_low": _number(interval[0]),
        "ci_high": _number(interval[1]),
        "n": int(n),
        "n_unparsed": int(n_unparsed),
        "n_clusters": int(n if n_clusters is None else n_clusters),
    }


def mean_row(metric, group, values, weights, members, **counts):
    """The row with the mean of `values` over `members` (bool [items]); n is their number unless `counts` give another.

    weights: bootstrap weights [replicates × items]. A group without members has no value.
    """
    value = values[members].mean() if members.any() else None
    bounds = interval(weighted_mean(values, weights, members))
    return row(metric, group, value, bounds, **{"n": members.sum(), **counts})


def _number(value):
    """A float, or None for NaN, which JSON does not have."""
    return None if value is None or value != value else float(value)


def resamples(clusters, strata, replicates, seed):
    """Bootstrap weights (replicates × items), clusters drawn within their stratum: `statistics.cluster_weights`."""
    return statistics.cluster_weights(clusters, strata, replicates, seed)


def strata(labels, groups, clusters):
    """What a bootstrap keeps the size of, per item: its label with the groups that its cluster holds.

    Neither a rare class nor a small group can vanish from a draw.
    """
    held = {}
    for cluster, group in zip(clusters, groups, strict=True):
        held.setdefault(cluster, set()).add(str(group))
    names = {cluster: " ".join(sorted(members)) for cluster, members in held.items()}
    return [f"{label} {names[cluster]}" for label, cluster in zip(labels, clusters, strict=True)]


def weighted_mean(values, weights, members):
    """Weighted mean of `values` over `members` (bool [items]) for each row of `weights`; NaN if no member was drawn."""
    import numpy as np

    chosen = weights[:, members]
    total = chosen.sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return chosen @ values[members] / total


def interval(draws):
    """Percentile interval (95%) of bootstrap draws, ignoring NaN; (None, None) if all are NaN."""
    import numpy as np

    draws = np.asarray(draws, dtype=float)
    draws = draws[~np.isnan(draws)]
    return tuple(np.percentile(draws, [2.5, 97.5])) if len(draws) else (None, None)


def ends(values, unparsed, weights, members, lowest=0.0):
    """Draws of a weighted mean if all unparsed answers (bool [items]) had the lowest value, and if all had 1."""
    import numpy as np

    possible = (lowest, 1.0) if unparsed[members].any() else (lowest,)
    draws = [weighted_mean(np.where(unparsed, end, values), weights, members) for end in possible]
    return draws[0], draws[-1]


def bounds(low, high):
    """The interval from the lower end of that of the draws `low` to the upper end of that of the draws `high`."""
    return interval(low)[0], interval(high)[1]


def macro_f1(labels, choices, classes, weights=None):
    """Macro-averaged F1 over a fixed set of classes, per row of `weights` (replicates × items), or one value.

    A class with neither true nor predicted items has F1 = 0, so that a class missing from a sample still counts.
    """
    import numpy as np

    labels, choices = np.asarray(labels), np.asarray(choices)
    weights = np.ones((1, len(labels))) if weights is None else weights
    scores = []
    for name in classes:
        true, chosen = labels == name, choices == name
        hit = weights[:, true & chosen].sum(1)
        total = weights[:, true].sum(1) + weights[:, chosen].sum(1)
        scores.append(np.divide(2 * hit, total, out=np.zeros_like(hit), where=total > 0))
    return np.mean(scores, axis=0)
