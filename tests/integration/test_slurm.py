"""The study on a real SLURM: jobs request the right resources, and cancelled or killed jobs resume."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from integration.running import finish, image_digest, project, records, results, start

pytestmark = pytest.mark.slurm
# looks at the queue more often than one would on a cluster
ON_SLURM = ["--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"]
# this file is imported wherever tests are collected, also where there is no SLURM
SINFO = shutil.which("sinfo")


def output_of(*command):
    """The output of a SLURM program; "" without SLURM."""
    return subprocess.run(command, capture_output=True, text=True).stdout if SINFO else ""


HAS_GPUS = "gpu" in output_of("sinfo", "-h", "-o", "%G")
WITH_GPU = ["--set-resources", "finetune:gpu=1"] if HAS_GPUS else []
LIMITS_MEMORY = "task/cgroup" in output_of("scontrol", "show", "config")
# a partition of that name, which preempts the default one
PREEMPTS = "urgent" in output_of("sinfo", "-h", "-o", "%R").split()
LONG = "{epochs: 1000, batch_size: 1, micro_batch_size: 1}"  # 12,000 steps, which take some two minutes
STEPS = 120  # optimiser steps of the longest training: 24 samples in batches of 4, over 20 epochs


@pytest.fixture(scope="module")
def undisturbed():
    name = "integration-undisturbed"
    finish(start(name), name)
    return results(name)


def queue():
    """{job id: {comment, state, memory, gpus}} of all jobs that SLURM remembers."""
    columns = "JobID:20,Comment:200,State:20,MinMemory:20,tres-per-job:40"
    listing = subprocess.run(
        ["squeue", "-h", "--states=all", "-O", columns], capture_output=True, text=True, check=True
    )
    return {
        line[:20].strip(): {
            "comment": line[20:220].strip(),
            "state": line[220:240].strip(),
            "memory": line[240:260].strip(),
            "gpus": line[260:].strip(),
        }
        for line in listing.stdout.splitlines()
    }


def is_of(facts, step):
    return facts["comment"].startswith(f"rule_{step}_")


def states_of_checkpoint(work, seen):
    """Add the states in which a training's checkpoint is found to `seen`; returns how many the furthest one has had."""
    for path in (work / "finetune").glob("*/checkpoint.pt"):
        seen.setdefault(path, set()).add(path.stat().st_mtime_ns)
    return max(map(len, seen.values()), default=0)


def process_of(step, work):
    """The process id of a running step of a study, or None."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:  # it has ended
            continue
        if f"scripts/{step}.py" in words and str(work.relative_to(project())) in words:
            return int(folder.name)
    return None


def test_a_cancelled_training_and_a_killed_prediction_go_on_and_change_nothing(undisturbed):
    """`scancel` in mid-training, and the signal of a system that runs out of memory in mid-prediction."""
    name = "integration-slurm"
    work = project() / ".work" / name
    before = set(queue())
    process = start(name, *ON_SLURM, *WITH_GPU)
    cancelled, killed, seen, checkpoints = [], [], {}, {}

    def running(step):
        return [job for job, facts in seen.items() if facts["state"] == "RUNNING" and is_of(facts, step)]

    while process.poll() is None:
        seen |= {job: facts for job, facts in queue().items() if job not in before}
        if not cancelled and running("finetune") and states_of_checkpoint(work, checkpoints) > 1:
            cancelled = running("finetune")
            subprocess.run(["scancel", *cancelled], check=True)
        if not killed and len(running("predict")) == 1 and list((work / "predict").glob("*/*.jsonl")):
            victim = process_of("predict", work)
            if victim:
                killed = running("predict")
                os.kill(victim, signal.SIGKILL)
        time.sleep(0.1)
    finish(process, name)

    assert cancelled and killed
    logs = [log.read_text() for log in (project() / "logs" / name / "finetune").glob("*.log")]
    continued = [int(step) for log in logs for step in re.findall("resumed after step ([0-9]+)", log)]
    assert continued
    assert all(1 < step < STEPS for step in continued)
    assert results(name) == undisturbed

    assert all(seen[job]["state"] == "CANCELLED" for job in cancelled)
    assert all(seen[job]["state"] == "FAILED" for job in killed)
    first = {seen[job]["comment"]: seen[job]["memory"] for job in cancelled + killed}
    again = {
        facts["comment"]: facts["memory"]
        for job, facts in seen.items()
        if facts["comment"] in first and job not in cancelled + killed
    }
    assert first == dict.fromkeys(first, "2000M")
    assert again == dict.fromkeys(first, "3000M")
    if HAS_GPUS:
        assert all(("gpu:1" in facts["gpus"]) == is_of(facts, "finetune") for facts in seen.values())
    submitted = {facts["comment"].removeprefix("rule_").partition("_wildcards")[0] for facts in seen.values()}
    assert {"prepare_model", "write_pool", "finetune", "predict"} <= submitted
    assert not submitted & {"score", "gather_scores", "draw_originals"}


def preempt(job):
    """Have SLURM take a job's place for another: by a partition that preempts, or queueing it again as that would."""
    if PREEMPTS:
        nodes = output_of("sinfo", "-h", "-o", "%D", "-p", "urgent").strip()
        urgent = ["sbatch", "--partition=urgent", "--exclusive", f"--nodes={nodes}", "--output=/dev/null"]
        subprocess.run([*urgent, "--wrap", "sleep 5"], check=True)
    else:
        subprocess.run(["scontrol", "requeue", job], check=True)


