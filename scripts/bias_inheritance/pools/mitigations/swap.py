"""Each sample of D_a is joined by its counterfactual: names, pronouns and words of its group exchanged for another group's.

Half of D_a's places each, so that |D_a| is unchanged: label and group come to be independent in D_a whatever was asked for
(counterfactual augmentation in iterated training: arXiv 2511.10689).
"""

from bias_inheritance.data import counterfactual


def rows(samples, settings, setting):
    """The first half of the samples, each followed by its counterfactual; with an odd number, the last one stands alone.

    Records how many counterfactuals show no change at all (`unchanged`): texts that show no group.
    """
    joined, unchanged = [], 0
    for sample in samples[: -(-len(samples) // 2)]:
        twin = twin_of(sample, setting.domain)
        unchanged += twin["text"] == sample["text"]
        joined += [sample, twin]
    setting.notes["swap"] = {"counterfactuals": len(samples) // 2, "unchanged": unchanged}
    return joined[: len(samples)]


def twin_of(sample, domain):
    """The sample about another group: that of the domain which follows its own. In a text whose group is unclear the first
    two are exchanged. It shares its source's `twin`, the cluster of both."""
    groups = list(domain["groups"])
    own = sample["group"] if sample["group"] in groups else groups[0]
    other = groups[(groups.index(own) + 1) % len(groups)]
    turned = {own: other, other: own}
    text, _ = counterfactual.exchanged(sample["text"], domain, own, other)
    about = {
        key: turned.get(sample[key], sample[key]) for key in ("group", "asked_group", "shown_group") if key in sample
    }
    return {
        **sample,
        **about,
        "id": f"{sample['id']}-as-{other}",
        "twin": sample.get("twin", sample["id"]),
        "text": text,
    }
