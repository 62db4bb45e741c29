"""Digests of files and code, for provenance records. Standard library only, so that audit needs nothing else."""

import ast
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.files import read_json, write_json

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "scripts"
SUFFIX = ".prov.json"
MARKER = ".snakemake_timestamp"  # Snakemake's own: an empty file in every folder that is an output
# Modules that record, start, download or report for a step and cannot change its result; excluded from every step's code.
WITHOUT_EFFECT = {
    f"scripts/bias_inheritance/{module}.py"
    for module in (
        "plumbing/errors",
        "plumbing/gpus",
        "plumbing/progress",
        "plumbing/provenance",
        "plumbing/step",
        "plumbing/warm",
        "models/fetching",
    )
}
# Arguments of these calls and texts of these exceptions are messages: rewording them changes no result.
SPEAKERS = {"print", "progress.update", "warnings.warn"}
FATAL = {"UserError", "RuntimeError", "TypeError", "ValueError"}


def sha256(path):
    """sha256 of one file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(value):
    """sha256 of a JSON value, in hexadecimal; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def files_in(path):
    """The path itself, or, of a folder, every file in it, sorted."""
    path = Path(path)
    return sorted(p for p in path.rglob("*") if p.is_file() and p.name != MARKER) if path.is_dir() else [path]


def describe(path):
    """[{path, sha256, bytes}] of a file, or of every file in a folder, which is named too, sorted by path.

    Paths are as passed to the step (relative to the project's root), so that records of different machines agree.
    """
    place = {"folder": str(path)} if Path(path).is_dir() else {}
    return [
        {"path": str(file), "sha256": sha256(file), "bytes": file.stat().st_size, **place} for file in files_in(path)
    ]


