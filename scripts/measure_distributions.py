"""Misalignment of distributions: collect the comparisons and projections of all pools in two tables."""

from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Inputs, Output

PLACE = ["model", "domain", "bias", "gamma", "mitigation", "seed", "round"]
COLUMNS = [*PLACE, "metric", "group", "value", "ci_low", "ci_high", "p", "null", "n"]
POINT = [*PLACE, "representation", "origin", "id", "label", "group", "x", "y"]


def measure_distributions(distances: Inputs, points: Inputs, table: Output, projection: Output):
    """Write distributions.csv and projection.csv. Pools of round 1 have no γ and no mitigation, later pools those of
    their cell.

    For mitigated cells, …_change is the metric minus that of the same cell without mitigation; negative: the gap shrinks.
    """
    import pandas as pd

    rows = pd.DataFrame([row for path in distances for row in files.read_json(path)], columns=COLUMNS)
    of_cells = rows[rows["mitigation"].notna() & (rows["round"] == 1)]
    same = [key for key in PLACE if key != "mitigation"] + ["metric", "group"]
    both = of_cells[of_cells["mitigation"] != "none"].merge(
        of_cells[of_cells["mitigation"] == "none"][[*same, "value"]], on=same, suffixes=("", "_without")
    )
    changes = both.assign(
        metric=both["metric"] + "_change",
        value=both["value"] - both["value_without"],
        null=0.0,
        **dict.fromkeys(("ci_low", "ci_high", "p")),
    )
    everything = pd.concat([rows, changes[COLUMNS]]) if len(changes) else rows
    files.write_csv(table, everything)
    files.write_csv(projection, pd.DataFrame([dot for path in points for dot in files.read_json(path)], columns=POINT))


if __name__ == "__main__":
    step.run(measure_distributions)
