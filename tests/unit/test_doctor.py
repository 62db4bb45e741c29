"""The doctor names what is lacking for a study, each with what mends it."""

import os
import subprocess
import sys

import doctor
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


NODES = ["64000 (null)", "32000 gpu:a100:4"]


@pytest.mark.parametrize(
    "asked, fits",
    [
        ([(48000, 0)], True),
        ([(30000, 1)], True),
        ([(48000, 0), (30000, 1)], True),
        ([(48000, 1)], False),
        ([(96000, 0)], False),
        ([(30000, 1), (48000, 1)], False),
    ],
)
def test_one_node_must_have_the_memory_and_the_gpu_of_a_job(monkeypatch, asked, fits):
    monkeypatch.setattr(doctor, "answer", lambda *words: "\n".join(NODES))
    monkeypatch.setattr(doctor, "resources", lambda config: [{"mem_mb": mb, "gpu": gpu} for mb, gpu in asked])
    if fits:
        assert f"{asked[-1][0]} MB" in doctor.check_nodes({})
    else:
        with pytest.raises(doctor.Missing, match=f"none has the {asked[-1][0]} MB"):
            doctor.check_nodes({})


def test_a_cluster_without_a_gpu_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "answer", lambda *words: "64000 (null)")
    monkeypatch.setattr(doctor, "resources", lambda config: [{"mem_mb": 1000, "gpu": 1}])
    with pytest.raises(doctor.Missing, match="and the GPU"):
        doctor.check_nodes({})
