"""Mix originals with augmented samples at an exact γ, and apply the mitigations that act on text."""

from importlib import import_module

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Input, Inputs, Output
from bias_inheritance.pools import mixing


def mix(
    originals: Input,
    pools: Inputs,
    before: Inputs,
    train: Output,
    summary: Output,
    domain: dict,
    mitigation: dict,
    count: int,
    instruction_share: float,
    seed: int,
):
    """Write the training rows of one cell: all originals and `count` samples of its pools (none for γ = 0).

    before: the summary of the same cell's mix in the round before, nothing in round 1. Where a pool is smaller than γ
    needs, round 1 raises UserError that says how many are missing; a later round, whose pool a tuned model wrote, has
    collapsed: its mix is empty and its summary gives the reason, as do those of all later rounds.
    """
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    rows = files.read_jsonl(originals)
    samples = [files.read_jsonl(pool) for pool in pools]
    wanted = mixing.shares(count, len(pools))
    collapsed = files.read_json(before[0])["collapsed"] if before else None
    for pool, found, number in zip(pools, samples, wanted, strict=True):
        if len(found) < number and not collapsed:
            why = f"{pool}: γ needs {number} samples, the pool has {len(found)}: {number - len(found)} are missing"
            if not before:
                raise UserError(f"{why}; raise generation.attempts or generation.spare, or lower γ")
            collapsed = why
    # pools are in slot order, every prefix of which is balanced: mixes of one pool are nested
    taken = [sample for found, number in zip(samples, wanted, strict=True) for sample in found[:number]]
    added = [] if collapsed else taken
    mixed = mixing.training_samples(rows, added, family, domain, mitigation, instruction_share, seed)
    files.write_jsonl(train, [] if collapsed else mixed)
    files.write_json(
        summary,
        {
            "originals": len(rows),
            "augmented": len(added),
            "augmented_by_pool": [] if collapsed else wanted,
            "gamma": None if collapsed else len(added) / len(mixed),
            "masked_words": sum(row["masked"] for row in mixed),
            "collapsed": collapsed,
        },
    )


if __name__ == "__main__":
    step.run(mix)
