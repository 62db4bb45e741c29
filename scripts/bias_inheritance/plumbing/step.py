"""Turn a plain function into a step with a command line and a provenance record.

A script ends with

    if __name__ == "__main__":
        step.run(finetune)

The function's signature is the command line: parameters annotated `Input` and `Output` are paths (`Inputs` and `Outputs`
accept several), `Work` is a private folder that is kept after a kill, and all others come from the JSON object in
`--parameters`. Tests call the function directly.
"""

import argparse
import errno
import inspect
import itertools
import json
import os
import platform
import re
import resource
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Annotated

from bias_inheritance.plumbing import files, gpus, machine, progress, provenance, records, warm
from bias_inheritance.plumbing.errors import UserError

Input = Annotated[Path, "input"]
Inputs = Annotated[list[Path], "inputs"]
Output = Annotated[Path, "output"]
Outputs = Annotated[list[Path], "outputs"]
Work = Annotated[Path, "work"]

PACKAGES = [
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "datasets",
    "openai",
    "statsmodels",
    "pandas",
    "numpy",
    "scipy",
    "scikit-learn",
    "pyarrow",
    "accelerate",
    "tokenizers",
    "safetensors",
    "snakemake",
]
# lock files that an environment may have been installed from, the one with more pins first
LOCKS = ["requirements-gpu.txt", "requirements.txt"]
# files that count as code, tracked by git or not
CODE = ["scripts/*.py", "scripts/*.yaml", "rules/*.smk", "catalog/*.yaml"]
notes = {}  # facts known only to the step, added to this job's record
_discovered = []


def note(**facts):
    """Add facts known only to the step (model revision, device, API cost, …) to this job's record. Never a secret."""
    notes.update(facts)


def note_data_set(name, revision, commit):
    """Record the commit to which the requested `revision` of the Hub's dataset `name` resolved."""
    notes.setdefault("data_sets", {})[name] = {"revision": revision, "commit": commit}


def also_read(paths):
    """Add files that the step discovered itself (such as a study's records) to the inputs in its record."""
    _discovered.extend(paths)


