# Helpers of the rules: paths of the contract, and how a step is called. Nothing here computes a result.
import json
import os
import shlex
import sys
from importlib import import_module

from snakemake.settings.types import DeploymentMethod

RESULTS = f"results/{config['study']}"
WORK = f".work/{config['study']}"
LOGS = f"logs/{config['study']}"
POOL = f"{RESULTS}/pools/{{model}}/{{domain}}/{{bias}}/seed-{{seed}}"
CELL = f"{RESULTS}/cells/{{model}}/{{domain}}/{{bias}}/gamma-{{gamma}}/{{mitigation}}/seed-{{seed}}/round-{{round}}"
CARD = f"{RESULTS}/models/{{model}}.json"
ORIGINALS = f"{RESULTS}/originals/{{domain}}"
GRID = config["grid"]
CELLS = study.cells(config)
POOLS = study.pools(config)
LONGEST_LINE = 40_000
IN_CONTAINERS = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method


wildcard_constraints:
    model="[^/]+",
    domain="[^/]+",
    bias="[^/]+",
    gamma=r"0\.\d\d",
    mitigation="[^/]+",
    seed=r"\d+",
    round=r"\d+",
    task="[^/]+",


def image(role):
    """The container image of a role (cpu, gpu); Snakemake uses it with `--sdm apptainer`, else steps run on the host."""
    return config["containers"][role]


def call(name):
    """The shell command of a step."""
    python = "python3" if IN_CONTAINERS else sys.executable
    return f"{python} scripts/{name}.py {{params.paths}} --parameters {{params.parameters}} > {{log}} 2>&1"


def code(name, choosing=None):
    """The step's own code as input files, so that a changed line reruns what it touches and a touched file nothing.

    choosing: gives the parameters that choose modules by name, a domain's `family` or a task's `kind`.
    """
    if choosing is None:
        return provenance.code_of(name)
    return lambda wildcards: provenance.code_of(name, choosing(wildcards))


def paths(wildcards, input, output):
    """Options that hand a step its named inputs and outputs under their names, and what the record needs."""
    words = []
    for name, found in [*input.items(), *output.items()]:
        if name not in ("code", "record"):
            words += [f"--{name.replace('_', '-')}", *([found] if isinstance(found, str) else found)]
    words += ["--wildcards", compact(dict(wildcards.items())), "--work", WORK, "--record", str(output.record)]
    return fitting(words)


def parameters(function):
    """The step's parameters as sorted JSON of the exact leaves that it uses; a change in them reruns it.

    They stand apart from `paths`: Snakemake compares no parameter that was derived from inputs.
    """

    def text(wildcards):
        return fitting([compact(function(wildcards))])

    text.leaves = function  # for the plan
    return text


def fitting(words):
    """The words for a shell, or a file that the step reads them from where one command could not hold them."""
    line = " ".join(shlex.quote(word) for word in words)
    return line if len(line) < LONGEST_LINE else from_file(words)


def from_file(words):
    """The words in a file that the step reads its options from: a shell takes no argument of more than 128 KB."""
    text = "\n".join(words) + "\n"
    path = f"{WORK}/options/{provenance.digest(text)[:16]}.txt"
    if not os.path.exists(path):
        files.write_text(path, text)
    return f"@{path}"


def compact(value):
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def path_of(pattern, cell, **more):
    """A path of the contract for one cell or pool of the grid, given as a dict or as wildcards."""
    return pattern.format(**{**dict(cell.items()), **more})


def pool_of(wildcards, round_):
    """The pool that round `round_` of a cell is trained on: the untuned model's, or what the round before wrote."""
    if round_ == 1:
        return f"{path_of(POOL, dict(wildcards.items()))}/pool.jsonl"
    return f"{path_of(CELL, wildcards, round=round_ - 1)}/pool.jsonl"


def family_of(domain):
    return import_module(f"bias_inheritance.families.{catalog.load('domain', domain)['family']}")


def resources_of(wildcards):
    return catalog.load("model", wildcards.model)["resources"]


def model_parameters(name):
    spec = catalog.load("model", name)
    borrowed = spec["source"].get("tokenizer_of")
    return {
        "model": name,
        "spec": {"source": spec["source"], "form": spec["form"]},
        "tokenizer_spec": {"source": catalog.load("model", borrowed)["source"]} if borrowed else None,
    }


def domain_of(name, *keys):
    """A domain's name and the leaves of its file that a step uses."""
    content = catalog.load("domain", name)
    return {"name": name, **{key: content[key] for key in keys if key in content}}


def without(content, *keys):
    """A catalog file's content but for what a step does not read, so that a new title reruns no generation."""
    return {key: value for key, value in content.items() if key not in keys}


def pool_parameters(wildcards):
    return {
        "bias": without(catalog.load("bias", wildcards.bias), "title", "number", "does"),
        "domain": without(
            catalog.load("domain", wildcards.domain), "title", "originals", "samples", "tasks", "manipulation"
        ),
        "size": -(-study.pool_size(config) * round(100 * (1 + config["generation"]["spare"])) // 100),
        "seed": int(wildcards.seed),
    }


def biases_from(*sources):
    """A wildcard constraint: the bias types whose pools come from one of `sources` (generated, originals, reserve)."""
    found = [name for name in catalog.names("bias") if catalog.load("bias", name)["source"] in sources]
    return "|".join(found)


def is_generated(bias):
    return catalog.load("bias", bias)["source"] == "generated"


def pools_of_mix(wildcards):
    if wildcards.bias == "original":
        return []
    last = int(wildcards.round)
    first = 1 if config["rounds"]["arm"] == "accumulate" else last
    return [pool_of(wildcards, number) for number in range(first, last + 1)]


def model_leaves(name, *keys):
    """A model's name and the leaves of its file that a step uses."""
    content = catalog.load("model", name)
    return {"name": name, **{key: content[key] for key in keys}}


def adapter_before(wildcards):
    """The adapter that training goes on from: none, or the one of the round before in studies that continue."""
    if config["rounds"]["start"] == "base" or int(wildcards.round) < 2:
        return []
    return [f"{path_of(CELL, wildcards, round=int(wildcards.round) - 1)}/adapter"]


def tasks_of(wildcards):
    return study.tasks_of(config, wildcards.domain)
