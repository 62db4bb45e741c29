"""Quality of generated texts and tuned models, round by round, to tell model collapse from bias."""

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Inputs, Output
from bias_inheritance.pools import quality

COLUMNS = [
    "model",
    "domain",
    "bias",
    "gamma",
    "mitigation",
    "seed",
    "round",
    "arm",
    "metric",
    "value",
    "n",
    "collapsed",
]


def measure_quality(texts: Inputs, counts: Inputs, mixes: Inputs, scores: Inputs, table: Output, cells: list, arm: str):
    """Write quality.csv: per cell and round, what the round added to the mix and how well its model knows the originals.

    cells: the wildcards of each cell, in the order of scores (its folder of scores). Of those but `untuned`, in the same
    order: mixes, and texts (the round's pool; the originals themselves for `original`, the level to compare with). Of
    those with a pool: counts. A collapsed round has the reason in all its rows.
    """
    import pandas as pd

    next_text, next_counts, next_mix = iter(texts), iter(counts), iter(mixes)
    rows = []
    for cell, folder in zip(cells, scores, strict=True):
        found, why = [], None
        if cell["bias"] != "untuned":
            found += quality.of_texts([sample["text"] for sample in files.read_jsonl(next(next_text))])
            why = files.read_json(next(next_mix))["collapsed"]
        if cell["bias"] not in ("untuned", "original"):
            found += quality.of_counts(files.read_json(next(next_counts)))
        if (folder / "perplexity.json").exists():  # a domain without free text has no such task
            found += quality.of_scores(files.read_json(folder / "perplexity.json"))
        rows += [{**cell, "arm": arm, "collapsed": why, **row} for row in found]
    files.write_csv(table, pd.DataFrame(rows, columns=COLUMNS))


if __name__ == "__main__":
    step.run(measure_quality)
