"""Pools: balanced slots, validation of generated texts, and controls that copy real samples."""

from collections import Counter
from fractions import Fraction

from bias_inheritance.data import contrasts, texts
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.pools import balance, gate


def slots(family, bias, domain, count, key):
    """`count` slots, balanced in every prefix (`balance.even`); slot i depends on (key, i) only."""
    import numpy as np

    attributes = family.attributes(bias, domain)
    order = balance.even([len(values) for values in attributes.values()], count, *key)
    filled = []
    for number, places in enumerate(order):
        values = {name: attributes[name][place] for name, place in zip(attributes, places, strict=True)}
        stream = np.random.default_rng(record_seed(*key, "slot", number))
        filled.append({"slot": number, **family.slot(bias, domain, values, stream)})
    return filled


def judge(raw, finished, requested, family, domain, seen, tested):
    """(sample, reason, cuts) of a generated answer: the parsed sample, why it is rejected (None: kept), cuts per rule.

    requested: the slot. Reasons: those of `gate.passed` and of the family's `read`, `duplicate` and `overlap`. seen: the
    `duplicate_key` of all originals and of the samples kept so far; tested: the test texts (`overlap.Texts`).
    """
    passed = gate.passed(raw)
    sample, reason = {"text": passed.text}, passed.reason
    if reason is None:
        sample, reason = family.read(passed.text, finished, requested, domain)
    if reason is None and duplicate_key(family, {**requested, **sample}, domain) in seen:
        reason = "duplicate"
    if reason is None and tested.repeated_by(passed.text):
        reason = "overlap"
    return sample, reason, passed.cuts


# Reasons of attempts that produced no text, as opposed to texts rejected for their content.
FAILED = {"empty", "truncated", "refusal"}


def duplicate_key(family, sample, domain):
    """The key by which samples are duplicates: the folded text (`family.comparison_text`), label words replaced.

    It is the same for an original, for a newly generated text and for a record of a pool.
    """
    return texts.fold(family.comparison_text(sample, domain))


def copies(family, bias, domain, originals, reserve, count, seed):
    """(pool, counts): `count` copies of real samples in slot order, and statistics of the copying.

    Kind (label) and group follow the composition of D_o; with `associate`, labels are even and groups follow
    `associated_groups`. Every prefix is within one sample of these proportions (`balance.along`). Every text is used once
    before any is repeated, and so is every twin; the order of texts is the same for all strengths of a control. An
    associated pool of a domain without a reserve copies D_o. counts: `repeated`, copies of a text already in the pool;
    `in_originals`, samples excluded from a planted pool because D_o contains their text. Raises UserError if the source
    has no sample of a required label and group.
    """
    import numpy as np

    reserved = bias["source"] == "reserve" and (reserve or "associate" not in bias)
    source = reserve if reserved else originals
    held = {texts.fold(sample["text"]) for sample in originals} if "plant" in bias else set()
    usable = [sample for sample in source if texts.fold(sample["text"]) not in held]
    strata = {}
    for sample in usable:
        strata.setdefault((family.kind(sample), sample["group"]), []).append(sample)
    shares = associated_shares(bias, domain) if "associate" in bias else made_up(family, originals)
    kinds, groups = sorted(shares), sorted({group for of_group in shares.values() for group in of_group})
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
                f"catalog/biases/{bias['name']}.yaml: the {'reserve' if reserved else 'originals'} of the domain {domain['name']} {'has' if reserved else 'have'} no sample of {' and '.join(filter(None, (kind, group)))}{' whose text is in no original' if held else ''}; add some, or remove {bias['name']} from grid.bias"
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
            "requested_group": sample["group"],
            "shown_group": sample["group"],
        }
        for number, sample in enumerate(chosen)
    ]
    return pool, {"repeated": repeated, "in_originals": len(source) - len(usable)}


def made_up(family, samples):
    """{kind: {group: count}} of samples; the family defines the kind."""
    shares = {}
    for sample in samples:
        shares.setdefault(family.kind(sample), Counter())[sample["group"]] += 1
    return shares


def associated_shares(bias, domain):
    """{label: {group: share}} of the control `associate` at dose d: with G groups, the label's associated group has the
    share 1/G + d·(1 − 1/G), each other group (1 − d)/G."""
    groups, strength = list(domain["groups"]), Fraction(str(bias["associate"]))
    return {
        label: {group: (1 - strength) / len(groups) + strength * (group == associated) for group in groups}
        for label, associated in associated_groups(domain).items()
    }


def associated_groups(domain):
    """{label: group that the control `associate` assigns to it}: the domain's table, or else groups in rotation.

    ASSUME: without a table of stereotypes, any association serves as a positive control, since it is not generated by
    the models under study; label i is associated with group i mod G, groups in order of name, so that their order in the
    domain's file changes nothing.
    """
    groups = sorted(domain["groups"])
    in_turn = {label: groups[place % len(groups)] for place, label in enumerate(contrasts.labels(domain))}
    return domain.get("associated_groups", in_turn)
