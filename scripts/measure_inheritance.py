"""The inheritance coefficient β: how much of a group–label association in each cell's data arrived in its model."""

from types import SimpleNamespace

from bias_inheritance.data import contrasts
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Inputs, Output
from bias_inheritance.stats import inheritance, statistics

CELL = ["model", "domain", "bias", "gamma", "mitigation", "seed", "round"]
MEASURED = ["contrast", "kind", "direction", "baseline", "beta", "ci_low", "ci_high", "r", "n_pairs"]
COLUMNS = [*CELL, *MEASURED, "data_association", "model_association", "unclear", "n_seeds", "p"]
POINTS = [*CELL, "contrast", "label", "group", "data_association", "model_association"]
ALL = "all"  # contrasts together; of seeds, their mean


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

    predictions, trains: folders and training rows of the cells, with their wildcards in `cells`, in one order; the
    baseline's cells and `original` among them. tasks: {domain: its classification task}. domains: {name: labels,
    groups, contrasts}. pools: {name: leaves of its catalog file}. baseline: the pool of as many real texts without an
    association, or `original` in a study without one. A cell that collapsed, or whose model gives no log-probabilities,
    has no row.

    inheritance.csv has one row per cell, contrast (reference-compared; `all` together where there are several) and kind
    (`inheritance.directions`), with the interval of β over test clusters; and one with seed `all`, the mean of the seeds
    with its t interval and p. data_association is the root mean square of the centred Δx of `direction`, model_association
    that of the part of Δy along it with β's sign, both in nats. unclear is the share of the training rows whose group no
    text shows.
    """
    import pandas as pd

    runs = {}
    for cell, folder, train in zip(cells, predictions, trains, strict=True):
        run = read_run(folder / f"{tasks[cell['domain']]}.parquet", train, domains[cell["domain"]])
        if run:
            runs[key_of(cell)] = run
    asked = inheritance.directions(pools)
    rows, dots = [], []
    for key, run in runs.items():
        cell = dict(zip(CELL, key, strict=True))
        base = find(runs, cell, baseline)
        if cell["bias"] in (baseline, "original") or base is None:
            continue
        domain = domains[cell["domain"]]
        change = changes(run, base, domain)
        own = difference(runs, cell, cell["bias"], base)
        dots += points_of(cell, own, change.model, domain)
        for kind, direction in asked[cell["bias"]]:
            data = difference(runs, cell, direction, base)
            if data is not None:
                place = {**cell, "kind": kind, "direction": direction, "baseline": baseline, "unclear": run["unclear"]}
                rows += [place | row for row in coefficients(change, data, domain, replicates)]
    print(f"{len(runs)} of {len(cells)} cells with log-probabilities; baseline {baseline}", flush=True)
    found = pd.DataFrame(rows, columns=COLUMNS)
    files.write_csv(table, pd.concat([found, over_seeds(found)]) if len(found) else found)
    files.write_csv(points, pd.DataFrame(dots, columns=POINTS))


def key_of(cell):
    return tuple(int(cell[name]) if name in ("seed", "round") else str(cell[name]) for name in CELL)


def read_run(path, train, domain):
    """{x, unclear, items, log_p} of one cell; None where it has no training rows or no log-probabilities.

    items: frame with item, cluster, group, label of those that were answered; log_p [items × labels].
    """
    import numpy as np
    import pandas as pd

    rows = files.read_jsonl(train)
    answered = pd.read_parquet(path) if path.exists() else pd.DataFrame({"logprobs": []})
    readable = answered["logprobs"].map(lambda logprobs: logprobs is not None and len(logprobs) > 0).astype(bool)
    answered = answered[readable]
    if not rows or answered.empty:
        return None
    labels, groups = contrasts.labels(domain), [row["group"] for row in rows]
    order = [list(answered.iloc[0]["options"]).index(label) for label in labels]
    return {
        "x": inheritance.association([row["label"] for row in rows], contrasts.sides(groups, domain), labels),
        "unclear": float(np.mean([group is None for group in groups])),
        "items": answered.set_index("item")[["cluster", "group", "label"]],
        "log_p": inheritance.option_log_probabilities(np.stack(answered["logprobs"].tolist()))[:, order],
    }


def find(runs, cell, bias, mitigation="none"):
    """The run of another pool, of the cell's γ (`original`: 0), seed and round, or of the last round before it; or None.

    Only generated pools go on over rounds, and controls are not mitigated unless a study asks for it.
    """
    gamma = "0.00" if bias == "original" else cell["gamma"]
    for number in range(cell["round"], 0, -1):
        key = key_of({**cell, "bias": bias, "gamma": gamma, "mitigation": mitigation, "round": number})
        if key in runs:
            return runs[key]
    return None


def difference(runs, cell, bias, base):
    """Δx [labels × contrasts] of a pool at the cell's γ and seed, against the baseline's mix; None without such a cell.

    ASSUME: of the mix without mitigation, for mitigated cells too. A mitigation that breaks up the association in the data
    is so held against what there was to inherit, like one that acts in training.
    """
    run = find(runs, cell, bias)
    return None if run is None else run["x"] - base["x"]


def changes(run, base, domain):
    """What a cell's model says against what the baseline's says, on the items that both answered: values [items × labels],
    labels and clusters per item, weights and pairs of `inheritance.pairing`, and model, Δy [labels × contrasts]."""
    shared = run["items"].index.intersection(base["items"].index, sort=False)
    first, second = (side["log_p"][side["items"].index.get_indexer(shared)] for side in (run, base))
    labels, groups, clusters = (run["items"].loc[shared, name].to_numpy() for name in ("label", "group", "cluster"))
    weights, pairs = inheritance.pairing(labels, contrasts.sides(groups, domain), clusters, contrasts.labels(domain))
    return SimpleNamespace(
        values=first - second,
        labels=labels,
        clusters=clusters,
        weights=weights,
        pairs=pairs,
        model=inheritance.model_association(first - second, weights, pairs),
    )


def coefficients(change, data, domain, replicates):
    """One row per contrast, and one of them together where there are several."""
    import numpy as np

    chosen = {name: [number] for number, name in enumerate(contrasts.by_name(domain))}
    if len(chosen) > 1:
        chosen[ALL] = np.flatnonzero(change.pairs.any(axis=1)).tolist()  # a contrast without test items has no slope
    for contrast, columns in chosen.items():
        along = data[:, columns]
        beta, r = inheritance.slope(along, change.model[:, columns])
        if beta != beta:
            continue  # no pair of such groups was asked, or nothing varies
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
        yield {
            "contrast": contrast,
            "beta": float(beta),
            "ci_low": low,
            "ci_high": high,
            "r": float(r),
            "n_pairs": int(change.pairs[columns].sum()),
            "data_association": strength,
            "model_association": float(beta) * strength,
            "n_seeds": 1,
        }


def points_of(cell, data, model, domain):
    """One row per label and contrast: Δx and Δy, centred within the contrast as the slope takes them."""
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
    """The rows of `rows` over seeds: means, and the t interval and p of β."""
    import pandas as pd

    keys = [name for name in CELL if name != "seed"] + ["contrast", "kind", "direction", "baseline"]
    found = []
    for place, own in rows.groupby(keys, sort=False):
        result = statistics.seed_test(own["beta"].to_numpy())
        means = own[["r", "data_association", "model_association", "unclear"]].mean().to_dict()
        ends = {key: result[key] for key in ("ci_low", "ci_high", "p")}
        size = {"beta": result["estimate"], "n_pairs": own["n_pairs"].min(), "n_seeds": len(own), "seed": ALL}
        found.append(dict(zip(keys, place, strict=True)) | means | ends | size)
    return pd.DataFrame(found, columns=COLUMNS)


if __name__ == "__main__":
    step.run(measure_inheritance)
