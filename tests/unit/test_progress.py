"""The progress display: output on a failed job, and what it does for the scheduler."""

import io
import logging
import os
import re
import signal
import subprocess
import sys
import threading

import pytest
import yaml
from bias_inheritance.plumbing import progress
from bias_inheritance.plumbing.provenance import ROOT

# independent jobs, and the scheduler's messages on them in a file
SHORT_JOBS = """
import logging
from snakemake.logging import logger
from bias_inheritance.plumbing import progress

def start():
    global display
    display = progress.show("work")  # hides messages from the handlers so far
    logger.addHandler(logging.FileHandler("scheduler.log"))

onstart: start()
onsuccess: display.stop()
rule all:
    input: [f"made/{number}" for number in range(24)]
rule one:
    output: "made/{number}"
    shell: "sleep 0.3; touch {output}"
"""


def test_sigterm_never_waits_for_a_lock_of_the_main_thread(tmp_path, monkeypatch):
    """Snakemake's handler acquires its scheduler's lock, which the interrupted thread may hold."""
    lock, stopped = threading.Lock(), threading.Event()

    def as_in_snakemake(*_):
        with lock:
            stopped.set()

    before = signal.signal(signal.SIGTERM, as_in_snakemake)
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    try:
        display = progress.show(tmp_path)
        with lock:
            os.kill(os.getpid(), signal.SIGTERM)
        assert stopped.wait(10)
        display.stop()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert shown.getvalue().startswith("SIGTERM: no new jobs start")


def record(message, **facts):
    made = logging.makeLogRecord({"msg": message, "levelno": logging.ERROR, "levelname": "ERROR"})
    made.__dict__.update(facts)
    return made


def failed(tmp_path, **facts):
    """What is printed of a failed job with such facts."""
    stream = io.StringIO()
    display = progress.Display(tmp_path, stream)
    known = {"event": "job_error", "jobid": 1, "rule_name": "finetune", "rule_msg": None, "log": [], "output": ["made"]}
    display.emit(record("Error in rule finetune, jobid: 1", **(known | facts)))
    display.emit(record("Trying to restart job 1.", event=None))
    display.stopped.set()
    return stream.getvalue()


def test_a_failed_job_shows_the_end_of_its_log_and_how_to_run_it_again(tmp_path):
    log = tmp_path / "finetune.log"
    log.write_text("first\n" + "\n".join(f"line {number}" for number in range(12)))
    told = failed(tmp_path, log=[str(log)])
    assert "finetune failed. The end of its log:" in told
    assert "    line 11\n" in told and "first" not in told
    assert f"full log: {log}" in told and re.search(r"to rerun it: \S+ made\b", told)
    assert told.endswith("  retrying\n\n")


@pytest.mark.parametrize(
    ("reason", "around"),
    [
        (
            "SLURM-job '7' failed, SLURM status is: 'OUT_OF_MEMORY'.",
            " For further error details see the cluster/cloud log and the log files of the involved rule(s).",
        ),
        (
            "SLURM sbatch failed. The error message was 'sbatch: error: invalid account'.",
            "\n    sbatch call:\n        sbatch --parsable For further error details see …",
        ),
    ],
)
def test_a_clusters_reason_is_told_without_what_stands_around_it(tmp_path, reason, around):
    told = failed(tmp_path, rule_msg=reason + around)
    assert f"finetune failed. {reason}\n" in told
    assert "cluster/cloud" not in told and "--parsable" not in told


def test_that_slurm_ended_a_job_for_its_memory_is_told_however_much_follows(tmp_path):
    log = tmp_path / "7.log"
    log.write_text("Building DAG\nslurmstepd-n1: error: Detected 1 oom-kill event(s)\n" + "Error in rule\n" * 20)
    told = failed(tmp_path, log=[str(log)])
    assert "oom-kill" in told and "Building DAG" not in told


def test_the_state_of_a_killed_step_is_no_longer_shown(tmp_path):
    with progress.job_reported(tmp_path, "finetune", {"seed": 1}):
        progress.update(3, 48, "steps")
        (path,) = (tmp_path / "progress").iterdir()
        state = path.read_bytes()
    display = progress.Display(tmp_path, io.StringIO())
    display.stopped.set()
    path.write_bytes(state)  # as a killed step leaves it
    assert "3/48 steps" in display.line()
    display.emit(record("", event="job_info", jobid=1, rule_name="finetune", wildcards={"seed": 1}))
    display.emit(record("", event="job_error", jobid=1, rule_name="finetune", rule_msg=None, log=[], output=["made"]))
    assert "3/48" not in display.line()


def test_of_a_stopped_job_only_that_is_told(tmp_path):
    log = tmp_path / "finetune.log"
    log.write_text(f"12 of 48 steps\n{progress.STOPPED}\n")
    assert failed(tmp_path, log=[str(log)]).startswith(f"finetune {progress.STOPPED}\n")


def test_the_scheduler_looks_once_per_finished_job_and_no_timer_delays_the_end(tmp_path):
    """With the limit of the default profile, whose timers would otherwise run for an hour."""
    (tmp_path / "Snakefile").write_text(SHORT_JOBS)
    (tmp_path / "work" / "progress").mkdir(parents=True)
    limit = yaml.safe_load((ROOT / "profiles" / "default" / "config.yaml").read_text())["max-jobs-per-timespan"]
    command = [sys.executable, "-m", "snakemake", "--cores", "2", "--scheduler", "greedy", "--verbose"]
    subprocess.run(
        [*command, "--max-jobs-per-timespan", limit], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT / "scripts")},
        capture_output=True, check=True, timeout=120,
    )  # fmt: skip
    looks = re.findall("^Ready jobs: ", (tmp_path / "scheduler.log").read_text(), re.MULTILINE)
    assert len(list((tmp_path / "made").iterdir())) == 24 and 1 < len(looks) <= 25
