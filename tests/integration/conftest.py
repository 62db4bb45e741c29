"""Finished studies, run by Snakemake once per session on the random tiny model, for audit, trace and the crate."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ["Snakefile", "config.yaml", "rules", "scripts", "catalog", "resources", "profiles", "studies", "envs"]
ONE_CELL = """
study: one
grid:
  model: [tiny-random]
  bias: [neutral]
  gamma: [0.00, 0.50]
  mitigation: [none]
  seed: [1]
  task: [occupation-classification, hiring, salary]
originals: 12
sentences: null
generation: {attempts: 100, max_new_tokens: null}
finetune: {epochs: 8}
evaluation:
  items: {occupation-classification: 24, hiring: 2, salary: 8}
  bootstrap: 100
"""
# the same study with more kinds of files: a control, opinions, a second round
WIDER = """
study: one
grid:
  model: [tiny-random]
  bias: [neutral, planted-100]
  gamma: [0.00, 0.50]
  mitigation: [none]
  seed: [1]
  task: [occupation-classification, hiring, salary, perplexity]
originals: 12
sentences: null
instruction_share: 0.5
generation: {attempts: 100, max_new_tokens: null}
finetune: {epochs: 8}
evaluation:
  items: {occupation-classification: 12, hiring: 2, salary: 8, perplexity: 8}
  bootstrap: 100
misalignment: [values, groups]
opinions: {questions: 2}
rounds: {count: 2}
"""
SIMULATED_IMAGE = b"no image, but a file that stands for one in tests"


def copy_project(folder):
    """The project's code in another folder, with the shared environment and model files; a fresh clone, in effect."""
    folder.mkdir(parents=True)
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / "studies" / "one.yaml").write_text(ONE_CELL)
    for name in (".venv", "models"):
        if (ROOT / name).exists():
            (folder / name).symlink_to((ROOT / name).resolve())
    return folder


def snakemake(project, *words, **more):
    """A started Snakemake on the one-cell study, in a process group of its own; its output goes to run.log."""
    command = [sys.executable, "-m", "snakemake", *words, "--configfile", "studies/one.yaml"]
    with open(project / "run.log", "ab") as log:
        return subprocess.Popen(command, cwd=project, stdout=log, stderr=log, start_new_session=True, **more)


def run(project, *words, **more):
    """Run Snakemake to its end and return its output; fails where it failed."""
    (project / "run.log").write_bytes(b"")
    status = snakemake(project, *words, **more).wait()
    text = (project / "run.log").read_text(errors="replace")
    assert status == 0, text[-4000:]
    return text


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a project with the finished one-cell study; to be read, never changed."""
    return run_whole(copy_project(tmp_path_factory.mktemp("finished") / "project"))


@pytest.fixture(scope="session")
def wider(tmp_path_factory):
    """The same of a study that has more kinds of files."""
    project = copy_project(tmp_path_factory.mktemp("wider") / "project")
    (project / "studies" / "one.yaml").write_text(WIDER)
    return run_whole(project)


def run_whole(project):
    """The project, its study run as if in a container's image."""
    (project / "containers").mkdir()
    (project / "containers" / "cpu.sif").write_bytes(SIMULATED_IMAGE)
    image = hashlib.sha256(SIMULATED_IMAGE).hexdigest()
    run(project, env={**os.environ, "APPTAINER_CONTAINER": f"containers/cpu.{image}.sif"})
    return project
