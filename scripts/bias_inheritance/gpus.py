"""One GPU for one job: on a machine with several, each job takes a free one and leaves the others alone."""

import os
import time
from pathlib import Path

from bias_inheritance import files
from bias_inheritance.errors import UserError


def visible():
    """Names of the GPUs that this process may use, as CUDA_VISIBLE_DEVICES gives them (all where it is unset)."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return sorted((path.name.removeprefix("nvidia") for path in Path("/dev").glob("nvidia[0-9]*")), key=int)


def claim(folder):
    """Take a GPU that no other job of this checkout uses, wait for one if need be, and show this process no other.

    Returns the lock, which is held as long as it is kept; None where there is nothing to choose from, as under SLURM,
    which gives a job its own device.
    """
    devices = visible()
    if len(devices) < 2:
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
