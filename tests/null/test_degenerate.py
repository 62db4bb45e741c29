"""Whole simulated studies through `verdicts.evaluate`: effects are recovered, and bad data never get a verdict they should not."""

import numpy as np
import pandas as pd
import pytest
from bias_inheritance.claims import contrasts, frames, testing, verdicts
from bias_inheritance.stats import statistics
from bias_inheritance.study import declarations
from null.simulated import (
    BASELINE,
    BIAS,
    CELLS,
    DECLARED,
    METRICS,
    ORIGINAL,
    accuracies,
    manipulation,
    no_predictions,
    predictions,
    row,
    scores,
)

PASSED = manipulation(BIAS)
DECIDED = {"supported", "contradicted", "equivalent"}


def evaluate(table, passed=PASSED, only=("C1", "C6")):
    declared = DECLARED | {"claims": {claim: DECLARED["claims"][claim] for claim in only}}
    return verdicts.evaluate(declared, frames.checked(table, "scores.csv"), passed, no_predictions)


def deciding(claims):
    """The deciding rows that the study could test, by contrast."""
    return claims[(claims["verdict"] != "beside") & (claims["test"] == testing.SEED_TEST)].set_index("contrast")


def study(seeds=3, gap=0.0, seed=0, skill=0.65):
    return scores(predictions(np.random.default_rng(seed), 1, seeds, gap=gap, skill=skill))


def replaced(table, condition, **values):
    """The table with other values in the rows that satisfy `condition` (True: in all)."""
    condition = pd.Series(condition, index=table.index)
    return table.assign(**{key: table[key].mask(condition, value) for key, value in values.items()})


def test_the_table_route_gives_the_numbers_of_the_simulations():
    """The 10,000 simulations give the same numbers as a study's tables."""
    correct = predictions(np.random.default_rng(3), 1, 5)
    gap_row = deciding(evaluate(scores(correct))).loc[f"accuracy gap male-female widens with gamma ({BIAS})"]
    spec = declarations.defaults({"biases": [BIAS], "effect": "augmentation", "over": "gamma", "at": 0.5})
    weights = contrasts.cell_weights(spec, set(CELLS), DECLARED["comparisons"])
    values = accuracies(correct)["male-female"][0] @ np.array([weights.get(cell, 0.0) for cell in CELLS])
    expected = statistics.seed_test(values)
    for key in ("estimate", "ci_low", "ci_high", "p"):
        assert gap_row[key] == pytest.approx(expected[key], rel=1e-9)


def test_known_effects_lie_inside_their_intervals():
    covered = []
    for seed in range(8):
        deciding_rows = deciding(evaluate(study(5, gap=0.2, seed=seed), only=["C1"]))
        gap = deciding_rows.loc[f"accuracy gap male-female widens with gamma ({BIAS})"]
        covered.append(gap["ci_low"] <= 0.2 <= gap["ci_high"])
        assert gap["verdict"] in ("supported", "inconclusive")
    assert np.mean(covered) >= 0.75


def test_the_planted_dial_is_recovered_in_order():
    stream = np.random.default_rng(4)
    rows = []
    for seed in range(5):
        for cell, gap in (
            (ORIGINAL, 0.0),
            *((("planted-" + name, 0.5, "none", 1), gap) for name, gap in (("000", 0.0), ("050", 0.2), ("100", 0.4))),
        ):
            male, female = stream.binomial(360, 0.6 + gap / 2) / 360, stream.binomial(360, 0.6 - gap / 2) / 360
            rows += [
                row(cell, seed, group, value, metric=metric)
                for group, value in (("male", male), ("female", female), ("male-female", male - female))
                for metric in METRICS
            ]
    claims = evaluate(pd.DataFrame(rows), only=["control-planted", "control-dial"])
    decided = claims[claims["verdict"] != "beside"]
    assert set(decided["verdict"]) == {"supported"}
    assert len(decided) == 5  # two parts, their whole, and the planted control on either outcome


def test_one_seed_is_inconclusive_and_says_so():
    deciding_rows = deciding(evaluate(study(1, gap=0.5)))
    tested = deciding_rows[deciding_rows["verdict"] != "not tested"]
    assert set(tested["verdict"]) == {"inconclusive"}
    assert tested["reason"].str.contains("One seed").all()
    assert tested["mde"].isna().all() and tested["p"].isna().all()


def test_two_seeds_give_numbers():
    deciding_rows = deciding(evaluate(study(2)))
    gap = deciding_rows.loc[f"accuracy gap male-female widens with gamma ({BIAS})"]
    assert 0 < gap["p"] < 1 and gap["ci_low"] < gap["estimate"] < gap["ci_high"]
    assert deciding_rows["ci_low"].min() >= -2 and deciding_rows["ci_high"].max() <= 2  # what a gap can change by


@pytest.mark.parametrize("value", [0.0, 1 / 6, 1.0])
def test_constant_metrics_give_no_verdict(value):
    """A model with constant answers has effects of exactly 0 in all seeds: no evidence of anything, including
    equivalence.
    """
    table = study(5)
    claims = evaluate(replaced(table, True, value=np.where(table["group"] == "male-female", 0.0, value)))
    assert not set(claims["verdict"]) & DECIDED
    assert deciding(claims)["reason"].str.contains("same value").any()


