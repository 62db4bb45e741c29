"""The inheritance coefficient: associations by hand, pairs, the slope, and its interval over test clusters."""

import numpy as np
import pandas as pd
import pytest
from bias_inheritance.claims import frames, verdicts
from bias_inheritance.data import contrasts
from bias_inheritance.plumbing import files
from bias_inheritance.pools import collapse
from bias_inheritance.stats import inheritance
from bias_inheritance.study import catalog
from measure_inheritance import measure_inheritance
from null.simulated import declared, manipulation, no_predictions

LABELS = ["nurse", "painter", "architect"]


def sides(groups, reference="male", *compared):
    """Which items are of the reference and of each compared group."""
    declared = {"contrasts": {"reference": reference, "compared": list(compared or ["female"])}}
    return contrasts.sides(groups, declared)


def test_association_by_hand():
    labels = ["nurse", "nurse", "painter", "nurse", "painter", "painter"]
    groups = ["female", "female", "female", "male", "male", None]
    x = inheritance.association(labels, sides(groups), LABELS)
    male, female = np.array([1.5, 1.5, 0.5]) / 3.5, np.array([2.5, 1.5, 0.5]) / 4.5
    assert x == pytest.approx(np.log(male / female)[:, None])


def test_association_of_a_balanced_mix_is_zero_for_every_group():
    labels, groups = np.repeat(LABELS, 6), np.tile(["a", "a", "b", "b", "c", "c"], 3)
    x = inheritance.association(labels, sides(groups, "a", "b", "c"), LABELS)
    assert x.shape == (3, 2) and np.abs(x).max() < 1e-12


def items(twins=True):
    """Two clusters of "nurse" and one of "painter", each with a man's and a woman's item."""
    labels = ["nurse", "nurse", "nurse", "nurse", "painter", "painter"]
    groups = ["male", "female"] * 3
    clusters = ["a", "a", "b", "b", "c", "c"] if twins else list("abcdef")
    return labels, sides(groups), clusters


def test_each_true_label_weighs_the_same_however_many_pairs_it_has():
    labels, of_side, clusters = items()
    change = np.zeros((6, 3))
    change[[0, 2], 0] = 1.0, 3.0  # nurse on the two men whose true label is nurse
    weights, pairs = inheritance.pairing(labels, of_side, clusters, LABELS)
    assert pairs.tolist() == [[2, 1, 0]]
    y = inheritance.model_association(change, weights, pairs)
    assert y[:, 0].tolist() == pytest.approx([(2.0 + 0.0) / 2, 0, 0])
    # with more axes in front, and without twins, where strata of one label take the pairs' place
    apart, pairs = inheritance.pairing(*items(twins=False), LABELS)
    both = inheritance.model_association(np.stack([change, 2 * change]), apart, pairs)
    assert both.shape == (2, 3, 1) and both[1] == pytest.approx(2 * y) and pairs.tolist() == [[2, 1, 0]]


def test_items_without_a_twin_do_not_count_where_others_have_one():
    labels, _, clusters = items()
    change = np.zeros((7, 3))
    change[6] = 100.0
    of_side = sides([*["male", "female"] * 3, "male"])
    weights, pairs = inheritance.pairing([*labels, "nurse"], of_side, [*clusters, "z"], LABELS)
    assert inheritance.model_association(change, weights, pairs) == pytest.approx(np.zeros((3, 1)))


def test_slope_is_the_least_squares_slope_after_centring_within_each_group():
    stream = np.random.default_rng(1)
    x, y = stream.normal(size=(2, 4, 3)) + np.array([0, 5, -5])
    centred = [(side - side.mean(0)).ravel() for side in (x, y)]
    beta, r = inheritance.slope(x, y)
    assert beta == pytest.approx(np.polyfit(*centred, 1)[0]) and r == pytest.approx(np.corrcoef(*centred)[0, 1])
    many, _ = inheritance.slope(np.stack([x, x]), np.stack([y, 3 * y]))
    assert many == pytest.approx([beta, 3 * beta])
    assert np.isnan(inheritance.slope(np.ones((4, 3)), y)[0])
    assert inheritance.slope(x, 0.2 * x)[0] == pytest.approx(0.2) and inheritance.slope(x, x)[1] == pytest.approx(1)


def test_what_all_options_have_in_common_does_not_matter():
    """The normalising constant is the same for every label, so that centring removes it."""
    stream = np.random.default_rng(2)
    raw = stream.normal(size=(6, 3))
    weights, pairs = inheritance.pairing(*items(), LABELS)
    x = stream.normal(size=(3, 1))
    betas = [
        inheritance.slope(x, inheritance.model_association(values, weights, pairs))[0]
        for values in (raw, inheritance.option_log_probabilities(raw))
    ]
    assert betas[0] == pytest.approx(betas[1])
    assert np.exp(inheritance.option_log_probabilities(raw)).sum(-1) == pytest.approx(np.ones(6))


