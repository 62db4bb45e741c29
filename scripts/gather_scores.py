"""Gather the scores of all cells into one tidy table."""

from bias_inheritance.claims.frames import KEYS
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Inputs, Output

COLUMNS = [*KEYS, "value", "ci_low", "ci_high", "n", "n_unparsed", "n_clusters"]


def gather_scores(scores: Inputs, table: Output, parquet: Output, cells: list, arm: str | None):
    """Write scores.csv and scores.parquet; cells: the wildcards of each folder of `scores`, in the same order.

    arm: the arm of a multi-round study, added as a column (None: single round).
    """
    import pandas as pd

    rows = [
        {**cell, **row}
        for cell, folder in zip(cells, scores, strict=True)
        for path in sorted(folder.glob("*.json"))
        for row in files.read_json(path)
    ]
    frame = pd.DataFrame(rows)[COLUMNS]
    if arm:
        frame["arm"] = arm
    files.write_csv(table, frame)
    with files.replacing(parquet) as temporary:
        frame.astype({"gamma": float}).to_parquet(temporary, index=False)


if __name__ == "__main__":
    step.run(gather_scores)
