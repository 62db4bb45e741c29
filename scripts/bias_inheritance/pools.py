"""Pools: balanced slots, cleaning and checking of what the generator wrote, and the controls that copy originals."""

import re

from bias_inheritance.generation import record_seed

MIN_WORDS = 8  # ASSUME: shorter than this is no sample
REFUSAL = re.compile(
    r"\b(i (?:can(?:no|')t|am unable|am not able)|i'm (?:sorry|unable)|as an ai|i apologi[sz]e)\b", re.IGNORECASE
)
PREAMBLE = re.compile(r"^(?:sure|certainly|of course|here(?:'s| is| are))[^:\n]{0,120}:\s*", re.IGNORECASE)


def slots(family, bias, domain, count, key):
    """`count` slots in an order that is balanced after each full turn over the strata; slot i depends on (key, i) only."""
    import numpy as np

    strata = family.strata(bias, domain)
    found = []
    for turn in range(-(-count // len(strata))):
        order = np.random.default_rng(record_seed(*key, "turn", turn)).permutation(len(strata))
        for index in order:
            number = len(found)
            stream = np.random.default_rng(record_seed(*key, "slot", number))
            found.append({"slot": number, **family.slot(bias, domain, *strata[index], stream)})
    return found[:count]


def clean(raw, finished):
    """The usable text of an answer: no preamble, no quotes, whole sentences. '' where nothing is left."""
    text = PREAMBLE.sub("", raw.strip()).strip().strip('"“”').strip()
    text = re.sub(r"\s+", " ", text)
    if finished and text and text[-1] in ".!?":
        return text
    ends = [match.end() for match in re.finditer(r"[.!?](?=\s|$)", text)]
    return text[: ends[-1]] if ends else ""


def judge(raw, finished, asked, family, domain, seen):
    """(sample, reason): what an answer says, and why it is not kept (None if it is).

    Reasons: empty, truncated, refusal, duplicate, and those of the family's `read`. `seen` holds the texts of
    originals and of records kept before, folded by `fold`.
    """
    if not raw.strip():
        return {"text": ""}, "empty"
    if REFUSAL.search(raw[:200]):
        return {"text": raw}, "refusal"
    sample, reason = family.read(raw, finished, asked, domain)
    if reason is None and fold(sample["text"]) in seen:
        reason = "duplicate"
    return sample, reason


# What failed to produce a text, as against a text that was rejected for its content.
FAILED = {"empty", "truncated", "refusal"}


def fold(text):
    """What two texts must share to count as duplicates: their letters and digits."""
    return re.sub(r"[^\w]+", " ", text.lower()).strip()


def interleaved(samples, seed):
    """One seeded permutation of a pool, of which every prefix is as balanced over label × group as can be."""
    import numpy as np

    stream = np.random.default_rng(seed)
    strata = {}
    for index in stream.permutation(len(samples)):
        sample = samples[index]
        strata.setdefault((sample["label"], str(sample.get("asked_group", sample["group"]))), []).append(sample)
    queues = [strata[key] for key in sorted(strata)]
    ordered = []
    while any(queues):
        for index in stream.permutation(len(queues)):
            if queues[index]:
                ordered.append(queues[index].pop())
    return ordered


def copies(family, bias, domain, originals, reserve, count, seed):
    """The pool of a control that copies real samples: planted labels, a shifted style, or faithful ones of the reserve.

    Raises UserError, through `mix`, where there are fewer than are needed: the pool is as large as its source allows.
    """
    import numpy as np

    stream = np.random.default_rng(record_seed("copies", bias["name"], seed))
    source = reserve if bias["source"] == "reserve" else originals
    chosen = interleaved(source, record_seed("copies", "order", seed))
    if bias["source"] == "originals":
        # ASSUME: where more copies are needed than there are originals, they are copied again in the same order
        chosen = chosen * (-(-count // max(1, len(chosen))))
    chosen = [dict(sample) for sample in chosen[:count]]
    if "plant" in bias:
        compared = [index for index, sample in enumerate(chosen) if sample["group"] == domain["compared"]]
        for index in stream.permutation(compared)[: round(bias["plant"] * len(compared))]:
            chosen[index]["true_label"] = chosen[index]["label"]
            chosen[index]["label"] = family.planted_label(chosen[index], domain)
    if bias.get("shift"):
        for sample in chosen:
            sample["text"] = family.shift(sample)
    return [
        {
            **sample,
            "id": f"{bias['name']}-s{seed}-{number:05d}",
            "copy_of": sample["id"],
            "asked_group": sample["group"],
            "shown_group": sample["group"],
        }
        for number, sample in enumerate(chosen)
    ]
