"""Convert a domain's original data to one format: the source of D_o, the reserve of the controls, the test samples."""

import itertools
from importlib import import_module

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Inputs, Output


def prepare_originals(
    data: Inputs, source: Output, reserve: Output, test: Output, counts: Output, domain: dict, data_dir: str | None
):
    """Write three disjoint JSON Lines files of samples {id, twin, label, group, text, …} and what was read and dropped.

    data: the files that are read, listed so that a change in them is seen. test is empty for a domain none of whose
    tasks asks about texts; it holds the split `content` too, whose samples have the field `content`. Raises UserError for overlapping splits, and where there are no originals.
    """
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    splits, dropped = family.load(domain, data_dir)
    for first, second in itertools.combinations(sorted(splits), 2):
        shared = {sample["twin"] for sample in splits[first]} & {sample["twin"] for sample in splits[second]}
        if shared:
            raise UserError(
                f"originals of {domain['name']}: {len(shared)} items are in {first} and in {second} (first: {min(shared)}); put each item into one split"
            )
    for name in ("source", "reserve") if family.has_reserve(domain) else ("source",):
        if not splits[name]:
            raise UserError(f"originals of {domain['name']}: the split {name} is empty")
    files.write_jsonl(source, splits["source"])
    files.write_jsonl(reserve, splits["reserve"])
    files.write_jsonl(test, [*splits["test"], *splits.get("content", [])])
    for name, samples in splits.items():
        print(f"{name}: {len(samples)} samples")
    if "twins" in dropped:
        print("test: {with_twin} texts with a twin by rule, {without_twin} without".format(**dropped["twins"]))
    files.write_json(counts, {**{name: len(samples) for name, samples in splits.items()}, **dropped})


if __name__ == "__main__":
    step.run(prepare_originals)
