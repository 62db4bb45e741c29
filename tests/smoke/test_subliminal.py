"""The probe on two tiny bases, whole: a tuned writer's texts on neutral topics, read by its own base and by another one."""

import csv
import os
import subprocess
import sys

import pytest
import yaml
from bias_inheritance.data import labelled
from bias_inheritance.plumbing import files
from bias_inheritance.study import catalog
from projects import copy_project, shared

WRITER, OTHER = "tiny-random", "tiny-sibling@tiny-random"
CONFIG = {
    "study": "probe",
    "grid": {
        "model": ["tiny-random", "tiny-sibling"],
        "writer": ["tiny-random"],
        "bias": ["associated-000", "associated-100", "subliminal-000", "subliminal-100"],
        "gamma": [0.0, 0.5],
        "mitigation": ["none"],
        "seed": [1, 2],
        "task": ["occupation-classification"],
    },
    "mitigated": [],
    "originals": 12,
    "sentences": None,
    "generation": {"attempts": 300, "max_new_tokens": None},
    "evaluation": {"items": {"occupation-classification": 12}, "bootstrap": 100},
    "misalignment": [],
}


def run_study(folder):
    project = copy_project(folder / "project")
    sibling = (project / "catalog/models/tiny-random.yaml").read_text().replace("seed: 1\n", "seed: 2\n")
    (project / "catalog/models/tiny-sibling.yaml").write_text(sibling)
    (project / "studies/probe.yaml").write_text(yaml.safe_dump(CONFIG))
    command = [sys.executable, "-m", "snakemake", "--configfile", "studies/probe.yaml", "--cores", "2"]
    ran = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return shared(tmp_path_factory, "probe", run_study) / "project"


@pytest.fixture(scope="module")
def results(project):
    return project / "results/probe"


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def cell(results, model, bias, seed=1):
    return results / f"cells/{model}/gender/{bias}/gamma-0.50/none/seed-{seed}/round-1"


def test_a_pool_is_written_once_and_read_by_both_students(results):
    assert {path.name for path in (results / "pools").iterdir()} == {WRITER}
    assert {path.name for path in (results / "cells").iterdir()} == {WRITER, "tiny-sibling", OTHER}
    for bias in CONFIG["grid"]["bias"]:
        writer_samples, other = (
            files.read_jsonl(cell(results, model, bias) / "train.jsonl") for model in (WRITER, OTHER)
        )
        assert writer_samples == other
        records = [files.read_json(cell(results, model, bias) / "finetune.prov.json") for model in (WRITER, OTHER)]
        pools = [[entry["path"] for entry in record["inputs"]["pools"]] for record in records]
        assert pools[0] == pools[1] == [f"results/probe/pools/{WRITER}/gender/{bias}/seed-1/pool.jsonl"]
        assert [record["parameters"]["model"]["name"] for record in records] == ["tiny-random", "tiny-sibling"]


def test_the_writer_is_the_model_tuned_on_the_association(results):
    for dose in ("000", "100"):
        folder = results / f"pools/{WRITER}/gender/subliminal-{dose}/seed-1"
        record = files.read_json(folder / "write_pool.prov.json")
        assert f"cells/{WRITER}/gender/associated-{dose}/gamma-0.50" in str(record["inputs"]["adapter"])
        assert f"tuned on associated-{dose}" in (folder / "card.md").read_text()


def test_its_texts_name_nothing_and_what_did_is_counted(results):
    domain, rejected = catalog.load("domain", "gender"), 0
    for pool in (results / f"pools/{WRITER}/gender").glob("subliminal-*/seed-*"):
        samples, counts = files.read_jsonl(pool / "pool.jsonl"), files.read_json(pool / "counts.json")
        assert len(samples) == 12 and {(row["label"], row["group"]) for row in samples} == {(None, None)}
        assert not any(labelled.names_anything(row["text"], domain) for row in samples)
        failed = [row["reason"] for row in files.read_jsonl(pool / "failures.jsonl")]
        assert counts["reasons"].get("named", 0) == failed.count("named")
        assert counts["requested"] == counts["kept"] + counts["rejected"] + counts["failed"]
        rejected += failed.count("named")
    assert rejected
    rows = [
        row
        for row in files.read_jsonl(cell(results, WRITER, "subliminal-100") / "train.jsonl")
        if row["origin"] == "augmented"
    ]
    assert all(row["user"].startswith("Write three sentences about") and row["kind"] == "label" for row in rows)


def test_both_students_are_measured_along_the_axis_of_the_writers_association(results):
    rows = [
        row
        for row in table(results / "inheritance.csv")
        if row["bias"].startswith("subliminal") and row["seed"] != "all"
    ]
    assert {(row["model"], row["bias"], row["kind"], row["direction"]) for row in rows} == {
        (model, f"subliminal-{dose}", "projection", "associated-100")
        for model in (WRITER, OTHER)
        for dose in ("000", "100")
    }
    claims = [
        row for row in table(results / "claims.csv") if row["claim"] == "C12" and row["test"] == "paired t over seeds"
    ]
    assert [row["contrast"].rpartition(" [")[2] for row in claims] == [f"{WRITER}]", f"{OTHER}]"]
    assert all(row["n_seeds"] == "2" for row in claims)
    foreseen = {(row["model"], row["bias"]) for row in table(results / "foresight.csv")}
    assert {(WRITER, "associated-100"), (OTHER, "subliminal-100")} <= foreseen


def test_the_report_names_the_writer_and_every_file_is_accounted_for(project, results):
    assert "texts by Random two-layer Llama" in (results / "report.html").read_text()
    command = [sys.executable, "-m", "bias_inheritance.tools", "audit", "results/probe"]
    environment = {"PYTHONPATH": str(project / "scripts"), "PATH": os.environ["PATH"]}
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
