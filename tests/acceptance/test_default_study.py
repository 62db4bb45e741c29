"""The default study on the small real model: known effects are detected in order of their dose, and none elsewhere."""

import csv

import pytest
from projects import copy_project, run

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    """Rows of claims.csv of a run of config.yaml in a copy of the project."""
    project = copy_project(tmp_path_factory.mktemp("acceptance") / "project")
    run(project, configfile="config.yaml")
    with open(project / "results" / "demo" / "claims.csv", encoding="utf-8", newline="") as file:
        return [row for row in csv.DictReader(file) if row["verdict"] != "beside"]


def verdicts(claims, claim):
    return {row["contrast"]: row["verdict"] for row in claims if row["claim"] == claim}


def test_the_positive_control_is_found_in_the_order_of_its_dose(claims):
    assert verdicts(claims, "control-associated") == {
        "whole claim": "supported",
        "associated-100 is inherited": "supported",
        "inheritance at dose 50% exceeds dose 0%": "supported",
        "inheritance at dose 100% exceeds dose 50%": "supported",
    }


def test_nothing_is_found_in_the_negative_control(claims):
    tested = {
        contrast: verdict for contrast, verdict in verdicts(claims, "control-null").items() if verdict != "not tested"
    }
    assert "nothing is inherited from balanced" in tested
    assert "contradicted" not in tested.values()  # the claim is that nothing is inherited


def test_the_study_answers_its_question(claims):
    answered = verdicts(claims, "C9")
    for contrast in ("natural inheritance of neutral is above 0", "mask lowers the inheritance of neutral"):
        assert answered[contrast] != "not tested"
    slant = [row for row in claims if row["effect"] == "slant" and row["verdict"] != "not tested"]
    assert {row["n_seeds"] for row in slant} == {"5"}
