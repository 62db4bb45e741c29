"""Groups and contrasts as a domain's file declares them."""

import pytest
from bias_inheritance.data import contrasts
from bias_inheritance.study import catalog
from bias_inheritance.tasks import bbq, winobias

GROUPS = {"german": {}, "indian": {}, "nigerian": {}, "white-asian": {}}


def domain(reference, compared, groups=GROUPS):
    return {"groups": groups, "contrasts": {"reference": reference, "compared": compared}}


@pytest.mark.parametrize(
    ("reference", "compared", "pairs"),
    [
        ("german", "indian", [("german", "indian")]),
        ("german", ["nigerian", "indian"], [("german", "nigerian"), ("german", "indian")]),
        ("indian", "all", [("indian", "german"), ("indian", "nigerian"), ("indian", "white-asian")]),
        ("german", "rest", [("german", "rest")]),
        ("rest", ["german", "indian"], [("rest", "german"), ("rest", "indian")]),
    ],
)
def test_contrasts_follow_the_declaration(reference, compared, pairs):
    declared = domain(reference, compared)
    assert contrasts.contrasts(declared) == pairs
    assert list(contrasts.by_name(declared).values()) == pairs
    assert list(contrasts.faults(declared)) == []


def test_a_task_of_its_own_groups_needs_none_where_it_names_them():
    assert contrasts.contrasts({"contrasts": {"reference": "a", "compared": ["b"]}}) == [("a", "b")]


def test_rest_is_every_known_group_but_the_other():
    groups = ["german", None, "indian", "nigerian"]
    german, others = [True, False, False, False], [False, False, True, True]
    assert contrasts.sides(groups, domain("rest", "german")).tolist() == [[others, german]]
    assert contrasts.sides(groups, domain("german", "rest")).tolist() == [[german, others]]
    assert contrasts.sides(groups, domain("german", "all")).shape == (3, 2, 4)


@pytest.mark.parametrize(
    ("declared", "text"),
    [
        (domain("swede", "all"), "'swede' is not one of german"),
        (domain("german", ["swede"]), "'swede' is not one of german"),
        (domain("german", ["german"]), "'german' is the reference"),
        (domain("rest", "rest"), "'rest' is the reference"),
        (domain("a", "all", {"a": {}}), "there is 1; from 2 to 20"),
        (domain("g0", "all", {f"g{n}": {} for n in range(21)}), "there are 21"),
        (domain("a", "all", {"a": {}, "worst_group": {}}), "tables use 'worst_group'"),
        (domain("pro", "all", {"pro": {}, "con": {}}), "tables use 'pro'"),
        (domain("white", "asian", {"white": {}, "asian": {}, "white-asian": {}}), "'white-asian' is the name of a contrast"),
        (domain("a", ["b", "b"], {"a": {}, "b": {}}), "'a-b' is the name of a contrast"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_told(declared, text):
    assert any(fault.startswith(text) for _, fault in contrasts.faults(declared))


@pytest.mark.parametrize(
    ("more", "path", "text"),
    [
        ({"labels": ["one"]}, ["labels"], "there is 1; from 2 to 50"),
        ({"labels": {n: f"label {n}" for n in range(51)}}, ["labels"], "there are 51"),
        ({"labels": ["a", True]}, ["labels"], "True is not a string; write it in quotes"),
        ({"swap": [{"german": "x", "swede": "y"}]}, ["swap", 0], "'swede' is not one of german"),
        ({"swap": [{"german": "x", "indian": "", "neutral": ""}]}, ["swap", 0, "indian"], "is empty; write a word"),
        ({"swap": [{"german": "x", "indian": "y", "where": "("}]}, ["swap", 0, "where"], "'(' is not a valid pattern"),
        ({"associated_groups": {"a": "german"}}, ["associated_groups", "b"], "must name a group for each of a, b"),
        ({"associated_groups": {"a": "german", "b": "swede"}}, ["associated_groups", "b"], "'swede' is not one of"),
        ({"planted_label": "c"}, ["planted_label"], "'c' is not one of a, b"),
        ({"stereotypes": {"a": {"swede": {}}}}, ["stereotypes", "a", "swede"], "is not one of german"),
        ({"stereotypes": {"c": {}}}, ["stereotypes", "c"], "is not one of a, b"),
    ],
)
def test_what_is_listed_by_label_or_group_has_to_fit(more, path, text):
    declared = {**domain("german", "all"), "labels": ["a", "b"], **more}
    assert any(place == path and fault.startswith(text) for place, fault in contrasts.faults(declared))


@pytest.mark.parametrize("name", catalog.names("domain"))
def test_the_shipped_domains_are_without_fault(name):
    assert list(contrasts.faults(catalog.load("domain", name))) == []


def test_rows_of_side_effects_are_not_taken_for_those_of_a_group():
    assert {*bbq.CONDITIONS.values(), *winobias.SIDES} <= contrasts.RESERVED