@pytest.mark.long
@pytest.mark.skipif(not LIMITS_MEMORY, reason="this SLURM holds no job to its memory (TaskPlugin=task/cgroup does)")
def test_jobs_that_slurm_ends_for_their_memory_get_more_and_change_nothing(undisturbed):
    name = "integration-out-of-memory"
    more_each_time = ["--set-resources", "finetune:mem_mb=500 * attempt", "predict:mem_mb=500 * attempt"]
    before, seen = set(queue()), {}
    process = start(name, *ON_SLURM, *more_each_time)
    while process.poll() is None:
        seen |= {job: facts for job, facts in queue().items() if job not in before}
        time.sleep(1)
    printed = finish(process, name)
    assert results(name) == undisturbed
    jobs = [facts for facts in seen.values() if is_of(facts, "finetune")]
    assert {"500M", "1000M"} <= {facts["memory"] for facts in jobs}
    assert {facts["state"] for facts in jobs} == {"FAILED", "COMPLETED"}
    assert "oom-kill" in printed and "retrying" in printed


@pytest.mark.long  # SLURM waits two minutes before it starts a job again that it queued again
def test_a_training_that_is_preempted_and_then_runs_out_of_time_goes_on(tmp_path):
    """Preempted, so queued again by SLURM, and then stopped at its time limit: the adapter is the undisturbed one's."""
    adapters = {}
    for name in ("integration-in-peace", "integration-out-of-time"):
        adapters[name] = f"results/{name}/cells/tiny-random/gender/original/gamma-0.00/none/seed-1/round-1/adapter"
    longer = tmp_path / "longer.yaml"
    longer.write_text(f"finetune: {LONG}\n")
    in_peace, hurried = adapters
    finish(start(in_peace, longer, "--cores", "1", adapters[in_peace]), in_peace)

    before, seen, checkpoints, preempted = set(queue()), {}, {}, None
    # SLURM holds jobs to whole minutes
    process = start(hurried, longer, *ON_SLURM, adapters[hurried], "--set-resources", "finetune:runtime=1")
    while process.poll() is None:
        seen |= {job: facts for job, facts in queue().items() if job not in before}
        running = [job for job, facts in seen.items() if facts["state"] == "RUNNING" and is_of(facts, "finetune")]
        if running and not preempted and states_of_checkpoint(project() / ".work" / hurried, checkpoints) > 1:
            preempted = running[0]
            preempt(preempted)
        time.sleep(0.2)
    finish(process, hurried)

    assert preempted
    ended = [facts["state"] for facts in seen.values() if is_of(facts, "finetune")]
    assert "TIMEOUT" in ended and ended[-1] == "COMPLETED"
    log = next((project() / "logs" / hurried / "finetune").glob("*.log")).read_text()
    assert re.search("resumed after step [0-9]+", log)
    weights = [(project() / path / "adapter_model.safetensors").read_bytes() for path in adapters.values()]
    assert weights[0] == weights[1]


@pytest.mark.containers
def test_the_study_through_slurm_in_containers(undisturbed):
    name = "integration-slurm-apptainer"
    finish(start(name, *ON_SLURM, "--sdm", "apptainer"), name)
    assert results(name) == undisturbed
    assert {record["environment"]["container_sha256"] for record in records(name).values()} == {image_digest()}
