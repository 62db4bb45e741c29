"""Simulated studies that are tested look by look: do they err no more often than one test of all seeds?"""

import gc

import numpy as np
import pytest
from bias_inheritance.claims import contrasts, looks, testing, verdicts
from bias_inheritance.stats import sequential, statistics
from bias_inheritance.study import declarations
from null.simulated import BASELINE, BIAS, DECLARED, ORIGINAL, accuracies, predictions

STUDIES, MARGIN = 10_000, 0.10
SEEDS = [3, 5, 8, 12]
CELLS = [ORIGINAL, (BIAS, 0.5, "none", 1), (BASELINE, 0.5, "none", 1)]
SLANT = declarations.defaults({"biases": [BIAS], "effect": "slant", "gamma": [0.5, 0.5]})


def per_seed(stream, studies, gap=0.0):
    """The slant effect on each group and on the gap, by the weights that `claims` uses: [12 seeds × studies] each."""
    weights = contrasts.cell_weights(SLANT, set(CELLS), DECLARED["comparisons"])
    vector = np.array([weights.get(cell, 0.0) for cell in CELLS])
    chunks = [accuracies(predictions(stream, studies // 10, SEEDS[-1], gap=gap, cells=CELLS)) for _ in range(10)]
    return {group: np.concatenate([chunk[group] @ vector for chunk in chunks]).T for group in chunks[0]}


@pytest.fixture(scope="module")
def null():
    return per_seed(np.random.default_rng(11), STUDIES)["male-female"]


def ever(p_at, spending, sides):
    """In which studies p, a function of the values so far, falls below its boundary at some look."""
    alpha = statistics.ALPHA
    return np.any(
        [p_at(seeds) < sequential.level(alpha, look, SEEDS, spending, sides) for look, seeds in enumerate(SEEDS, 1)],
        axis=0,
    )


@pytest.mark.parametrize("spending", sequential.SPENDING)
def test_the_error_rate_over_all_looks(null, spending):
    rate = np.mean(ever(lambda seeds: statistics.seed_test(null[:seeds])["p"], spending, 2))
    print(f"{spending}: {rate:.4f}")
    assert 0.04 <= rate <= 0.06


def test_peeking_at_the_same_seeds_without_a_plan_errs_far_more_often(null):
    p = [statistics.seed_test(null[:seeds])["p"] for seeds in SEEDS]
    rate = np.mean(np.min(p, axis=0) < statistics.ALPHA)
    print(f"unplanned: {rate:.4f}")
    assert rate > 0.09


@pytest.mark.parametrize("spending", sequential.SPENDING)
def test_tost_at_the_margin_says_equivalent_in_at_most_six_percent_over_all_looks(spending):
    stream = np.random.default_rng(12)
    values = per_seed(stream, STUDIES, gap=MARGIN)["male-female"]
    values = values - values.mean() + MARGIN
    quiet = stream.normal(
        MARGIN, MARGIN / 10, values.shape
    )  # the other end of the margin is far away: all of α is used
    rates = [np.mean(ever(lambda seeds, x=x: statistics.tost(x[:seeds], MARGIN), spending, 1)) for x in (values, quiet)]
    print(f"{spending}: {rates}")
    assert rates[0] <= 0.06
    assert 0.04 <= rates[1] <= 0.06


@pytest.mark.parametrize("spending", sequential.SPENDING)
def test_intervals_of_all_looks_hold_together(null, spending):
    inside = []
    for look, seeds in enumerate(SEEDS, 1):
        result = statistics.seed_test(null[:seeds], sequential.level(statistics.ALPHA, look, SEEDS, spending))
        inside.append((result["ci_low"] <= 0) & (result["ci_high"] >= 0))
    assert 0.94 <= np.mean(np.all(inside, axis=0)) <= 0.96


def decided_at(tables, spending, margin):
    """(verdicts [studies × 3], looks [studies × 3]) of three contrasts of one family, look by look as in a study: corrected
    by Holm, decided ones carried over, open ones tested again."""
    studies = tables["male"].shape[1]
    design = {"seeds": SEEDS, "spending": spending}
    results = [
        {
            group: (statistics.seed_test(values[:seeds]), statistics.tost(values[:seeds], margin))
            for group, values in tables.items()
        }
        for seeds in SEEDS
    ]
    outcomes, at = [], []
    gc.freeze()  # statsmodels collects garbage in each correction: let it not walk all libraries every time
    for study in range(studies):
        rows = []
        for look in range(1, len(SEEDS) + 1):
            declared = DECLARED | {"looks": design | {"look": look}}
            tests = []
            for group in ("male", "female", "male-female"):
                spec = {"direction": "different", "margin": margin}
                data = {"incomplete": 0, "reach": (-2.0, 2.0)}
                test = {"claim": "C1", "contrast": group, "labels": [group], "family": "C1", "lacks": None}
                tests.append(test | {"spec": spec, "data": data})
            looks.carry_over(tests, {"rows": rows} if rows else None)
            for test in tests:
                if "closed" not in test:
                    result, tost = results[look - 1][test["contrast"]]
                    measured = {key: float(value[study]) for key, value in result.items() if key != "n"}
                    test |= measured | {"n": result["n"], "p_tost": float(tost[study])}
            testing.adjust(tests, declared)
            for test in tests:
                if "closed" not in test:
                    test |= looks.at_look(test, verdicts.verdict_of(test, declared), declared)
            keep = ("claim", "contrast", "verdict", "p", "p_overall", "tost_overall", "look")
            rows = [{key: test[key] for key in keep} for test in tests]
        outcomes.append([row["verdict"] for row in rows])
        at.append([row["look"] for row in rows])
    gc.unfreeze()
    return np.array(outcomes), np.array(at)


def test_a_family_keeps_its_error_rate_over_looks_and_holms_correction():
    tables = per_seed(np.random.default_rng(13), 1000)
    outcomes, at = decided_at(tables, "pocock", margin=0.005)
    wrong = np.isin(outcomes, ["supported", "contradicted"]).any(1)
    print(f"a wrong row in {wrong.mean():.3f} of the studies")
    assert wrong.mean() <= 0.065
    assert np.isnan(at[outcomes == "inconclusive"]).all() and not np.isnan(at[outcomes != "inconclusive"]).any()


def test_a_large_effect_is_decided_early_and_stays_as_it_was_decided():
    tables = per_seed(np.random.default_rng(14), 100, gap=0.5)
    outcomes, at = decided_at(tables, "pocock", margin=0.005)
    assert (outcomes == "supported").mean() > 0.95
    assert np.nanmean(at) < 2.5
