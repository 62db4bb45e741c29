"""Stereotype congruence: is a text's label found more easily where its content fits the stereotype of its group?

Each text follows the stereotype of one group (its `content`) and is asked once for every group. An item is congruent where
the content is of its own group. Twins of neutral content show what a name and a pronoun do; these show a slant of content.
"""

from bias_inheritance.data import contrasts
from bias_inheritance.tasks import classification, metrics


def items(task, domain, family, test, count):
    """One item per sample that has a content, twins side by side; `count` takes whole twins, balanced over label × content."""
    for sample in classification.balanced(test, count, stereotyped=True):
        yield {**classification.question(sample, domain, family), "content": sample["content"]}


def score(predictions, task, domain, replicates, seed):
    """`congruence`, the mean label probability of congruent items − that of incongruent ones: over all, per group and per
    label; beside it both sides' label probability and accuracy, and the difference in accuracy.

    Over all, and per label, each text stands on both sides, so that how easy a text is cancels out. Per group it does not:
    a group's two sides are different texts. Answers without log-probabilities give accuracies alone. An unreadable answer
    is wrong and widens the interval of a difference (`classification.Answered`).
    """
    import numpy as np

    labels = contrasts.labels(domain)
    answered = classification.read(predictions, labels)
    content = np.array([item["content"] for item in predictions])
    # each label has its own number of texts of each content, and keeps it in every draw
    strata = [f"{label} {followed}" for label, followed in zip(answered.label, content, strict=True)]
    weights = metrics.resamples(answered.cluster, strata, replicates, seed)
    congruent, everyone = content == answered.group, np.ones(len(content), dtype=bool)
    subsets = {"all": everyone}
    subsets |= {group: answered.group == group for group in domain["groups"]}
    subsets |= {label: answered.label == label for label in labels}
    rows = []
    for measure in answered.measures:
        rows.append(answered.mean_row(measure, "congruent", congruent, weights))
        rows.append(answered.mean_row(measure, "incongruent", ~congruent, weights))
    rows.append(answered.difference_row("accuracy", "congruent-incongruent", congruent, ~congruent, weights))
    if "label_probability" in answered.measures:
        rows += [
            answered.difference_row(
                "label_probability", name, subset & congruent, subset & ~congruent, weights, metric="congruence"
            )
            for name, subset in subsets.items()
        ]
    return rows
