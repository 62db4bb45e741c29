"""One GPU for one job: each job that asks for one takes a free one and leaves the others alone; the others see none."""

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
    """Show this process no GPU, before torch looks for one."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def claim(folder):
    """Take a GPU that no other job of this checkout uses, wait for one if need be, and show this process no other.

    Returns the lock, which is held as long as it is kept; None where there is no GPU, and for the only one that SLURM
    shows a job: it is the job's own, and its number may be another's too.
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
