"""The default study without any effect, as a whole: how often does one hold any decided row, by its families and over the study?

Families are corrected each by itself, so that a study of many families holds a false row more often than in 5%; p_study
says how far the study as a whole bears a row. The planned tests, their weights and corrections are those of a real study;
only the scores are drawn for many studies at once.
"""

import gc
from itertools import product

import numpy as np
import pandas as pd
import pytest
from bias_inheritance.claims import contrasts, frames, testing
from bias_inheritance.stats import inheritance, statistics
from bias_inheritance.study import catalog, grid
from null.simulated import manipulation, row
from simulated_study import configuration

CONFIG = configuration()
SEEDS = len(CONFIG["grid"]["seed"])
CELLS = list(
    dict.fromkeys(
        (cell["bias"], float(cell["gamma"]), cell["mitigation"], cell["round"])
        for cell in grid.cells(CONFIG)
        if cell["bias"] != "untuned"
    )
)
MEASURED = inheritance.directions({name: catalog.load("bias", name) for name in CONFIG["grid"]["bias"]})
GROUPS = ("male", "female", "male-female", "all")
STUDIES = 1_000


def null_scores(stream):
    """{(task, metric, group): [studies × seeds × cells]} in which no pool does anything, as a study's seeds share it.

    A cell's accuracy and label probability follow one latent skill per group, β and its projection share the error of the
    baseline's model, and of each pool's own.
    """
    shape = (STUDIES, SEEDS, len(CELLS), 2)
    skill = 0.65 + stream.normal(0, 0.03, shape[:2])[..., None, None] + stream.normal(0, 0.05, shape)
    scores = {}
    for metric, sides in (
        ("accuracy", stream.binomial(84, np.clip(skill, 0, 1)) / 84),
        ("label_probability", skill + stream.normal(0, 0.01, shape)),
    ):
        male, female = sides[..., 0], sides[..., 1]
        for group, values in zip(GROUPS, (male, female, male - female, (male + female) / 2), strict=True):
            scores["occupation-classification", metric, group] = values
    beta = stream.normal(0, 0.04, (STUDIES, SEEDS, 1)) + stream.normal(0, 0.04, shape[:3])
    scores["stereotype-congruence", "congruence", "all"] = stream.normal(0, 0.03, shape[:3])
    scores["inheritance", "beta", "all"] = scores["inheritance", "projection", "all"] = beta
    return scores


def has_row(cell, task, metric):
    """Whether a study has such scores of a cell; a pool that is its own axis has its β for a projection too."""
    if task != "inheritance":
        return True
    kinds = [kind for kind, _ in MEASURED.get(cell[0], [])]
    return cell[0] != grid.real_text(CONFIG) and (metric in kinds or (metric, kinds) == ("projection", ["beta"]))


@pytest.fixture(scope="module")
def p_values():
    """(p within families, p over the study) [studies × tests] of the tests of the default study."""
    scores, claims = null_scores(np.random.default_rng(1)), grid.declared(CONFIG)
    table = pd.DataFrame(
        row(cell, seed, group, values[0, seed - 1, number], task=task, metric=metric)
        for (task, metric, group), values in scores.items()
        for (number, cell), seed in product(enumerate(CELLS), range(1, SEEDS + 1))
        if has_row(cell, task, metric)
    )
    studies = testing.studies_of(claims, frames.checked(table, "scores.csv"), manipulation(*claims["types"]))
    planned = testing.plan(claims, studies[0], studies)
    for test in planned:
        test |= testing.measure(test, claims)
    tests = [test for test in planned if not test["lacks"]]
    results = []
    for test in tests:
        rows, _ = contrasts.outcome_runs(test["spec"], claims, studies[0])
        parts = rows[["task", "metric", "group", "weight"]].drop_duplicates()
        values = sum(
            part.weight * weight * scores[part.task, part.metric, part.group][..., CELLS.index(cell)]
            for part in parts.itertuples()
            for cell, weight in test["data"]["weights"].items()
        )
        assert statistics.seed_test(values[0])["p"] == pytest.approx(test["p"])  # the very numbers of the table's route
        results.append(statistics.seed_test(values.T))
    within, over = [], []
    gc.freeze()
    for number in range(STUDIES):
        for test, result in zip(tests, results, strict=True):
            test["p"], test["sd"] = float(result["p"][number]), float(result["sd"][number])
        testing.adjust(tests, claims)
        within.append([test["p_adjusted"] for test in tests])
        over.append([test["p_study"] for test in tests])
    gc.unfreeze()
    families = {test["family"] for test in tests}
    print(f"{len(tests)} tests in {len(families)} families")
    return np.array(within), np.array(over), tests


def test_corrected_within_families_alone_one_null_study_in_three_holds_a_decided_row(p_values):
    within, over, tests = p_values
    print(f"a decided row by its family: {np.mean((within < 0.05).any(1)):.3f}; over the study: {np.mean((over < 0.05).any(1)):.3f}")  # fmt: skip
    assert 0.29 <= np.mean((within < 0.05).any(1)) <= 0.39
    for family in {test["family"] for test in tests}:
        members = [number for number, test in enumerate(tests) if test["family"] == family]
        assert np.mean((within[:, members] < 0.05).any(1)) <= 0.07


def test_p_over_the_study_keeps_the_error_rate_of_the_study(p_values):
    _, over, _ = p_values
    assert np.mean((over < 0.05).any(1)) <= 0.065