def test_interval_of_one_seed_covers_what_more_items_would_give():
    stream, covered = np.random.default_rng(3), []
    labels, groups = np.repeat(LABELS, 24), np.tile(["male", "female"], 36)
    clusters = np.repeat(np.arange(36), 2)
    weights, pairs = inheritance.pairing(labels, sides(groups), clusters, LABELS)
    x = np.array([[-1.0], [0.2], [0.8]])
    for number in range(300):
        change = stream.normal(0, 0.5, (72, 3)) + np.where(groups == "male", 0.3, 0)[:, None] * x[:, 0]
        low, high = inheritance.interval(x, change, weights, pairs, clusters, labels, 300, number)
        covered.append(low <= 0.3 <= high)
    assert 0.91 <= np.mean(covered) <= 0.98


def test_one_cluster_per_label_has_no_interval():
    labels, groups, clusters = ["nurse", "nurse", "painter", "painter"], ["male", "female"] * 2, ["a", "a", "b", "b"]
    weights, pairs = inheritance.pairing(labels, sides(groups), clusters, LABELS)
    change = np.arange(12.0).reshape(4, 3)
    ends = inheritance.interval(np.array([[1.0], [0], [-1]]), change, weights, pairs, clusters, labels, 50, 1)
    assert np.isnan(ends).all()


# ---- what is measured of which pool ------------------------------------------------------------------------------


def leaves(*names):
    return {name: catalog.load("bias", name) for name in names}


def test_a_pool_has_a_coefficient_where_an_association_is_expected_and_a_projection_elsewhere():
    directions = inheritance.directions(
        leaves("neutral", "associated-100", "associated-050", "associated-000", "balanced", "contrastive-explicit", "faithful", "planted-100", "shifted")
    )  # fmt: skip
    assert directions == {
        "neutral": [("beta", "neutral")],
        "associated-100": [("beta", "associated-100")],
        "associated-050": [("beta", "associated-050"), ("projection", "associated-100")],
        "associated-000": [("projection", "associated-100")],
        "balanced": [("projection", "neutral")],
        "contrastive-explicit": [("projection", "neutral")],
        "faithful": [("projection", "neutral")],
        "planted-100": [("beta", "planted-100")],
        "shifted": [("projection", "neutral")],
    }
    assert inheritance.directions(leaves("faithful", "associated-100"))["faithful"] == [
        ("projection", "associated-100")
    ]
    assert inheritance.directions(leaves("faithful", "balanced")) == {"faithful": [], "balanced": []}


# ---- the step ----------------------------------------------------------------------------------------------------

DOMAIN = {"labels": LABELS, "contrasts": {"reference": "male", "compared": "female"}}
COUNTS = {  # of men and of women per label
    "original": [(8, 8), (8, 8), (8, 8)],
    "faithful": [(16, 16), (16, 16), (16, 16)],
    "neutral": [(9, 23), (16, 16), (23, 9)],
    "associated-000": [(16, 16), (16, 16), (16, 16)],
    "associated-100": [(8, 24), (16, 16), (24, 8)],
    "balanced": [(16, 16), (16, 16), (16, 16)],
}
TRUE = {"neutral": 0.5, "associated-100": 0.25}  # how much of its own association a model takes over


def cell(bias, seed, mitigation="none", number=1):
    gamma = "0.00" if bias in ("original", "untuned") else "0.50"
    return {"model": "m", "domain": "gender", "bias": bias, "gamma": gamma, "mitigation": mitigation, "seed": seed, "round": number}  # fmt: skip


def x_of(bias):
    rows = [(label, group) for label, pair in zip(LABELS, COUNTS[bias], strict=True) for group, count in zip(("male", "female"), pair, strict=True) for _ in range(count)]  # fmt: skip
    labels, groups = zip(*rows, strict=True)
    return rows, inheritance.association(labels, sides(groups), LABELS)


