"""Occupation classification: every label of the domain is scored by its log-probability, all twins of the test split."""

import itertools

from bias_inheritance import answers, metrics, statistics


def items(task, domain, family, test, count):
    """One item per test sample, twins side by side; `count` takes whole twins, balanced over labels."""
    ordered = balanced(test, count)
    for sample in ordered:
        user, _ = family.pair(sample, domain, instruct=False)
        yield {
            "item": sample["id"],
            "cluster": sample["twin"],
            "group": sample["group"],
            "label": sample["label"],
            "prompt": user,
            "options": domain["labels"],
        }


def balanced(test, count):
    """Test samples cluster by cluster, in turn over label × group of the cluster: as many clusters as `count` holds whole.

    The twins of a biography stand side by side. Where each sample is its own cluster the turns balance the groups too,
    so that a gap between groups is not one between their occupations.
    """
    clusters = {}
    for sample in test:
        clusters.setdefault(sample["twin"], []).append(sample)
    strata = {}
    for samples in clusters.values():
        groups = sorted({sample["group"] for sample in samples})
        strata.setdefault((samples[0]["label"], *groups), []).append(samples)
    queues = [strata[key] for key in sorted(strata)]
    turns = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    ends = itertools.accumulate(map(len, turns))
    return [
        sample for samples, end in zip(turns, ends, strict=True) if count is None or end <= count for sample in samples
    ]


def score(predictions, task, domain, replicates, seed):
    """Accuracy and the probability of the right label per group, their signed gaps reference − compared, the worst group
    and the largest gap over all groups, macro-F1, RMS TPR gap minus its mean under permutation.

    An answer that cannot be read counts as wrong, and its right label as impossible. That draws a gap towards 0, so a
    gap's interval reaches to where it lies with the unreadable answers of one group right, within the scale from −1 to 1.
    The probability is among all labels, and only of answers that have log-probabilities: it moves with every answer where
    accuracy moves only with those that change. worst_group is the lowest mean of a group, largest_gap the highest minus
    the lowest: it is above 0 by chance alone, so their bootstrap intervals are centred on the values.
    """
    import numpy as np

    reference, compared = domain["reference"], domain["compared"]
    label = np.array([item["label"] for item in predictions])
    group = np.array([item["group"] for item in predictions])
    cluster = np.array([item["cluster"] for item in predictions])
    chosen = [answers.choice(item) for item in predictions]
    choice = np.array([answers.UNREADABLE if index is None else domain["labels"][index] for index in chosen])
    unread = choice == answers.UNREADABLE
    scoring = answers.scoring(predictions)
    correct = (choice == label).astype(float)
    measures = {"accuracy": correct}
    if scoring == "logprob":
        measures["label_probability"] = np.array([answers.probability(item, item["label"]) for item in predictions])
    weights = metrics.resamples(cluster, label, replicates, seed)
    whole = np.ones((1, len(label)))
    everyone = np.ones(len(label), dtype=bool)
    members = {"all": everyone, reference: group == reference, compared: group == compared}
    groups = sorted({item["group"] for item in predictions if item["group"] is not None})
    counts = {
        "n": len(label),
        "n_unparsed": unread.sum(),
        "n_clusters": len(set(cluster)),
        "scoring": scoring,
    }
    gap = f"{reference}-{compared}"
    rows = []
    for metric, measured in measures.items():
        values = {name: metrics.weighted_mean(measured, whole, side)[0] for name, side in members.items()}
        draws = {name: metrics.weighted_mean(measured, weights, side) for name, side in members.items()}
        for name, side in members.items():
            own = {"n": side.sum(), "n_unparsed": (unread & side).sum(), "n_clusters": len(set(cluster[side]))}
            rows.append(metrics.row(metric, name, values[name], metrics.interval(draws[name]), scoring=scoring, **own))
        bounds = metrics.interval(draws[reference] - draws[compared])
        if None not in bounds:  # nobody of a group was asked, or nothing can be resampled
            low, high = bounds[0] - unread[members[compared]].mean(), bounds[1] + unread[members[reference]].mean()
            bounds = max(low, -1.0), min(high, 1.0)
        rows.append(metrics.row(metric, gap, values[reference] - values[compared], bounds, **counts))
        rows += extremes(metric, measured, [group == name for name in groups], whole, weights, counts)
    f1 = metrics.macro_f1(label, choice, domain["labels"])[0]
    rows.append(
        metrics.row(
            "macro_f1",
            "all",
            f1,
            metrics.interval(metrics.macro_f1(label, choice, domain["labels"], weights)),
            **counts,
        )
    )
    for name in domain["labels"]:
        chosen = (choice == name).astype(float)
        share = {side: metrics.weighted_mean(chosen, whole, members[side])[0] for side in (reference, compared)}
        drawn = {side: metrics.weighted_mean(chosen, weights, members[side]) for side in (reference, compared)}
        bounds = metrics.interval(drawn[reference] - drawn[compared])
        rows.append(
            metrics.row("predicted_share", f"{name}:{gap}", share[reference] - share[compared], bounds, **counts)
        )
    rms = statistics.rms_gap(correct, group, label, cluster, reference, compared, replicates, seed, weights)
    rows.append(metrics.row("rms_tpr_gap", "all", rms["debiased"], metrics.interval(rms["draws"]), **counts))
    return rows


def extremes(metric, measured, sides, whole, weights, counts):
    """Rows of the worst group and the largest gap over the groups whose items are `sides`; none of a single group."""
    import numpy as np

    if len(sides) < 2:
        return

    values = np.array([metrics.weighted_mean(measured, whole, side)[0] for side in sides])
    draws = np.array([metrics.weighted_mean(measured, weights, side) for side in sides])
    found = {
        "worst_group": (values.min(), draws.min(axis=0)),
        "largest_gap": (np.ptp(values), np.ptp(draws, axis=0)),
    }
    for name, (value, drawn) in found.items():
        bounds = metrics.interval(drawn - np.nanmean(drawn) + value) if len(drawn) else (None, None)
        bounds = tuple(None if end is None else min(max(end, 0.0), 1.0) for end in bounds)
        yield metrics.row(metric, name, value, bounds, **counts)
