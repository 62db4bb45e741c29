"""A whole study of a served, provider-tuned model through Snakemake, against the scripted server."""

import os
import subprocess
import sys

import yaml
from bias_inheritance.plumbing import files
from projects import copy_project
from scripted_server import KEY, Script, seeded_faults, serving

STUDY = "test-served"
CONFIG = {
    "study": STUDY,
    "grid": {
        "model": ["gpt-4o-mini"],
        "bias": ["neutral"],
        "gamma": [0.0, 0.5],
        "mitigation": ["none", "mask"],
        "seed": [1],
        "task": ["occupation-classification", "hiring", "salary"],
    },
    "originals": 12,
    "sentences": None,
    "generation": {"max_new_tokens": None},
    "evaluation": {"items": {"occupation-classification": 12, "hiring": 2, "salary": 4}, "bootstrap": 100},
    "max_cost_usd": 5,
}


def snakemake(project, url):
    return subprocess.run(
        [sys.executable, "-m", "snakemake", "--configfile", "studies/served.yaml", "--cores", "4"],
        cwd=project,
        capture_output=True,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": url},
    )


def test_a_served_study_costs_what_its_records_state_and_reveals_no_key(tmp_path):
    project = copy_project(tmp_path / "project")
    config = project / "studies" / "served.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    script = Script(faults=seeded_faults(0.2, ["busy", "error", "drop"], 1), polls=0)
    with serving(script) as url:
        ran = snakemake(project, url)
        assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
        requests_before = len(script.asked)
        # the budget and the limits are no parameters: a second run with others has nothing to do
        config.write_text(yaml.safe_dump({**CONFIG, "max_cost_usd": 7}))
        again = snakemake(project, url)
        assert "Nothing to be done" in again.stdout + again.stderr
        assert len(script.asked) == requests_before and script.creations == 3
    assert "US dollars of max_cost_usd 5" in ran.stderr
    results = project / "results" / STUDY
    notes = [record["api"] for path in results.rglob("*.prov.json") if "api" in (record := files.read_json(path))]
    assert len(notes) == 1 + 3 + 4  # a pool, three tuned cells, four cells asked
    cost = sum(note["cost_usd"] for note in notes)
    assert 0 < cost <= files.read_json(project / ".work" / STUDY / "api" / "account.json")["usd"] + 1e-9 < 5
    assert sum(note["requests"] for note in notes) == len({str(body) for body in script.asked}) + 3
    tuned = files.read_json(next(results.rglob("tuned.json")))["model"]
    assert any(body["model"] == tuned for body in script.asked)
    header, *rows = (results / "scores.csv").read_text().splitlines()
    assert {row.split(",")[header.split(",").index("scoring")] for row in rows} == {"logprob", "parsed"}
    for folder in ("results", ".work", "logs", ".snakemake"):
        for path in (project / folder).rglob("*"):
            assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
    assert KEY not in ran.stdout + ran.stderr + again.stdout + again.stderr


def test_a_served_model_writes_the_pool_of_a_local_student(tmp_path):
    project = copy_project(tmp_path / "project")
    grid = {**CONFIG["grid"], "model": ["tiny-random"], "writer": ["gpt-4o-mini"], "mitigation": ["none"]}
    grid["task"] = ["occupation-classification"]
    (project / "studies" / "served.yaml").write_text(yaml.safe_dump({**CONFIG, "grid": grid}))
    script = Script(polls=0)
    with serving(script) as url:
        ran = snakemake(project, url)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    assert script.creations == 0  # nothing is tuned there
    results = project / "results" / STUDY
    pool = files.read_jsonl(results / "pools/gpt-4o-mini/gender/neutral/seed-1/pool.jsonl")
    cell = results / "cells/tiny-random@gpt-4o-mini/gender/neutral/gamma-0.50/none/seed-1/round-1"
    added = [row["id"] for row in files.read_jsonl(cell / "train.jsonl") if row["origin"] == "augmented"]
    assert added == [row["id"] for row in pool] and len(added) == 12
    header, *rows = (results / "scores.csv").read_text().splitlines()
    assert {row.split(",")[header.split(",").index("model")] for row in rows} == {"tiny-random@gpt-4o-mini"}
    assert not (results / "cells/gpt-4o-mini").exists()
