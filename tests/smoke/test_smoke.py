"""The whole DAG on the random two-layer model: all results of a study exist and are consistent."""

import csv
import json

import pytest
from command_line import bias_inheritance
from projects import copy_project, run

STUDY = "studies/smoke.yaml"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy of the project in which the smoke study was run."""
    project = copy_project(tmp_path_factory.mktemp("smoke") / "project")
    run(project, "--cores", "2", configfile=STUDY)
    return project


@pytest.fixture(scope="module")
def results(project):
    return project / "results" / "smoke"


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def jsonl(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_results_were_held_against_what_the_study_promised(results):
    checks = {row["check"]: row["checked"] for row in rows(results / "checks.csv")}
    assert checks.pop("overlap").startswith("26 mixes, 26 test clusters, ")
    assert checks.pop("twins").endswith(" test texts of gender")
    assert checks == {"realised γ": "26 mixes", "balance": "26 mixes", "cells": "27 cells"}
    assert {row["task"] for row in rows(results / "scores.csv")} == {
        "occupation-classification",
        "stereotype-congruence",
        "hiring",
        "salary",
    }


def test_asked_is_kept_rejected_and_failed(results):
    for row in rows(results / "pools.csv"):
        assert int(row["requested"]) == int(row["kept"]) + int(row["rejected"]) + int(row["failed"])
        folder = results / "pools" / row["model"] / row["domain"] / row["bias"] / f"seed-{row['seed']}"
        assert len(jsonl(folder / "pool.jsonl")) == int(row["kept"])
        assert len(jsonl(folder / "failures.jsonl")) == int(row["rejected"]) + int(row["failed"])


def test_what_cuts_real_texts_reaches_the_steps_that_make_pools(results):
    for path in results.glob("pools/*/*/*/seed-*/*.prov.json"):
        record = json.loads(path.read_text())
        if record["step"] in ("write_pool", "copy_pool"):
            assert "sentences" in record["parameters"]["domain"], path


def test_the_contracts_files_are_there(results):
    for name in (
        "scores.csv",
        "scores.parquet",
        "effects.csv",
        "claims.csv",
        "manipulation.csv",
        "report.html",
        "config.yaml",
        "ro-crate-metadata.json",
    ):
        assert (results / name).stat().st_size > 0, name


def test_random_pools_fail_the_manipulation_check_and_get_no_verdict(results):
    checked = [row for row in rows(results / "manipulation.csv") if row["bias"] == "contrastive-explicit"]
    assert {row["passed"] for row in checked} == {"False"}
    of_type = [row for row in rows(results / "claims.csv") if "contrastive-explicit" in row["contrast"]]
    assert of_type and {row["verdict"] for row in of_type} == {"not tested"}
    assert "Manipulation failed for contrastive-explicit." in {row["reason"] for row in of_type}


def test_audit_is_content(results, project):
    done = bias_inheritance("audit", results.relative_to(project), project=project)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_a_second_run_is_no_job_also_after_every_source_was_touched(results, project):
    for folder in ("scripts", "rules", "catalog", "resources"):
        for path in (project / folder).rglob("*"):
            if path.is_file():
                path.touch()
    told = run(project, configfile=STUDY)
    assert "Nothing to be done" in told
    assert f"The report: {results / 'report.html'}" in told.splitlines()
