"""Add the counterfactual of each sample to D_a: names, pronouns and words of its group exchanged for another group's.

Originals and counterfactuals each take half of D_a, so that |D_a| is unchanged. Label and group become independent in D_a
whatever groups were requested (counterfactual augmentation in iterated training: arXiv 2511.10689).
"""

from bias_inheritance.data import counterfactual


def rows(samples, settings, setting):
    """The first half of the samples, each followed by its counterfactual; with an odd number, the last has none.

    Records how many counterfactuals equal their source (`unchanged`), because the text shows no group.
    """
    joined, unchanged = [], 0
    for sample in samples[: -(-len(samples) // 2)]:
        twin = twin_of(sample, setting.domain)
        unchanged += twin["text"] == sample["text"]
        joined += [sample, twin]
    setting.notes["swap"] = {"counterfactuals": len(samples) // 2, "unchanged": unchanged}
    return joined[: len(samples)]


def twin_of(sample, domain):
    """The counterfactual of a sample about the next group in the order of the domain; the first two groups are exchanged
    in a text whose group is unclear. It keeps the `twin` of its source, the cluster of both."""
    groups = list(domain["groups"])
    source_group = sample["group"] if sample["group"] in groups else groups[0]
    other = groups[(groups.index(source_group) + 1) % len(groups)]
    exchanged_groups = {source_group: other, other: source_group}
    text, _ = counterfactual.exchanged(sample["text"], domain, source_group, other)
    about = {
        key: exchanged_groups.get(sample[key], sample[key])
        for key in ("group", "asked_group", "shown_group")
        if key in sample
    }
    return {
        **sample,
        **about,
        "id": f"{sample['id']}-as-{other}",
        "twin": sample.get("twin", sample["id"]),
        "text": text,
    }
