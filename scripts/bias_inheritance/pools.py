"""Pools: balanced slots, cleaning and checking of what the generator wrote, and the controls that copy originals."""

import math
import re
from collections import Counter
from fractions import Fraction

from bias_inheritance import balance
from bias_inheritance.errors import UserError
from bias_inheritance.seeds import record_seed

MIN_WORDS = 8  # ASSUME: shorter than this is no sample
REFUSAL = re.compile(
    r"\b(i (?:can(?:no|')t|am unable|am not able)|i'm (?:sorry|unable)|as an ai|i apologi[sz]e)\b", re.IGNORECASE
)
PREAMBLE = re.compile(r"^(?:sure|certainly|of course|here(?:'s| is| are))[^:\n]{0,120}:\s*", re.IGNORECASE)


def slots(family, bias, domain, count, key):
    """`count` slots in an order of which every prefix is balanced (`balance.even`); slot i follows from (key, i) alone.

    Raises UserError for a prompt with a word in braces that stands for nothing.
    """
    import numpy as np

    attributes = family.attributes(bias, domain)
    order = balance.even([len(values) for values in attributes.values()], count, *key)
    filled = []
    for number, places in enumerate(order):
        values = {name: attributes[name][place] for name, place in zip(attributes, places, strict=True)}
        stream = np.random.default_rng(record_seed(*key, "slot", number))
        try:
            filled.append({"slot": number, **family.slot(bias, domain, values, stream)})
        except KeyError as fault:
            raise UserError(
                f"catalog/biases/{bias['name']}.yaml: prompt: {{{fault.args[0]}}} stands for nothing; docs/extending.md says which words may stand in braces"
            ) from None
    return filled


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


def copies(family, bias, domain, originals, reserve, count, seed):
    """(pool, counts): `count` copies of real samples in slot order, and how the copying went.

    What is copied where: kind (label) and group follow D_o's own make-up, or with `associate` even labels whose groups follow
    `associated_groups`; every prefix lies within one sample of that (`balance.along`). A text is used once before any
    comes again, and so is a twin; the order in which texts are taken is one for all strengths of a control.
    counts: `repeated`, copies of a text that the pool already has; `in_originals`, samples left out of a planted pool
    because D_o holds their text. Raises UserError where the source has no sample of a label and group.
    """
    import numpy as np

    source = reserve if bias["source"] == "reserve" else originals
    held = {fold(sample["text"]) for sample in originals} if "plant" in bias else set()
    usable = [sample for sample in source if fold(sample["text"]) not in held]
    strata = {}
    for sample in usable:
        strata.setdefault((family.kind(sample), sample["group"]), []).append(sample)
    shares = associated_shares(bias, domain) if "associate" in bias else made_up(family, originals)
    kinds, groups = sorted(shares), sorted({group for given in shares.values() for group in given})
    even = balance.even([len(kinds), len(groups)], count, "slots", domain["name"], seed)
    order = balance.along(shares, [(kinds[kind], groups[group]) for kind, group in even])
    purpose = next((key for key in ("associate", "plant", "shift") if key in bias), "plain")
    twins = sorted({sample["twin"] for sample in usable})
    stream = np.random.default_rng(record_seed("copies", purpose, seed))
    rank = {twins[index]: place for place, index in enumerate(stream.permutation(len(twins)))}
    used, chosen = Counter(), []
    for kind, group in order:
        if (kind, group) not in strata:
            raise UserError(
                f"catalog/biases/{bias['name']}.yaml: the {bias['source']} of the domain {domain['name']} {'hold' if bias['source'] == 'originals' else 'holds'} no sample of {' and '.join(filter(None, (kind, group)))}{' whose text is in no original' if held else ''}; add some, or take {bias['name']} out of grid.bias"
            )
        sample = min(strata[kind, group], key=lambda each: (used[each["id"]], used[each["twin"]], rank[each["twin"]]))
        used.update({sample["id"], sample["twin"]})
        chosen.append(dict(sample))
    repeated = len(chosen) - len({sample["id"] for sample in chosen})
    if "plant" in bias:
        compared = [sample for sample in chosen if sample["group"] == domain["compared"]]
        for place, sample in enumerate(compared):
            if math.floor((place + 1) * bias["plant"]) > math.floor(place * bias["plant"]):
                sample["true_label"] = sample["label"]
                sample["label"] = family.planted_label(sample, domain)
    if bias.get("shift"):
        for sample in chosen:
            sample["text"] = family.shift(sample)
    pool = [
        {
            **sample,
            "id": f"{bias['name']}-s{seed}-{number:05d}",
            "slot": number,
            "copy_of": sample["id"],
            "asked_group": sample["group"],
            "shown_group": sample["group"],
        }
        for number, sample in enumerate(chosen)
    ]
    return pool, {"repeated": repeated, "in_originals": len(source) - len(usable)}


def made_up(family, samples):
    """{kind: {group: count}} of samples; the family says what a kind is."""
    shares = {}
    for sample in samples:
        shares.setdefault(family.kind(sample), Counter())[sample["group"]] += 1
    return shares


def associated_shares(bias, domain):
    """{label: {group: share}} of the control `associate`: even labels, of G groups the label's own with 1/G + d·(1 − 1/G)."""
    groups, strength = [domain["reference"], domain["compared"]], Fraction(str(bias["associate"]))
    return {
        label: {group: (1 - strength) / len(groups) + strength * (group == associated) for group in groups}
        for label, associated in domain["associated_groups"].items()
    }
