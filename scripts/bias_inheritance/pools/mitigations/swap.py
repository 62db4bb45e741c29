"""Add the counterfactual of each sample to D_a: names, pronouns and words of its group exchanged for another group's.

Originals and counterfactuals each take half of D_a, so that |D_a| is unchanged (counterfactual augmentation in iterated
training: arXiv 2511.10689). Of two groups, each then has half of every label: label and group are independent in D_a,
whatever groups were requested. With more groups, an association is weakened, not removed: the group of the originals keeps
half of its label, and the others share the rest.
"""

from collections import Counter

from bias_inheritance.data import counterfactual
from bias_inheritance.pools import balance


def rows(samples, settings, setting):
    """The first half of the samples, each followed by its counterfactual; with an odd number, the last has none.

    The counterfactuals of a label and group are about the other groups in turn. Records how many equal their source
    (`unchanged`), because the text shows no group, and the dependence of label and group before and after.
    """
    joined, unchanged, turns = [], 0, Counter()
    for sample in samples[: -(-len(samples) // 2)]:
        kind = sample["label"], sample["group"]
        twin = twin_of(sample, setting.domain, turns[kind])
        turns[kind] += 1
        unchanged += twin["text"] == sample["text"]
        joined += [sample, twin]
    joined = joined[: len(samples)]
    setting.notes["swap"] = {
        "counterfactuals": len(samples) // 2,
        "unchanged": unchanged,
        "dependence_before": _dependence(samples),
        "dependence_after": _dependence(joined),
    }
    return joined


def _dependence(samples):
    return balance.dependence(Counter((each["label"], each["group"]) for each in samples if each["group"] is not None))


def twin_of(sample, domain, turn=0):
    """The counterfactual of a sample about another group, the next in the order of the domain at turn 0; the first two groups
    are exchanged in a text whose group is unclear. It keeps the `twin` of its source, the cluster of both."""
    groups = list(domain["groups"])
    if sample["group"] in groups:
        source_group = sample["group"]
        other = groups[(groups.index(source_group) + 1 + turn % (len(groups) - 1)) % len(groups)]
    else:
        source_group, other = groups[:2]
    exchanged_groups = {source_group: other, other: source_group}
    text, _ = counterfactual.exchanged(sample["text"], domain, source_group, other)
    about = {
        key: exchanged_groups.get(sample[key], sample[key])
        for key in ("group", "requested_group", "shown_group")
        if key in sample
    }
    return {
        **sample,
        **about,
        "id": f"{sample['id']}-as-{other}",
        "twin": sample.get("twin", sample["id"]),
        "text": text,
    }
