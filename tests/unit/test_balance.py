"""Every prefix of a pool, and so every mix of a nested series, is balanced over all that its slots carry."""

import math
from fractions import Fraction

import pytest
from bias_inheritance.data import labelled, survey
from bias_inheritance.pools import balance, slots
from bias_inheritance.study import catalog

DOMAINS = {name: catalog.load("domain", name) for name in catalog.names("domain")}
# without probes, which have no label and no group (test_probes.py)
POOLS = [catalog.load("bias", name) for name in catalog.names("bias")]
GENERATED = [pool["name"] for pool in POOLS if pool["source"] == "generated" and pool["role"] != "probe"]
SEEDS = (1, 2, 3)


def tables(attributes, within_two=()):
    """(attributes within which, attribute, largest difference allowed) of every table that a prefix must keep.

    within_two: attributes that no order of the labels and groups lets be even within each group as well.
    """
    for name in attributes:
        yield (), name, 1
    yield ("label",), "group", 1
    for name in attributes[2:]:
        yield ("label", "group"), name, 1
        yield ("label",), name, 1
        yield ("group",), name, 2 if name in within_two else 1


def check(slots, values, within_two):
    """Assert the balance of every prefix; return how many prefixes were looked at."""
    for within, name, allowed in tables(list(values), within_two):
        classes = [tuple(slot[key] for key in within) for slot in slots]
        largest = balance.largest_difference(
            classes, [values[name].index(slot[name]) for slot in slots], len(values[name])
        )
        assert largest <= allowed, (within, name)
    return len(slots)


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("name", GENERATED)
def test_every_prefix_of_a_generated_pool_is_balanced_over_all_attributes(domain, name, record_property):
    bias, domain = catalog.load("bias", name), DOMAINS[domain]
    family = {"labelled": labelled, "survey": survey}[domain["family"]]
    values = family.attributes(bias, domain)
    sizes = [len(listed) for listed in values.values()]
    period = sizes[0] * sizes[1] * math.lcm(*sizes[2:], 1)
    looked_at = 0
    for seed in SEEDS:
        pool_slots = slots.slots(family, bias, domain, 2 * period + 5, ("slots", domain["name"], seed))
        carried = [
            {"label": slot["label"], "group": slot["requested_group"], **slot["attributes"]} for slot in pool_slots
        ]
        looked_at += check(carried, values, ["age"] if family is survey else [])
    record_property("prefixes", looked_at)
    print(f"{looked_at} prefixes")


@pytest.mark.parametrize(
    "sizes", [(2, 2, 2), (3, 3, 3), (28, 2, 4, 3), (50, 20, 3), (5, 4, 6), (7, 3, 5), (2, 5, 4), (1, 2, 2)]
)
def test_the_promise_holds_for_other_numbers_of_labels_and_groups(sizes):
    names = ["label", "group", "third", "fourth"][: len(sizes)]
    order = balance.even(sizes, 2 * sizes[0] * sizes[1] * math.lcm(*sizes[2:]), "any", 1)
    slots = [dict(zip(names, places, strict=True)) for places in order]
    for within, name, allowed in tables(names):
        if within in ((), ("label", "group")) or name == "group":
            classes = [tuple(slot[key] for key in within) for slot in slots]
            size = sizes[names.index(name)]
            assert balance.largest_difference(classes, [slot[name] for slot in slots], size) <= allowed


def test_an_order_follows_from_its_seed_and_place_and_not_from_how_many_are_asked_for():
    long = balance.even([6, 2, 3, 4], 400, "a", 1)
    assert all(balance.even([6, 2, 3, 4], count, "a", 1) == long[:count] for count in (0, 1, 17, 145))
    assert len({tuple(balance.even([6, 2, 3, 4], 48, "a", seed)) for seed in range(20)}) == 20


@pytest.mark.parametrize(
    "shares",
    [
        {"a": {"x": 5, "y": 1}, "b": {"x": 1, "y": 2}, "c": {"y": 3}},
        {"a": {"x": Fraction(3, 4), "y": Fraction(1, 4)}, "b": {"x": Fraction(1, 3), "y": Fraction(2, 3)}},
        {str(label): {"x": weight} for label, weight in enumerate([17, 3, 1, 9, 1, 0, 30])},
        {str(label): {"x": 1, "y": 1, "z": 1} for label in range(4)},
    ],
)
def test_every_prefix_lies_within_one_of_its_shares(shares):
    groups = sorted({group for given in shares.values() for group in given})
    even = [(sorted(shares)[label], groups[group]) for label, group in balance.even([len(shares), len(groups)], 300, 1)]
    counts, total = {}, sum(sum(given.values()) for given in shares.values())
    for place, pair in enumerate(balance.along(shares, even), start=1):
        counts[pair] = counts.get(pair, 0) + 1
        for label, given in shares.items():
            label_count = sum(counts.get((label, group), 0) for group in groups)
            assert abs(label_count - Fraction(place * sum(given.values())) / total) < 1
            for group in groups:
                share = Fraction(given.get(group, 0)) / (sum(given.values()) or 1)
                assert abs(counts.get((label, group), 0) - label_count * share) < 1


def test_even_shares_give_the_even_order_itself():
    even = balance.even([6, 2], 100, 3)
    assert balance.along({label: {0: 4, 1: 4} for label in range(6)}, even) == even


@pytest.mark.parametrize(("share", "off"), [(0, 0), (0.5, 1), (1, 0), (0.05, 2), (0.3, 2), (0.75, 2)])
@pytest.mark.parametrize("labels", [1, 4, 6, 10])
def test_a_share_is_chosen_of_all_and_of_each_kind_in_every_prefix(labels, share, off):
    """In an order as regular as that of slots, every second sample would cover only half of the labels."""
    kinds = [label for label, group in balance.even([labels, 2], 240, labels) if group]
    picks = balance.chosen(kinds, share)
    assert picks[:70] == balance.chosen(kinds[:70], share)
    for kind in (None, *range(labels)):
        picked = met = 0
        for sample_kind, pick in zip(kinds, picks, strict=True):
            if kind in (None, sample_kind):
                met, picked = met + 1, picked + pick
                assert abs(picked - share * met) <= off