def digests(names, memory=None):
    """{file: sha256} of the existing ones of the files `names`, and of every file in folders, named as in records.

    memory: a JSON file with the digests of earlier calls. A file is read again only if its inode, its size or one of its
    dates has changed; the date of its status changes with every write, move and copy, also of one that sets back the others.
    """
    known = read_json(memory) if memory and Path(memory).exists() else {}
    before, sha256s = dict(known), {}
    for path in (path for name in names for path in files_in(ROOT / name) if path.is_file()):
        name, status = str(path).removeprefix(f"{ROOT}/"), path.stat()
        stamp = [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
        if known.get(name, [None])[0] != stamp:
            known[name] = [stamp, sha256(path)]
        sha256s[name] = known[name][1]
    if memory and known != before:
        write_json(memory, known)
    return sha256s


def refuse_unplanned(sha256s, planned):
    """Raise UserError if data files {file: sha256} are not those with which the run was planned."""
    changed = sorted(name for name in {*sha256s, *planned} if sha256s.get(name) != planned.get(name))
    if changed:
        raise UserError(
            f"{changed[0]}: changed after the run was planned; run again to plan with the file as it is now"
        )


@dataclass(frozen=True)
class Source:
    """The digest of a code file's meaning, and the files that it uses."""

    digest: str
    uses: frozenset = frozenset()  # paths of library modules, and of files in resources/ and scripts/ mentioned in it
    choices: frozenset = frozenset()  # (package, key): modules of a package selected by a parameter `key`


def read_source(path):
    """The Source of a file. The digest of a Python file is of its meaning, that of any other file its sha256.

    Two Python files have the same digest if they differ only in formatting, comments, docstrings and the wording of
    messages. Prompts and all other text that may be part of a result are included. Raises SyntaxError.
    """
    path = Path(path)
    if path.suffix != ".py":
        return Source(sha256(path))
    tree = ast.parse(path.read_bytes(), str(path))
    nodes = list(ast.walk(tree))
    return Source(digest(_meaning(tree)), frozenset(_uses(nodes)), frozenset(filter(None, map(_choice, nodes))))


def has_digest(path, digest):
    """Whether the code file `path`, relative to the project's root, exists and has the digest given in a record."""
    return (ROOT / path).is_file() and read_source(ROOT / path).digest == digest


def _meaning(node, message=False):
    """A syntax tree as nested lists without docstrings; of a `message`, only the expressions in it.

    Empty fields are omitted, because the set of fields depends on the version of Python.
    """
    if isinstance(node, list):
        return [_meaning(part, message) for part in node if not (isinstance(part, ast.Expr) and _is_text(part.value))]
    if not isinstance(node, ast.AST):
        return ascii(node)
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and _name(node.exc).rpartition(".")[2] in FATAL:
        return ["Raise", _name(node.exc)]
    if message and (_is_text(node) or isinstance(node, ast.JoinedStr)):
        values = [part.value for part in getattr(node, "values", []) if isinstance(part, ast.FormattedValue)]
        return ["message", *(_meaning(value, message) for value in values)]
    message = message or _speaks(node)
    fields = [(name, value) for name, value in ast.iter_fields(node) if value is not None and value != []]
    return [type(node).__name__, *([name, _meaning(value, message)] for name, value in fields)]


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _name(call):
    """The dotted name of the called function, or ""."""
    return ast.unparse(call.func) if isinstance(call.func, (ast.Name, ast.Attribute)) else ""


def _speaks(node):
    """Whether a node is a call that only prints to the step's log or its progress."""
    return (
        isinstance(node, ast.Call)
        and _name(node) in SPEAKERS
        and all(keyword.arg != "file" or ast.unparse(keyword.value) == "sys.stderr" for keyword in node.keywords)
    )


def _uses(nodes):
    """Paths of the library modules imported by a syntax tree's nodes, and of files in resources/ and scripts/ named in them."""
    for node in nodes:
        if isinstance(node, ast.JoinedStr) and not _choice(node):
            # a module that is not selected by a parameter: any module of its package
            package = str(getattr(node.values[0], "value", ""))
            if package.startswith("bias_inheritance.") and package.endswith("."):
                modules = (SCRIPTS / package.replace(".", "/")).glob("[!_]*.py")
                yield from (os.path.relpath(module, ROOT) for module in modules)
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        paths = [f"scripts/{name.replace('.', '/')}.py" for name in names if name.startswith("bias_inheritance.")]
        if _is_text(node) and node.value.startswith(("resources/", "scripts/")):
            paths.append(node.value)
        yield from (path for path in paths if (ROOT / path).is_file())


def _choice(node):
    """(package, key) of an f-string that selects a module by a parameter: f"bias_inheritance.tasks.{task['kind']}"."""
    if not isinstance(node, ast.JoinedStr) or len(node.values) != 2:
        return None
    start, chosen = node.values
    text = start.value if isinstance(start, ast.Constant) else ""
    chosen = chosen.value if isinstance(chosen, ast.FormattedValue) else None
    if text.startswith("bias_inheritance.") and text.endswith(".") and isinstance(chosen, ast.Subscript):
        return text.removeprefix("bias_inheritance.")[:-1].replace(".", "/"), ast.literal_eval(chosen.slice)
    return None


def _values(key, content):
    """Every value under `key`, at any depth of a JSON value."""
    if isinstance(content, dict):
        for name, value in content.items():
            if name == key:
                yield value
            yield from _values(key, value)
    elif isinstance(content, list):
        for value in content:
            yield from _values(key, value)


def code_digest(script, parameters=None, sources=None):
    """{files: {path: digest}, digest} of the code that can affect the results of `scripts/SCRIPT.py`.

    The files are the script and, transitively, the library modules that it imports and the resource files named in them,
    found in the source without running it; paths are relative to the project's root. Of modules selected by a parameter (a
    domain's `family`, a task's `kind`), only those named in `parameters` are included, so that adding a family reruns
    nothing. sources: {path: Source} read earlier in this process; those read now are added to it.
    """
    sources = {} if sources is None else sources
    files, remaining = {}, [f"scripts/{script}.py"]
    while remaining:
        path = remaining.pop()
        if path in files or path in WITHOUT_EFFECT:
            continue
        if path not in sources:
            sources[path] = read_source(ROOT / path)
        files[path] = sources[path].digest
        remaining += sources[path].uses
        for package, key in sources[path].choices:
            modules = [f"scripts/bias_inheritance/{package}/{name}.py" for name in _values(key, parameters)]
            remaining += [module for module in modules if (ROOT / module).is_file()]
    files = dict(sorted(files.items()))
    return {"files": files, "digest": digest(files)}


def sealed(record):
    """The record with its own digest under `seal`, which reveals edits."""
    return {**record, "seal": digest(record)}
