"""Pools: balanced slots, cleaning and checking of what the generator wrote, and the controls that copy originals."""

import math
import re
from collections import Counter

from bias_inheritance.errors import UserError
from bias_inheritance.seeds import record_seed

MIN_WORDS = 8  # ASSUME: shorter than this is no sample
REFUSAL = re.compile(
    r"\b(i (?:can(?:no|')t|am unable|am not able)|i'm (?:sorry|unable)|as an ai|i apologi[sz]e)\b", re.IGNORECASE
)
PREAMBLE = re.compile(r"^(?:sure|certainly|of course|here(?:'s| is| are))[^:\n]{0,120}:\s*", re.IGNORECASE)


def slots(family, bias, domain, count, key):
    """`count` slots in an order that is balanced after each full turn over the strata; slot i depends on (key, i) only.

    Raises UserError for a prompt with a word in braces that stands for nothing.
    """
    import numpy as np

    strata = family.strata(bias, domain)
    found = []
    for turn in range(-(-count // len(strata))):
        order = np.random.default_rng(record_seed(*key, "turn", turn)).permutation(len(strata))
        for index in order:
            number = len(found)
            stream = np.random.default_rng(record_seed(*key, "slot", number))
            try:
                found.append({"slot": number, **family.slot(bias, domain, *strata[index], turn, stream)})
            except KeyError as fault:
                raise UserError(
                    f"catalog/biases/{bias['name']}.yaml: prompt: {{{fault.args[0]}}} stands for nothing; docs/extending.md says which words may stand in braces"
                ) from None
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
    """One seeded permutation of a pool, of which every prefix is as balanced over label × group as can be.

    Within a stratum the given order stays and the strata take turns, each turn in an order of its own: a sample's place
    does not depend on how many come after it, so that a larger pool leaves the mixes of a smaller γ as they are. A
    planted sample keeps the place of its true label.
    """
    import numpy as np

    strata = {}
    for sample in samples:
        label = sample.get("true_label", sample["label"])
        strata.setdefault((label, str(sample.get("asked_group", sample["group"]))), []).append(sample)
    keys = sorted(strata)
    ordered = []
    for turn in range(max(map(len, strata.values()), default=0)):
        for index in np.random.default_rng(record_seed(seed, "turn", turn)).permutation(len(keys)):
            ordered += strata[keys[index]][turn : turn + 1]
    return ordered


def copies(family, bias, domain, originals, reserve, count, seed):
    """The pool of a control that copies real samples: planted labels, a shifted style, or faithful ones of the reserve.

    All controls that copy originals copy them in one order, and the planted ones relabel along it: every prefix holds
    the dial's share, and what a low dial relabels a higher one does too. The pool is as large as its source allows; a
    mix that needs more is refused by `mix`. Where the originals are balanced over label × group the reserve's copies are
    too, and end where its rarest kind does.
    """
    import numpy as np

    source = reserve if bias["source"] == "reserve" else originals
    shuffled = [source[index] for index in np.random.default_rng(record_seed("copies", seed)).permutation(len(source))]
    chosen = interleaved(shuffled, record_seed("mix", seed))
    if bias["source"] == "originals":
        # ASSUME: where more copies are needed than there are originals, they are copied again in the same order
        chosen = chosen * (-(-count // max(1, len(chosen))))
    else:
        held, drawn = (Counter((sample["label"], sample["group"]) for sample in side) for side in (originals, chosen))
        if held and max(held.values()) - min(held.values()) <= 1:
            chosen = chosen[: len(held) * min(drawn[kind] for kind in held)]
    chosen = [dict(sample) for sample in chosen[:count]]
    if "plant" in bias:
        compared = [sample for sample in chosen if sample["group"] == domain["compared"]]
        for rank, sample in enumerate(compared):
            if math.floor((rank + 1) * bias["plant"]) > math.floor(rank * bias["plant"]):
                sample["true_label"] = sample["label"]
                sample["label"] = family.planted_label(sample, domain)
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
