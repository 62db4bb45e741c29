"""10,000 simulated studies through the functions that decide verdicts: are the promised error rates kept?"""

import gc

import numpy as np
import pytest
from bias_inheritance.claims import contrasts, testing, verdicts
from bias_inheritance.stats import statistics
from bias_inheritance.study import declarations
from bias_inheritance.tasks import metrics
from null.simulated import BASELINE, BIAS, CELLS, DECLARED, accuracies, predictions

STUDIES = 10_000
MARGIN = 0.10

# What is tested of a study, by the cells' weights that claims.yaml would give it.
BASE = declarations.defaults({"biases": [BIAS], "effect": "slant"})
LEVEL = BASE | {"effect": "level"}
CONTRASTS = {
    "slant effect at gamma 0.50": ("male-female", BASE | {"gamma": [0.5, 0.5]}, None),
    "slant effect, slope over gamma": ("male-female", BASE | {"over": "gamma", "at": 0.5}, None),
    "augmentation effect, slope over gamma": (
        "female",
        BASE | {"effect": "augmentation", "over": "gamma", "at": 0.5},
        None,
    ),
    "mitigation": ("male-female", LEVEL | {"mitigation": "loss"}, LEVEL),
}


def weights_of(spec):
    return contrasts.cell_weights(spec, set(CELLS), DECLARED["comparisons"])


