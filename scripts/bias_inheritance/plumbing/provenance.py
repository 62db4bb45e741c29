"""Digests and provenance records: what a step read, ran and wrote. Standard library only, so that audit needs no more."""

import ast
import hashlib
import json
import os
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "scripts"
SUFFIX = ".prov.json"
MARKER = ".snakemake_timestamp"  # Snakemake's own: an empty file in every folder that is an output
# Modules that every step uses and that cannot change a result: the record writer, the progress display, the worker, the
# choice of a GPU.
WITHOUT_EFFECT = {"step", "provenance", "progress", "warm", "gpus"}


def sha256(path):
    """Hex digest of one file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value):
    """Hex digest of a JSON value, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def describe(path):
    """[{path, sha256, bytes}] of a file, or of every file in a folder, sorted by path.

    Paths are given as the step was given them (relative to the project's root), so that records of two machines agree.
    """
    path = Path(path)
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != MARKER) if path.is_dir() else [path]
    return [{"path": str(file), "sha256": sha256(file), "bytes": file.stat().st_size} for file in files]


@cache
def _imports(path):
    """Library modules that a source file imports, and files of `resources/` and `scripts/` (templates) that it names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.JoinedStr) and not _choice(node):
            # a module chosen by name in some other way: any of its package
            package = str(getattr(node.values[0], "value", ""))
            if package.startswith("bias_inheritance.") and package.endswith("."):
                found.update((SCRIPTS / package.replace(".", "/")).glob("[!_]*.py"))
        if (
            isinstance(node, ast.Constant)
            and str(node.value).startswith(("resources/", "scripts/"))
            and (ROOT / node.value).is_file()
        ):
            found.add(ROOT / node.value)
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("bias_inheritance."):
                module = SCRIPTS / (name.replace(".", "/") + ".py")
                if module.is_file():
                    found.add(module)
    return frozenset(found)


@cache
def _choices(path):
    """(package, key) of the modules that a source file imports by a parameter, as in f"bias_inheritance.tasks.{task['kind']}"."""
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return frozenset(filter(None, (_choice(node) for node in nodes if isinstance(node, ast.JoinedStr))))


def _choice(node):
    """(package, key) of an f-string that names a module by a parameter, else None."""
    if len(node.values) != 2:
        return None
    start, chosen = node.values
    text = start.value if isinstance(start, ast.Constant) else ""
    chosen = chosen.value if isinstance(chosen, ast.FormattedValue) else None
    if text.startswith("bias_inheritance.") and text.endswith(".") and isinstance(chosen, ast.Subscript):
        return text.split(".")[1], ast.literal_eval(chosen.slice)
    return None


def _values(key, content):
    """Every value that stands under `key`, at any depth of a JSON value."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name == key:
                yield value
            yield from _values(key, value)
    elif isinstance(content, list):
        for value in content:
            yield from _values(key, value)


def code_of(script, parameters=None):
    """The files whose change can change what `scripts/SCRIPT.py` computes, relative to the project's root, sorted.

    They are the script and, transitively, the library modules it imports and the resource files these name, read from
    the source without running it. Modules that are chosen by a parameter (a domain's `family`, a task's `kind`) are
    those that `parameters` name, so that one more family reruns nothing.
    """
    seen, todo = set(), [SCRIPTS / f"{script}.py"]
    while todo:
        path = todo.pop()
        if path in seen or path.stem in WITHOUT_EFFECT:
            continue
        seen.add(path)
        if path.suffix == ".py":
            todo.extend(_imports(path))
            for package, key in _choices(path):
                chosen = [SCRIPTS / "bias_inheritance" / package / f"{name}.py" for name in _values(key, parameters)]
                todo.extend(module for module in chosen if module.is_file())
    return sorted(os.path.relpath(path, ROOT) for path in seen)


def code_digest(script, parameters=None):
    """{files: {path: sha256}, digest} of the code behind a step."""
    files = {path: sha256(ROOT / path) for path in code_of(script, parameters)}
    return {"files": files, "digest": digest(files)}


def sealed(record):
    """The record with its own digest, the seal, by which an edited record is told."""
    return {**record, "seal": digest(record)}
