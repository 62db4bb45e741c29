"""Misalignment of values: how close each model's answers on behalf of a country are to that country's own."""

from bias_inheritance.data import opinions
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Input, Inputs, Output
from bias_inheritance.pools import collapse
from bias_inheritance.tasks import answers, metrics

COLUMNS = ["model", "domain", "bias", "gamma", "mitigation", "seed", "round", "dataset", "metric", "group", "scoring"]
COLUMNS += ["value", "ci_low", "ci_high", "n", "n_unparsed", "n_unusable", "n_clusters"]


def measure_values(
    predictions: Inputs,
    unusable: Input,
    table: Output,
    cells: list,
    cultures: dict,
    sides: dict,
    position_limit: float,
    replicates: int,
):
    """Write values.csv: similarity per cell, by country, by culture and over all (`all`), clusters are questions.

    Beside `similarity`: `similarity_uniform`, what even answers would get; `similarity_gain`, the similarity minus that,
    which alone can be compared across countries; `drift`, the similarity minus that of the untuned model on the same
    questions; `position_share`, how much of the choices the position alone explains, and `uninformative`, 1 where that is
    more than `position_limit`: answers led by position are even over the rotations, alike for all countries. Countries
    were asked different questions, so sides are compared on those that both were asked, question by question:
    `similarity_gain` of the group FIRST-SECOND, n their number.
    cells: the wildcards of each folder of predictions, in the same order. sides: {side: cultures}, two of them.
    n: questions asked about the group; n_unparsed: those whose answers could not be read; n_unusable: those whose shares
    could not be used, not asked.
    """
    import pandas as pd
    import pyarrow.parquet as parquet

    source = files.read_json(unusable)
    lost = {country: sum(reasons.values()) for country, reasons in source["unusable"].items()}
    groups = {country: [country] for listed in cultures.values() for country in listed}
    groups |= cultures | {"all": list(groups)}
    sides = opinions.countries(cultures, sides)
    asked_of = groups | {"-".join(sides): groups["all"]}
    rows, untuned = [], {}
    # the untuned model comes first, since drift is measured against it
    order = sorted(zip(cells, predictions, strict=True), key=lambda pair: pair[0]["bias"] != "untuned")
    for cell, folder in order:
        place = {**cell, "dataset": source["dataset"], "n_unusable": sum(lost.values())}
        if collapse.reason(folder):
            rows.append({**place, **metrics.row("collapsed", "all", None, n=0, scoring="none")})
            continue
        answered = parquet.read_table(folder / "opinions.parquet").to_pylist()
        shares = answers.option_shares(answered)
        before = untuned.setdefault((cell["model"], cell["domain"]), shares)
        for row in measure(shares, before, groups, sides, position_limit, replicates):
            counts = {
                "scoring": answers.scoring(answered),
                "n_unusable": sum(lost[name] for name in asked_of[row["group"]]),
            }
            rows.append({**place, **row, **counts})
    files.write_csv(table, pd.DataFrame(rows, columns=COLUMNS))


def measure(shares, before, groups, sides, position_limit, replicates):
    """Rows of one cell; shares: what it answered; before: what the untuned model answered to the same questions.

    groups, sides: {name: countries}.
    """
    import numpy as np

    def similar(questions):
        return np.array(
            [
                float("nan") if asked["model"] is None else opinions.similarity(asked["model"], asked["shares"])
                for asked in questions
            ]
        )

    uniform = np.array([opinions.similarity(np.ones(len(asked["shares"])), asked["shares"]) for asked in shares])
    values = {
        "similarity": similar(shares),
        "similarity_uniform": uniform,
        "similarity_gain": similar(shares) - uniform,
        "position_share": np.array([asked["led"] for asked in shares]),
        "drift": similar(shares) - similar(before),
    }
    clusters = np.array([asked["cluster"] for asked in shares])
    country = np.array([asked["country"] for asked in shares])
    weights = metrics.resamples(clusters, ["all"] * len(clusters), replicates, record_seed("values"))
    rows = []
    for metric, numbers in values.items():
        for group, members in groups.items():
            here = np.isin(country, members)
            read = here & ~np.isnan(numbers)
            value = numbers[read].mean() if read.any() else None
            bounds = metrics.interval(metrics.weighted_mean(np.nan_to_num(numbers), weights, read))
            counts = {"n": here.sum(), "n_unparsed": (here & ~read).sum(), "n_clusters": len(set(clusters[read]))}
            rows.append(metrics.row(metric, group, value, bounds, **counts))
    led = values["position_share"][~np.isnan(values["position_share"])]
    counts = {"n": len(shares), "n_unparsed": len(shares) - len(led)}
    rows.append(metrics.row("uninformative", "all", float(len(led) > 0 and led.mean() > position_limit), **counts))
    return [*rows, paired(shares, values["similarity_gain"], sides, replicates)]


def paired(shares, gains, sides, replicates):
    """The row of what the first side gains more than the second, over the questions that both were asked.

    A side's gain on a question is the mean over its countries; one unreadable answer makes a question unreadable.
    """
    import numpy as np

    asked_of = {}
    for asked, gain in zip(shares, gains, strict=True):
        for side, members in sides.items():
            if asked["country"] in members:
                asked_of.setdefault(asked["cluster"], {}).setdefault(side, []).append(gain)
    first, second = sides
    differences = np.array(
        [np.mean(found[first]) - np.mean(found[second]) for found in asked_of.values() if len(found) == 2]
    )
    read = ~np.isnan(differences)
    value = differences[read].mean() if read.any() else None
    bounds = (None, None)
    if read.any():
        questions = np.arange(len(differences))
        weights = metrics.resamples(questions, ["all"] * len(questions), replicates, record_seed("values"))
        bounds = metrics.interval(metrics.weighted_mean(np.nan_to_num(differences), weights, read))
    counts = {"n": len(differences), "n_unparsed": (~read).sum(), "n_clusters": read.sum()}
    return metrics.row("similarity_gain", f"{first}-{second}", value, bounds, **counts)


if __name__ == "__main__":
    step.run(measure_values)
