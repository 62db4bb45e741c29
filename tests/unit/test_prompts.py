"""Prompts of bias types: the template used for a domain, and undefined placeholders."""

import pytest
from bias_inheritance.data import labelled, prompts, survey
from bias_inheritance.study import catalog

TICKETS = {
    "name": "tickets",
    "family": "labelled",
    "sample": "a support ticket",
    "labels": ["billing", "login"],
    "groups": {"german": {"words": ["german"]}, "indian": None, "nigerian": {"words": ["nigerian"]}},
    "contrasts": {"reference": "german", "compared": "all"},
}
# without probes, which have no label and no group (test_probes.py)
POOLS = [catalog.load("bias", name) for name in catalog.names("bias")]
GENERATED = [pool["name"] for pool in POOLS if pool["source"] == "generated" and pool["role"] != "probe"]


def of_prompt(text, named=True):
    named = {"names_groups": {"identities": "single", "signal": "explicit"}} if named else {}
    return {"name": "mine", "prompt": {"labelled": text}, **named}


def faults(bias, **changes):
    return list(prompts.faults(labelled, bias, {**TICKETS, **changes}))


@pytest.mark.parametrize("name", GENERATED)
@pytest.mark.parametrize("domain", ["gender", "gender-bias-in-bios", "culture-arabic", "culture-spanish"])
def test_every_shipped_type_has_a_prompt_in_every_shipped_domain(name, domain):
    content = catalog.load("domain", domain)
    family = {"labelled": labelled, "survey": survey}[content["family"]]
    assert list(prompts.faults(family, catalog.load("bias", name), content)) == []


@pytest.mark.parametrize("name", ["neutral", "balanced"])
def test_types_without_a_stereotype_serve_a_domain_that_says_nothing_but_its_groups(name):
    assert faults(catalog.load("bias", name)) == []


def test_a_type_that_needs_stereotypes_or_names_says_so():
    (fault,) = faults(catalog.load("bias", "contextual-single-explicit"))
    assert fault.startswith("prompt: {stereotype} is not defined in the domain tickets (billing and german); there are")
    (fault,) = faults(catalog.load("bias", "balanced-implicit"))
    assert "{name} is not defined" in fault
    (fault,) = faults(catalog.load("bias", "balanced-intersectional"))
    assert fault == "names several identities at once, for which the domain tickets has no cultures"


def test_a_stereotype_that_one_group_lacks_is_told_with_its_place():
    table = {
        label: {group: {"text": "rich", "words": ["rich"]} for group in TICKETS["groups"]}
        for label in TICKETS["labels"]
    }
    assert faults(catalog.load("bias", "contrastive-explicit"), stereotypes=table) == []
    del table["login"]["nigerian"]
    assert any("(login and nigerian)" in fault for fault in faults(of_prompt("{stereotype}"), stereotypes=table))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Write {sample} on {labl}.", "{labl} is not defined"),
        ("Write {sample} on {label.upper}.", "{label.upper} is not defined"),
        ("Write {}.", "{} is not defined"),
        ("Write {label", "expected '}' before end of string"),
        ("Write {label!r:>10}", "{label!r:>10} has a format; write {label}"),
    ],
)
def test_a_placeholder_that_stands_for_nothing_is_told(text, message):
    assert any(message in fault for fault in faults(of_prompt(text)))


def test_a_type_that_names_no_group_cannot_use_it():
    assert any("{group} is not defined" in fault for fault in faults(of_prompt("{group}", named=False)))
    assert faults(of_prompt("Write {sample} on {label}; {{label}} is no placeholder.", named=False)) == []


def test_the_domains_own_prompt_goes_before_that_of_its_kind_and_of_its_family():
    bias = {"prompt": {"labelled": "family", "letters": "kind", "tickets": "own"}}
    assert prompts.template(bias, TICKETS) == "own"
    assert prompts.template(bias, {**TICKETS, "name": "other", "prompts": "letters"}) == "kind"
    assert prompts.template(bias, {**TICKETS, "name": "other"}) == "family"
    assert faults({"name": "mine", "prompt": {"survey": "x"}}) == [
        "has no prompt for the domain tickets; add one named labelled, or tickets"
    ]
