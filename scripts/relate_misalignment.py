"""Relate misalignment to effects: per cell, the misalignment of values and distributions against its effect (C4)."""

from bias_inheritance.claims import contrasts, frames
from bias_inheritance.claims.relations import CELL, correlation, effects_of, informative
from bias_inheritance.data import opinions
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Input, Inputs, Output

POOL = ["model", "domain", "bias", "seed", "round"]
GAPS = ["mmd", "auc", "mean_distance", "hidden_mmd", "hidden_auc", "hidden_mean_distance"]


def relate_misalignment(
    scores: Input,
    manipulation: Input,
    tables: Inputs,
    together: Output,
    correlations: Output,
    outcomes: dict,
    types: list,
    comparisons: dict,
    domains: dict,
):
    """Write together.csv (per cell, misalignment and outcome: both values) and correlations.csv.

    tables: values.csv and distributions.csv, if the study has them; not groups.csv, since bias types request equal numbers
    of texts per group and reject those that show another: their shares are fixed by design. outcomes: {name: selectors} of
    catalog/claims.yaml. types: the study's bias types; only those that passed their manipulation check are used, and no
    controls, whose distance from the originals is fixed by design too. comparisons: {pool: {effect: control}}; domains:
    {name: {groups, contrasts}}, both of the study. Runs that are uninformative on a task are excluded for it. A
    correlation is Spearman's over the unmitigated cells of the largest γ, per seed; its t interval over seeds quantifies
    its stability for these bias types, not whether it generalises to others, which is tested by the permutation of types
    in claims.csv.
    """
    import pandas as pd

    outcomes = {name: contrasts.filled(selectors, domains, {}) for name, selectors in outcomes.items()}
    effects = effects_of(informative(frames.read_scores(scores)), outcomes, comparisons)
    effects = worked(effects, files.read_table(manipulation), types)
    parts = []
    for path in tables:
        measured = {"values": values, "distributions": gaps}[path.stem](files.read_table(path))
        parts.append(joined(effects, measured))
    points = pd.concat(parts)[[*CELL, "misalignment", "amount", "outcome", "effect", "control", "value"]]
    files.write_csv(together, points.sort_values([*CELL, "misalignment", "outcome", "effect"]))
    chosen = points[(points["gamma"] == points["gamma"].max()) & (points["mitigation"] == "none")]
    keys = ["model", "domain", "misalignment", "outcome", "effect", "control"]
    columns = [*keys, "rho", "ci_low", "ci_high", "n_seeds", "n_cells"]
    rows = [{**dict(zip(keys, name, strict=True)), **correlation(points)} for name, points in chosen.groupby(keys)]
    files.write_csv(correlations, pd.DataFrame(rows, columns=columns))


def worked(effects, manipulation, types):
    """The effects of bias types that passed their manipulation check, per model and domain."""
    import numpy as np

    places = effects[["model", "domain"]].drop_duplicates().itertuples(index=False, name=None)
    passed = {
        (model, domain, bias)
        for model, domain in places
        for bias in set(types) - set(frames.failed_manipulation(manipulation, model, domain, types))
    }
    rows = effects[["model", "domain", "bias"]].itertuples(index=False, name=None)
    return effects[np.array([place in passed for place in rows], dtype=bool)]


def joined(effects, measured):
    """Every effect joined with the misalignment of its cell, or of the round-1 pool that all cells of its seed share."""
    import pandas as pd

    of_pools = measured[measured["gamma"].isna()].drop(columns=["gamma", "mitigation"])
    of_cells = measured[measured["gamma"].notna()].astype({"mitigation": "str"})
    return pd.concat([effects.merge(of_pools, on=POOL), effects.merge(of_cells, on=CELL)])


def values(table):
    """1 − similarity over all countries, per cell; without the fixture, whose shares are invented."""
    rows = table[(table["metric"] == "similarity") & (table["group"] == "all") & (table["dataset"] != opinions.FIXTURE)]
    return rows[CELL].assign(misalignment="values", amount=1 - rows["value"])


def gaps(table):
    """The distances of a pool from the originals."""
    rows = table[table["metric"].isin(GAPS) & (table["mitigation"].isna() | (table["round"] > 1))]
    return rows[[*CELL, "metric", "value"]].rename(columns={"metric": "misalignment", "value": "amount"})


if __name__ == "__main__":
    step.run(relate_misalignment)