def run(function):
    """Run `function` from this process's command line and write its record last; exit with a nonzero status on failure."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    warm.hand_over()
    name = function.__name__
    kinds = {
        key: getattr(parameter.annotation, "__metadata__", ["parameter"])[0]
        for key, parameter in inspect.signature(function).parameters.items()
    }
    arguments = _parse(function, kinds)
    values = dict(arguments.parameters)
    values |= {
        key: getattr(arguments, key) for key, kind in kinds.items() if kind in ("input", "inputs", "output", "outputs")
    }
    locks = []  # kept until this process ends
    try:
        if arguments.gpu:
            locks.append(gpus.claim(arguments.work.parent / "gpus"))
        else:
            gpus.hide()
        started = time.time()
        inputs = {key: _describe_all(values[key]) for key, kind in kinds.items() if kind in ("input", "inputs")}
        stamps = _stamps(inputs)
        # before the step runs, since the working tree may change meanwhile
        basis = {
            "code": provenance.code_digest(name, arguments.parameters),
            "git": git_state(),
            "environment": environment(),
        }
        written = {key: values[key] for key, kind in kinds.items() if kind in ("output", "outputs")}
        for path in [arguments.record, *itertools.chain.from_iterable(map(_listed, written.values()))]:
            files.clear_leftovers(path)
        for key, kind in kinds.items():
            if kind == "work":
                specification = {
                    "parameters": arguments.parameters,
                    "inputs": inputs,
                    "code": basis["code"]["digest"],
                    "environment": basis["environment"],  # never resume from another environment's results
                }
                # as text, since a step may depend on the order of mappings (of a domain's groups, for example)
                values[key] = arguments.work / name / provenance.digest(json.dumps(specification))[:16]
                # after a kill, the old process may still be running
                locks.append(files.hold(values[key] / "lock", wait=True))
        with progress.job_reported(arguments.work, name, arguments.wildcards):
            function(**values)
        _refuse_changed(inputs, stamps)
        outputs = {key: _describe_all(paths) for key, paths in written.items()}
        if _discovered:
            inputs["discovered"] = _describe_all(_discovered)
        files.write_json(arguments.record, provenance.sealed(_record(name, arguments, inputs, outputs, basis, started)))
    except UserError as fault:
        sys.exit(f"{name}: {fault}")
    except Exception as fault:
        number, place = error_number(fault), getattr(fault, "filename", None) or arguments.record.parent
        if number in (errno.ENOSPC, errno.EDQUOT):
            sys.exit(f"{name}: the disk is full ({place}); free some space and run the same command again")
        if number in (errno.EROFS, errno.EACCES, errno.EPERM):
            sys.exit(
                f"{name}: no permission to read or write {place}; fix its permissions and run the same command again"
            )
        raise


def _stop(*_):
    """On Ctrl-C or SIGTERM, exit with one line and no stack trace; the next run resumes from the journal."""
    sys.exit(progress.STOPPED)


def error_number(fault):
    """The system's error number behind an exception, or None.

    It is that of the exception or of one that it was raised from; libraries in Rust (safetensors, tokenizers) give it only
    in their text, as "(os error 28)".
    """
    while fault is not None:
        if isinstance(fault, OSError) and fault.errno:
            return fault.errno
        if named := re.search(r"\(os error (\d+)\)", str(fault)):
            return int(named[1])
        fault = fault.__cause__ or (None if fault.__suppress_context__ else fault.__context__)
    return None


def _parse(function, kinds):
    parser = argparse.ArgumentParser(
        description=inspect.getdoc(function),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        fromfile_prefix_chars="@",
    )
    expected = sorted(key for key, kind in kinds.items() if kind == "parameter")
    for key, kind in kinds.items():
        if kind in ("input", "output"):
            parser.add_argument(f"--{key.replace('_', '-')}", dest=key, type=Path, required=True, help=kind)
        elif kind in ("inputs", "outputs"):
            parser.add_argument(f"--{key.replace('_', '-')}", dest=key, type=Path, nargs="*", default=[], help=kind)
    parser.add_argument(
        "--parameters",
        type=json.loads,
        default={},
        metavar="JSON",
        help=f"an object with the keys {', '.join(expected)}" if expected else "an empty object",
    )
    parser.add_argument(
        "--gpu", action="store_true", help="use a GPU that no other job uses; without this option no GPU is visible"
    )
    parser.add_argument(
        "--wildcards",
        type=json.loads,
        default={},
        metavar="JSON",
        help="the wildcards of the job, for the record",
    )
    parser.add_argument(
        "--work", type=Path, default=Path(".work"), help="folder for journals and checkpoints (default .work)"
    )
    parser.add_argument("--record", type=Path, required=True, help="where to write the provenance record")
    arguments = parser.parse_args()
    if sorted(arguments.parameters) != expected:
        parser.error(f"--parameters has the keys {sorted(arguments.parameters)}, {function.__name__} needs {expected}")
    return arguments


def _describe_all(paths):
    return [entry for path in _listed(paths) for entry in provenance.describe(path)]


def _listed(paths):
    return paths if isinstance(paths, list) else [paths]


def _stamps(inputs):
    """{path: (bytes, modification time)} of described inputs, None for a missing one."""
    paths = [Path(entry["path"]) for entry in records.entries(inputs)]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None for path in paths}


def _refuse_changed(inputs, stamps):
    """Raise UserError for an input whose content changed while the step ran."""
    now = _stamps(inputs)
    for entry in records.entries(inputs):
        path = entry["path"]
        if now[path] != stamps[path] and (now[path] is None or provenance.sha256(path) != entry["sha256"]):
            raise UserError(f"{path}: changed while the step read it; run again once it is complete")


def _record(name, arguments, inputs, outputs, basis, started):
    return {
        "step": name,
        "study": arguments.work.name,
        "record": str(arguments.record),
        "wildcards": arguments.wildcards,
        "parameters": arguments.parameters,
        "inputs": inputs,
        "outputs": outputs,
        **basis,
        "machine": _machine(),
        "started": _timestamp(started),
        "ended": _timestamp(time.time()),
        "seconds": round(time.time() - started, 3),
        "peak_memory_bytes": _peak_memory(),
        **notes,
    }


def git_state():
    """{commit, clean: no change and no new code file} of the working tree, or None outside a checkout."""

    def git(*words):
        return subprocess.run(["git", "-C", provenance.ROOT, *words], capture_output=True, text=True)

    try:
        commit = git("rev-parse", "HEAD")
    except FileNotFoundError:
        return None
    if commit.returncode:
        return None
    changed = git("status", "--porcelain", "--untracked-files=no").stdout.strip()
    new = git("ls-files", "--others", "--exclude-standard", "--", *CODE).stdout.strip()
    return {"commit": commit.stdout.strip(), "clean": not changed and not new}


def environment():
    """Versions of Python and packages, the lock file they were installed from, and the container image."""
    lock = next(filter(_is_installed, (provenance.ROOT / "envs" / name for name in LOCKS)), None)
    return {
        "python": platform.python_version(),
        "packages": {package: _version(package) for package in PACKAGES},
        "lock": lock and lock.name,
        "lock_sha256": lock and provenance.sha256(lock),
        "container_sha256": _container(),
    }


def _version(package):
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _is_installed(lock):
    """Whether all packages pinned in a lock file are installed in that version, in any build (+cpu)."""
    if not lock.exists():
        return False
    pins = [line.replace("===", "==").split("==") for line in lock.read_text().splitlines() if "==" in line]
    return all((_version(name) or "").partition("+")[0] == version for name, version in pins)


def _container():
    """The digest of the container image of this process, from the image's name; None outside a container."""
    image = os.environ.get("APPTAINER_CONTAINER")
    return image and Path(image).stem.rpartition(".")[2]


def _machine():
    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch and torch.cuda.is_available() else None
    return {"host": socket.gethostname(), "cpu": machine.cpu(), "cores": os.cpu_count(), "gpu": gpu}


def _timestamp(seconds):
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _peak_memory():
    """Bytes; the system counts in bytes on macOS and in KB elsewhere."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
