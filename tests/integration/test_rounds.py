"""A study of rounds that is stopped in its second round goes on there, and more rounds run by themselves."""

import os
import re
import signal
import time

from integration.conftest import copy_project, run, snakemake

ROUNDS = """
instruction_share: 0.5
misalignment: []
rounds: {{count: {count}, arm: replace, start: base}}
"""


def rounds(project, count):
    overlay = project / "studies" / "one.yaml"
    overlay.write_text(overlay.read_text().split("\ninstruction_share")[0] + ROUNDS.format(count=count))


def records(project, number):
    """{record of round `number`: its bytes}; the pool that a round writes belongs to the next one."""
    found = (project / "results" / "one" / "cells").glob(f"*/*/neutral/**/round-{number}/*.prov.json")
    return {path: path.read_bytes() for path in found if path.name != "write_pool.prov.json"}


def test_a_stop_in_round_two_repeats_nothing_and_more_rounds_run_alone(tmp_path):
    project = copy_project(tmp_path / "project")
    rounds(project, 2)
    started = snakemake(project)
    while started.poll() is None and not list((project / ".work/one/finetune").glob("*neutral*-2*/checkpoint.pt")):
        time.sleep(0.02)
    assert started.poll() is None, (project / "run.log").read_text()[-3000:]
    os.killpg(started.pid, signal.SIGINT)
    started.wait()
    first = records(project, 1)
    assert len(first) >= 4 and "scores.csv" not in os.listdir(project / "results" / "one")

    run(project)
    assert records(project, 1) == first
    second = records(project, 2)
    assert len(second) >= 4

    rounds(project, 3)
    planned = run(project, "-n")
    counts = dict(re.findall(r"^(\w+) +(\d+)$", planned, re.MULTILINE))
    each_cell = {"rewrite_pool": 1, "mix": 1, "finetune": 1, "predict": 1, "score": 1}
    assert {name: int(counts.get(name, 0)) for name in [*each_cell, "write_pool", "prepare_model"]} == {
        **each_cell,
        "write_pool": 0,
        "prepare_model": 0,
    }
    run(project)
    assert records(project, 1) == first and records(project, 2) == second
    assert len(records(project, 3)) >= 4