@pytest.fixture(scope="module")
def null():
    """Accuracies of studies without any effect, five seeds each; tests with three seeds take the first three."""
    stream = np.random.default_rng(1)
    return joined(predictions(stream, STUDIES // 10, 5) for _ in range(10))


def joined(chunks):
    parts = [accuracies(chunk) for chunk in chunks]
    return {group: np.concatenate([part[group] for part in parts]) for group in parts[0]}


def per_seed(table, name):
    """Per-seed contrasts [seeds × studies] by the very weights that `claims` uses."""
    group, spec, minus = CONTRASTS[name]
    weights = weights_of(spec)
    if minus:
        for cell, weight in weights_of(minus).items():
            contrasts.add(weights, cell, -weight)
    return (table[group] @ np.array([weights.get(cell, 0.0) for cell in CELLS])).T


def rate(condition):
    return np.mean(condition)


@pytest.mark.parametrize("seeds", [3, 5])
@pytest.mark.parametrize("name", CONTRASTS)
def test_seed_t_keeps_its_error_rate_and_coverage(null, name, seeds):
    result = statistics.seed_test(per_seed({group: table[:, :seeds] for group, table in null.items()}, name))
    assert 0.04 <= rate(result["p"] < 0.05) <= 0.06
    assert 0.94 <= rate((result["ci_low"] <= 0) & (result["ci_high"] >= 0)) <= 0.96


@pytest.mark.parametrize("over", declarations.ROUNDS_NEEDED)
def test_contrasts_over_rounds_keep_their_error_rate_although_errors_build_up(over):
    stream = np.random.default_rng(2)
    drift = stream.normal(0, 0.03, (STUDIES, 3, 4)).cumsum(-1)  # each round writes the next one's pool
    noise = stream.binomial(72, 0.6, (STUDIES, 3, 4)) / 72
    spec = declarations.defaults({"biases": ["neutral"], "effect": "augmentation", "over": over})
    rounds = [("neutral", 0.5, "none", number) for number in (1, 2, 3, 4)]
    weights = contrasts.cell_weights(spec, {*rounds, ("original", 0.0, "none", 1)}, DECLARED["comparisons"])
    assert abs(weights.pop(("original", 0.0, "none", 1))) < 1e-12  # one node for all rounds moves no change
    result = statistics.seed_test(((drift + noise) @ np.array([weights[cell] for cell in rounds])).T)
    assert 0.04 <= rate(result["p"] < 0.05) <= 0.06


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_a_real_effect(seeds):
    stream = np.random.default_rng(3)
    gap = 0.12
    table = joined(predictions(stream, STUDIES // 10, seeds, gap=gap) for _ in range(10))
    for name in ("slant effect at gamma 0.50", "slant effect, slope over gamma"):
        result = statistics.seed_test(per_seed(table, name))
        # probabilities above 1 and below 0 are rare but real: the effect is measured against its mean over all studies
        assert abs(result["estimate"].mean() - gap) < 0.004
        truth = result["estimate"].mean()
        assert 0.94 <= rate((result["ci_low"] <= truth) & (truth <= result["ci_high"])) <= 0.96


def test_pooling_items_over_seeds_would_not_keep_it(null):
    """Why the seed is the unit: a z test over items × seeds finds effects that are not there."""
    male, female = (
        null[group][..., [CELLS.index((BIAS, 0.5, "none", 1)), CELLS.index((BASELINE, 0.5, "none", 1))]].mean(1)
        for group in ("male", "female")
    )
    gap = (male[:, 0] - female[:, 0]) - (male[:, 1] - female[:, 1])
    error = np.sqrt(
        sum(share * (1 - share) / (36 * 5) for share in (male[:, 0], male[:, 1], female[:, 0], female[:, 1]))
    )
    assert rate(np.abs(gap) > 1.96 * error) > 0.09


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_tost_at_the_margin_says_equivalent_too_often_in_at_most_six_percent(seeds):
    stream = np.random.default_rng(4)
    table = joined(predictions(stream, STUDIES // 20, seeds, gap=MARGIN, cells=CELLS) for _ in range(10))
    values = per_seed(table, "slant effect at gamma 0.50")
    values = values - values.mean() + MARGIN  # exactly at the margin, whatever clipping took
    assert rate(statistics.tost(values, MARGIN) < 0.05) <= 0.06
    # with little noise the other end of the margin is far away and the whole 5% are used up
    quiet = stream.normal(MARGIN, MARGIN / 10, (seeds, STUDIES))
    assert 0.04 <= rate(statistics.tost(quiet, MARGIN) < 0.05) <= 0.06


def verdicts_of(tables, margin):
    """C1's three rows and its whole, for every study at once, through the functions that `verdicts.evaluate` calls."""
    parts = [("male", "greater"), ("female", "less"), ("male-female", "greater")]
    weights = weights_of(BASE | {"over": "gamma", "at": 0.5})
    vector = np.array([weights.get(cell, 0.0) for cell in CELLS])
    results = []
    for group, direction in parts:
        values = (tables[group] @ vector).T
        results.append((direction, statistics.seed_test(values), statistics.tost(values, margin)))
    outcomes = []
    gc.freeze()  # statsmodels collects garbage in each correction: let it not walk all libraries 10,000 times
    for study in range(len(tables["male"])):
        tests = []
        for direction, result, tost in results:
            measured = {key: float(value[study]) for key, value in result.items() if key != "n"} | {
                "n": result["n"],
                "p_tost": float(tost[study]),
            }
            spec = {"direction": direction, "margin": margin, "part": True, "effect": "augmentation"}
            tests.append(
                measured
                | {
                    "claim": "C1",
                    "contrast": direction,
                    "family": "C1",
                    "lacks": None,
                    "spec": spec,
                    "data": {"incomplete": 0, "reach": (-2.0, 2.0)},
                }
            )
        testing.adjust(tests, DECLARED)
        for test in tests:
            test |= verdicts.verdict_of(test, DECLARED)
        whole = verdicts.compound("C1", {"label": ""}, tests)[0]
        outcomes.append([whole["verdict"], *[test["verdict"] for test in tests]])
    gc.unfreeze()
    return np.array(outcomes)


def test_verdicts_without_an_effect(null):
    """At most 5% (and noise) of studies get any wrong verdict in a family, and hardly any a wrong compound claim."""
    outcomes = verdicts_of({group: table[:, :3] for group, table in null.items()}, margin=0.02)
    wrong = np.isin(outcomes[:, 1:], ["supported", "contradicted"])
    assert rate(wrong.any(1)) <= 0.055
    assert rate(outcomes[:, 0] == "supported") <= 0.005
    assert rate(outcomes[:, 0] == "contradicted") <= 0.055


def test_verdicts_at_the_margin_and_with_a_large_effect():
    stream = np.random.default_rng(5)
    at_margin = verdicts_of(joined(predictions(stream, 500, 5, gap=MARGIN) for _ in range(4)), margin=MARGIN)
    assert rate(at_margin[:, 3] == "equivalent") <= 0.06
    large = verdicts_of(joined(predictions(stream, 500, 5, gap=0.5, skill=0.5) for _ in range(2)), margin=0.02)
    assert rate(large[:, 0] == "supported") > 0.7
    assert not np.isin(large, ["contradicted", "equivalent"]).any()


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("alpha", [0.05, 0.05 / 3])
def test_power_is_as_computed(seeds, alpha):
    stream = np.random.default_rng(6)
    sd = 0.07
    effect = statistics.minimal_effect(sd, seeds, alpha)
    result = statistics.seed_test(stream.normal(effect, sd, (seeds, STUDIES)), alpha)
    power = rate((result["p"] < alpha) & (result["estimate"] > 0))
    assert power == pytest.approx(0.80, abs=0.015)
    assert power == pytest.approx(statistics.power_of(effect, sd, seeds, alpha), abs=0.015)


def test_computed_power_of_equivalence_is_a_lower_bound():
    stream = np.random.default_rng(7)
    power = rate(statistics.tost(stream.normal(0, 0.02, (8, STUDIES)), 0.03) < 0.05)
    assert (
        statistics.equivalence_power(0.03, 0.02, 8) - 0.01
        <= power
        <= statistics.equivalence_power(0.03, 0.02, 8) + 0.05
    )


def test_exact_tests_keep_below_six_percent():
    stream = np.random.default_rng(8)
    discordant = stream.binomial(36, 0.3, STUDIES)
    first = stream.binomial(discordant, 0.5)
    seen = {}
    for wins, of in zip(first, discordant, strict=True):
        if (wins, of) not in seen:
            one = np.arange(36) < wins
            other = (np.arange(36) >= wins) & (np.arange(36) < of)
            seen[wins, of] = statistics.mcnemar_exact(one, other)["p"]
    assert rate(np.array([seen[pair] for pair in zip(first, discordant, strict=True)]) < 0.05) <= 0.06
    share = 1 / 8
    drawn = stream.binomial(48, share, STUDIES)
    tested = {count: statistics.binomial_share(int(count), 48, share) for count in np.unique(drawn)}
    assert rate(np.array([tested[count]["p"] for count in drawn]) < 0.05) <= 0.06
    assert rate(np.array([tested[count]["ci_low"] <= share <= tested[count]["ci_high"] for count in drawn])) >= 0.94


@pytest.mark.parametrize("types, reachable", [(4, False), (5, True), (6, True)])
def test_the_order_of_bias_types_is_no_evidence_where_distance_and_harm_are_unrelated(types, reachable):
    """A type's distance and harm are drawn once and shared by five seeds; a t test over these is sure of chance orders."""
    stream = np.random.default_rng(11)
    shape = (STUDIES // 5, 5, types)
    distance, harm = (
        stream.normal(0, 1, (shape[0], 1, types)) + stream.normal(0, 0.4, shape) for _ in ("distance", "harm")
    )
    permutation_tests = [statistics.rank_permutation(*pair) for pair in zip(distance, harm, strict=True)]
    rejected = rate(np.array([each["p"] for each in permutation_tests]) < 0.05)
    assert (0 < rejected <= 0.05 + 0.01) if reachable else rejected == 0
    over_seeds = statistics.seed_test(np.array([each["values"] for each in permutation_tests]).T)
    assert rate(over_seeds["p"] < 0.05) > 0.3


def test_bootstrap_within_a_run_covers():
    """It decides nothing; small strata and few clusters cost it a little."""
    stream = np.random.default_rng(9)
    studies, twins, labels = 800, 60, 6
    covered = {"accuracy": 0, "gap": 0}
    label = np.tile(np.repeat(np.arange(labels), twins // labels), 2)
    cluster = np.tile(np.arange(twins), 2)
    male = np.arange(2 * twins) < twins
    for number in range(studies):
        difficulty = stream.normal(0, 0.15, twins)
        correct = stream.random(2 * twins) < 0.6 + np.tile(difficulty, 2) + np.where(male, 0.05, -0.05)

        # as the tasks score it
        weights = metrics.resamples(cluster, label, 400, number)
        sides = [metrics.weighted_mean(correct, weights, side) for side in (male, ~male)]
        everyone = metrics.weighted_mean(correct, weights, np.ones(2 * twins, dtype=bool))
        for name, draws, truth in (("accuracy", everyone, 0.6), ("gap", sides[0] - sides[1], 0.1)):
            low, high = metrics.interval(draws)
            covered[name] += low <= truth <= high
    assert all(0.93 <= count / studies <= 0.97 for count in covered.values())


def test_random_answerer_shows_no_bias():
    """Neither in the signed gap nor in the RMS gap minus its permutation mean; the raw RMS gap would show one."""
    stream = np.random.default_rng(10)
    twins, labels = 36, 6
    groups, label = ["male", "female"] * twins, np.repeat(np.arange(twins) % labels, 2)
    gaps = []
    for number in range(600):
        correct = stream.integers(0, labels, 2 * twins) == label
        rms = statistics.rms_gap(
            correct, groups, label, np.repeat(np.arange(twins), 2), "male", "female", permutations=200, seed=number
        )
        by_label = [
            correct[0::2][label[0::2] == one].mean() - correct[1::2][label[1::2] == one].mean() for one in range(labels)
        ]
        raw = np.sqrt(np.mean(np.square(by_label)))
        gaps.append([raw, rms["debiased"], correct[0::2].mean() - correct[1::2].mean()])
    raw, debiased, signed = np.mean(gaps, axis=0)
    assert raw > 0.1
    assert abs(debiased) < 0.008
    assert abs(signed) < 0.01
