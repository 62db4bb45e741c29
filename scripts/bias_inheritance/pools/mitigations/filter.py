"""Replace the most slanted samples of D_a by spare pool samples of the same label and group.

The slant of a sample is the share of stereotype words of its label and group, or the projection of φ, the mean last hidden
state of the untuned model, onto the direction from balanced to biased texts of its group (difference of means, as in Zou
et al., arXiv 2310.01405). On filtering self-generated training data see Gillman et al., arXiv 2402.07087.
"""


def rows(samples, settings, setting):
    """The samples with the most slanted `share` of them replaced in place; settings: {by, share}.

    A sample is replaced only by a less slanted spare sample, the least slanted first. Records the ids and scores of each
    replacement, and `due`, the number of replacements intended, of which some may lack a suitable spare sample.
    """
    pool = [*samples, *setting.spare]
    scores = dict(zip((sample["id"] for sample in pool), SCORES[settings["by"]](pool, setting), strict=True))
    spare = sorted(setting.spare, key=lambda sample: scores[sample["id"]])
    worst = sorted(range(len(samples)), key=lambda place: -scores[samples[place]["id"]])
    kept, dropped = list(samples), []
    due = round(settings["share"] * len(samples))
    for place in worst[:due]:
        old = samples[place]
        fitting = [
            new
            for new in spare
            if (new["label"], new["group"]) == (old["label"], old["group"]) and scores[new["id"]] < scores[old["id"]]
        ]
        if not fitting:
            continue
        new = fitting[0]
        spare.remove(new)
        kept[place] = new
        dropped.append(
            {"dropped": old["id"], "score": scores[old["id"]], "replaced_by": new["id"], "new_score": scores[new["id"]]}
        )
    setting.notes["filter"] = {"by": settings["by"], "due": due, "replaced": len(dropped), "samples": dropped}
    return kept


def stereotype_words(samples, setting):
    """Share of stereotype words of each sample's label and group; 0 if the group is unclear."""
    groups = setting.domain["groups"]
    return [
        setting.family.slant(sample, sample["group"], setting.domain) if sample["group"] in groups else 0.0
        for sample in samples
    ]


def direction(samples, setting):
    """Projection of each sample's φ onto the unit vector from the mean of balanced texts of its group to that of D_a.

    Balanced texts are the pool of the study's baseline, or D_o. Samples of an unclear group, or of one without balanced
    texts, are compared with the mean of all balanced texts.
    """
    import numpy as np

    from bias_inheritance.models import base, embeddings
    from bias_inheritance.models.chat import Chat

    network, tokenizer = base.load_base(base.read_card(setting.card))
    chat = Chat(tokenizer, setting.system)
    phi, plain = (
        embeddings.embed_pairs(network, chat, [setting.family.pair(sample, setting.domain, False) for sample in listed])
        for listed in (samples, setting.balanced)
    )
    projections = np.zeros(len(samples))
    for group in {sample["group"] for sample in samples}:
        members = np.array([sample["group"] == group for sample in samples])
        of_group = np.array([sample["group"] == group for sample in setting.balanced])
        middle = (plain[of_group] if of_group.any() else plain).mean(0)
        towards = phi[members].mean(0) - middle
        projections[members] = (phi[members] - middle) @ towards / (np.linalg.norm(towards) or 1.0)
    return projections.tolist()


SCORES = {"stereotype-words": stereotype_words, "direction": direction}
