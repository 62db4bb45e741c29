"""One GPU per job: a job that needs one claims a free GPU and hides all others; other jobs see no GPU."""

import ctypes
import itertools
import os
import re
import time
from pathlib import Path

from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError


def visible():
    """Names of the GPUs that this process may use, from CUDA_VISIBLE_DEVICES (all if it is unset)."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        # CUDA takes what stands before the first name that is none, such as -1
        names = (name.strip() for name in chosen.split(","))
        return list(itertools.takewhile(re.compile(r"\d+$|GPU-|MIG-").match, names))
    return [str(number) for number in range(_count())]


def _count():
    """Number of NVIDIA GPUs according to the driver (NVML), 0 without a driver.

    WSL2 has GPUs without /dev/nvidia*, so the driver has to be queried; through NVML, because an initialised CUDA cannot be
    used in a fork.
    """
    try:
        nvml = ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return 0
    count = ctypes.c_uint(0)
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return 0
    nvml.nvmlShutdown()
    return count.value


def hide():
    """Hide all GPUs from this process; must be called before torch initialises CUDA."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ""


def claim(folder):
    """Claim a GPU that no other job of this checkout uses, waiting for one if necessary, and hide all others.

    Returns the lock, to be kept while the GPU is in use, or None if there is no GPU. The lock's name includes the SLURM job,
    because each job numbers its devices from 0; in this way, steps of one interactive allocation share its GPUs.
    """
    devices = visible()
    if not devices:
        return None
    place = "-".join(filter(None, ["gpu", os.uname().nodename, os.environ.get("SLURM_JOB_ID")]))
    while True:
        for device in devices:
            try:
                lock = files.hold(Path(folder) / f"{place}-{device}" / "lock")
            except UserError:
                continue
            os.environ["CUDA_VISIBLE_DEVICES"] = device
            print(f"on GPU {device}", flush=True)
            return lock
        time.sleep(1)
