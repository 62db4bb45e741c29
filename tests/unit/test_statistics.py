"""The tests of the study against scipy, against hand-computed values, and on data that cannot be tested."""

import itertools

import numpy as np
import pandas as pd
import pytest
from bias_inheritance.stats import statistics
from bias_inheritance.tasks import metrics
from scipy import stats
from statsmodels.formula.api import mixedlm

VALUES = [0.02, 0.05, 0.03, 0.07]


def test_seed_test_is_the_one_sample_t_test():
    t_test = statistics.seed_test(VALUES)
    reference = stats.ttest_1samp(VALUES, 0)
    assert t_test["n"] == 4
    assert t_test["estimate"] == pytest.approx(0.0425)
    assert t_test["p"] == pytest.approx(reference.pvalue)
    assert (t_test["ci_low"], t_test["ci_high"]) == pytest.approx(tuple(reference.confidence_interval(0.95)))
    assert t_test["sd"] == pytest.approx(np.std(VALUES, ddof=1))


def test_seed_test_of_many_studies_is_that_of_each():
    table = np.random.default_rng(1).normal(size=(3, 5))
    together = statistics.seed_test(table)
    for study in range(5):
        alone = statistics.seed_test(table[:, study])
        assert {key: together[key][study] for key in alone if key != "n"} == pytest.approx(
            {k: v for k, v in alone.items() if k != "n"}
        )


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.1, 0.1], [0.1 + 0.2, 0.3, 0.3]])
def test_where_chance_cannot_be_judged_there_is_no_p(values):
    t_test = statistics.seed_test(values)
    assert np.isnan([t_test["p"], t_test["ci_low"], t_test["ci_high"], t_test["sd"]]).all()
    assert np.isnan(statistics.tost(values, 0.5))


def test_tost_is_the_larger_of_two_one_sided_tests():
    margin = 0.06
    below = stats.ttest_1samp(VALUES, -margin, alternative="greater").pvalue
    above = stats.ttest_1samp(VALUES, margin, alternative="less").pvalue
    assert statistics.tost(VALUES, margin) == pytest.approx(max(below, above))


def test_slopes():
    x, y = [0.0, 0.05, 0.2, 0.5], np.array([0.1, 0.3, 0.2, 0.9])
    assert statistics.slope_weights(x) @ y == pytest.approx(np.polyfit(x, y, 1)[0])
    through = statistics.slope_weights(x[1:], through_origin=True) @ y[1:]
    assert through == pytest.approx(np.linalg.lstsq(np.array(x[1:])[:, None], y[1:], rcond=None)[0][0])
    assert statistics.slope_weights([0.5], through_origin=True) @ [0.1] == pytest.approx(0.2)
    with pytest.raises(ValueError, match="no slope"):
        statistics.slope_weights([0.5])


def test_holm_by_hand_and_with_untested_rows():
    assert statistics.holm([0.04, 0.01, float("nan"), 0.03]) == pytest.approx(
        [0.06, 0.03, float("nan"), 0.06], nan_ok=True
    )
    assert np.isnan(statistics.holm([float("nan")])).all()
    assert len(statistics.holm([])) == 0


def test_minimal_effect_has_the_power_that_it_claims():
    assert statistics.minimal_effect(1.0, 10) == pytest.approx(0.9960, abs=1e-3)  # tabulated: n = 10, two-sided 5%, 80%
    for n in (2, 3, 5, 40):
        for alpha in (0.05, 0.05 / 3, 0.05 / 60):
            assert statistics.power_of(statistics.minimal_effect(0.03, n, alpha), 0.03, n, alpha) == pytest.approx(0.8)
    assert np.isnan(statistics.minimal_effect(0.1, 1)) and np.isnan(statistics.minimal_effect(float("nan"), 3))


def test_seeds_needed_is_the_first_that_suffices():
    needed = statistics.seeds_needed(lambda n: statistics.power_of(0.5, 1.0, n) >= 0.8)
    assert needed == 34  # tabulated for d = 0.5
    assert statistics.seeds_needed(lambda n: True) == 2
    assert statistics.seeds_needed(lambda n: False) is None


