"""Occupation classification: every label of the domain is scored by its log-probability, all twins of the test split."""

from bias_inheritance import answers, metrics

UNREADABLE = ""


def items(task, domain, family, test, count):
    """One item per test sample, twins side by side; `count` takes whole twins, balanced over labels."""
    ordered = _balanced(test, count)
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


def _balanced(test, count):
    """Test samples, twin by twin, labels in turn; the first `count` of them."""
    twins = {}
    for sample in test:
        twins.setdefault(sample["label"], {}).setdefault(sample["twin"], []).append(sample)
    queues = [list(groups.values()) for _, groups in sorted(twins.items())]
    turns = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    return [sample for twin in turns for sample in twin][:count]


def score(predictions, task, domain, replicates, seed):
    """Accuracy per group, signed gap reference − compared, macro-F1, RMS TPR gap minus its mean under permutation.

    An answer that cannot be read counts as wrong.
    """
    import numpy as np

    reference, compared = domain["reference"], domain["compared"]
    label = np.array([item["label"] for item in predictions])
    group = np.array([item["group"] for item in predictions])
    cluster = np.array([item["cluster"] for item in predictions])
    chosen = [answers.choice(item) for item in predictions]
    choice = np.array([UNREADABLE if index is None else domain["labels"][index] for index in chosen])
    unread = choice == UNREADABLE
    scoring = answers.scoring(predictions)
    correct = (choice == label).astype(float)
    weights = metrics.resamples(cluster, label, replicates, seed)
    whole = np.ones((1, len(label)))
    everyone = np.ones(len(label), dtype=bool)
    members = {"all": everyone, reference: group == reference, compared: group == compared}
    rows, draws, values = [], {}, {}
    for name, side in members.items():
        values[name] = metrics.weighted_mean(correct, whole, side)[0]
        draws[name] = metrics.weighted_mean(correct, weights, side)
        rows.append(
            metrics.row(
                "accuracy",
                name,
                values[name],
                metrics.interval(draws[name]),
                n=side.sum(),
                n_unparsed=(unread & side).sum(),
                n_clusters=len(set(cluster[side])),
                scoring=scoring,
            )
        )
    counts = {
        "n": len(label),
        "n_unparsed": unread.sum(),
        "n_clusters": len(set(cluster)),
        "scoring": scoring,
    }
    gap = f"{reference}-{compared}"
    rows.append(
        metrics.row(
            "accuracy",
            gap,
            values[reference] - values[compared],
            metrics.interval(draws[reference] - draws[compared]),
            **counts,
        )
    )
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
        share = {side: (choice[members[side]] == name).mean() for side in (reference, compared)}
        rows.append(
            metrics.row(
                "predicted_share",
                f"{name}:{gap}",
                share[reference] - share[compared],
                **counts,
            )
        )
    value, null = rms_gap(correct, label, group, cluster, reference, replicates, seed)
    rows.append(metrics.row("rms_tpr_gap", "all", value - null, **counts))
    return rows


def rms_gap(correct, label, group, cluster, reference, replicates, seed):
    """(root mean square over labels of the TPR gap, its mean when the groups of each twin are swapped at random)."""
    import numpy as np

    sign = np.where(group == reference, 1.0, -1.0)
    labels = sorted(set(label))
    names, twin = np.unique(cluster, return_inverse=True)

    def rms(signs):
        gaps = []
        for name in labels:
            chosen = label == name
            plus, minus = (signs[:, chosen] > 0), (signs[:, chosen] < 0)
            with np.errstate(invalid="ignore", divide="ignore"):
                gaps.append(
                    (plus * correct[chosen]).sum(1) / plus.sum(1) - (minus * correct[chosen]).sum(1) / minus.sum(1)
                )
        return np.sqrt(np.nanmean(np.square(gaps), axis=0))

    flips = np.random.default_rng(seed).choice([-1.0, 1.0], size=(replicates, len(names)))[:, twin]
    return rms(sign[None, :])[0], rms(sign[None, :] * flips).mean()