def write_run(folder, place, stream, left=1.0):
    """A cell's train.jsonl and predictions, whose model took over the share TRUE of its data's association."""
    rows, x = x_of(place["bias"])
    files.write_jsonl(folder / "train.jsonl", [{"label": label, "group": group} for label, group in rows])
    gap = left * TRUE.get(place["bias"], 0.0) * x[:, 0]
    predictions = []
    for number, (label, twin) in enumerate((label, twin) for label in LABELS for twin in range(8)):
        base = np.where(np.array(LABELS) == label, 2.0, 0.0)
        for group in ("male", "female"):
            lean = gap if group == "male" else 0 * gap
            logprobs = base + lean + stream.normal(0, 0.02, 3)
            predictions.append({"item": f"{number}-{group}", "cluster": f"{label}-{twin}", "group": group, "label": label, "options": LABELS, "logprobs": logprobs.tolist()})  # fmt: skip
    (folder / "predictions").mkdir(parents=True)
    pd.DataFrame(predictions).to_parquet(folder / "predictions" / "occupation-classification.parquet")


def measured(tmp_path, places, pools, baseline, domain=DOMAIN):
    """(inheritance.csv, inheritance_points.csv) of a study of these cells."""
    measure_inheritance(
        [tmp_path / str(number) / "predictions" for number in range(len(places))],
        [tmp_path / str(number) / "train.jsonl" for number in range(len(places))],
        tmp_path / "inheritance.csv",
        tmp_path / "inheritance_points.csv",
        places,
        {"gender": "occupation-classification"},
        {"gender": domain},
        leaves(*pools),
        baseline,
        100,
    )
    read = {"gamma": str, "seed": str}
    return tuple(pd.read_csv(tmp_path / name, dtype=read) for name in ("inheritance.csv", "inheritance_points.csv"))


POOLS = ["neutral", "associated-100", "associated-000", "balanced", "faithful"]


def study(tmp_path, pools=POOLS, baseline="faithful", seeds=4):
    stream = np.random.default_rng(4)
    places = [cell(bias, seed) for seed in range(1, seeds + 1) for bias in ["original", *pools]]
    places += [cell("neutral", seed, "loss") for seed in range(1, seeds + 1)]
    for number, place in enumerate(places):
        write_run(tmp_path / str(number), place, stream, left=0.2 if place["mitigation"] == "loss" else 1.0)
    return measured(tmp_path, places, pools, baseline)


def test_a_mitigated_cell_without_its_unmitigated_one_has_no_coefficient(tmp_path):
    places = [cell(bias, 1) for bias in ("original", "faithful")] + [cell("neutral", 1, "loss")]
    for number, place in enumerate(places):
        write_run(tmp_path / str(number), place, np.random.default_rng(4))
    table, points = measured(tmp_path, places, ["neutral", "faithful"], "faithful")
    assert table.empty and points.empty


def test_coefficients_are_those_that_the_models_were_made_with(tmp_path):
    table, points = study(tmp_path)
    one = table[table["seed"] != "all"].set_index(["bias", "mitigation", "kind", "seed"])
    assert "faithful" not in table["bias"].tolist() and "original" not in table["bias"].tolist()
    for seed in "1234":
        assert one.loc[("neutral", "none", "beta", seed), "beta"] == pytest.approx(0.5, abs=0.05)
        assert one.loc[("neutral", "loss", "beta", seed), "beta"] == pytest.approx(0.1, abs=0.05)
        assert one.loc[("associated-100", "none", "beta", seed), "beta"] == pytest.approx(0.25, abs=0.05)
        assert abs(one.loc[("balanced", "none", "projection", seed), "beta"]) < 0.05
    first = one.loc[("neutral", "none", "beta", "1")]
    assert first["ci_low"] < first["beta"] < first["ci_high"] and first["r"] > 0.9 and first["n_pairs"] == 24
    assert first["model_association"] == pytest.approx(first["beta"] * first["data_association"])
    assert one.loc[("balanced", "none", "projection", "1"), "direction"] == "neutral"
    assert one.loc[("associated-000", "none", "projection", "1"), "direction"] == "associated-100"
    whole = table[table["seed"] == "all"].set_index(["bias", "mitigation", "kind"])
    assert whole.loc[("neutral", "none", "beta"), "n_seeds"] == 4 and whole.loc[("neutral", "none", "beta"), "p"] < 0.01
    betas = [one.loc[("neutral", "none", "beta", seed), "beta"] for seed in "1234"]
    assert whole.loc[("neutral", "none", "beta"), "beta"] == pytest.approx(np.mean(betas))
    dots = points[(points["bias"] == "neutral") & (points["seed"] == "1") & (points["mitigation"] == "none")]
    assert dots["label"].tolist() == LABELS
    slope = np.polyfit(dots["data_association"], dots["model_association"], 1)[0]
    assert slope == pytest.approx(first["beta"], abs=1e-6)