def test_power_is_a_number_that_grows_with_seeds():
    for effect in np.geomspace(0.01, 100, 30):
        powers = [
            statistics.power_of(effect, 1.0, n, 0.05 / 6) for n in np.unique(np.geomspace(2, 10_000, 60).astype(int))
        ]
        assert not np.isnan(powers).any() and (np.diff(powers) > -1e-6).all()


def test_the_power_of_a_very_large_effect_is_one_without_scipys_distribution(monkeypatch):
    """Which is not reliable there."""
    monkeypatch.setattr(
        "scipy.special.nctdtr", lambda *_: pytest.fail("scipy computed the power of a very large effect")
    )
    assert all(statistics.power_of(500.0, 1.0, n, 0.05 / 6) == 1 for n in (3, 20, 625, 10_000))


TWINS = np.repeat(np.arange(12), 2)
LABELS = np.where(TWINS < 10, "common", "rare")


def test_bootstrap_weights_keep_clusters_and_classes():
    weights = statistics.cluster_weights(TWINS, LABELS, replicates=500, seed=3)
    assert weights.shape == (500, 24)
    assert (weights[:, 0::2] == weights[:, 1::2]).all()
    assert weights[:, LABELS == "rare"].sum(1) == pytest.approx(4)
    assert weights.sum(1) == pytest.approx(24)
    assert (statistics.cluster_weights(TWINS, LABELS, 500, 3) == weights).all()
    lone = statistics.cluster_weights([1, 1, 2, 3], ["a", "a", "b", "b"], 50, 1)
    assert (lone[:, :2] == 1).all()  # the lone cluster of a class is always in
    assert statistics.cluster_weights([1, 1, 2], ["a", "a", "b"], 50, 1).shape == (0, 3)  # nothing can be resampled


def test_a_cluster_belongs_to_its_rarest_label():
    """A text is spam in one file and not in another: the spam must not vanish."""
    clusters, labels = [0, 0, 1, 2, 3], ["no", "spam", "no", "no", "no"]
    weights = statistics.cluster_weights(clusters, labels, 200)
    assert (weights[:, 1] == 1).all()


def test_bootstrap_variance_is_that_of_the_clusters():
    stream = np.random.default_rng(2)
    values = np.repeat(
        stream.normal(size=6), 2
    )  # six clusters only: plain resampling would lose a sixth of the variance
    weights = statistics.cluster_weights(np.repeat(np.arange(6), 2), ["a"] * 12, 20_000, seed=1)
    assert ((weights @ values) / weights.sum(1)).var() == pytest.approx(values[::2].var(ddof=1) / 6, rel=0.05)


def test_scores_are_resampled_by_the_same_bootstrap():
    """With a correction for few clusters: the interval of six clusters is as wide as their variance implies."""
    assert (metrics.resamples(TWINS, LABELS, 50, 3) == statistics.cluster_weights(TWINS, LABELS, 50, 3)).all()


def test_rms_gap_by_hand():
    correct = [1, 0, 1, 0, 1, 1, 0, 0]  # label a: male 2/2, female 0/2; label b: male 1/2, female 1/2
    groups, labels, clusters = ["male", "female"] * 4, ["a"] * 4 + ["b"] * 4, np.repeat(range(4), 2)
    gap = statistics.rms_gap(correct, groups, labels, clusters, "male", "female", permutations=4000)
    # under permutation the gap of a is ±1 or 0 (each half), that of b always 0, as its twins agree
    assert gap["debiased"] == pytest.approx(np.sqrt(0.5) - np.sqrt(0.5) / 2, abs=0.02)


