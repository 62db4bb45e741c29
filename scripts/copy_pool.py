"""Write a pool that no model of the study writes: copies of real samples, or what the files of its bias type hold."""

from importlib import import_module

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Input, Inputs, Output
from bias_inheritance.pools import from_file, slots


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
    test: Inputs = (),
    source: Inputs = (),
    planned: dict | None = None,
):
    """Write `size` samples, the rows that are no samples, and the counts of a generated pool plus those of copying.

    test, source, planned: of a pool from files the test texts, the files, and their sha256 when the run was planned.
    """
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    real = files.read_jsonl(originals)
    if from_file.is_file(bias):
        tests = [sample for path in test for sample in files.read_jsonl(path)]
        samples, failed, copied = from_file.pool(family, bias, domain, real, tests, size, seed, planned)
    else:
        samples, copied = slots.copies(family, bias, domain, real, files.read_jsonl(reserve), size, seed)
        failed = []
    files.write_jsonl(pool, samples)
    files.write_jsonl(failures, failed)
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
