"""The mix D = D_o ∪ D_a at an exact γ, and the mitigations that act on D_a's text."""

from bias_inheritance.plumbing.seeds import record_seed


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
