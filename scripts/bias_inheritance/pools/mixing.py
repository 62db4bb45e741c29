"""The mix D = D_o ∪ D_a at an exact γ, and the mitigations that act on D_a's text."""

from importlib import import_module

from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed


def mix(originals, pools, before, train, summary, domain, mitigation, count, instruction_share, seed):
    """Write a cell's training rows to `train` and their counts to `summary`; returns (rows, collapsed).

    The rows are all originals and `count` samples of the cell's pools (paths; none for γ = 0). before: the summary of
    the same cell's mix in the previous round, [] in round 1. collapsed: why there are no rows, or None. Where a pool is
    smaller than γ needs, round 1 raises UserError that says how many samples are missing; in a later round, whose pool a
    tuned model wrote, the chain has collapsed: this mix and those of all later rounds are empty and say why.
    """
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    old = files.read_jsonl(originals)
    samples = [files.read_jsonl(pool) for pool in pools]
    needed = shares(count, len(pools))
    collapsed = files.read_json(before[0])["collapsed"] if before else None
    for pool, available, number in zip(pools, samples, needed, strict=True):
        if len(available) < number and not collapsed:
            why = f"{pool}: γ needs {number} samples, the pool has {len(available)}: {number - len(available)} are missing"
            if not before:
                raise UserError(f"{why}; raise generation.attempts or generation.spare, or lower γ")
            collapsed = why
    # pools are in slot order, every prefix of which is balanced: mixes of one pool are nested
    prefixes = [sample for available, number in zip(samples, needed, strict=True) for sample in available[:number]]
    added = [] if collapsed else prefixes
    mixed = training_samples(old, added, family, domain, mitigation, instruction_share, seed)
    rows = [] if collapsed else mixed
    files.write_jsonl(train, rows)
    files.write_json(
        summary,
        {
            "originals": len(old),
            "augmented": len(added),
            "augmented_by_pool": [] if collapsed else needed,
            "gamma": None if collapsed else len(added) / len(mixed),
            "masked_words": sum(row["masked"] for row in mixed),
            "collapsed": collapsed,
        },
    )
    return rows, collapsed


def shares(count, rounds):
    """How many of `count` augmented samples come from the pool of each round, oldest first.

    ASSUME: γ means the same in every round and arm. D_o is fixed, so `count` is too, and an arm that accumulates draws
    its `count` from all pools so far in equal shares (what cannot be divided falls to the newest pool) instead of adding
    `count` more per round: what differs between rounds is who wrote D_a, not how much of it there is.
    """
    return [count // rounds] * (rounds - 1) + [count - (rounds - 1) * (count // rounds)] if rounds else []


def training_samples(originals, added, family, domain, mitigation, instruction_share, seed):
    """Training rows {id, cluster, origin, slot, kind, user, assistant, label, group, words, masked} of a mix.

    `token` puts its notice before the prompt of every augmented sample, `mask` masks its text; originals are left as
    they are. `words` counts the unmitigated text, so that the order of training is the same for all mitigations.
    """
    import numpy as np

    rows = []
    for origin, samples in (("original", originals), ("augmented", added)):
        for rank, sample in enumerate(samples):
            # by rank, not by name: mixes are nested, so a sample keeps its kind at every γ and mitigation, and a biased
            # cell trains as many of each kind as the neutral one that it is compared with
            stream = np.random.default_rng(record_seed("kind", seed, origin, rank))
            instruct = bool(stream.random() < instruction_share)
            treated, masked = dict(sample), 0
            if origin == "augmented" and "mask" in mitigation:
                treated["text"], masked = family.mask(sample, domain, mitigation["mask"])
            user, assistant = family.pair(treated, domain, instruct)
            if origin == "augmented" and "notice" in mitigation:
                user = f"{mitigation['notice']}\n\n{user}"
            rows.append(
                {
                    "id": sample["id"],
                    "cluster": sample.get("twin", sample["id"]),  # a copy's is its original's
                    "origin": origin,
                    "slot": sample.get("slot"),  # of an augmented sample: its place in the pool's order
                    "kind": "instruct" if instruct else "label",
                    "user": user,
                    "assistant": assistant,
                    "label": sample["label"],
                    "group": sample["group"],
                    "words": len(sample["text"].split()),
                    "masked": masked,
                }
            )
    return rows
