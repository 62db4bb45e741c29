"""Predict harm before training: predictions from a pool's texts, and the measured shift of its cells (foresight.csv)."""

from bias_inheritance.claims import contrasts, frames, relations
from bias_inheritance.plumbing import files, step
from bias_inheritance.plumbing.step import Input, Inputs, Output

PLACE = ["model", "domain", "bias", "seed"]
COLUMNS = [*PLACE, "predictor", "outcome", "predicted", "measured", "rho", "ci_low", "ci_high", "n_seeds", "n_pools"]
ALL = "all"


def foresee(
    scores: Input,
    points: Inputs,
    means: Inputs,
    table: Output,
    compared: list,
    outcomes: dict,
    comparisons: dict,
    domains: dict,
):
    """Write foresight.csv: per pool, seed, predictor and outcome, the predicted and the measured value; and, with bias and
    seed `all`, Spearman's correlation over pools.

    Predictors, known before any model is trained: `association`, the association of the pool's mix of the largest γ along
    the study's strongest one (`along_axis`), from points, inheritance_points.csv, if the study has it; `sentence_direction`
    and `hidden_direction`, the projection of the pool's texts on the direction from balanced to biased text
    (`projections`), from means, the files of compare_pools, each of one {model, domain, seed} of `compared` (none if the
    study compares no pools). Outcomes, of the unmitigated cells of the largest γ in round 1: `model_association`, what the
    model acquired along the same axis, and the augmentation effects of `outcomes` {name: selectors of catalog/claims.yaml},
    whose control is the same for all pools. comparisons: {pool: {effect: control}}; domains: {name: {groups, contrasts}}.

    rho is the mean over seeds of the correlation over the pools of a seed, with its t interval over seeds. The interval
    describes the stability of the order of these pools, and does not extend to other pools.
    """
    import pandas as pd

    score_table = frames.read_scores(scores)
    predictions, shifts = [], [of_scores(score_table, outcomes, comparisons, domains)]
    if points:
        of_points = along_axis(at_largest_gamma(files.read_table(points[0])))
        predictions.append(of_points.assign(predictor="association", predicted=of_points["data_association"]))
        shifts.append(of_points.assign(outcome="model_association", measured=of_points["model_association"]))
    means_of_pools = {
        (place["model"], place["domain"], bias, place["seed"]): content
        for place, path in zip(compared, means, strict=True)
        for bias, content in files.read_json(path).items()
    }
    predictions.append(projections(means_of_pools, comparisons))
    both = pd.concat(predictions)[[*PLACE, "predictor", "predicted"]].merge(
        pd.concat(shifts)[[*PLACE, "outcome", "measured"]], on=PLACE
    )
    both = both.dropna(subset=["predicted", "measured"]).sort_values(["predictor", "outcome", *PLACE])
    named = both.rename(columns={"predicted": "amount", "measured": "value"})
    summaries = []
    for place, rows in named.groupby(["model", "domain", "predictor", "outcome"]):
        result = relations.correlation(rows)
        place = dict(zip(("model", "domain", "predictor", "outcome"), place, strict=True))
        summaries.append({**place, "bias": ALL, "seed": ALL, "n_pools": result.pop("n_cells"), **result})
    rows = [*both.to_dict("records"), *summaries]
    files.write_csv(table, pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(("n_seeds", "n_pools"), "Int64")))


def at_largest_gamma(rows):
    """The rows of unmitigated cells of the largest γ in round 1."""
    return rows[(rows["gamma"] == rows["gamma"].max()) & (rows["mitigation"] == "none") & (rows["round"] == 1)]


def of_scores(scores, outcomes, comparisons, domains):
    """The augmentation effect of each outcome: a frame of PLACE, outcome, measured."""
    outcomes = {name: contrasts.filled(selectors, domains, {}) for name, selectors in outcomes.items()}
    effects = relations.effects_of(relations.informative(scores), outcomes, comparisons)
    effects = effects[(effects["effect"] == "augmentation") & (effects["gamma"] > 0)]
    return at_largest_gamma(effects).rename(columns={"value": "measured"})


def along_axis(points):
    """data_association and model_association of each pool and seed along one axis over labels and contrasts, in nats.

    points: rows of inheritance_points.csv. The axis of a model and domain is the mean Δx over seeds of the pool whose mean
    Δx is largest. Scaled as root mean square over labels and contrasts, so that a pool with the association of the axis has
    its strength. Δx and Δy of a pool without association are 0 along it, whatever their size otherwise.
    """
    import numpy as np
    import pandas as pd

    sides = ["data_association", "model_association"]
    frames_of_places = [pd.DataFrame(columns=[*PLACE, *sides])]
    for (model, domain), rows in points.groupby(["model", "domain"]):
        tables = {
            side: rows.pivot(index=["bias", "seed"], columns=["contrast", "label"], values=side) for side in sides
        }
        mean = tables["data_association"].groupby("bias").mean()
        axis = mean.loc[(mean**2).sum(axis=1).idxmax()]
        length = np.sqrt((axis**2).sum() * len(axis))
        if length > 0:
            along = pd.DataFrame({side: table @ axis / length for side, table in tables.items()}).reset_index()
            frames_of_places.append(along.assign(model=model, domain=domain))
    return pd.concat(frames_of_places)


def projections(means, comparisons):
    """The projection of each pool on the direction from balanced to biased text: a frame of PLACE, predictor, predicted.

    means: {(model, domain, bias, seed): {representation: {original, augmented: {group: mean φ}}}}. For each group the
    direction is the mean difference between the texts of bias types and those of the baseline that names groups in the same
    way, over all other seeds, so that no text of a pool contributes to the direction it is projected on. The prediction is
    the mean over groups of the distance from the originals along it. Pools of a study with one seed, or without a bias type
    and its baseline, have none.
    """
    import numpy as np
    import pandas as pd

    def mean_of(place, origin, kind, group):
        mean = means.get(place, {}).get(kind, {}).get(origin, {}).get(group)
        return None if mean is None else np.array(mean)

    differences = {}  # (model, domain, representation, group, seed): biased − balanced, per bias type
    for (model, domain, bias, seed), content in means.items():
        control = (model, domain, comparisons[bias].get("slant"), seed)
        for kind in content:
            for group in content[kind].get("augmented", {}):
                balanced = mean_of(control, "augmented", kind, group)
                if balanced is not None:
                    biased = mean_of((model, domain, bias, seed), "augmented", kind, group)
                    differences.setdefault((model, domain, kind, group), {}).setdefault(seed, []).append(
                        biased - balanced
                    )
    rows = []
    for place, content in means.items():
        model, domain, _, seed = place
        for kind in content:
            amounts = []
            for group in content[kind].get("augmented", {}):
                others = differences.get((model, domain, kind, group), {})
                others = [each for other, listed in others.items() if other != seed for each in listed]
                original = mean_of(place, "original", kind, group)
                if others and original is not None:
                    direction = np.mean(others, axis=0)
                    moved = mean_of(place, "augmented", kind, group) - original
                    amounts.append(moved @ direction / (np.linalg.norm(direction) or 1.0))
            if amounts:
                predicted = {"predictor": f"{kind}_direction", "predicted": float(np.mean(amounts))}
                rows.append({**dict(zip(PLACE, place, strict=True)), **predicted})
    return pd.DataFrame(rows, columns=[*PLACE, "predictor", "predicted"])


if __name__ == "__main__":
    step.run(foresee)