def test_the_same_effect_in_all_seeds_gives_no_verdict():
    """A step of one item in every seed is not a t of infinity."""
    table = study(3)
    step = np.where(table["bias"] == BIAS, 0.7, 0.6)
    assert not set(evaluate(replaced(table, True, value=step), only=["C1"])["verdict"]) & DECIDED


def test_a_missing_cell_costs_its_seed_and_is_told():
    table = study(4)
    gone = (table["seed"] == 2) & (table["bias"] == BIAS) & (table["gamma"] == 0.5) & (table["mitigation"] == "none")
    male_row = deciding(evaluate(table[~gone], only=["C1"])).loc[f"male accuracy rises with gamma ({BIAS})"]
    assert male_row["n_seeds"] == 3
    assert "1 excluded for a missing cell" in male_row["reason"]


def test_an_undefined_score_counts_as_missing():
    table = study(3)
    gone = (table["seed"] == 2) & (table["bias"] == BIAS) & (table["group"] == "male")
    deciding_rows = deciding(evaluate(replaced(table, gone, value=np.nan), only=["C1"]))
    assert deciding_rows.loc[f"male accuracy rises with gamma ({BIAS})", "n_seeds"] == 2
    assert deciding_rows.loc[f"female accuracy falls with gamma ({BIAS})", "n_seeds"] == 3


def test_no_baseline_leaves_the_slant_untested_and_the_augmentation_effect_tested():
    table = study(3)
    table = table[table["bias"] != BASELINE]
    tested = deciding(evaluate(table, only=["C1"]))
    slant = tested.loc[f"slant widens the accuracy gap male-female ({BIAS})"]
    assert slant["verdict"] == "not tested" and "no baseline that names groups in the same way" in slant["reason"]
    assert tested.loc[f"accuracy gap male-female widens with gamma ({BIAS})", "n_seeds"] == 3
    effects = frames.effects(table, DECLARED["comparisons"])
    assert set(effects["effect"]) == {"augmentation"}


@pytest.mark.parametrize("unparsed, verdict", [(36, "not tested"), (0, None)])
def test_unreadable_answers_give_no_verdict(unparsed, verdict):
    """A run whose answers cannot be read must not pass for a fair one."""
    table = study(3)
    condition = (table["bias"] == BIAS) & (table["seed"] == 1)
    deciding_rows = deciding(
        evaluate(replaced(table, condition, n_unparsed=table["n"] if unparsed else 0), only=["C1"])
    )
    row_ = deciding_rows.loc[f"male accuracy rises with gamma ({BIAS})"]
    assert (row_["verdict"] == "not tested") == (verdict == "not tested")
    if verdict:
        assert "unreadable" in row_["reason"]


def test_all_answers_unreadable_and_all_values_undefined():
    table = study(3)
    claims = evaluate(replaced(table, True, value=np.nan, n_unparsed=table["n"]))
    assert not set(claims["verdict"]) & (DECIDED | {"inconclusive"})


def test_an_uninformative_task_gives_no_verdict():
    stream = np.random.default_rng(5)
    rows = []
    for seed in range(4):
        for cell in CELLS:
            hiring = {"task": "hiring", "n": 48}
            share = stream.normal(0, 0.02) + (0.4 if cell[0] == BIAS else 0)
            rows.append(row(cell, seed, "male-female", share, metric="selected_share", **hiring))
            rows.append(row(cell, seed, "all", float(cell[0] == BIAS and seed == 3), metric="uninformative", **hiring))
    deciding_rows = deciding(evaluate(pd.DataFrame(rows), only=["C1"]))
    assert deciding_rows.loc[f"hiring gap male-female widens with gamma ({BIAS})", "verdict"] == "not tested"
    assert "Uninformative" in deciding_rows.loc[f"hiring gap male-female widens with gamma ({BIAS})", "reason"]
    assert "uninformative" not in set(frames.effects(pd.DataFrame(rows), DECLARED["comparisons"])["metric"])


@pytest.mark.parametrize("check, why", [(manipulation(BIAS, passed=False), "failed"), (manipulation(), "not checked")])
def test_a_bias_that_did_not_do_what_it_says_is_not_tested(check, why):
    deciding_rows = deciding(evaluate(study(5, gap=0.5), passed=check))
    assert set(deciding_rows["verdict"]) == {"not tested"}
    tested = deciding_rows[
        deciding_rows["metric"].str.startswith("accuracy")
        & ~deciding_rows.index.str.contains("identity|explicit types|beyond real text|token|mask|loss")
    ]
    assert (tested["reason"] == f"Manipulation {why} for {BIAS}.").all() and len(tested)


def test_a_study_of_the_untuned_model_alone():
    claims = evaluate(pd.DataFrame([row(("untuned", 0.0, "none", 0), 0, "male", 0.2)]))
    assert set(claims["verdict"]) == {"not tested"}


def test_unbalanced_groups_keep_their_error_rate():
    """Six times as many men as women: the gap is noisier, the test is not fooled."""
    stream = np.random.default_rng(6)
    shape = (5, 10_000)
    pools = stream.normal(0, 0.05, (4, *shape))
    male, other_male = (stream.binomial(180, np.clip(0.6 + pool, 0, 1)) / 180 for pool in pools[:2])
    female, other_female = (stream.binomial(30, np.clip(0.6 + pool, 0, 1)) / 30 for pool in pools[2:])
    result = statistics.seed_test((male - female) - (other_male - other_female))
    assert 0.04 <= np.mean(result["p"] < 0.05) <= 0.06