def test_rms_gap_of_unbalanced_groups_is_zero_without_bias():
    """Without twins, few women in one label: what flips groups one by one would leave about +0.02 of a true zero."""
    stream = np.random.default_rng(5)
    groups = np.array((["male"] * 27 + ["female"] * 3) + (["male"] * 15 + ["female"] * 15))
    labels = np.repeat(["a", "b"], 30)
    debiased_gaps = [
        statistics.rms_gap(stream.random(60) < 0.6, groups, labels, range(60), "male", "female", 100, n)["debiased"]
        for n in range(400)
    ]
    assert abs(np.mean(debiased_gaps)) < 3 * np.std(debiased_gaps) / 20


def test_rms_gap_of_one_group_against_the_rest_is_zero_without_bias():
    """Three twins of a text, two of them pooled: shuffling them over all texts would leave about -0.05 of a true zero."""
    stream = np.random.default_rng(6)
    groups, labels, clusters = ["male", "rest", "rest"] * 30, np.repeat(["a", "b"], 45), np.repeat(range(30), 3)
    debiased_gaps = []
    for n in range(300):
        correct = np.repeat(stream.random(30) < 0.5, 3) ^ (stream.random(90) < 0.1)  # twins are mostly answered alike
        debiased_gaps.append(statistics.rms_gap(correct, groups, labels, clusters, "male", "rest", 100, n)["debiased"])
    assert abs(np.mean(debiased_gaps)) < 3 * np.std(debiased_gaps) / 300**0.5


def test_rms_gap_draws_lie_around_the_value():
    correct, groups = np.tile([1, 0, 1, 0, 1, 1, 0, 0], 5), ["male", "female"] * 20
    labels, clusters = (["a"] * 4 + ["b"] * 4) * 5, np.repeat(range(20), 2)
    weights = statistics.cluster_weights(clusters, labels, 300)
    gap = statistics.rms_gap(correct, groups, labels, clusters, "male", "female", weights=weights)
    for draws in (gap["low"], gap["high"]):
        assert len(draws) == 300 and draws.mean() == pytest.approx(gap["debiased"])
    # label a: 1 − 0, and with its unread women right 1 − 1; label b: 0, and with its unread man right 0.5
    unread = np.tile([0, 1, 0, 1, 0, 0, 1, 0], 5).astype(bool)
    wide = statistics.rms_gap(correct, groups, labels, clusters, "male", "female", weights=weights, unread=unread)
    null = np.sqrt(0.5) - gap["debiased"]
    assert wide["debiased"] == gap["debiased"]
    assert wide["low"].mean() == pytest.approx(0 - null)
    assert wide["high"].mean() == pytest.approx(np.sqrt((1 + 0.25) / 2) - null)


def test_rms_gap_without_twins_without_a_group_and_without_items():
    stream = np.random.default_rng(3)
    groups = stream.choice(["male", "female", "unclear"], 300)
    gap = statistics.rms_gap(stream.random(300) < 0.5, groups, ["a"] * 200 + ["b"] * 100, range(300), "male", "female")
    assert not len(gap["low"])
    assert abs(gap["debiased"]) < 0.15
    assert np.isnan(statistics.rms_gap([1, 0], ["male"] * 2, ["a", "b"], [0, 1], "male", "female")["debiased"])
    assert np.isnan(statistics.rms_gap([], [], [], [], "male", "female")["debiased"])


def test_exact_tests_against_scipy():
    first, second = np.array([1] * 12 + [0] * 8, bool), np.array([1] * 5 + [0] * 14 + [1], bool)
    mcnemar = statistics.mcnemar_exact(first, second)
    assert mcnemar["p"] == pytest.approx(stats.binomtest(7, 8, 0.5).pvalue)
    assert mcnemar["estimate"] == pytest.approx(0.3) and mcnemar["n"] == 20
    assert statistics.mcnemar_exact(first, first)["p"] == 1
    assert np.isnan(statistics.mcnemar_exact([], [])["p"])
    share, reference = statistics.binomial_share(11, 48, 1 / 8), stats.binomtest(11, 48, 1 / 8)
    assert share["p"] == pytest.approx(reference.pvalue)
    assert (share["ci_low"], share["ci_high"]) == pytest.approx(tuple(reference.proportion_ci(method="exact")))
    assert np.isnan(statistics.binomial_share(0, 0, 0.5)["p"])


