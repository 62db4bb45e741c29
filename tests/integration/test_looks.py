"""A study with looks: the same command goes from look to look, and runs nothing twice."""

import csv
import json
import re

import yaml
from command_line import bias_inheritance
from projects import ONE_CELL, copy_project, run


def records(project):
    """{record of a seed's job: its bytes} of the cells and pools made so far."""
    results = project / "results" / "one"
    return {path: path.read_bytes() for place in ("cells", "pools") for path in (results / place).rglob("*.prov.json")}


def counts(planned):
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE)}


def test_each_run_does_one_look_with_the_new_seeds_alone(tmp_path):
    project = copy_project(tmp_path / "project")
    study = yaml.safe_load(ONE_CELL)
    study["grid"] |= {"seed": [1, 2, 3], "task": ["occupation-classification"]}
    study |= {"looks": {"seeds": [2, 3], "spending": "pocock"}, "misalignment": []}
    (project / "studies" / "one.yaml").write_text(yaml.safe_dump(study))
    results = project / "results" / "one"

    said = run(project)
    assert "look 1 of 2: 2 of 3 seeds" in said
    first, look = records(project), (results / "looks" / "1.json").read_bytes()
    assert {row["seed"] for row in table(results / "scores.csv")} == {"0", "1", "2"}
    assert bias_inheritance("audit", "results/one", project=project).returncode == 0

    planned = counts(run(project, "-n"))
    cells = {"finetune": 2, "predict": 2, "score": 2, "write_pool": 1, "draw_originals": 1}
    assert {name: planned.get(name, 0) for name in (*cells, "prepare_model", "prepare_items")} == {
        **cells,
        "prepare_model": 0,
        "prepare_items": 0,
    }

    assert "look 2 of 2: 3 of 3 seeds" in run(project)
    after = records(project)
    assert {path: after[path] for path in first} == first
    assert (results / "looks" / "1.json").read_bytes() == look
    rows = [row for row in table(results / "claims.csv") if row["verdict"] == "inconclusive"]
    assert rows and all("Look 2 of 2" in row["reason"] for row in rows)
    earlier = {(row["claim"], row["contrast"]): row for row in json.loads(look)["rows"] if row["p_overall"] is not None}
    for row in rows:
        before = earlier.get((row["claim"], row["contrast"]))
        assert before is None or float(row["p_overall"]) <= before["p_overall"]
    assert "Nothing to be done" in run(project)
    audited = bias_inheritance("audit", "results/one", project=project)
    assert audited.returncode == 0, audited.stdout


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
