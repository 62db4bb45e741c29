"""The inheritance coefficient: associations by hand, pairs, the slope, and its interval over test clusters."""

import numpy as np
import pytest
from bias_inheritance import inheritance

LABELS = ["nurse", "painter", "architect"]


def test_association_by_hand():
    labels = ["nurse", "nurse", "painter", "nurse", "painter", "painter"]
    groups = ["female", "female", "female", "male", "male", None]
    x, unclear = inheritance.association(labels, groups, LABELS, "male", ["female"])
    male, female = np.array([1.5, 1.5, 0.5]) / 3.5, np.array([2.5, 1.5, 0.5]) / 4.5
    assert x == pytest.approx(np.log(male / female)[:, None])
    assert unclear == pytest.approx(1 / 6)


def test_association_of_a_balanced_mix_is_zero_for_every_group():
    labels, groups = np.repeat(LABELS, 6), np.tile(["a", "a", "b", "b", "c", "c"], 3)
    x, unclear = inheritance.association(labels, groups, LABELS, "a", ["b", "c"])
    assert x.shape == (3, 2) and np.abs(x).max() < 1e-12 and unclear == 0


def items(twins=True):
    """Two clusters of "nurse" and one of "painter", each with a man's and a woman's item."""
    labels = ["nurse", "nurse", "nurse", "nurse", "painter", "painter"]
    groups = ["male", "female"] * 3
    clusters = ["a", "a", "b", "b", "c", "c"] if twins else list("abcdef")
    return labels, groups, clusters


def test_each_true_label_weighs_the_same_however_many_pairs_it_has():
    labels, groups, clusters = items()
    change = np.zeros((6, 3))
    change[[0, 2], 0] = 1.0, 3.0  # nurse on the two men whose true label is nurse
    weights, pairs = inheritance.pairing(labels, groups, clusters, LABELS, "male", ["female"])
    assert pairs.tolist() == [[2, 1, 0]]
    y = inheritance.model_association(change, weights, pairs)
    assert y[:, 0].tolist() == pytest.approx([(2.0 + 0.0) / 2, 0, 0])
    # with more axes in front, and without twins, where strata of one label take the pairs' place
    apart, pairs = inheritance.pairing(*items(twins=False), LABELS, "male", ["female"])
    both = inheritance.model_association(np.stack([change, 2 * change]), apart, pairs)
    assert both.shape == (2, 3, 1) and both[1] == pytest.approx(2 * y) and pairs.tolist() == [[2, 1, 0]]


def test_items_without_a_twin_do_not_count_where_others_have_one():
    labels, groups, clusters = items()
    change = np.zeros((7, 3))
    change[6] = 100.0
    weights, pairs = inheritance.pairing(
        [*labels, "nurse"], [*groups, "male"], [*clusters, "z"], LABELS, "male", ["female"]
    )
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
    weights, pairs = inheritance.pairing(*items(), LABELS, "male", ["female"])
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
    weights, pairs = inheritance.pairing(labels, groups, clusters, LABELS, "male", ["female"])
    x = np.array([[-1.0], [0.2], [0.8]])
    for number in range(300):
        change = stream.normal(0, 0.5, (72, 3)) + np.where(groups == "male", 0.3, 0)[:, None] * x[:, 0]
        low, high = inheritance.interval(x, change, weights, pairs, clusters, labels, 300, number)
        covered.append(low <= 0.3 <= high)
    assert 0.91 <= np.mean(covered) <= 0.98


def test_one_cluster_per_label_has_no_interval():
    labels, groups, clusters = ["nurse", "nurse", "painter", "painter"], ["male", "female"] * 2, ["a", "a", "b", "b"]
    weights, pairs = inheritance.pairing(labels, groups, clusters, LABELS, "male", ["female"])
    change = np.arange(12.0).reshape(4, 3)
    ends = inheritance.interval(np.array([[1.0], [0], [-1]]), change, weights, pairs, clusters, labels, 50, 1)
    assert np.isnan(ends).all()
