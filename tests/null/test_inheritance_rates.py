"""β on 10,000 simulated studies through the functions that a study runs through: are its error rate and coverage kept?"""

import numpy as np
import pytest
from bias_inheritance.stats import inheritance, statistics
from null.simulated import inheritances

STUDIES, CHUNK = 10_000, 500


def betas(stream, seeds, beta):
    """β per seed [seeds × studies]."""
    chunks = []
    for _ in range(STUDIES // CHUNK):
        chunks.append(inheritance.slope(*inheritances(stream, CHUNK, seeds, beta))[0])
    return np.concatenate(chunks).T


@pytest.fixture(scope="module")
def null():
    return betas(np.random.default_rng(1), 6, 0.0)


@pytest.fixture(scope="module")
def known():
    return betas(np.random.default_rng(2), 6, 0.2)


@pytest.mark.parametrize("seeds", [3, 4, 5, 6])
def test_no_inheritance_is_found_in_five_percent(null, seeds):
    result = statistics.seed_test(null[:seeds])
    assert 0.04 <= np.mean(result["p"] < 0.05) <= 0.06
    assert 0.94 <= np.mean((result["ci_low"] <= 0) & (result["ci_high"] >= 0)) <= 0.96


@pytest.mark.parametrize("seeds", [3, 4, 5, 6])
def test_intervals_cover_a_known_coefficient(known, seeds):
    result = statistics.seed_test(known[:seeds])
    assert abs(result["estimate"].mean() - 0.2) < 0.003  # unbiased, though pools and their Δx are drawn anew
    assert 0.94 <= np.mean((result["ci_low"] <= 0.2) & (result["ci_high"] >= 0.2)) <= 0.96


def test_a_projection_on_another_pools_association_keeps_its_error_rate(null):
    """A pool whose own Δx is 0 by design, on the axis of another one that was drawn for the same seeds."""
    stream = np.random.default_rng(3)
    values = []
    for _ in range(4):
        axis, _ = inheritances(stream, CHUNK, 4, 0.0)
        _, change = inheritances(stream, CHUNK, 4, 0.0)
        values.append(inheritance.slope(axis, change)[0])
    result = statistics.seed_test(np.concatenate(values).T)
    assert 0.035 <= np.mean(result["p"] < 0.05) <= 0.065  # 2,000 studies
