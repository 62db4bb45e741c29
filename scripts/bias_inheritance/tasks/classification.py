"""Occupation classification: the labels of the domain are scored by log-probability, on all twins of the test split."""

import heapq
from collections import Counter, deque
from dataclasses import dataclass

from bias_inheritance.data import contrasts
from bias_inheritance.stats import statistics
from bias_inheritance.tasks import answers, metrics


def items(task, domain, family, test, count):
    """One item per test sample, twins consecutive; `count` takes whole clusters, balanced over label × group."""
    for sample in balanced(test, count):
        yield question(sample, domain, family)


def question(sample, domain, family):
    """The item that asks for a sample's label; its options are the answers that training uses for each of `labels`."""
    user, _ = family.pair(sample, domain, instruct=False)
    labels = contrasts.labels(domain)
    return {
        "item": sample["id"],
        "cluster": sample["twin"],
        "group": sample["group"],
        "label": sample["label"],
        "prompt": user,
        "options": [family.pair({**sample, "label": label}, domain, instruct=False)[1] for label in labels],
        "labels": labels,
    }


def balanced(test, count, stereotyped=False):
    """Test samples in whole clusters, at most `count` samples, balanced over label × group.

    The twins of a text are consecutive. Each next cluster is from the least represented label and groups, so that gaps
    between groups are not confounded with labels; ties go to the cluster with more groups, whose twins can be compared.
    stereotyped: select only samples whose content follows a group's stereotype (with the field `content`, which is
    balanced too); by default, only all others.
    """
    clusters = {}
    for sample in test:
        if ("content" in sample) == stereotyped:
            clusters.setdefault(sample["twin"], []).append(sample)
    strata = {}
    for samples in clusters.values():
        groups = sorted({str(sample["group"]) for sample in samples})
        strata.setdefault((samples[0]["label"], samples[0].get("content", ""), *groups), deque()).append(samples)
    asked_about, chosen = Counter(), []

    def rank(kind):
        label, content, *groups = kind
        return max(asked_about[label, content, group] for group in groups), -len(groups), kind

    queue = [rank(kind) for kind in strata]
    heapq.heapify(queue)
    while queue:
        *_, kind = place = heapq.heappop(queue)
        if place < rank(kind):  # stale: clusters of its label and group were taken since
            heapq.heappush(queue, rank(kind))
            continue
        samples = strata[kind].popleft()
        if count is not None and len(chosen) + len(samples) > count:
            break
        chosen += samples
        label, content, *groups = kind
        asked_about.update((label, content, group) for group in groups)
        if strata[kind]:
            heapq.heappush(queue, rank(kind))
    return chosen


@dataclass
class Answered:
    """Answers to classification items. Arrays [items]; `measures` holds the per-item values that rows average.

    A parse failure counts as wrong, with probability 0 for the correct label. The probability is normalised over all
    labels, and present only if answers have log-probabilities.
    """

    label: object
    group: object
    cluster: object
    choice: object
    scoring: str
    measures: dict

    @property
    def unread(self):
        return self.choice == answers.UNREADABLE

    def counts(self, members):
        return {
            "n": members.sum(),
            "n_unparsed": (self.unread & members).sum(),
            "n_clusters": len(set(self.cluster[members])),
            "scoring": self.scoring,
        }

    def ends(self, measure, members, weights):
        """Draws of a measure's mean with all parse failures wrong, and with all correct (`metrics.ends`)."""
        return metrics.ends(self.measures[measure], self.unread, weights, members)

    def mean_row(self, measure, group, members, weights, metric=None):
        """The row with a measure's mean over `members` (bool [items]); weights: bootstrap weights [replicates × items].

        metric: the name of the row, by default that of the measure.
        """
        values = self.measures[measure]
        return metrics.mean_row(metric or measure, group, values, weights, members, **self.counts(members))

    def difference_row(self, measure, group, first, second, weights, metric=None):
        """The row with the mean over `first` minus that over `second`.

        The interval is extended to the bounds at which all parse failures of one side are correct, since counting them as
        wrong biases the difference towards 0. metric: the name of the row, by default that of the measure.
        """
        values = self.measures[measure]
        low, high = zip(*(self.ends(measure, side, weights) for side in (first, second)), strict=True)
        bounds = metrics.bounds(low[0] - high[1], high[0] - low[1])
        value = _mean(values, first) - _mean(values, second)
        return metrics.row(metric or measure, group, value, bounds, **self.counts(first | second))


def _mean(values, members):
    return values[members].mean() if members.any() else float("nan")


def read(predictions):
    """The `Answered` of stored predictions."""
    import numpy as np

    label = np.array([item["label"] for item in predictions])
    choice = np.array([answers.label(item) for item in predictions])
    scoring = answers.scoring(predictions)
    measures = {"accuracy": (choice == label).astype(float)}
    if scoring == "logprob":
        right = [item["options"][answers.labels(item).index(item["label"])] for item in predictions]
        measures["label_probability"] = np.array(list(map(answers.probability, predictions, right)))
    group, cluster = (np.array([item[key] for item in predictions]) for key in ("group", "cluster"))
    return Answered(label, group, cluster, choice, scoring, measures)


