"""A study of rounds that is stopped in its second round resumes there, and added rounds run without repeating others."""

import os
import re
import signal
import time

import yaml
from projects import ONE_CELL, copy_project, run, start


def rounds(project, count):
    """Make the project's small study one of so many rounds."""
    study = yaml.safe_load(ONE_CELL)
    study["grid"]["bias"] = ["neutral"]
    study["grid"]["task"] = ["occupation-classification", "perplexity"]
    study["rounds"] = {"count": count, "arm": "replace", "start": "base"}
    study |= {"instruction_share": 0.5, "misalignment": []}
    (project / "studies" / "one.yaml").write_text(yaml.safe_dump(study))


def records(project, number):
    """{record of round `number`: its bytes}; the pool that a round writes, and its card, belong to the next one."""
    found = (project / "results" / "one" / "cells").glob(f"*/*/neutral/**/round-{number}/*.prov.json")
    return {path: path.read_bytes() for path in found if "pool" not in path.name}


def test_a_stop_in_round_two_repeats_nothing_and_more_rounds_run_alone(tmp_path):
    project = copy_project(tmp_path / "project")
    rounds(project, 2)
    started = start(project)
    while started.poll() is None and not list((project / "results/one").glob("cells/**/round-2/train.jsonl")):
        time.sleep(0.02)
    assert started.poll() is None, (project / "run.log").read_text()[-3000:]
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    # round 2 needs the adapter of round 1 alone, so that one's predictions may still have been under way
    before = records(project, 1)
    assert before and "scores.csv" not in os.listdir(project / "results" / "one")

    run(project)
    first, second = records(project, 1), records(project, 2)
    assert {path: first[path] for path in before} == before
    assert len(first) == len(second) == 3

    rounds(project, 3)
    planned = run(project, "-n")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    each_cell = {"rewrite_pool": 1, "finetune": 1, "predict": 1, "score": 1}
    assert {name: int(counts.get(name, 0)) for name in [*each_cell, "write_pool", "prepare_model"]} == {
        **each_cell,
        "write_pool": 0,
        "prepare_model": 0,
    }
