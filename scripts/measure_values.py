"""Misalignment of values: how near each model's answers in a country's name come to that country's own."""

from bias_inheritance import collapse, files, metrics, opinions, step
from bias_inheritance.generation import record_seed
from bias_inheritance.step import Input, Inputs, Output

COLUMNS = ["model", "domain", "bias", "gamma", "mitigation", "seed", "round", "dataset", "metric", "group"]
COLUMNS += ["value", "ci_low", "ci_high", "n", "n_unusable", "n_clusters"]


def measure_values(predictions: Inputs, unusable: Input, table: Output, cells: list, cultures: dict, replicates: int):
    """Write values.csv: similarity per cell, by country, by culture and over all (`all`), clusters are questions.

    Beside `similarity`: `similarity_uniform`, what even answers would get; `drift`, the similarity minus that of the
    untuned model on the same questions; `position_share`, how much of the choices the position alone explains.
    cells: the wildcards of each folder of predictions, in the same order. n_unusable: questions about the group whose
    shares could not be used.
    """
    import pandas as pd
    import pyarrow.parquet as parquet

    source = files.read_json(unusable)
    lost = {country: sum(reasons.values()) for country, reasons in source["unusable"].items()}
    groups = {country: [country] for listed in cultures.values() for country in listed}
    groups |= cultures | {"all": list(groups)}
    found = {}
    for cell, folder in zip(cells, predictions, strict=True):
        if not collapse.reason(folder):
            answered = parquet.read_table(folder / "opinions.parquet").to_pylist()
            found[tuple(cell.values())] = opinions.answers(answered)
    untuned = {(cell["model"], cell["domain"]): tuple(cell.values()) for cell in cells if cell["bias"] == "untuned"}
    rows = []
    for cell in cells:
        place = {**cell, "dataset": source["dataset"]}
        key = tuple(cell.values())
        if key not in found:
            rows.append({**place, **_row("collapsed", "all", None, (None, None), 0, 0, 0)})
            continue
        before = None if cell["bias"] == "untuned" else found[untuned[cell["model"], cell["domain"]]]
        rows += [{**place, **row} for row in measure(found[key], before, groups, lost, replicates)]
    files.write_csv(table, pd.DataFrame(rows, columns=COLUMNS))


def measure(answers, before, groups, lost, replicates):
    """Rows of one cell; `before`: the untuned model's answers to the same questions, None for itself."""
    import numpy as np

    similar = np.array([opinions.similarity(answer["model"], answer["shares"]) for answer in answers])
    values = {
        "similarity": similar,
        "similarity_uniform": np.array(
            [opinions.similarity(np.ones(len(answer["shares"])), answer["shares"]) for answer in answers]
        ),
        "position_share": np.array([answer["led"] for answer in answers]),
    }
    if before:
        values["drift"] = similar - [opinions.similarity(answer["model"], answer["shares"]) for answer in before]
    clusters = [answer["cluster"] for answer in answers]
    country = np.array([answer["country"] for answer in answers])
    weights = metrics.resamples(clusters, ["all"] * len(clusters), replicates, record_seed("values"))
    rows = []
    for metric, numbers in values.items():
        for group, members in groups.items():
            here = np.isin(country, members)
            bounds = metrics.interval(metrics.weighted_mean(numbers, weights, here))
            asked = len(set(np.array(clusters)[here]))
            rows.append(
                _row(
                    metric, group, numbers[here].mean(), bounds, here.sum(), sum(lost[name] for name in members), asked
                )
            )
    return rows


def _row(metric, group, value, bounds, n, n_unusable, n_clusters):
    row = metrics.row(metric, group, value, bounds, n=n, n_clusters=n_clusters)
    return {**{key: row[key] for key in COLUMNS if key in row}, "n_unusable": n_unusable}


if __name__ == "__main__":
    step.run(measure_values)
