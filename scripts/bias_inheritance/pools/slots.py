"""Pools: balanced slots, the judgement of what the generator wrote, and the controls that copy real samples."""

from collections import Counter
from fractions import Fraction

from bias_inheritance.data import contrasts
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.pools import balance, gate, overlap


def slots(family, bias, domain, count, key):
    """`count` slots in an order of which every prefix is balanced (`balance.even`); slot i follows from (key, i) alone."""
    import numpy as np

    attributes = family.attributes(bias, domain)
    order = balance.even([len(values) for values in attributes.values()], count, *key)
    filled = []
    for number, places in enumerate(order):
        values = {name: attributes[name][place] for name, place in zip(attributes, places, strict=True)}
        stream = np.random.default_rng(record_seed(*key, "slot", number))
        filled.append({"slot": number, **family.slot(bias, domain, values, stream)})
    return filled


def judge(raw, finished, asked, family, domain, seen, tested):
    """(sample, reason, cuts): what an answer says, why it is not kept (None if it is), how often each rule cut.

    Reasons: those of `gate.passed` and of the family's `read`, `duplicate` and `overlap`. `seen` holds `told` of the
    originals and of records kept before, `tested` (`overlap.Texts`) the test texts.
    """
    passed = gate.passed(raw)
    sample, reason = {"text": passed.text}, passed.reason
    if reason is None:
        sample, reason = family.read(passed.text, finished, asked, domain)
    if reason is None and told(family, {**asked, **sample}, domain) in seen:
        reason = "duplicate"
    if reason is None and tested.repeated_by(passed.text):
        reason = "overlap"
    return sample, reason, passed.cuts


# What failed to produce a text, as against a text that was rejected for its content.
FAILED = {"empty", "truncated", "refusal"}


def told(family, sample, domain):
    """What two samples must share to be duplicates: the words of what is told, with label words replaced.

    One and the same for an original, for a text that was just written and for a record that a pool holds.
    """
    return overlap.fold(family.told(sample, domain))


def copies(family, bias, domain, originals, reserve, count, seed):
    """(pool, counts): `count` copies of real samples in slot order, and how the copying went.

    What is copied where: kind (label) and group follow D_o's own make-up, or with `associate` even labels whose groups follow
    `associated_groups`; every prefix lies within one sample of that (`balance.along`). A text is used once before any
    comes again, and so is a twin; the order in which texts are taken is one for all strengths of a control.
    An associated pool of a domain without a reserve copies D_o. counts: `repeated`, copies of a text that the pool already
    has; `in_originals`, samples left out of a planted pool because D_o holds their text. Raises UserError where the source
    has no sample of a label and group.
    """
    import numpy as np

    reserved = bias["source"] == "reserve" and (reserve or "associate" not in bias)
    source = reserve if reserved else originals
    held = {overlap.fold(sample["text"]) for sample in originals} if "plant" in bias else set()
    usable = [sample for sample in source if overlap.fold(sample["text"]) not in held]
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
                f"catalog/biases/{bias['name']}.yaml: the {'reserve' if reserved else 'originals'} of the domain {domain['name']} {'holds' if reserved else 'hold'} no sample of {' and '.join(filter(None, (kind, group)))}{' whose text is in no original' if held else ''}; add some, or take {bias['name']} out of grid.bias"
            )
        sample = min(strata[kind, group], key=lambda each: (used[each["id"]], used[each["twin"]], rank[each["twin"]]))
        used.update({sample["id"], sample["twin"]})
        chosen.append(dict(sample))
    repeated = len(chosen) - len({sample["id"] for sample in chosen})
    if "plant" in bias:
        for group in contrasts.compared_groups(domain):
            compared = [sample for sample in chosen if sample["group"] == group]
            relabelled = balance.chosen([family.kind(sample) for sample in compared], bias["plant"])
            for sample in (sample for sample, picked in zip(compared, relabelled, strict=True) if picked):
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
    groups, strength = list(domain["groups"]), Fraction(str(bias["associate"]))
    return {
        label: {group: (1 - strength) / len(groups) + strength * (group == associated) for group in groups}
        for label, associated in associated_groups(domain).items()
    }


def associated_groups(domain):
    """{label: the group that the control `associate` gives to it}: the domain's table, or labels and groups in turn.

    ASSUME: without a table of stereotypes any association will do as a positive control, since the models of a study have
    no part in it; label i goes with group i mod G, the groups in the order of their names (a step's parameters do not keep the file's).
    """
    groups = sorted(domain["groups"])
    in_turn = {label: groups[place % len(groups)] for place, label in enumerate(contrasts.labels(domain))}
    return domain.get("associated_groups", in_turn)
