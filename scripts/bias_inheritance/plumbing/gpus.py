"""One GPU per job: a job that needs one claims a free one and sees no other; all other jobs see none."""

import os
import time
from pathlib import Path

from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError


def visible():
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES gives them (all where it is unset)."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return sorted((path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")), key=int)


def hide():
    """Hide all GPUs from this process; call it before torch looks for one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def claim(folder):
    """Claim a GPU that no other job of this checkout uses, waiting for one if need be, and hide all others.

    Returns the lock, which the caller keeps as long as it uses the GPU. Returns None if there is no GPU, and for the
    only GPU that SLURM shows to a job: SLURM has reserved it, and a job on another node may see the same number.
    """
    devices = visible()
    if not devices or (len(devices) == 1 and "SLURM_JOB_ID" in os.environ):
        return None
    while True:
        for device in devices:
            try:
                lock = files.hold(Path(folder) / f"gpu-{os.uname().nodename}-{device}" / "lock")
            except UserError:
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = device
            print(f"on GPU {device}", flush=True)
            return lock
        time.sleep(1)
