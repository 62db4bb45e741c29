"""The doctor names what is lacking for a study, each with what mends it."""

import os
import subprocess
import sys

import pytest


def ask(root, *words):
    """(exit status, the lines) of the doctor on a machine without GPU, SLURM and Apptainer."""
    environment = {**os.environ, "PATH": "/nonexistent", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "scripts/doctor.py", *words], cwd=root, env=environment, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize("more", [[], ["--slurm", "--containers"]])
def test_the_papers_study_lacks_a_gpu_or_a_cluster_its_model_and_its_data(root, more):
    status, lines = ask(root, "--configfile", "studies/paper.yaml", *more)
    lacking = [line.split()[1].rstrip(":") for line in lines if line.startswith("LACKING")]
    assert status == 1
    assert set(lacking) >= ({"SLURM", "Apptainer", "image"} if more else {"GPU"}) | {"data"}
    for number, line in enumerate(lines):
        if line.startswith("LACKING"):
            assert lines[number + 1].strip().startswith("→ ")


def test_a_folder_of_data_that_is_not_there_is_named(root):
    _, lines = ask(root, "--configfile", "studies/culture.yaml", "--config", "data_dir=/nowhere")
    assert "LACKING  data: there is no folder /nowhere; give the one that holds the data, or null" in lines


def test_what_needs_none_of_it_lacks_none_of_it(root):
    _, lines = ask(root, "--configfile", "studies/smoke.yaml")
    assert "ok       GPU: none needed" in lines
    assert "ok       data: 6 files" in lines