def grid(seeds, stream, seed_sd=0.03, pool_sd=0.03):
    """Runs of a complete grid: two biases × three cells each."""
    rows = []
    for seed in range(seeds):
        of_seed = stream.normal(0, seed_sd)
        for bias in ("neutral", "x"):
            shift = 0.6 + of_seed + stream.normal(0, pool_sd)
            rows += [
                {"seed": seed, "bias": bias, "cell": (bias, gamma), "value": shift + stream.normal(0, 0.02)}
                for gamma in (0.1, 0.2, 0.5)
            ]
    return pd.DataFrame(rows)


def test_mixed_model_estimates_the_paired_contrast_and_knows_when_it_cannot():
    runs = grid(6, np.random.default_rng(4))
    table = runs.pivot(index="seed", columns="cell", values="value")
    contrast = statistics.cell_contrast(statistics.mixed_model(runs), {("x", 0.5): 1.0, ("neutral", 0.5): -1.0})
    assert contrast["estimate"] == pytest.approx((table["x", 0.5] - table["neutral", 0.5]).mean(), abs=1e-6)
    assert contrast["ci_low"] < contrast["estimate"] < contrast["ci_high"]
    assert statistics.mixed_model(runs[runs["seed"] == 0]) is None
    assert statistics.mixed_model(runs.assign(value=0.5)) is None
    assert statistics.mixed_model(runs[runs["cell"].map(lambda cell: cell[1] == 0.5)]) is None
    assert statistics.cell_contrast(None, {}) is None


@pytest.mark.parametrize("seeds", [4, 12])
def test_the_mixed_model_is_restricted_maximum_likelihood_with_a_fixed_effect_per_cell(seeds):
    runs, weights = grid(seeds, np.random.default_rng(4)), {("x", 0.5): 1.0, ("neutral", 0.1): -0.4}
    plain = mixedlm(
        "value ~ 0 + C(cell)",
        runs.assign(cell=runs["cell"].astype(str)),
        groups="seed",
        re_formula="1",
        vc_formula={"pool": "0 + C(bias)"},
    ).fit()
    names = [f"C(cell)[{cell}]" for cell in weights]
    error = np.sqrt((w := np.array([*weights.values()])) @ plain.cov_params().loc[names, names] @ w)
    fitted = statistics.cell_contrast(statistics.mixed_model(runs), weights)
    assert fitted["estimate"] == pytest.approx(w @ plain.fe_params[names])
    assert fitted["ci_high"] - fitted["estimate"] == pytest.approx(1.96 * error, rel=1e-3)
    assert fitted["p"] == pytest.approx(2 * stats.norm.sf(abs(fitted["estimate"]) / error), rel=1e-2)


@pytest.mark.parametrize("components", [(0.0, 0.03), (0.03, 0.0), (0.0, 0.0), (0.03, 0.03)])
def test_no_other_variance_components_are_more_likely(components):
    """Also where a component is zero, where the likelihood has more than one maximum."""
    same_pool, scale = np.kron(np.eye(2), np.ones((3, 3))), np.array([0.0, *np.geomspace(1e-5, 4e-3, 12)])
    others = [a + b * same_pool + c * np.eye(6) for a in scale for b in scale for c in scale[1:]]
    for number in range(8):
        runs = grid(4, np.random.default_rng(number), *components)
        table = runs.pivot(index="seed", columns="cell", values="value").to_numpy()
        products = (table - table.mean(0)).T @ (table - table.mean(0))
        covariances = np.array([4 * statistics.mixed_model(runs)["covariance"], *others])
        traces = np.trace(np.linalg.solve(covariances, products), axis1=1, axis2=2)
        likelihoods = -(3 * np.linalg.slogdet(covariances)[1] + traces) / 2
        assert likelihoods[0] == likelihoods.max()


