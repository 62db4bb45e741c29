"""The catalog: one YAML file per bias type, domain, task, model and mitigation. The file's name is the thing's name."""

from functools import cache

import yaml

from bias_inheritance.errors import UserError
from bias_inheritance.provenance import ROOT

CATALOG = ROOT / "catalog"
FOLDERS = {"bias": "biases", "domain": "domains", "task": "tasks", "model": "models", "mitigation": "mitigations"}


def names(kind):
    """Names of everything of one kind ('bias', 'domain', 'task', 'model', 'mitigation'), sorted."""
    return sorted(path.stem for path in (CATALOG / FOLDERS[kind]).glob("*.yaml"))


@cache
def load(kind, name):
    """The content of one catalog file, with its `name` added. Raises UserError that names file and line.

    A file that `extends` another one (a path in its folder, without .yaml) adds to it: mappings are merged key by key,
    everything else takes the other's place.
    """
    path = _path(kind, name)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as fault:
        mark = getattr(fault, "problem_mark", None)
        raise UserError(
            f"{path.relative_to(ROOT)}{f', line {mark.line + 1}' if mark else ''}: not valid YAML ({getattr(fault, 'problem', fault)})"
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path.relative_to(ROOT)}: holds no keys; write it as docs/extending.md says, or remove it")
    if "extends" in content:
        below = content.pop("extends")
        if below == name or not _path(kind, below).is_file():
            raise UserError(
                f"{path.relative_to(ROOT)}: extends: {below!r} is no other file of catalog/{FOLDERS[kind]}; there are {', '.join(names(kind))}"
            )
        content = _merged(load(kind, below), content)
    return {**content, "name": name}


def _path(kind, name):
    return CATALOG / FOLDERS[kind] / f"{name}.yaml"


def _merged(below, above):
    """`below` with `above` laid over it."""
    both = below.keys() & above.keys()
    inner = {
        key: _merged(below[key], above[key])
        for key in both
        if isinstance(below[key], dict) and isinstance(above[key], dict)
    }
    return {**below, **above, **inner}


def claims():
    """The declared claims, catalog/claims.yaml."""
    return yaml.safe_load((CATALOG / "claims.yaml").read_text(encoding="utf-8"))


def opinions():
    """The opinion questions: where they come from, how they are asked, which countries stand for a culture."""
    return yaml.safe_load((CATALOG / "opinions.yaml").read_text(encoding="utf-8"))


def embedder():
    """The sentence embedder, catalog/embedder.yaml."""
    return yaml.safe_load((CATALOG / "embedder.yaml").read_text(encoding="utf-8"))
