"""Which GPU a job takes, and which it is shown."""

import os

import pytest
from bias_inheritance.plumbing import gpus


@pytest.fixture(autouse=True)
def outside_slurm(monkeypatch):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)


def devices(monkeypatch, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", names)


def test_each_job_takes_a_device_of_its_own(monkeypatch, tmp_path):
    devices(monkeypatch, "0,1")
    first = gpus.claim(tmp_path)
    assert first and os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    devices(monkeypatch, "0,1")
    second = gpus.claim(tmp_path)
    assert second and os.environ["CUDA_VISIBLE_DEVICES"] == "1"


def test_the_only_device_is_taken_too_and_waited_for(monkeypatch, tmp_path):
    devices(monkeypatch, "0")
    first = gpus.claim(tmp_path)
    assert first
    waited = []
    monkeypatch.setattr(gpus.time, "sleep", lambda _: waited.append(first.lock.release()))
    assert gpus.claim(tmp_path) and len(waited) == 1


def test_the_device_that_slurm_gave_is_the_jobs_own(monkeypatch, tmp_path):
    devices(monkeypatch, "0")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert gpus.claim(tmp_path) is None
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


def test_without_a_device_nothing_is_taken(monkeypatch, tmp_path):
    devices(monkeypatch, "")
    assert gpus.claim(tmp_path) is None
