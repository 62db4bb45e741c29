"""The mix D = D_o ∪ D_a at an exact γ, and the mitigations that act on D_a's text."""

from bias_inheritance.errors import UserError
from bias_inheritance.generation import record_seed
from bias_inheritance.pools import interleaved


def augmented(pool, count, seed, where):
    """D_a: the first `count` samples of the pool's seeded permutation, so that the mixes of one pool are nested."""
    if len(pool) < count:
        raise UserError(
            f"{where}: γ needs {count} augmented samples, the pool has {len(pool)}: {count - len(pool)} are missing; raise generation.attempts or generation.spare, or lower γ"
        )
    return interleaved(pool, record_seed("mix", seed))[:count]


def training_samples(originals, added, family, domain, mitigation, instruction_share, seed):
    """Training rows {id, origin, kind, user, assistant, label, group, words} of a mix.

    `token` puts its notice before the prompt of every augmented sample, `mask` masks its text; originals are left as
    they are. `words` counts the unmitigated text, so that the order of training is the same for all mitigations.
    """
    import numpy as np

    rows = []
    for origin, samples in (("original", originals), ("augmented", added)):
        for sample in samples:
            # drawn per sample, not per position: the same sample keeps its kind at every γ and mitigation
            stream = np.random.default_rng(record_seed("kind", seed, sample["id"]))
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
                    "origin": origin,
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
