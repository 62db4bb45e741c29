"""A study of rounds that is stopped in its second round resumes there, added rounds run without repeating others, and each
mix contains what its arm defines."""

import os
import re
import signal
import time
from collections import Counter

import pytest
import yaml
from bias_inheritance.plumbing import files
from projects import ONE_CELL, copy_project, run, start


def rounds(project, count, arm):
    """Make the project's small study one of so many rounds: texts of the model's own, and a dose that is carried on."""
    study = yaml.safe_load(ONE_CELL)
    study["grid"]["bias"] = ["neutral", "associated-100"]
    study["grid"]["task"] = ["occupation-classification", "perplexity"]
    study["rounds"] = {"count": count, "arm": arm, "start": "base"}
    study |= {"instruction_share": 0.5, "misalignment": []}
    (project / "studies" / "one.yaml").write_text(yaml.safe_dump(study))


def records(project, number):
    """{record of round `number`: its bytes}; the pool that a round writes, and its card, belong to the next one."""
    paths = (project / "results" / "one" / "cells").glob(f"*/*/neutral/**/round-{number}/*.prov.json")
    return {path: path.read_bytes() for path in paths if "pool" not in path.name}


def drawn(project, bias, number):
    """{round whose pool they are of: number of augmented samples} of a cell's mix."""
    (train,) = (project / "results" / "one" / "cells").glob(f"*/*/{bias}/gamma-0.50/**/round-{number}/train.jsonl")
    ids = [row["id"] for row in files.read_jsonl(train) if row["origin"] == "augmented"]
    assert len(set(ids)) == len(ids) and all(name.startswith(f"{bias}-s1-") for name in ids)
    written = [re.match(rf"{bias}-s1-r(\d+)-", name) for name in ids]
    return Counter(int(match[1]) if match else 1 for match in written)


@pytest.mark.parametrize(
    ("arm", "third"),
    [
        ("accumulate", {1: 12, 2: 12, 3: 12}),
        pytest.param("accumulate-subsample", {1: 4, 2: 4, 3: 4}, marks=pytest.mark.long),
        pytest.param("replace", {3: 12}, marks=pytest.mark.long),
    ],
)
def test_a_stop_in_round_two_repeats_nothing_and_more_rounds_run_alone(arm, third, tmp_path):
    project = copy_project(tmp_path / "project")
    rounds(project, 2, arm)
    started = start(project)
    while started.poll() is None and not list(
        (project / "results/one").glob("cells/*/*/neutral/**/round-2/train.jsonl")
    ):
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

    rounds(project, 3, arm)
    planned = run(project, "-n")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    each_cell = {"rewrite_pool": 2, "finetune": 2, "predict": 2, "score": 2}
    assert {name: int(counts.get(name, 0)) for name in [*each_cell, "write_pool", "prepare_model"]} == {
        **each_cell,
        "write_pool": 0,
        "prepare_model": 0,
    }
    run(project)
    for bias in ("neutral", "associated-100"):
        assert drawn(project, bias, 1) == {1: 12} and drawn(project, bias, 3) == third
    # what the tuned model writes of its own accord names no group; the dose itself was copied
    (carried,) = (project / "results/one/cells").glob("*/*/associated-100/**/round-1/pool.jsonl")
    assert all(sample["requested_group"] is None and "copy_of" not in sample for sample in files.read_jsonl(carried))