def test_the_mixed_model_leaves_out_cells_that_a_seed_lacks():
    runs = grid(6, np.random.default_rng(4))
    lacks = (runs["seed"] == 2) & runs["cell"].map(lambda cell: cell == ("x", 0.2))
    model = statistics.mixed_model(runs[~lacks])
    assert set(model["means"]) == set(runs["cell"]) - {("x", 0.2)}
    assert statistics.cell_contrast(model, {("x", 0.2): 1.0, ("x", 0.5): -1.0}) is None


def test_gee_needs_twenty_seeds():
    stream = np.random.default_rng(5)
    rows = [
        {"seed": seed, "cell": cell, "correct": stream.random() < share}
        for seed in range(20)
        for cell, share in (("a", 0.8), ("b", 0.4))
        for _ in range(40)
    ]
    items = pd.DataFrame(rows)
    contrast = statistics.cell_contrast(statistics.gee(items), {"a": 1.0, "b": -1.0})
    mean = items.groupby("cell")["correct"].mean()
    assert contrast["estimate"] == pytest.approx(mean["a"] - mean["b"])
    # the robust error is that of the seeds' differences, over n instead of n - 1
    per_seed = items.groupby(["seed", "cell"])["correct"].mean().unstack()
    error = (per_seed["a"] - per_seed["b"]).std(ddof=0) / np.sqrt(20)
    assert contrast["ci_high"] - contrast["estimate"] == pytest.approx(1.96 * error, rel=1e-3)
    assert statistics.gee(items[items["seed"] < 19]) is None
    assert statistics.gee(items.assign(correct=True)) is None


def test_rank_permutation_is_spearmans_rho_per_seed_and_all_orders_by_hand():
    first = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 2.0, 5.0]])
    second = np.array([[1.0, 3.0, 2.0, 4.0], [10.0, 30.0, 20.0, 20.0]])
    rank_test = statistics.rank_permutation(first, second)
    rho = [stats.spearmanr(*pair).statistic for pair in zip(first, second, strict=True)]
    assert rank_test["values"] == pytest.approx(rho)
    orders = list(itertools.permutations(range(4)))
    means = [np.mean([stats.spearmanr(a, b[list(order)]).statistic for a, b in zip(first, second, strict=True)]) for order in orders]  # fmt: skip
    assert rank_test["p"] == pytest.approx(2 * np.mean(np.array(means) >= np.mean(rho) - 1e-9))
    assert rank_test["smallest"] == 2 / 24
    assert statistics.rank_permutation(first, -first)["p"] == 2 / 24  # the reverse order is as rare
    assert statistics.rank_permutation(first, second[:, [0, 1, 1, 0]])["p"] <= 1
    assert rank_test["sampled"] == 0


def test_rank_permutation_of_many_things_samples_their_orders():
    """Ten bias types have 3.6 million orders; the sampled p is the exact test's to within its error."""
    stream = np.random.default_rng(6)
    first = np.arange(9.0) + stream.normal(0, 2, (3, 9))
    second = np.arange(9.0) + stream.normal(0, 6, (3, 9))
    rank_test = statistics.rank_permutation(first, second)
    assert rank_test["sampled"] == statistics.SAMPLED and rank_test["smallest"] == 2 / (statistics.SAMPLED + 1)
    reference = stats.permutation_test(
        (np.arange(9),),
        lambda order: np.mean([stats.spearmanr(a, b[order]).statistic for a, b in zip(first, second, strict=True)]),
        permutation_type="pairings", vectorized=False, n_resamples=2000, rng=1,
    )  # fmt: skip
    assert rank_test["p"] == pytest.approx(reference.pvalue, abs=0.03)
    assert statistics.rank_permutation(first, second) | {"values": None} == rank_test | {"values": None}  # seeded
    ten = np.arange(10.0)[None].repeat(3, axis=0)
    assert statistics.rank_permutation(ten, ten)["p"] == 2 / (statistics.SAMPLED + 1)
