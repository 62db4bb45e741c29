"""The inheritance coefficient β: how much of the group–label association in each cell's data its model acquired."""

from types import SimpleNamespace

from bias_inheritance.data import contrasts
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Inputs, Output
from bias_inheritance.stats import inheritance, statistics

CELL = ["model", "domain", "bias", "gamma", "mitigation", "seed", "round"]
MEASURED = ["contrast", "kind", "direction", "baseline", "beta", "ci_low", "ci_high", "r", "n_pairs", "n_unparsed"]
COLUMNS = [*CELL, *MEASURED, "data_association", "model_association", "unclear", "n_seeds", "p"]
POINTS = [*CELL, "contrast", "label", "group", "data_association", "model_association"]
ALL = "all"  # all contrasts together; for seeds, their mean


def measure_inheritance(
    predictions: Inputs,
    trains: Inputs,
    table: Output,
    points: Output,
    cells: list,
    tasks: dict,
    domains: dict,
    pools: dict,
    baseline: str,
    replicates: int,
):
    """Write inheritance.csv (β per cell, then over seeds) and inheritance_points.csv (Δx and Δy per label and contrast).

    predictions, trains: folders and training rows of the cells, whose wildcards are in `cells`, in the same order,
    including those of the baseline and `original`. tasks: {domain: its classification task}. domains: {name: labels,
    groups, contrasts}. pools: {name: leaves of its catalog file}. baseline: the pool of as many real texts without an
    association, or `original` in a study without one. Collapsed cells and cells without log-probabilities have no row.
    n_pairs counts the pairs with readable answers of the cell and of its baseline, n_unparsed all others; a cell without any
    readable pair has a row without β.

    inheritance.csv has one row per cell, contrast (reference-compared; `all` for several together) and kind
    (`inheritance.directions`), with the interval of β over test clusters; and one with seed `all`, the mean over seeds
    with its t interval and p. data_association is the root mean square of the centred Δx of `direction`, model_association
    that of the component of Δy along it, with the sign of β, both in nats. unclear is the share of training rows without a
    clear group.
    """
    import pandas as pd

    runs = {}
    for cell, folder, train in zip(cells, predictions, trains, strict=True):
        run = read_run(folder / f"{tasks[cell['domain']]}.parquet", train, domains[cell["domain"]])
        if run:
            runs[key_of(cell)] = run
    directions = inheritance.directions(pools)
    rows, point_rows = [], []
    for key, run in runs.items():
        cell = dict(zip(CELL, key, strict=True))
        base = find(runs, cell, baseline)
        if cell["bias"] in (baseline, "original") or base is None:
            continue
        domain = domains[cell["domain"]]
        change = changes(run, base, domain)
        data_change = difference(runs, cell, cell["bias"], base)
        if data_change is not None and change.pairs.any():  # the study may lack the unmitigated cell
            point_rows += points_of(cell, data_change, change.model, domain)
        for kind, direction in directions[cell["bias"]]:
            # a dose that is carried over rounds is measured on the association of round 1, which is known
            start = {**cell, "round": 1} if "associate" in pools[direction] else cell
            data = difference(runs, start, direction, base)
            if data is not None:
                place = {**cell, "kind": kind, "direction": direction, "baseline": baseline, "unclear": run["unclear"]}
                rows += [place | row for row in coefficients(change, data, domain, replicates)]
    print(f"{len(runs)} of {len(cells)} cells with log-probabilities; baseline {baseline}", flush=True)
    coefficient_table = pd.DataFrame(rows, columns=COLUMNS)
    files.write_csv(
        table,
        pd.concat([coefficient_table, over_seeds(coefficient_table)]) if len(coefficient_table) else coefficient_table,
    )
    files.write_csv(points, pd.DataFrame(point_rows, columns=POINTS))


def key_of(cell):
    return tuple(int(cell[name]) if name in ("seed", "round") else str(cell[name]) for name in CELL)


def read_run(path, train, domain):
    """{x, unclear, items, log_p} of one cell; None if it has no training rows or is not scored by log-probabilities.

    x: association in the mix [labels × contrasts]. items: frame with cluster, group, label, indexed by item. log_p [items ×
    labels], NaN for unreadable answers.
    """
    import numpy as np
    import pandas as pd

    rows = files.read_jsonl(train)
    answered = pd.read_parquet(path) if path.exists() else pd.DataFrame({"logprobs": []})
    if not rows or answered["logprobs"].isna().all():
        return None
    labels, groups = contrasts.labels(domain), [row["group"] for row in rows]
    unreadable = np.full(len(labels), np.nan)
    logprobs = [given if given is not None and len(given) else unreadable for given in answered["logprobs"]]
    return {
        "x": inheritance.association([row["label"] for row in rows], contrasts.sides(groups, domain), labels),
        "unclear": float(np.mean([group is None for group in groups])),
        "items": answered.set_index("item")[["cluster", "group", "label"]],
        "log_p": inheritance.option_log_probabilities(np.stack(logprobs)),
    }


