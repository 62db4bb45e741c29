"""This machine's CPU, and the memory and cores that jobs share."""

import os
import platform
from pathlib import Path

SHARE = 0.9  # of the memory, for jobs; the rest is for Snakemake and the system
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_mb():
    """Memory in MB: the machine's, or the limit of a container or batch system if that is lower."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for path in map(Path, CGROUP_LIMITS):
        text = path.read_text().strip() if path.is_file() else ""
        sizes += [int(text)] if text.isdigit() else []
    return min(sizes) // 10**6


def memory_of_jobs_mb():
    """Total memory in MB for jobs that run at the same time."""
    return int(memory_mb() * SHARE)


def cpu():
    """The CPU's model name; on systems other than Linux, as given by Python's platform module."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def cores():
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
