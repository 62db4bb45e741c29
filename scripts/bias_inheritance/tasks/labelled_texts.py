"""Classification of the culture test sets: one question per text, options scored by log-probability.

The label set is that of the task file, so that a class missing from a sample still counts in macro-F1.
"""

from bias_inheritance.data import corpora
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.tasks import answers, classification, metrics

RARE = 2  # ASSUME: minimum number of items per label, even if its proportional share is smaller


def items(task, domain, family, test, count):
    """One item per text of the task's datasets, at most `count` per dataset, stratified by label; then those of the second
    prompt, which asks about the first `second_items` of them for the label's word.

    The order is seeded by the text itself, so that files of one corpus that share texts share many items (each samples in
    proportion to its own labels).
    """
    yield from _items(task, domain, test, count, "prompt", "labels")
    if "second_prompt" in task and task["second_items"]:
        most = min(count or task["second_items"], task["second_items"])
        for item in _items(task, domain, test, most, "second_prompt", "words"):
            yield {**item, "item": f"{item['item']}-second"}


def _items(task, domain, test, count, prompt, options):
    """Items of the prompt under a key of the task, with the options under a key of each dataset."""
    for name, dataset in task["datasets"].items():
        samples = [sample for sample in test if sample["dataset"] == name]
        # datasets from the Hub are real even if the files are fixtures
        invented = domain["fixture"] and "file" in dataset
        labels, words = list(dataset["labels"]), dataset[options]
        # positive labels first, as listed in `positive`
        *others, last = [words[label] for label in sorted(labels, key=[*dataset["positive"], *labels].index)]
        for sample in stratified(samples, labels, count):
            text = sample["text"]
            cut = text if len(text) <= task["longest_text"] else text[: task["longest_text"]].rsplit(" ", 1)[0]
            yield {
                "item": sample["id"],
                "cluster": sample["twin"],
                "group": sample["group"],
                "label": sample["label"],
                "dataset": f"{name}{corpora.MARK}" if invented else name,
                "prompt": task[prompt].format(
                    text=cut, question=dataset["question"], options=f"{', '.join(others)} or {last}"
                ),
                "options": [words[label] for label in labels],
                "labels": labels,
                "positive": dataset["positive"],
                "asked_by": prompt,
            }


def stratified(samples, labels, count):
    """At most `count` samples (None: all), proportional over labels, with at least RARE per label where available."""
    ordered = sorted(samples, key=lambda sample: record_seed("items", sample["twin"]))
    if count is None or count >= len(ordered):
        return ordered
    members = {label: [sample for sample in ordered if sample["label"] == label] for label in labels}
    share = {label: count * len(listed) / len(ordered) for label, listed in members.items()}
    taken = {label: min(len(listed), max(RARE, int(share[label]))) for label, listed in members.items()}
    while sum(taken.values()) < count:
        open_ = [label for label in labels if taken[label] < len(members[label])]
        taken[max(open_, key=lambda label: share[label] - taken[label])] += 1
    while sum(taken.values()) > count:
        taken[max(labels, key=taken.get)] -= 1
    chosen = {sample["id"] for label, listed in members.items() for sample in listed[: taken[label]]}
    return [sample for sample in ordered if sample["id"] in chosen]


def score(predictions, task, domain, replicates, seed):
    """Per dataset: macro-F1 over its label set, accuracy, recall per label, and the macro-F1 of the majority class.

    A parse failure counts as wrong. Intervals are from a bootstrap clustered by text within labels. For several datasets,
    `macro_f1_mean` is their mean, with clusters drawn jointly: files that share a text are resampled together. The metrics
    of answers to the second prompt end in `_second_prompt`.
    """
    rows = []
    for prompt, suffix in (("prompt", ""), ("second_prompt", metrics.SECOND_PROMPT)):
        answered = [item for item in predictions if item.get("asked_by", "prompt") == prompt]
        rows += [{**row, "metric": row["metric"] + suffix} for row in _scored(answered, replicates, seed)]
    return rows


def _scored(predictions, replicates, seed):
    """Rows of the answers to one prompt."""
    import numpy as np

    datasets = {}
    for item in predictions:
        datasets.setdefault(item["dataset"], []).append(item)
    answered_of = {name: classification.read(items_) for name, items_ in datasets.items()}
    rows = []
    for name, answered in answered_of.items():
        labels, positive = datasets[name][0]["labels"], datasets[name][0]["positive"]
        label, choice = answered.label, answered.choice
        weights = metrics.resamples(answered.cluster, label, replicates, seed)
        everyone = np.ones(len(label), dtype=bool)
        counts = answered.counts(everyone)
        f1 = metrics.macro_f1(label, choice, labels)[0]
        bounds = metrics.interval(metrics.macro_f1(label, choice, labels, weights))
        answered.measures["positive_share"] = np.isin(choice, positive).astype(float)
        of_dataset = [
            metrics.row("macro_f1", "all", f1, bounds, **counts),
            metrics.row("macro_f1_majority", "all", majority_macro_f1(label, labels), **counts),
            answered.mean_row("accuracy", "all", everyone, weights),
            answered.mean_row("positive_share", "all", everyone, weights),
            *(answered.mean_row("accuracy", member, label == member, weights, metric="recall") for member in labels),
        ]
        rows += [{"dataset": name, **row} for row in of_dataset]
    if len(datasets) > 1:
        # a mean that includes a fixture is marked as one
        place = f"all{corpora.MARK}" if any(name.endswith(corpora.MARK) for name in datasets) else "all"
        rows.append({"dataset": place, **_mean_row(datasets, answered_of, replicates, seed)})
    return rows


def majority_macro_f1(label, labels):
    """Macro-F1 of always answering the most frequent label: the baseline of the score."""
    import numpy as np

    label = np.asarray(label)
    frequent = max(labels, key=lambda name: (label == name).sum())
    return metrics.macro_f1(label, np.full(len(label), frequent), labels)[0]


def _mean_row(datasets, answered_of, replicates, seed):
    import numpy as np

    everything = [item for items_ in datasets.values() for item in items_]
    # a cluster's stratum combines its labels in all files, so that every class of every file keeps its size
    labels_of_cluster = {}
    for item in everything:
        labels_of_cluster.setdefault(item["cluster"], []).append(f"{item['dataset']}={item['label']}")
    clusters = [item["cluster"] for item in everything]
    weights = metrics.resamples(
        clusters, [" ".join(sorted(labels_of_cluster[name])) for name in clusters], replicates, seed
    )
    values, draws, start = [], [], 0
    for name, answered in answered_of.items():
        labels, size = datasets[name][0]["labels"], len(datasets[name])
        values.append(metrics.macro_f1(answered.label, answered.choice, labels)[0])
        draws.append(metrics.macro_f1(answered.label, answered.choice, labels, weights[:, start : start + size]))
        start += size
    bounds = metrics.interval(np.mean(draws, axis=0))
    unread = sum(answered.unread.sum() for answered in answered_of.values())
    counts = {"n": len(everything), "n_clusters": len(labels_of_cluster), "n_unparsed": unread}
    return metrics.row("macro_f1_mean", "all", np.mean(values), bounds, scoring=answers.scoring(everything), **counts)
