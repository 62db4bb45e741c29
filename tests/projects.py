"""Copies of the project in folders of their own, and studies run in them: no test runs one in the checkout."""

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import filelock
from bias_inheritance.models import fetching, gguf_files
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import catalog

EMBEDDED = "smollm2-135m-instruct"
# what a clone has that a study needs
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


@cache
def fetch_embedded():
    """Fetch, verify and convert the embedded model, once per process."""
    source = catalog.load("model", EMBEDDED)["source"]
    gguf_files.checkpoint(fetching.fetch(source, ROOT / "models" / EMBEDDED / "source", EMBEDDED))


def link_models(store):
    """Make `store` a store of models in which those that the checkout has fetched need not be fetched again."""
    fetch_embedded()
    for note in (ROOT / "models").glob("*/source.json"):
        (store / note.parent.name).mkdir(parents=True, exist_ok=True)
        for path in (*note.parent.glob("source*"), *note.parent.glob("converted*")):
            (store / note.parent.name / path.name).symlink_to(path.resolve())


def written_to_checkout():
    """Names of untracked and ignored files of the checkout, and of all studies run in it.

    Excepted are Python's caches and the store of models, which `link_models` fills in a fresh clone.
    """
    status = ["git", "-C", ROOT, "status", "--porcelain", "--ignored"]
    lines = subprocess.run(status, capture_output=True, text=True).stdout.splitlines()
    studies = [path for place in ("results", "logs", ".work") for path in (ROOT / place).glob("*")]
    lines = [line for line in lines if "__pycache__" not in line and line.rstrip("/") != "!! models"]
    new = {line for line in lines if line.startswith(("??", "!!"))}
    return new | set(map(str, studies))


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
    if (ROOT / ".venv").exists():
        (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    link_models(folder / "models")
    return folder


def start(project, *words, configfile="studies/one.yaml", **more):
    """A started Snakemake process on a study, the one-cell one by default, in its own process group; it writes run.log."""
    command = [sys.executable, "-m", "snakemake", *words, "--configfile", configfile]
    with open(project / "run.log", "ab") as log:
        return subprocess.Popen(command, cwd=project, stdout=log, stderr=log, start_new_session=True, **more)


def run(project, *words, **more):
    """Run Snakemake, check that it succeeded, and return its output."""
    (project / "run.log").write_bytes(b"")
    status = start(project, *words, **more).wait()
    text = (project / "run.log").read_text(errors="replace")
    assert status == 0, text[-4000:]
    return text


def run_in_image(project):
    """The project, its one-cell study run as if in a container's image."""
    (project / "containers").mkdir()
    (project / "containers" / "cpu.sif").write_bytes(SIMULATED_IMAGE)
    image = hashlib.sha256(SIMULATED_IMAGE).hexdigest()
    run(project, env={**os.environ, "APPTAINER_CONTAINER": f"containers/cpu.{image}.sif"})
    return project


def shared(tmp_path_factory, name, make):
    """The folder that `make(folder)` fills, once in a session: the workers of pytest-xdist share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    with filelock.FileLock(f"{folder}.lock"):
        if not Path(f"{folder}.ready").exists():
            make(folder)
            Path(f"{folder}.ready").touch()
    return folder
