"""The study through a real SLURM: jobs ask for what fits, and one that is cancelled in mid-training goes on."""

import subprocess
import time

import pytest
from integration.running import ROOT, finish, results, start

pytestmark = pytest.mark.slurm
# looks at the queue more often than one would on a cluster
ON_SLURM = ["--profile", "profiles/slurm", "--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"]
HAS_GPUS = "gpu" in subprocess.run(["sinfo", "-h", "-o", "%G"], capture_output=True, text=True).stdout
WITH_GPU = ["--set-resources", "finetune:gpu=1"] if HAS_GPUS else []


@pytest.fixture(scope="module")
def undisturbed():
    name = "integration-undisturbed"
    finish(start(name), name)
    return results(name)


def queue():
    """{job id: {comment, state, memory, gpus}} of all jobs that SLURM remembers."""
    columns = "JobID:20,Comment:200,State:20,MinMemory:20,tres-per-job:40"
    found = subprocess.run(["squeue", "-h", "--states=all", "-O", columns], capture_output=True, text=True, check=True)
    return {
        line[:20].strip(): {
            "comment": line[20:220].strip(),
            "state": line[220:240].strip(),
            "memory": line[240:260].strip(),
            "gpus": line[260:].strip(),
        }
        for line in found.stdout.splitlines()
    }


def test_a_job_cancelled_in_mid_training_goes_on_and_changes_nothing(undisturbed):
    name = "integration-slurm"
    before = set(queue())
    process = start(name, *ON_SLURM, *WITH_GPU)
    cancelled, seen = [], {}
    while process.poll() is None:
        seen |= {job: facts for job, facts in queue().items() if job not in before}
        training = [
            job
            for job, facts in seen.items()
            if facts["state"] == "RUNNING" and facts["comment"].startswith("rule_finetune")
        ]
        if training and not cancelled and list((ROOT / ".work" / name / "finetune").glob("*/checkpoint.pt")):
            cancelled = training
            subprocess.run(["scancel", *cancelled], check=True)
        time.sleep(0.2)
    finish(process, name)

    assert cancelled
    logs = [log.read_text() for log in (ROOT / "logs" / name / "finetune").glob("*.log")]
    assert any("continued after step" in log for log in logs)
    assert results(name) == undisturbed

    states = {job: facts["state"] for job, facts in seen.items()}
    assert all(states[job] == "CANCELLED" for job in cancelled)
    first = {seen[job]["comment"]: seen[job]["memory"] for job in cancelled}
    again = {
        facts["comment"]: facts["memory"]
        for job, facts in seen.items()
        if facts["comment"] in first and job not in cancelled
    }
    assert first == dict.fromkeys(first, "2000M")
    assert again == dict.fromkeys(first, "3000M")
    if HAS_GPUS:
        assert all(
            ("gpu:1" in facts["gpus"]) == facts["comment"].startswith("rule_finetune") for facts in seen.values()
        )
    submitted = {facts["comment"].removeprefix("rule_").partition("_wildcards")[0] for facts in seen.values()}
    assert {"prepare_model", "write_pool", "finetune", "predict"} <= submitted
    assert not submitted & {"mix", "score", "gather_scores", "draw_originals"}


@pytest.mark.containers
def test_the_study_through_slurm_in_containers(undisturbed):
    name = "integration-slurm-apptainer"
    finish(start(name, *ON_SLURM, "--sdm", "apptainer"), name)
    assert results(name) == undisturbed
