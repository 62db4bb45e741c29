"""Quality of generated texts and tuned models per round, to distinguish model collapse from bias."""

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
    """Write quality.csv: per cell and round, the quality of the added texts, the size and realised γ of the mix, and
    the perplexity of held-out originals.

    cells: the wildcards of each cell, in the order of scores (its folder of scores). For all cells except `untuned`, in the
    same order: mixes, and texts (the round's pool, or for `original` the originals, as a reference). For cells with a pool:
    counts. A collapsed round has the reason in all its rows.
    """
    import pandas as pd

    next_text, next_counts, next_mix = iter(texts), iter(counts), iter(mixes)
    rows = []
    for cell, folder in zip(cells, scores, strict=True):
        metrics, collapsed = [], None
        if cell["bias"] != "untuned":
            metrics += quality.of_texts([sample["text"] for sample in files.read_jsonl(next(next_text))])
            mix = files.read_json(next(next_mix))
            metrics, collapsed = metrics + quality.of_mix(mix), mix["collapsed"]
        if cell["bias"] not in ("untuned", "original"):
            metrics += quality.of_counts(files.read_json(next(next_counts)))
        if (folder / "perplexity.json").exists():  # a domain without free text has no such task
            metrics += quality.of_scores(files.read_json(folder / "perplexity.json"))
        rows += [{**cell, "arm": arm, "collapsed": collapsed, **row} for row in metrics]
    files.write_csv(table, pd.DataFrame(rows, columns=COLUMNS))


if __name__ == "__main__":
    step.run(measure_quality)
