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


def test_jobs_of_one_slurm_allocation_share_its_device_and_other_allocations_have_their_own(monkeypatch, tmp_path):
    devices(monkeypatch, "0")
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    first = gpus.claim(tmp_path)
    assert first and os.environ["CUDA_VISIBLE_DEVICES"] == "0"
    monkeypatch.setenv("SLURM_JOB_ID", "2")
    assert gpus.claim(tmp_path), "device 0 of another SLURM job is another GPU"
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    waited = []
    monkeypatch.setattr(gpus.time, "sleep", lambda _: waited.append(first.lock.release()))
    assert gpus.claim(tmp_path) and len(waited) == 1


@pytest.mark.parametrize(("fails", "names"), [(0, ["0", "1"]), (9, [])])
def test_gpus_are_asked_of_the_driver(monkeypatch, fails, names):
    class Driver:
        def __init__(self, library):
            assert library == "libnvidia-ml.so.1"

        def nvmlInit_v2(self):
            return fails

        def nvmlDeviceGetCount_v2(self, count):
            count._obj.value = 2
            return 0

        def nvmlShutdown(self):
            return 0

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(gpus.ctypes, "CDLL", Driver)
    assert gpus.visible() == names


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("1, 0", ["1", "0"]),
        ("0,-1,1", ["0"]),
        ("GPU-8f2a,MIG-3c", ["GPU-8f2a", "MIG-3c"]),
    ],
)
def test_names_are_read_as_cuda_reads_them(monkeypatch, chosen, names):
    devices(monkeypatch, chosen)
    assert gpus.visible() == names


def test_without_a_device_nothing_is_taken(monkeypatch, tmp_path):
    devices(monkeypatch, "")
    assert gpus.claim(tmp_path) is None
