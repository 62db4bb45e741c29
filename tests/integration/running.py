"""Runs of the small study in tests/integration/study.yaml, each under its own name, and their results."""

import atexit
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from projects import ROOT, copy_project

IMAGE = ROOT / "containers" / "cpu.sif"
# what tells of the run itself: times, machines, paths
OF_THE_RUN = {"config.yaml", "training.csv", "report.html", "ro-crate-metadata.json", ".snakemake_timestamp"}


@cache
def project():
    """A copy of the project, made once, that holds all it needs: a container sees nothing outside it but the image.

    It lies in TMPDIR, which on a cluster must be a folder that all nodes see.
    """
    parent = tempfile.mkdtemp(prefix="bias-inheritance-")
    atexit.register(shutil.rmtree, parent, ignore_errors=True)
    folder = copy_project(Path(parent) / "project")
    shutil.copy(ROOT / "tests" / "integration" / "study.yaml", folder / "studies" / "integration.yaml")
    for link in [path for path in (folder / "models").glob("*/*") if path.is_symlink()]:
        target = link.resolve()
        link.unlink()
        (shutil.copytree if target.is_dir() else shutil.copy)(target, link)
    (folder / "containers").symlink_to(ROOT / "containers")
    return folder


def start(name, *words, config=()):
    """Start the study under a name; returns the process, whose output goes to logs/NAME/snakemake.log.

    A study of that name is resumed. config: words for --config.
    """
    log = project() / "logs" / name / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--configfile", "studies/integration.yaml"]
    with open(log, "wb") as file:
        return subprocess.Popen(
            [*command, *words, "--config", f"study={name}", *config],
            cwd=project(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )


def finish(process, name, minutes=20):
    """Wait for a run, check that it succeeded, and return its output."""
    try:
        status = process.wait(timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
        status = f"not finished after {minutes} minutes"
    printed = (project() / "logs" / name / "snakemake.log").read_text()
    assert status == 0, f"{name}: {status}\n{printed[-4000:]}"
    return printed


def results(name):
    """{path in the study's folder: sha256} of every result that does not tell of the run itself."""
    folder = project() / "results" / name
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in OF_THE_RUN and not path.name.endswith(".prov.json")
    }


def records(name):
    return {path: json.loads(path.read_text()) for path in (project() / "results" / name).rglob("*.prov.json")}


def image_digest():
    """sha256 of the image for CPUs."""
    with open(IMAGE, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
