"""Mix originals with augmented samples at an exact γ, and apply the mitigations that act on text."""

from importlib import import_module

from bias_inheritance import files, mixing, step
from bias_inheritance.step import Input, Inputs, Output


def mix(
    originals: Input,
    pools: Inputs,
    train: Output,
    domain: dict,
    mitigation: dict,
    count: int,
    instruction_share: float,
    seed: int,
):
    """Write the training rows of one cell: all originals and `count` samples of each pool (none for γ = 0).

    Raises UserError that says how many are missing where a pool is smaller than γ needs.
    """
    family = import_module(f"bias_inheritance.families.{domain['family']}")
    rows = files.read_jsonl(originals)
    added = [sample for pool in pools for sample in mixing.augmented(files.read_jsonl(pool), count, seed, pool)]
    mixed = mixing.training_samples(rows, added, family, domain, mitigation, instruction_share, seed)
    files.write_jsonl(train, mixed)
    step.note(
        mix={
            "originals": len(rows),
            "augmented": len(added),
            "gamma": len(added) / len(mixed),
            "masked_words": sum(row["masked"] for row in mixed),
        }
    )


if __name__ == "__main__":
    step.run(mix)
