"""Runs of the small study of tests/integration/study.yaml, each under a name of its own, and what they left behind."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "containers" / "cpu.sif"
# what tells of the run itself: times, machines, paths
OF_THE_RUN = {"config.yaml", "training.csv", "report.html", "ro-crate-metadata.json", ".snakemake_timestamp"}


def start(name, *words, config=()):
    """Start the study under a new name; returns the process, whose output goes to logs/NAME/snakemake.log."""
    for folder in ("results", ".work", "logs"):
        shutil.rmtree(ROOT / folder / name, ignore_errors=True)
    return go_on(name, *words, config=config)


def go_on(name, *words, config=()):
    """Start the study again where its last run ended; `config`: words for --config."""
    log = ROOT / "logs" / name / "snakemake.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "snakemake", "--configfile", "tests/integration/study.yaml"]
    with open(log, "wb") as file:
        return subprocess.Popen(
            [*command, *words, "--config", f"study={name}", *config],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        )


def finish(process, name, minutes=20):
    """Wait for a run and hold it to success; returns what it printed."""
    try:
        status = process.wait(timeout=60 * minutes)
    except subprocess.TimeoutExpired:
        process.terminate()
        process.wait()
        status = f"not finished after {minutes} minutes"
    printed = (ROOT / "logs" / name / "snakemake.log").read_text()
    assert status == 0, f"{name}: {status}\n{printed[-4000:]}"
    return printed


def results(name):
    """{path in the study's folder: sha256} of every result that does not tell of the run itself."""
    folder = ROOT / "results" / name
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in OF_THE_RUN and not path.name.endswith(".prov.json")
    }


def records(name):
    return {path: json.loads(path.read_text()) for path in (ROOT / "results" / name).rglob("*.prov.json")}


def image_digest():
    """sha256 of the image for CPUs."""
    with open(IMAGE, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
