"""Draw one seed's D_o from the source."""

from importlib import import_module

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Input, Output


def draw_originals(source: Input, originals: Output, domain: dict, count: int, seed: int):
    """Write D_o: `count` samples of the source, balanced as the domain's family defines, in seeded order."""
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    files.write_jsonl(originals, family.draw(files.read_jsonl(source), count, record_seed("originals", seed)))


if __name__ == "__main__":
    step.run(draw_originals)
