"""The mix D = D_o ∪ D_a at an exact γ, and the mitigations that act on D_a."""

from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

from bias_inheritance.data import texts
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed


@dataclass
class Setting:
    """Context that mitigations receive in addition to the data they act on.

    spare: pool samples beyond D_a. balanced: texts without a slant (the pool of the study's baseline, or D_o). card,
    system: model card and system prompt of the untuned model, for mitigations that query it. notes: what each mitigation
    did, for the summary.
    """

    domain: dict
    family: object
    spare: list = field(default_factory=list)
    balanced: list = field(default_factory=list)
    card: Path | None = None
    system: str | None = None
    notes: dict = field(default_factory=dict)


def mix(
    originals,
    pools,
    before,
    train,
    summary,
    domain,
    mitigation,
    counts,
    instruction_share,
    seed,
    balanced=(),
    card=None,
    system=None,
):
    """Write a cell's training rows to `train` and their counts to `summary`; returns (rows, collapsed).

    The rows are all originals and the first `counts` samples of the cell's pools (paths, one count per pool; none for γ = 0,
    else the pools of one or more rounds, oldest first: `grid.drawn_counts`). balanced, card, system: for
    mitigations that query the untuned model, files of texts without a slant, its card and its system prompt. before: the
    summary of the same cell's mix in the previous round, [] in round 1. collapsed: why there are no rows, or None. If a
    pool is smaller than γ requires, round 1 raises UserError with the number of missing samples; in a later round, whose
    pool was written by a tuned model, the chain has collapsed: this and all later mixes are empty and give the reason.
    """
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    old = files.read_jsonl(originals)
    samples = [files.read_jsonl(pool) for pool in pools]
    collapsed = files.read_json(before[0])["collapsed"] if before else None
    for pool, available, number in zip(pools, samples, counts, strict=True):
        if len(available) < number and not collapsed:
            why = f"{pool}: γ needs {number} samples, the pool has {len(available)}: {number - len(available)} are missing"
            if not before:
                raise UserError(f"{why}; raise generation.attempts or generation.spare, or lower γ")
            collapsed = why
    # pools are in slot order and balanced in every prefix, so mixes of one pool are nested
    added = [sample for available, number in zip(samples, counts, strict=True) for sample in available[:number]]
    setting = Setting(
        domain,
        family,
        spare=[sample for available, number in zip(samples, counts, strict=True) for sample in available[number:]],
        balanced=[sample for path in balanced for sample in files.read_jsonl(path)],
        card=card,
        system=system,
    )
    rows = []
    if not collapsed:
        rows = training_samples(old, added, family, domain, mitigation, instruction_share, seed, setting)
    files.write_jsonl(train, rows)
    files.write_json(
        summary,
        {
            "originals": len(old),
            "augmented": 0 if collapsed else len(added),
            "augmented_by_pool": [] if collapsed else counts,
            "gamma": None if collapsed else len(added) / len(rows),
            "masked_words": sum(row["masked"] for row in rows),
            "mitigation": setting.notes,
            "collapsed": collapsed,
        },
    )
    return rows, collapsed


def training_samples(originals, added, family, domain, mitigation, instruction_share, seed, setting=None):
    """Training rows {id, cluster, origin, slot, kind, user, assistant, label, group, words, text, masked} of a mix.

    mitigation: {text, rows, weights: lists of methods with their settings}, all optional. Methods act on the augmented
    samples only, except weights, which cover all rows (`weight`). `words` is the length of the unmitigated text in the
    row's position, so that the order of training is the same for all mitigations.
    """
    import numpy as np

    setting = setting or Setting(domain, family)
    treated = added
    for method in mitigation.get("rows", []):
        treated = _module(method).rows(treated, method, setting)
    rows = []
    for origin, samples, unmitigated in (("original", originals, originals), ("augmented", treated, added)):
        for rank, (sample, before) in enumerate(zip(samples, unmitigated, strict=True)):
            # by rank, not by id: mixes are nested, so a sample keeps its kind (label or instruct) at every γ and
            # mitigation, and a biased cell has as many rows of each kind as the neutral cell it is compared with
            stream = np.random.default_rng(record_seed("kind", seed, origin, rank))
            instruct = bool(stream.random() < instruction_share)
            for method in mitigation.get("text", []) if origin == "augmented" else []:
                sample = _module(method).text(sample, method, setting)
            user, assistant = family.pair(sample, domain, instruct)
            rows.append(
                {
                    "id": sample["id"],
                    "cluster": sample.get("twin", sample["id"]),  # copies share the cluster of their original
                    "origin": origin,
                    "slot": sample.get("slot"),  # position of an augmented sample in the pool's order
                    "kind": "instruct" if instruct else "label",
                    "user": f"{sample['prefix']}\n\n{user}" if "prefix" in sample else user,
                    "assistant": assistant,
                    "label": sample["label"],
                    "group": sample["group"],
                    "words": texts.length(before["text"]),
                    "text": sample["text"],
                    "masked": sample.get("masked", 0),
                }
            )
    for method in mitigation.get("weights", []):
        weights = _module(method).weights(rows, method, setting)
        rows = [{**row, "weight": row.get("weight", 1.0) * weight} for row, weight in zip(rows, weights, strict=True)]
    return rows


def _module(method):
    return import_module(f"bias_inheritance.pools.mitigations.{method['method']}")
