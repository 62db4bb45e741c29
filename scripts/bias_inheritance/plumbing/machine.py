"""This machine's CPU, and the memory and cores that jobs share."""

import os
import platform
from pathlib import Path

SHARE = 0.9  # of the memory, for jobs; the rest is for Snakemake and the system
CGROUPS = Path("/sys/fs/cgroup")
PROCESS_CGROUPS = Path("/proc/self/cgroup")


def memory_mb():
    """Memory in MB: the machine's, or less where a container or a batch system allows this process less."""
    sizes = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 10**6]
    return min(sizes + _cgroup_limits_mb() + _slurm_limits_mb())


def _cgroup_limits_mb():
    """Limits of this process's control groups and of those above them; in a container, the topmost is the container's."""
    try:
        lines = PROCESS_CGROUPS.read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (CGROUPS / "memory", "memory.limit_in_bytes") if controllers else (CGROUPS, "memory.max")
        innermost = top / group.lstrip("/")
        for folder in (innermost, *innermost.parents):
            if folder.is_relative_to(top) and (folder / name).is_file():
                text = (folder / name).read_text().strip()
                limits += [int(text) // 10**6] if text.isdigit() else []
    return limits


def _slurm_limits_mb():
    """Memory that a SLURM allocation grants on this node (0: all of it); not every cluster enforces it by control groups."""
    per_node, per_cpu, cpus = (
        int(os.environ.get(f"SLURM_{name}") or 0) for name in ("MEM_PER_NODE", "MEM_PER_CPU", "CPUS_ON_NODE")
    )
    return [limit for limit in (per_node, per_cpu * cpus) if limit]


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


def container_environment(names):
    """{name: value} to set for Apptainer, so that steps in containers see the variables `names` that are set here.

    The files and folders that these name, such as certificates and caches, are bound in addition to those in APPTAINER_BIND.
    """
    values = {name: os.environ[name] for name in names if name in os.environ}
    named = {value for value in values.values() if os.path.isabs(value) and os.path.exists(value)}
    binds = ",".join(filter(None, [os.environ.get("APPTAINER_BIND"), *sorted(named)]))
    return {f"APPTAINERENV_{name}": value for name, value in values.items()} | (
        {"APPTAINER_BIND": binds} if named else {}
    )
