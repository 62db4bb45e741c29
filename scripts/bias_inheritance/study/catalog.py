"""The catalog: one YAML file per pool, domain, task, model and mitigation, whose name is the file's name."""

import math
import os
import re
from functools import cache

from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT
from bias_inheritance.study import schema

CATALOG = ROOT / "catalog"
MEASURED = ["values", "groups", "distributions", "inheritance"]  # tables that claims address as tasks
# what claims call the pools and mitigations that a study has
KEYWORDS = {"biases": ("types", "natural", "files"), "mitigation": ("mitigations",)}
CLAIMS, CLAIMS_SCHEMA = CATALOG / "claims.yaml", schema.SCHEMAS / "claims.schema.yaml"
FOLDERS = {"bias": "biases", "domain": "domains", "task": "tasks", "model": "models", "mitigation": "mitigations"}


def names(kind):
    """Names of everything of one kind ('bias', 'domain', 'task', 'model', 'mitigation'), sorted."""
    return sorted(path.stem for path in (CATALOG / FOLDERS[kind]).glob("*.yaml"))


@cache
def load(kind, name):
    """The content of one catalog file, with its `name` added. Raises UserError that names file and line.

    A file that `extends` another one (a path in its folder, without .yaml) overrides it: mappings are merged key by key,
    everything else is replaced.
    """
    path = _path(kind, name)
    content = schema.read(path, os.path.relpath(path))
    if not isinstance(content, dict):
        raise UserError(
            f"{path.relative_to(ROOT)}: holds no keys; see docs/extending.md for what it needs, or remove the file"
        )
    if "extends" in content:
        base = content.pop("extends")
        if base == name or not _path(kind, base).is_file():
            raise UserError(
                f"{path.relative_to(ROOT)}: extends: {base!r} is not another file of catalog/{FOLDERS[kind]}; there are {', '.join(names(kind))}"
            )
        content = _merged(load(kind, base), content)
    return {**content, "name": name}


def _path(kind, name):
    return CATALOG / FOLDERS[kind] / f"{name}.yaml"


def _merged(base, overlay):
    """`base` with `overlay` laid over it."""
    nested = {
        key: _merged(base[key], overlay[key])
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
    """The declared claims of a file. Raises UserError with one line per fault."""
    name = os.path.relpath(path)
    declared = schema.read(path, name)
    faults = schema.faults(declared, CLAIMS_SCHEMA) or list(_unknown(declared))
    if faults:
        raise UserError("\n".join(f"{name}: {schema.line(place, text)}" for place, text in faults))
    return declared


def _unknown(declared):
    """(path of keys and indices, what is wrong there) of every name in the claims that does not exist."""
    used = [
        (["outcomes", outcome, index], selector, {"task": [*names("task"), *MEASURED], "domain": names("domain")})
        for outcome, selectors in declared["outcomes"].items()
        for index, selector in enumerate(selectors)
    ]
    for claim, entry in declared["claims"].items():
        families = {contrast.get("family", claim) for contrast in entry["contrasts"]}
        known = {
            "outcome": declared["outcomes"],
            "biases": [*names("bias"), "original"],
            "mitigation": names("mitigation"),
            "of": families,
            "where": families,
        }
        used.append((["claims", claim], entry, {"models": names("model")}))
        for index, contrast in enumerate(entry["contrasts"]):
            place = ["claims", claim, "contrasts", index]
            used.append((place, contrast, known))
            parts = ("minus", "than", "with", "each")
            used += [([*place, key], contrast[key], known) for key in parts if key in contrast]
            yield from _unfilled(place, contrast, [other["name"] for other in entry["contrasts"]])
    for place, part, known in used:
        for key in (key for key in known if key in part):
            for name in [part[key]] if isinstance(part[key], str) else part[key]:
                if name not in known[key] and name not in KEYWORDS.get(key, ()):
                    yield [*place, key], f"no such name: {name!r}{schema.suggest(name, known[key])}"


def _unfilled(place, contrast, contrasts):
    """(path, what is wrong there) of a placeholder that nothing fills, and of a counterpart that the claim does not have."""
    fillable = [*contrast.get("each", {}), "reference", "compared", "contrast", "group"]
    for name in re.findall(r"{(.*?)}", contrast["name"]):
        if name not in fillable:
            yield [*place, "name"], f"nothing fills {{{name}}}; it may hold {', '.join(fillable)}"
    if contrast.get("counterpart", contrasts[0]) not in contrasts:
        yield (
            [*place, "counterpart"],
            f"no such contrast: {contrast['counterpart']!r}{schema.suggest(contrast['counterpart'], contrasts)}",
        )


def opinions():
    """The opinion questions: their source, their wording, and the countries that represent each culture."""
    return schema.read(CATALOG / "opinions.yaml", "catalog/opinions.yaml")


def embedder():
    """The sentence embedder, catalog/embedder.yaml."""
    return schema.read(CATALOG / "embedder.yaml", "catalog/embedder.yaml")