def find(runs, cell, bias, mitigation="none"):
    """The run of another pool at the cell's γ (`original`: 0), seed, and round or the last one before it; or None.

    Only generated pools have several rounds, and controls are not mitigated unless the study requests it.
    """
    gamma = "0.00" if bias == "original" else cell["gamma"]
    for number in range(cell["round"], 0, -1):
        key = key_of({**cell, "bias": bias, "gamma": gamma, "mitigation": mitigation, "round": number})
        if key in runs:
            return runs[key]
    return None


def difference(runs, cell, bias, base):
    """Δx [labels × contrasts] of a pool at the cell's γ and seed, relative to the baseline's mix; None without such a cell.

    ASSUME: the unmitigated mix is used for mitigated cells too, so that a mitigation that removes the association from the
    data is measured against what could be inherited, like one that acts during training.
    """
    run = find(runs, cell, bias)
    return None if run is None else run["x"] - base["x"]


def changes(run, base, domain):
    """Changes of a cell's model relative to the baseline's, on the items posed to both: values, the difference of log p
    [items × labels], NaN without readable answers of both; labels and clusters per item; weights and pairs of
    `inheritance.pairing`; unparsed, the pairs that lack a readable answer [contrasts × labels]; and model, Δy [labels ×
    contrasts]."""
    import numpy as np

    shared = run["items"].index.intersection(base["items"].index, sort=False)
    first, second = (side["log_p"][side["items"].index.get_indexer(shared)] for side in (run, base))
    labels, groups, clusters = (run["items"].loc[shared, name].to_numpy() for name in ("label", "group", "cluster"))
    values, posed = first - second, (labels, contrasts.sides(groups, domain), clusters, contrasts.labels(domain))
    weights, pairs = inheritance.pairing(*posed, readable=~np.isnan(values).any(axis=1))
    return SimpleNamespace(
        values=values,
        labels=labels,
        clusters=clusters,
        weights=weights,
        pairs=pairs,
        unparsed=inheritance.pairing(*posed)[1] - pairs,
        model=inheritance.model_association(values, weights, pairs),
    )


def coefficients(change, data, domain, replicates):
    """One row per contrast, and one for all contrasts together if there are several."""
    chosen = {name: [number] for number, name in enumerate(contrasts.by_name(domain))}
    if len(chosen) > 1:
        chosen[ALL] = list(range(len(chosen)))
    for contrast, columns in chosen.items():
        counts = {"n_pairs": int(change.pairs[columns].sum()), "n_unparsed": int(change.unparsed[columns].sum())}
        counts |= {"contrast": contrast, "n_seeds": 1}
        columns = [column for column in columns if change.pairs[column].any()]  # a contrast without pairs has no slope
        if not columns:
            if counts["n_unparsed"]:
                yield counts
            continue
        along = data[:, columns]
        beta, r = inheritance.slope(along, change.model[:, columns])
        if beta != beta:
            continue  # no variation
        low, high = inheritance.interval(
            along,
            change.values,
            change.weights[columns],
            change.pairs[columns],
            change.clusters,
            change.labels,
            replicates,
            record_seed("bootstrap", "inheritance"),
        )
        strength = float(inheritance.strength(along))
        yield counts | {
            "beta": float(beta),
            "ci_low": low,
            "ci_high": high,
            "r": float(r),
            "data_association": strength,
            "model_association": float(beta) * strength,
        }


def points_of(cell, data, model, domain):
    """One row per label and contrast: Δx and Δy, centred within the contrast, as used for the slope."""
    for number, (name, (_, group)) in enumerate(contrasts.by_name(domain).items()):
        for index, label in enumerate(contrasts.labels(domain)):
            yield {
                **cell,
                "contrast": name,
                "label": label,
                "group": group,
                "data_association": data[index, number] - data[:, number].mean(),
                "model_association": model[index, number] - model[:, number].mean(),
            }


def over_seeds(rows):
    """Summaries of `rows` over the seeds with a β: means, and its t interval and p; the fewest pairs and the most unparsed
    ones of a seed."""
    import pandas as pd

    keys = [name for name in CELL if name != "seed"] + ["contrast", "kind", "direction", "baseline"]
    summaries = []
    for place, of_seeds in rows.dropna(subset="beta").groupby(keys, sort=False):
        result = statistics.seed_test(of_seeds["beta"].to_numpy())
        means = of_seeds[["r", "data_association", "model_association", "unclear"]].mean().to_dict()
        ends = {key: result[key] for key in ("ci_low", "ci_high", "p")}
        counts = {"n_pairs": of_seeds["n_pairs"].min(), "n_unparsed": of_seeds["n_unparsed"].max()}
        size = {"beta": result["estimate"], **counts, "n_seeds": len(of_seeds), "seed": ALL}
        summaries.append(dict(zip(keys, place, strict=True)) | means | ends | size)
    return pd.DataFrame(summaries, columns=COLUMNS)


if __name__ == "__main__":
    step.run(measure_inheritance)
