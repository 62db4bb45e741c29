"""What pools predict before training, and the measured shift: on data whose answer is known."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from bias_inheritance.study import catalog
from foresee import PLACE, along_axis, foresee, projections
from null.simulated import ORIGINAL, row

POOLS = ["associated-000", "associated-050", "associated-100", "neutral", "balanced", "contrastive-explicit"]
STRENGTH = dict(zip(POOLS, (0.0, 0.5, 1.0, 0.4, 0.0, 0.05), strict=True))
COMPARISONS = {pool: {"augmentation": "original"} for pool in POOLS}
COMPARISONS["contrastive-explicit"]["slant"] = "balanced"
DOMAINS = {"gender": {"groups": ["male", "female"], "contrasts": [("male", "female")]}}
LABELS = ["architect", "nurse", "painter", "professor"]
AXIS = np.array([1.0, -1.5, -0.5, 1.0])
SEEDS = range(1, 6)


def points_of(stream, inherited, noise=0.02):
    """inheritance_points.csv of a study that inherits `inherited` of Δx, and noise."""
    rows = []
    for seed, pool in product(SEEDS, POOLS):
        data = STRENGTH[pool] * AXIS + stream.normal(0, noise, len(LABELS))
        model = inherited * data + stream.normal(0, noise, len(LABELS))
        cell = {"model": "m", "domain": "gender", "bias": pool, "gamma": 0.5, "mitigation": "none", "seed": seed}
        for label, x, y in zip(LABELS, data - data.mean(), model - model.mean(), strict=True):
            place = {"contrast": "male-female", "label": label, "group": "female"}
            rows.append({**cell, "round": 1, **place, "data_association": x, "model_association": y})
    return pd.DataFrame(rows)


def scores_of(stream, effect):
    """scores.csv in which a pool's label probability gap moves by `effect` of its strength."""
    rows = []
    for seed in SEEDS:
        rows.append(row(ORIGINAL, seed, "male-female", 0.1, metric="label_probability"))
        for pool in POOLS:
            value = 0.1 + effect * STRENGTH[pool] + stream.normal(0, 0.01)
            rows.append(row((pool, 0.5, "none", 1), seed, "male-female", value, metric="label_probability"))
    return pd.DataFrame(rows)


def means_of(stream, size):
    """Means of the pools whose texts lie `STRENGTH` along one hidden direction on average, and noise."""
    hidden, common = stream.normal(size=size), stream.normal(size=size)
    means = {}
    for seed, pool in product(SEEDS, POOLS):
        of_groups = {"original": {}, "augmented": {}}
        for group in ("male", "female"):
            of_groups["original"][group] = (common + stream.normal(0, 0.01, size)).tolist()
            along = common + (3 * STRENGTH[pool] + 2.0 * (pool == "contrastive-explicit")) * hidden / size
            of_groups["augmented"][group] = (along + stream.normal(0, 0.01, size)).tolist()
        means["m", "gender", pool, seed] = {"sentence": of_groups}
    return means


def foreseen(tmp_path, scores, points, means=None):
    from bias_inheritance.plumbing import files

    scores.to_csv(tmp_path / "scores.csv", index=False)
    points.to_csv(tmp_path / "points.csv", index=False)
    of_seeds = {}
    for (model, domain, pool, seed), content in (means or {}).items():
        of_seeds.setdefault((model, domain, seed), {})[pool] = content
    paths = [tmp_path / f"means-{number}.json" for number in range(len(of_seeds))]
    for path, content in zip(paths, of_seeds.values(), strict=True):
        files.write_json(path, content)
    outcomes = {name: catalog.claims()["outcomes"][name] for name in ("probability-gap", "congruence")}
    foresee(
        tmp_path / "scores.csv",
        [tmp_path / "points.csv"],
        paths,
        tmp_path / "foresight.csv",
        [dict(zip(("model", "domain", "seed"), place, strict=True)) for place in of_seeds],
        outcomes,
        COMPARISONS,
        DOMAINS,
    )
    table = pd.read_csv(tmp_path / "foresight.csv", dtype={"seed": str})
    return table[table["seed"] != "all"], table[table["seed"] == "all"].set_index(["predictor", "outcome"])


def test_a_shift_that_follows_the_association_is_foreseen_by_it(tmp_path):
    stream = np.random.default_rng(0)
    each, over_pools = foreseen(tmp_path, scores_of(stream, 0.2), points_of(stream, 0.3))
    for outcome in ("model_association", "probability-gap"):
        assert over_pools.loc[("association", outcome), "rho"] > 0.8
        assert over_pools.loc[("association", outcome), ["n_seeds", "n_pools"]].tolist() == [5, 6]
    acquired = each[each["outcome"] == "model_association"]
    assert len(acquired) == len(POOLS) * len(SEEDS)
    slope = np.polyfit(acquired["predicted"], acquired["measured"], 1)[0]
    assert slope == pytest.approx(0.3, abs=0.03)
    strongest = acquired[acquired["bias"] == "associated-100"]["predicted"].mean()
    assert strongest == pytest.approx(AXIS.std(), abs=0.02)


def test_chance_is_not_foreseen():
    """With independent Δy the correlation is 0 on average over many studies."""
    from bias_inheritance.claims.relations import correlation

    stream, correlations = np.random.default_rng(1), []
    for _ in range(60):
        along = along_axis(points_of(stream, 0.0))
        correlations.append(
            correlation(along.assign(amount=along["data_association"], value=along["model_association"]))["rho"]
        )
    assert np.mean(correlations) == pytest.approx(0, abs=4 * np.std(correlations) / 60**0.5)


def test_texts_are_placed_along_the_direction_of_other_seeds(tmp_path):
    stream = np.random.default_rng(2)
    means = means_of(stream, 50)
    table = projections(means, COMPARISONS)
    assert list(table.columns) == [*PLACE, "predictor", "predicted"] and len(table) == len(means)
    mean = table.groupby("bias")["predicted"].mean()
    assert mean["contrastive-explicit"] > mean["associated-050"] > mean["balanced"]
    assert abs(mean["balanced"]) < 0.05 * mean["associated-100"]
    each, over_pools = foreseen(tmp_path, scores_of(stream, 0.2), points_of(stream, 0.3), means)
    assert over_pools.loc[("sentence_direction", "probability-gap"), "n_seeds"] == 5
    assert set(each["predictor"]) == {"association", "sentence_direction"}


def test_a_pool_is_never_part_of_the_direction_it_is_judged_by():
    means = means_of(np.random.default_rng(3), 20)
    assert projections({place: content for place, content in means.items() if place[-1] == 1}, COMPARISONS).empty
    two = {place: content for place, content in means.items() if place[-1] in (1, 2)}
    before = projections(two, COMPARISONS)
    two["m", "gender", "contrastive-explicit", 1]["sentence"]["augmented"]["male"] = [1000.0] * 20
    after = projections(two, COMPARISONS)
    same = before["seed"].eq(1) & before["bias"].ne("contrastive-explicit")
    assert after.loc[same, "predicted"].tolist() == before.loc[same, "predicted"].tolist()
    moved = before["seed"].eq(2)
    assert after.loc[moved, "predicted"].tolist() != before.loc[moved, "predicted"].tolist()


def test_a_study_without_pools_that_can_be_compared_has_an_empty_table(tmp_path):
    stream = np.random.default_rng(4)
    each, over_pools = foreseen(tmp_path, scores_of(stream, 0.2), points_of(stream, 0.3)[:0])
    assert each.empty and over_pools.empty