def test_a_dose_carried_over_rounds_is_measured_on_the_association_of_round_1(tmp_path):
    stream, pools = np.random.default_rng(5), ["faithful", "associated-000", "associated-100"]
    places = [cell(bias, seed) for seed in (1, 2) for bias in pools]
    places += [cell(bias, seed, number=2) for seed in (1, 2) for bias in pools[1:]]
    for number, place in enumerate(places):
        write_run(tmp_path / str(number), place, stream, left=0.4 if place["round"] == 2 else 1.0)
        if place["round"] == 2:  # what the tuned model wrote holds no association
            rows = [{"label": label, "group": group} for label, group in x_of("balanced")[0]]
            files.write_jsonl(tmp_path / str(number) / "train.jsonl", rows)
    table, points = measured(tmp_path, places, pools, "faithful")
    one = table[table["seed"] == "1"].set_index(["bias", "round", "kind"])
    assert one.loc[("associated-100", 1, "beta"), "beta"] == pytest.approx(0.25, abs=0.05)
    second = one.loc[("associated-100", 2, "beta")]
    assert second["beta"] == pytest.approx(0.25 * 0.4, abs=0.05)
    assert second["data_association"] == one.loc[("associated-100", 1, "beta"), "data_association"] > 0
    assert abs(one.loc[("associated-000", 2, "projection"), "beta"]) < 0.05
    later = points[(points["bias"] == "associated-100") & (points["round"] == 2)]
    assert later["data_association"].abs().max() < 1e-9  # the points show the mix of the round itself


def test_without_real_text_the_baseline_is_original_and_the_table_says_so(tmp_path):
    table, _ = study(tmp_path, ["neutral", "balanced"], "original", 2)
    assert set(table["baseline"]) == {"original"}
    assert table[(table["kind"] == "beta") & (table["seed"] == "1")]["beta"].iloc[0] == pytest.approx(0.5, abs=0.05)


def test_cells_that_collapsed_or_give_no_probabilities_have_no_row(tmp_path):
    stream, places = np.random.default_rng(5), [cell("faithful", 1), cell("neutral", 1), cell("balanced", 1)]
    for number, place in enumerate(places):
        write_run(tmp_path / str(number), place, stream)
    path = tmp_path / "1" / "predictions" / "occupation-classification.parquet"
    path.unlink()
    collapse.mark(tmp_path / "1" / "predictions", "too few samples")
    files.write_jsonl(tmp_path / "1" / "train.jsonl", [])
    written = tmp_path / "2" / "predictions" / "occupation-classification.parquet"
    pd.read_parquet(written).assign(logprobs=None, text="nurse").to_parquet(written)
    table, points = measured(tmp_path, places, ["faithful", "neutral", "balanced"], "faithful")
    assert table.empty and points.empty
    assert frames.read_inheritance(tmp_path / "inheritance.csv").empty


@pytest.mark.parametrize(("unreadable", "pools"), [(4, ["balanced"]), (4, ["faithful"]), (48, ["balanced"])])
def test_pairs_without_readable_answers_are_counted(tmp_path, unreadable, pools):
    """Answers of the cell or of its baseline, which are in one pair each."""
    stream, places = np.random.default_rng(5), [cell(bias, 1) for bias in ("faithful", "neutral", "balanced")]
    for number, place in enumerate(places):
        write_run(tmp_path / str(number), place, stream)
        path = tmp_path / str(number) / "predictions" / "occupation-classification.parquet"
        items = pd.read_parquet(path)
        if place["bias"] in pools:
            logprobs = [
                [] if row % 2 == 0 and row < 2 * unreadable else given for row, given in enumerate(items["logprobs"])
            ]
            items.assign(logprobs=logprobs).to_parquet(path)
    table, points = measured(tmp_path, places, ["faithful", "neutral", "balanced"], "faithful")
    balanced = table[table["bias"] == "balanced"].set_index("seed")
    if unreadable == 4:
        assert (balanced["n_pairs"] == 20).all() and (balanced["n_unparsed"] == 4).all()
        assert balanced.loc["1", "beta"] == pytest.approx(0, abs=0.05)
    else:
        assert balanced.index.tolist() == ["1"] and balanced["beta"].isna().all()
        assert balanced.loc["1", ["n_pairs", "n_unparsed"]].tolist() == [0, 24]
        assert "balanced" not in points["bias"].tolist()
    read = frames.read_inheritance(tmp_path / "inheritance.csv")
    assert set(read[read["bias"] == "balanced"]["n"]) == {24}