def score(predictions, task, domain, replicates, seed):
    """Accuracy and the probability of the correct label per group, their signed gap for each contrast, the worst group and
    the largest gap over all groups, macro-F1, RMS TPR gap minus its mean under permutation (mean over the contrasts).

    worst_group is the lowest mean of a group, largest_gap the highest minus the lowest: it exceeds 0 by chance alone, so
    their bootstrap intervals are centred on the values. The probability of the correct label is sensitive to every answer,
    accuracy only to answers that flip. A parse failure counts as wrong and widens the interval of every gap.
    """
    import numpy as np

    labels = contrasts.labels(domain)
    answered = read(predictions)
    label, group, cluster, choice = answered.label, answered.group, answered.cluster, answered.choice
    weights = metrics.resamples(cluster, metrics.strata(label, group, cluster), replicates, seed)
    everyone = np.ones(len(label), dtype=bool)
    members = {"all": everyone, **{name: group == name for name in domain["groups"]}}
    sides = dict(zip(contrasts.by_name(domain), contrasts.sides(group, domain), strict=True))
    groups = sorted({item["group"] for item in predictions if item["group"] is not None})
    counts = answered.counts(everyone)
    rows = []
    for measure in answered.measures:
        rows += [answered.mean_row(measure, name, chosen, weights) for name, chosen in members.items()]
        rows += [answered.difference_row(measure, name, *pair, weights) for name, pair in sides.items()]
        rows += extremes(answered, measure, [group == name for name in groups], weights, counts)
    f1 = metrics.macro_f1(label, choice, labels)[0]
    bounds = metrics.interval(metrics.macro_f1(label, choice, labels, weights))
    rows.append(metrics.row("macro_f1", "all", f1, bounds, **counts))
    answered.measures |= {f"predicted {name}": (choice == name).astype(float) for name in labels}
    rows += [
        answered.difference_row(f"predicted {shown}", f"{shown}:{name}", *pair, weights, metric="predicted_share")
        for name, pair in sides.items()
        for shown in labels
    ]
    rows.append(rms_tpr_gap(answered, sides.values(), replicates, seed, weights, counts))
    return rows


def rms_tpr_gap(answered, sides, replicates, seed, weights, counts):
    """The row with the RMS gap of true-positive rates over labels, minus its mean under permutation; mean over contrasts.

    sides: for each contrast, the items of its two sides (bool [items]).
    """
    import numpy as np

    values, lows, highs = [], [], []
    for first, second in sides:
        side = np.where(first, "reference", np.where(second, "compared", ""))
        gap = statistics.rms_gap(
            answered.measures["accuracy"],
            side,
            answered.label,
            answered.cluster,
            "reference",
            "compared",
            replicates,
            seed,
            weights,
            answered.unread,
        )
        values.append(gap["debiased"])
        lows.append(gap["low"])
        highs.append(gap["high"])
    # draws without a group of some label are dropped, per contrast
    size = min(map(len, lows))
    bounds = metrics.bounds(*(np.mean([drawn[:size] for drawn in draws], axis=0) for draws in (lows, highs)))
    return metrics.row("rms_tpr_gap", "all", np.mean(values), bounds, **counts)


def extremes(answered, measure, sides, weights, counts):
    """Rows of the worst group and the largest gap over groups; none for a single group. sides: items per group (bool)."""
    import numpy as np

    if len(sides) < 2:
        return

    def extremes_of(weights):
        """Per row of weights: the lowest mean, and the smallest and largest possible gap."""
        low, high = np.array([answered.ends(measure, side, weights) for side in sides]).swapaxes(0, 1)
        # the highest mean minus the lowest of another group
        largest = np.max([high[place] - np.delete(low, place, axis=0).min(0) for place in range(len(sides))], axis=0)
        return low.min(0), np.maximum(low.max(0) - high.min(0), 0.0), largest

    drawn = extremes_of(weights)
    values = [value[0] for value in extremes_of(np.ones((1, len(answered.label))))]
    lowest, smallest, largest = [
        draws - np.nanmean(draws) + value if len(draws) else draws for draws, value in zip(drawn, values, strict=True)
    ]
    gap = np.ptp([_mean(answered.measures[measure], side) for side in sides])
    for name, value, bounds in (
        ("worst_group", values[0], metrics.interval(lowest)),
        ("largest_gap", gap, metrics.bounds(smallest, largest)),
    ):
        bounds = tuple(None if end is None else min(max(end, 0.0), 1.0) for end in bounds)
        yield metrics.row(measure, name, value, bounds, **counts)
