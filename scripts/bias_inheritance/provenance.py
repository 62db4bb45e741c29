"""Digests and provenance records: what a step read, ran and wrote. Standard library only, so that audit needs no more."""

import ast
import hashlib
import json
import os
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "scripts"
SUFFIX = ".prov.json"
# Modules that every step uses and that cannot change a result: the record writer and the progress display.
WITHOUT_EFFECT = {"step", "provenance", "progress"}


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
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return [{"path": str(file), "sha256": sha256(file), "bytes": file.stat().st_size} for file in files]


@cache
def _imports(path):
    """Library modules that a source file imports, and files of `resources/` and `scripts/` (templates) that it names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
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
def code_of(script):
    """The files whose change can change what `scripts/SCRIPT.py` computes, relative to the project's root, sorted.

    They are the script and, transitively, the library modules it imports and the resource files these name, read from
    the source without running it.
    """
    seen, todo = set(), [SCRIPTS / f"{script}.py"]
    while todo:
        path = todo.pop()
        if path not in seen and path.stem not in WITHOUT_EFFECT:
            seen.add(path)
            todo.extend(_imports(path) if path.suffix == ".py" else ())
    return sorted(os.path.relpath(path, ROOT) for path in seen)


def code_digest(script):
    """{files: {path: sha256}, digest} of the code behind a step."""
    files = {path: sha256(ROOT / path) for path in code_of(script)}
    return {"files": files, "digest": digest(files)}


def upstream_digest(records):
    """Hex digest over (path, sha256) of every output that the given records name: what a result downstream stands on."""
    found = set()
    for record in records:
        content = json.loads(Path(record).read_text(encoding="utf-8"))
        found |= {(entry["path"], entry["sha256"]) for entries in content["outputs"].values() for entry in entries}
    return digest(sorted(found))