def test_twins_of_which_none_can_be_read_are_not_replaced_by_other_pairs():
    """One text is posed for both groups, five others for either; the former is the only pair, read or not."""
    groups, clusters = ["male", "female"] * 3, ["a", "a", "b", "c", "d", "e"]
    readable = np.array([True, False, True, True, True, True])
    weights, pairs = inheritance.pairing(["nurse"] * 6, sides(groups), clusters, ["nurse"], readable)
    assert pairs.tolist() == [[0]] and not weights.any()
    assert inheritance.pairing(["nurse"] * 6, sides(groups), clusters, ["nurse"])[1].tolist() == [[1]]


def test_several_contrasts_stand_alone_and_together(tmp_path):
    domain = {"labels": LABELS, "contrasts": {"reference": "male", "compared": ["female", "divers"]}}
    stream, places = np.random.default_rng(6), [cell("faithful", 1), cell("neutral", 1)]
    for number, place in enumerate(places):
        write_run(tmp_path / str(number), place, stream)
        path = tmp_path / str(number) / "predictions" / "occupation-classification.parquet"
        items = pd.read_parquet(path)
        third = items[items["group"] == "female"].assign(group="divers")
        pd.concat([items, third.assign(item=third["item"] + "x")]).to_parquet(path)
        rows = files.read_jsonl(tmp_path / str(number) / "train.jsonl")
        files.write_jsonl(tmp_path / str(number) / "train.jsonl", rows + [{**row, "group": "divers"} for row in rows if row["group"] == "female"])  # fmt: skip
    table, _ = measured(tmp_path, places, ["faithful", "neutral"], "faithful", domain)
    betas = table[table["seed"] == "1"].set_index("contrast")["beta"]
    assert list(betas.index) == ["male-female", "male-divers", "all"]
    assert betas.tolist() == pytest.approx([betas["all"]] * 3)  # the third group is a copy of the second
    read = frames.read_inheritance(tmp_path / "inheritance.csv")
    assert read["value"].tolist() == pytest.approx([betas["all"]] * 6)  # β and, on its own direction, the projection
    assert list(read["group"]) == ["male-female", "male-divers", "all"] * 2


# ---- β in the claims ---------------------------------------------------------------------------------------------


def judged(tmp_path, pools):
    claims = declared(*pools)
    only = {name: claims["claims"][name] for name in ("C9", "control-associated", "control-null")}
    table = frames.read_inheritance(tmp_path / "inheritance.csv")
    verdict_rows = verdicts.evaluate({**claims, "claims": only}, table, manipulation(), no_predictions)
    return verdict_rows[verdict_rows["verdict"] != "beside"].set_index("contrast")


def test_claims_on_inheritance(tmp_path):
    study(tmp_path)
    by_contrast = judged(tmp_path, POOLS)
    for contrast in (
        "natural inheritance of neutral is above 0",
        "inheritance rises with the association in the data",
        "associated-100 is inherited",
        "loss lowers the inheritance of neutral",
        "nothing is inherited from balanced",
        "nothing is inherited from associated-000",
    ):
        assert by_contrast.loc[contrast, "verdict"] == "supported", (contrast, by_contrast.loc[contrast, "reason"])
    assert by_contrast.loc["inheritance at dose 50% exceeds dose 0%", "verdict"] == "not tested"
    assert "nothing is inherited from faithful" not in by_contrast.index  # the baseline is nothing to be measured
    assert by_contrast.loc["loss lowers the inheritance of neutral", "estimate"] == pytest.approx(-0.4, abs=0.05)


@pytest.mark.parametrize(
    ("unparsed", "verdict", "reason"),
    [(0, "supported", "equivalent to 0"), (4, "inconclusive", "only if the unreadable answers"), (13, "not tested", "unreadable")],
)  # fmt: skip
def test_unreadable_answers_of_the_pairs_of_beta_show_no_equivalence(tmp_path, unparsed, verdict, reason):
    study(tmp_path)
    table = pd.read_csv(tmp_path / "inheritance.csv")
    table = table.assign(n_pairs=table["n_pairs"] - unparsed, n_unparsed=unparsed)
    table.to_csv(tmp_path / "inheritance.csv", index=False)
    judged_row = judged(tmp_path, POOLS).loc["nothing is inherited from balanced"]
    assert judged_row["verdict"] == verdict and reason in judged_row["reason"]


def test_the_dose_against_a_baseline_of_strength_0(tmp_path):
    """Without `faithful` the control at strength 0 is β's baseline, and the dose effect is the projection itself."""
    pools = ["associated-100", "associated-000", "neutral"]
    study(tmp_path, pools, "associated-000")
    by_contrast = judged(tmp_path, pools)
    rise = by_contrast.loc["inheritance rises with the association in the data"]
    assert rise["estimate"] == pytest.approx(0.25, abs=0.05) and rise["verdict"] == "supported"
    assert not (by_contrast["verdict"] == "contradicted").any()
