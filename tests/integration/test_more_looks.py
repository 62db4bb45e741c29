"""A study with looks: the same command goes from look to look, and runs nothing twice."""

import csv
import json
import re

import yaml
from bias_inheritance.study import configuration, grid, looks
from command_line import bias_inheritance
from projects import ONE_CELL, copy_project, run


def records(project):
    """{record of a seed's job: its bytes} of the cells and pools made so far."""
    results = project / "results" / "one"
    return {path: path.read_bytes() for place in ("cells", "pools") for path in (results / place).rglob("*.prov.json")}


def counts(planned):
    return {name: int(number) for name, number in re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE)}


def test_each_run_does_one_look_with_the_new_seeds_alone(tmp_path):
    """The type of a random model fails its manipulation check, so its contrasts stay open."""
    project = copy_project(tmp_path / "project")
    study = yaml.safe_load(ONE_CELL)
    study["grid"] |= {"bias": ["neutral", "contrastive-explicit"], "seed": [1, 2, 3]}
    study["grid"]["task"] = ["occupation-classification"]
    study |= {"looks": {"seeds": [2, 3], "spending": "pocock"}, "misalignment": []}
    (project / "studies" / "one.yaml").write_text(yaml.safe_dump(study))
    results = project / "results" / "one"

    said = run(project)
    assert "look 1 of 2: 2 of 3 seeds" in said and "run the same command again for the next look" in said
    first, look = records(project), (results / "looks" / "1.json").read_bytes()
    assert {row["seed"] for row in table(results / "scores.csv")} == {"0", "1", "2"}
    audited = bias_inheritance("audit", "results/one", project=project)
    assert audited.returncode == 0, audited.stdout
    # the first look is never closed again, so it does not matter that the code that closed it changes
    change(project / "scripts" / "close_look.py")

    config, _ = configuration.read([project / "studies" / "one.yaml"])
    second = looks.narrowed(config, results)
    cells = [cell for cell in grid.cells(second) if cell["seed"] == 3]
    assert {"original", "contrastive-explicit"} <= {cell["bias"] for cell in cells}
    pools = [pool for pool in grid.pools(second) if pool["seed"] == 3]
    expected = dict.fromkeys(("finetune", "predict", "score"), len(cells)) | {"write_pool": len(pools)}
    expected |= {"draw_originals": 1, "prepare_model": 0, "prepare_items": 0}
    planned = counts(run(project, "-n"))
    assert {name: planned.get(name, 0) for name in expected} == expected

    assert "look 2 of 2: 3 of 3 seeds" in run(project)
    after = records(project)
    assert {path: after[path] for path in first} == first
    assert (results / "looks" / "1.json").read_bytes() == look
    rows = {(row["claim"], row["contrast"], row["test"]): row for row in table(results / "claims.csv")}
    for row in json.loads(look)["rows"]:
        now = rows.get((row["claim"], row["contrast"], row["test"]))
        if row["look"] == 1 and row["test"] != "all parts":
            p = float(now["p"]) if now["p"] else None
            assert (now["verdict"], now["reason"], p) == (row["verdict"], row["reason"], row["p"])
    assert "Nothing to be done" in run(project)
    assert configuration.read([results / "config.yaml"])[0] == config  # a study can be started from it
    audited = bias_inheritance("audit", "results/one", project=project)
    assert audited.returncode == 0, audited.stdout
    change(project / "scripts" / "close_look.py")
    audited = bias_inheritance("audit", "results/one", project=project)
    assert "looks/2.json" in audited.stdout and "looks/1.json" not in audited.stdout


def change(script):
    with open(script, "a", encoding="utf-8") as code:
        code.write("CHANGED = True\n")


def table(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
