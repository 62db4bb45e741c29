"""The catalog: one YAML file per pool, domain, task, model and mitigation, named after it.

Files are read here and trusted: `checks` has looked at them once, at the start.
"""

import math
from functools import cache, reduce

from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import reading

CATALOG = ROOT / "catalog"
CLAIMS = CATALOG / "claims.yaml"
FOLDERS = {"bias": "biases", "domain": "domains", "task": "tasks", "model": "models", "mitigation": "mitigations"}
BY_LABEL = ("associated_groups", "label_words", "stereotypes")  # keys of a domain with an entry per label


def names(kind):
    """Names of everything of one kind ('bias', 'domain', 'task', 'model', 'mitigation'), sorted."""
    return sorted(path.stem for path in (CATALOG / FOLDERS[kind]).glob("*.yaml"))


@cache
def load(kind, name):
    """The content of one catalog file, merged with what it extends, and its `name`, which is also the default of a
    pool's `title`. Raises UserError as `sources` does.
    """
    contents = [content for _, content in sources(kind, name)]
    default = {"title": name} if kind == "bias" else {}
    return {**default, **reduce(merged, contents), "name": name}


def sources(kind, name):
    """[(path of a file, its content)]: a catalog file, preceded by the files that it extends.

    `extends` names another file of its folder, without .yaml; the file overrides what that one says: mappings are merged
    key by key, everything else is replaced. A domain's `labels` are replaced too, and entries of other labels are not
    inherited. Raises UserError that names file and line.
    """
    folder = f"catalog/{FOLDERS[kind]}"
    chain = []
    while name is not None:
        path = f"{folder}/{name}.yaml"
        content = reading.read(CATALOG / FOLDERS[kind] / f"{name}.yaml", path)
        if not isinstance(content, dict):
            raise UserError(f"{path}: has no keys; see docs/extending.md for what it needs, or remove the file")
        content = dict(content)
        base = content.pop("extends", None)
        chain.insert(0, (path, content))
        if base is not None and not _exists(kind, base):
            raise UserError(
                f"{path}: extends: {reading.quoted(base)} is not another file of {folder}; available: {', '.join(names(kind))}"
            )
        if f"{folder}/{base}.yaml" in dict(chain):
            raise UserError(f"{path}: extends: {base} extends this file in turn; remove `extends` from one of them")
        name = base
    holder = max((place for place, (_, content) in enumerate(chain) if "labels" in content), default=0)
    labels = chain[holder][1].get("labels")
    inherited = [(path, _of_labels(content, labels)) for path, content in chain[:holder]]
    return [*inherited, *chain[holder:]]


def _of_labels(content, labels):
    """The part of a domain's content that applies to other `labels` (a list of names, or {value: name}) than its own."""
    listed = list(labels.values()) if isinstance(labels, dict) else labels if isinstance(labels, list) else []
    content = {key: value for key, value in content.items() if key != "labels"}
    if content.get("planted_label") not in listed:
        content.pop("planted_label", None)
    for key in BY_LABEL:
        entries = content.pop(key, None)
        if isinstance(entries, dict):
            entries = {label: entry for label, entry in entries.items() if label in listed}
        if entries:
            content[key] = entries
    return content


def _exists(kind, name):
    """Whether a folder of the catalog contains a file, also in subfolders; files outside the catalog are never read."""
    folder = CATALOG / FOLDERS[kind]
    return f"{name}.yaml" in {path.relative_to(folder).as_posix() for path in folder.rglob("*.yaml")}


def merged(base, overlay):
    """`base` merged with `overlay`, which takes precedence."""
    nested = {
        key: merged(base[key], overlay[key])
        for key in base.keys() & overlay.keys()
        if isinstance(base[key], dict) and isinstance(overlay[key], dict)
    }
    return {**base, **overlay, **nested}


def bias_types():
    """Names of the pools whose role is bias-type, in the order of their numbers, those without one last."""
    types = [load("bias", name) for name in names("bias") if load("bias", name)["role"] == "bias-type"]
    return [bias["name"] for bias in sorted(types, key=lambda bias: bias.get("number", math.inf))]


@cache
def claims(path=CLAIMS):
    """The declared claims of a file."""
    return reading.read(path)


def opinions():
    """The opinion questions: their source, their wording, and the countries that represent each culture."""
    return reading.read(CATALOG / "opinions.yaml")


def embedder():
    """The sentence embedder, catalog/embedder.yaml."""
    return reading.read(CATALOG / "embedder.yaml")
