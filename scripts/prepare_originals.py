"""Convert a domain's original data to one format: the source of D_o, the reserve for controls, the test samples."""

import itertools
from importlib import import_module

from bias_inheritance.plumbing import files, provenance, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.step import Inputs, Output
from bias_inheritance.pools import overlap


def prepare_originals(
    data: Inputs,
    source: Output,
    reserve: Output,
    test: Output,
    counts: Output,
    domain: dict,
    data_dir: str | None,
    planned: dict | None = None,
):
    """Write three disjoint JSON Lines files of samples {id, twin, label, group, text, …} and the counts of rows read and
    dropped.

    data: the files that are read. planned: their sha256 when the run was planned, so that every change of content triggers
    a rerun: Snakemake itself relies on dates, and in folders sees neither new nor rewritten files. test is empty for a
    domain whose tasks use no test texts; it includes the split `content`, whose samples have the field `content`. Texts of
    source and reserve that repeat a test text are dropped and counted. Raises UserError for overlapping splits, and for an
    empty source or reserve.
    """
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    if planned is not None:
        provenance.refuse_unplanned(provenance.digests(data), planned)
    splits, dropped = family.load(domain, data_dir)
    for first, second in itertools.combinations(sorted(splits), 2):
        shared = {sample["twin"] for sample in splits[first]} & {sample["twin"] for sample in splits[second]}
        if shared:
            raise UserError(
                f"originals of {domain['name']}: {len(shared)} items are in {first} and in {second} (first: {min(shared)}); put each item into one split"
            )
    # a rule-based twin may repeat a text of another group: test texts must not be in training data
    tests = [*splits["test"], *splits.get("content", [])]
    tested = overlap.Texts({sample["id"]: sample["text"] for sample in tests})
    for name in ("source", "reserve"):
        kept = [sample for sample in splits[name] if tested.repeated_by(sample["text"]) is None]
        if len(kept) < len(splits[name]):
            dropped.setdefault("repeats_test", {})[name] = len(splits[name]) - len(kept)
            print(f"{name}: {len(splits[name]) - len(kept)} texts dropped that repeat a test text")
        splits[name] = kept
    for name in ("source", "reserve") if family.has_reserve(domain) else ("source",):
        if not splits[name]:
            raise UserError(
                f"originals of {domain['name']}: the split {name} is empty; add texts, or change data.split in catalog/domains/{domain['name']}.yaml"
            )
    files.write_jsonl(source, splits["source"])
    files.write_jsonl(reserve, splits["reserve"])
    files.write_jsonl(test, tests)
    for name, samples in splits.items():
        print(f"{name}: {len(samples)} samples")
    if "twins" in dropped:
        print("test: {with_twin} texts with a twin by rule, {without_twin} without".format(**dropped["twins"]))
    files.write_json(counts, {**{name: len(samples) for name, samples in splits.items()}, **dropped})


if __name__ == "__main__":
    step.run(prepare_originals)
