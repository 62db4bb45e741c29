"""Write the pool of a control that copies real samples instead of generating them (associated, planted, faithful, shifted)."""

from importlib import import_module

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Input, Output
from bias_inheritance.pools import slots


def copy_pool(
    originals: Input,
    reserve: Input,
    pool: Output,
    failures: Output,
    counts: Output,
    bias: dict,
    domain: dict,
    size: int,
    seed: int,
):
    """Write `size` copies, an empty file of failures, and the counts of a generated pool plus those of copying."""
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    samples, copied = slots.copies(
        family, bias, domain, files.read_jsonl(originals), files.read_jsonl(reserve), size, seed
    )
    files.write_jsonl(pool, samples)
    files.write_jsonl(failures, [])
    planted = sum("true_label" in sample for sample in samples)
    files.write_json(
        counts,
        {
            "slots": size,
            "slots_failed": 0,
            "asked": len(samples),
            "kept": len(samples),
            "rejected": 0,
            "failed": 0,
            "reasons": {},
            "cuts": {},
            "label_words_replaced": 0,
            "samples_with_label_words": 0,
            "tokens": 0,
            "planted": planted,
            **copied,
            "mean_words": sum(len(sample["text"].split()) for sample in samples) / max(1, len(samples)),
        },
    )


if __name__ == "__main__":
    step.run(copy_pool)
