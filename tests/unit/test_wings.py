"""The library's wings: each imports only those below it, and nothing of a step's own program."""

import ast

from bias_inheritance.plumbing.provenance import SCRIPTS

LIBRARY = SCRIPTS / "bias_inheritance"
WINGS = ["plumbing", "stats", "models", "data", "tasks", "pools", "study", "claims", "report", "tools"]  # lowest first


def modules():
    """{dotted name below the library: its file}."""
    return {
        ".".join(path.relative_to(LIBRARY).with_suffix("").parts): path
        for path in sorted(LIBRARY.rglob("*.py"))
        if path != LIBRARY / "__init__.py"
    }


def imports(path):
    """Full names of the modules imported by a file, and of packages from which it selects a module by name (an
    f-string).
    """
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: write the whole name"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.JoinedStr) and isinstance(node.values[0], ast.Constant):
            yield str(node.values[0].value)


def test_every_module_lies_in_a_wing():
    assert {name.split(".")[0] for name in modules()} == set(WINGS)


def test_a_wing_imports_only_those_below_it():
    upwards = set()
    for module, path in modules().items():
        wing = module.split(".")[0]
        for name in imports(path):
            package, _, rest = name.partition(".")
            if package == LIBRARY.name and rest:
                other = rest.split(".")[0]
                assert other in WINGS, f"{path}: {name} lies in no wing"
                if WINGS.index(other) > WINGS.index(wing):
                    upwards.add((module, other))
    assert not upwards


def test_the_library_imports_no_step():
    steps = {path.stem for path in SCRIPTS.glob("*.py")}
    for path in modules().values():
        assert not steps & {name.split(".")[0] for name in imports(path)}, path
