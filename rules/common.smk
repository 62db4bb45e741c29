# Helpers of the rules: paths of results, and the command line of steps. No result is computed in this file.
import inspect
import json
import os
import re
import shlex
import sys
from functools import cache
from importlib import import_module

from snakemake.common import overwrite_function_params
from snakemake.iocontainers import Wildcards
from snakemake.settings.types import DeploymentMethod

RESULTS = f"results/{config['study']}"
WORK = f".work/{config['study']}"
LOGS = f"logs/{config['study']}"
POOL = f"{RESULTS}/pools/{{model}}/{{domain}}/{{bias}}/seed-{{seed}}"
CELL = f"{RESULTS}/cells/{{model}}/{{domain}}/{{bias}}/gamma-{{gamma}}/{{mitigation}}/seed-{{seed}}/round-{{round}}"
CARD = f"{RESULTS}/models/{{model}}.json"
ORIGINALS = f"{RESULTS}/originals/{{domain}}"
GRID = config["grid"]
# wildcards on which the tasks of a cell depend
TASK_AXES = ("model", "domain", "bias", "gamma", "mitigation")
MODELS = grid.models(config)
STUDENTS = grid.students(config)
CELLS = grid.cells(config)
POOLS = grid.pools(config)
LONGEST_LINE = (
    40_000  # maximum length (characters) of arguments in a command; longer ones are passed in a file
)
SOURCES = {}  # cache of code files read for the digests of steps
# Training takes longest: its prerequisites run first, then training, then everything else, so that no core idles at the
# end waiting for one training.
BEFORE_TRAINING = 3
MEMORY_OF_JOBS = machine.memory_of_jobs_mb() if workflow.local_exec else None
IN_CONTAINERS = DeploymentMethod.APPTAINER in workflow.deployment_settings.deployment_method
ON_GPU = any(catalog.load("model", model)["resources"]["gpu"] for model in MODELS)
# Environment variables passed into containers; `--cleanenv` removes all others. OPENBLAS_* select the kernels of numpy,
# on which the last digit of a sum depends.
PASSED = [
    *warm.MEMORY,
    "CUDA_VISIBLE_DEVICES",
    "CURL_CA_BUNDLE",
    "HF_DATASETS_CACHE",
    "HF_ENDPOINT",
    "HF_HOME",
    "HF_HUB_CACHE",
    "HF_HUB_DISABLE_XET",
    "HF_HUB_OFFLINE",
    "HF_TOKEN",
    "OPENAI_BASE_URL",
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "REQUESTS_CA_BUNDLE",
    "SLURM_JOB_ID",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
]
PASSED += [key for model in MODELS if (key := catalog.load("model", model).get("service", {}).get("key"))]
for variable, value in warm.MEMORY.items():
    os.environ.setdefault(variable, value)


# `localrule` marks rules that run on the host of Snakemake: steps that load no model and take only seconds, less than a
# cluster job needs to start, and steps that query a server, which cluster nodes often cannot reach.


wildcard_constraints:
    model="[^/]+",
    domain="[^/]+",
    bias="[^/]+",
    gamma=r"0\.\d\d",
    mitigation="[^/]+",
    seed=r"\d+",
    round=r"\d+",
    task="[^/]+",


if IN_CONTAINERS:
    os.environ.update(machine.container_environment(PASSED))
    if ON_GPU:
        os.environ.update(APPTAINER_NV="1")


def image(role):
    """The container image of a role (cpu, gpu), used with `--sdm apptainer`; otherwise steps run on the host.

    `make containers` names an image by its sha256 and creates a link to it: Snakemake treats a rebuilt image as a new one
    and reruns the steps that used it, and records contain the digest without reading the image. A study whose models need
    no GPU uses only the CPU image.
    """
    role = role if ON_GPU else "cpu"
    link = config["containers"][role]
    if not IN_CONTAINERS:
        return link
    if link is None:
        sys.exit(f"containers.{role}: is null; name an image, or run without --sdm apptainer")
    if not os.path.islink(link):
        sys.exit(
            f"{link}: is not an image built by `make containers`; build it, or run without --sdm apptainer"
        )
    return os.path.join(os.path.dirname(link), os.readlink(link))


def step_command(name):
    """The shell command of a step. Containers get only the variables in PASSED and the number of threads."""
    python = (
        "OMP_NUM_THREADS={threads} python3"
        if IN_CONTAINERS
        else shlex.quote(sys.executable).replace("{", "{{").replace("}", "}}")
    )
    return f"{python} scripts/{name}.py {{params.paths}} --parameters {{params.parameters}} > {{log:q}} 2>&1"


def with_signature(function):
    """Keep a function's parameters with it: Snakemake looks them up about twenty times per job (saves 10% of planning)."""
    overwrite_function_params(function, inspect.signature(function).parameters)
    return function


def code(name, choosing=None, axes=()):
    """Digest of a step's code, so that a changed line reruns the steps that use it, and a touched file nothing.

    choosing: function of wildcards that returns the parameters which select modules by name (a domain's `family`, a task's
    `kind`). axes: as in `parameters`.
    """
    if choosing is None:
        return digest_of_code(name, "null")
    return with_signature(
        once_per(axes, lambda wildcards: digest_of_code(name, compact(choosing(wildcards))))
    )


@cache
def digest_of_code(name, chosen):
    return provenance.code_digest(name, json.loads(chosen), SOURCES)["digest"]


@with_signature
def paths(wildcards, input, output, resources):
    """Command line options with a step's named inputs and outputs, and the fields for its record."""
    words = []
    for name, value in [*input.items(), *output.items()]:
        if name != "record":
            words += [f"--{name.replace('_', '-')}", *([value] if isinstance(value, str) else value)]
    words += ["--wildcards", compact(dict(wildcards.items())), "--work", WORK, "--record", str(output.record)]
    words += ["--gpu"] if resources.get("gpu") else []
    return shell_arguments(words)


def parameters(function, axes=()):
    """A step's parameters as JSON with exactly the leaves that it uses; a change in them reruns the step.

    axes: the only wildcards on which they depend; they are then computed once per value instead of once per job. They are
    separate from `paths`, since Snakemake does not compare parameters that are derived from inputs.
    """
    text = with_signature(once_per(axes, lambda wildcards: shell_arguments([compact(function(wildcards))])))
    text.leaves = function  # for the plan
    return text


def once_per(axes, function):
    """Cache a function of wildcards that depends on `axes` only; without axes the function is returned unchanged."""
    if not axes:
        return function
    computed = cache(lambda *values: function(Wildcards(fromdict=dict(zip(axes, values, strict=True)))))
    return lambda wildcards: computed(*(wildcards[axis] for axis in axes))


def shell_arguments(words):
    """The words quoted for a shell, or a reference to a file that contains them (arguments are limited to 128 KB)."""
    line = " ".join(shlex.quote(word) for word in words)
    return line if len(line) < LONGEST_LINE else arguments_file(words)


def arguments_file(words):
    """`@PATH` of a file in .work/ that contains the words, one per line."""
    text = "\n".join(words) + "\n"
    path = f"{WORK}/options/{provenance.digest(text)[:16]}.txt"
    if not os.path.exists(path):
        files.write_text(path, text)
    return f"@{path}"


def compact(value):
    """JSON in one line; mappings keep their order, which may matter to a step (of a domain's groups, for example)."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@with_signature
def card_of_student(wildcards):
    return CARD.format(model=grid.model_of(wildcards.model))


def path_of(pattern, cell, **more):
    """A results path for one cell or pool of the grid, given as a dict or as wildcards."""
    place = {**dict(cell.items()), **more}
    if pattern == POOL:
        place = {key: place[key] for key in ("model", "domain", "bias", "seed")}
    return pattern.format(**(grid.stored(place) if "model" in place else place))


def pool_of(wildcards, round_):
    """The pool on which round `round_` of a cell trains: the untuned model's, or the one generated by the previous round."""
    if round_ == 1:
        return f"{path_of(POOL, wildcards)}/pool.jsonl"
    return f"{path_of(CELL, wildcards, round=round_ - 1)}/pool.jsonl"


def pool_sibling_path(cell, name):
    """A file in the folder of the pool that a cell's round adds."""
    return f"{os.path.dirname(pool_of(cell, cell['round']))}/{name}"


def added_texts_path(cell):
    """The pool that a cell's round adds to the originals; the originals themselves if it adds none."""
    if cell["bias"] == "original":
        return f"{path_of(ORIGINALS, cell)}/seed-{cell['seed']}/originals.jsonl"
    return pool_of(cell, cell["round"])


def family_of(domain):
    return import_module(f"bias_inheritance.data.{catalog.load('domain', domain)['family']}")


def resources_of(wildcards):
    return catalog.load("model", grid.model_of(wildcards.model))["resources"]


def model_resource(key):
    """`threads`, `gpu` or `runtime` (minutes, for a cluster) of jobs that load a model, from the model's file.

    A plain value if it is the same for all models of the study, since Snakemake calls functions several times per job.
    """
    values = {catalog.load("model", model)["resources"][key] for model in MODELS}
    return (
        values.pop() if len(values) == 1 else with_signature(lambda wildcards: resources_of(wildcards)[key])
    )


def alignment_of(wildcards):
    """The alignment term of a cell's training, or None."""
    return catalog.load("mitigation", wildcards.mitigation).get("loss")


@with_signature
def memory(wildcards, attempt, beside=0):
    """Memory (MB) of a job that loads a model: the value in its file, plus half of that after each failure (`retries`),
    plus what it loads `beside` the model.

    Local jobs are capped at the total for all jobs, so that a job that needs more runs alone instead of never.
    """
    needed = resources_of(wildcards)["mem_mb"] * (attempt + 1) // 2 + beside
    return min(needed, MEMORY_OF_JOBS) if MEMORY_OF_JOBS else needed


def model_constraint(predicate):
    """A wildcard constraint: the students whose model predicate(name) holds for."""
    names = "|".join(re.escape(name) for name in catalog.names("model") if predicate(name)) or "none"
    return f"(?:{names})(?:@[^/@]+)?"


def runs_here(model):
    return not grid.served(model)


def model_parameters(name):
    spec = catalog.load("model", name)
    borrowed = spec["source"].get("tokenizer_of")
    return {
        "model": name,
        "spec": {"source": spec["source"], "form": spec.get("form"), "system": spec["system"]},
        "tokenizer_spec": {"source": catalog.load("model", borrowed)["source"]} if borrowed else None,
        "targets": grid.adapted_layers(config, name),
    }


def domain_leaves(name, *keys):
    """A domain's name and the leaves of its file that a step uses."""
    return {"name": name, **leaves("domain", name, keys)}


def leaves(axis, name, keys):
    """Those of `keys` that a file of the catalog has."""
    content = catalog.load(axis, name)
    return {key: content[key] for key in keys if key in content}


def read_of(domain):
    """The leaves of a domain's file that determine the data it reads, with the datasets of its tasks in this study."""
    return {
        **domain_leaves(domain, "family", "data", "labels", "groups", "contrasts", "swap"),
        "sentences": config["sentences"],
        "datasets": grid.datasets_of(config, domain),
    }


def leaves_except(content, *keys):
    """A catalog file's content without keys that a step does not use, so that a new title reruns no generation."""
    return {key: value for key, value in content.items() if key not in keys}


def text_leaves(domain, *unused):
    """A domain's file without what affects neither its pools nor its mixes, and without the keys `unused`."""
    content = catalog.load("domain", domain)
    return leaves_except(content, "title", "data", "samples", "tasks", "manipulation", "world", *unused)


def pool_parameters(wildcards, count, round_=1):
    """Parameters of the pool on which a round trains, `count` samples of it; generated pools have spare samples."""
    prompts = grid.later_prompts(wildcards.bias) if round_ > 1 else wildcards.bias
    spare = config["generation"]["spare"] if is_generated(prompts) else 0
    bias = {**catalog.load("bias", prompts), "name": wildcards.bias}
    return {
        "bias": leaves_except(bias, "title", "number", "does", "later_rounds"),
        "domain": {**text_leaves(wildcards.domain, "swap"), "sentences": config["sentences"]},
        "size": -(-count * round(100 * (1 + spare)) // 100),
        "seed": int(wildcards.seed),
    }


def writing_parameters(wildcards, count, cell, round_=1):
    """Parameters of a pool that a model writes; cell: the cell whose tuned model writes it, None for the untuned model."""
    generation = grid.generation_settings(config, wildcards.model)
    return {
        **pool_parameters(wildcards, count, round_),
        "model": {**model_leaves(wildcards.model, "system"), "generation": generation},
        "attempts": config["generation"]["attempts"],
        "cell": cell,
    }


def bias_constraint(predicate):
    """A wildcard constraint: the pools of the catalog for which predicate(name) holds."""
    return "|".join(map(re.escape, filter(predicate, catalog.names("bias")))) or "none"


def real_texts(w, split):
    """The domain's real texts of a split, with which a pool from files is compared; [] for other pools."""
    is_file = from_file.is_file(catalog.load("bias", w.bias))
    return [f"{path_of(ORIGINALS, w)}/{split}.jsonl"] if is_file else []


@cache
def planned_digests(*names):
    """{file: sha256} of data files and of the files in data folders, as they are when the run is planned.

    A parameter of the steps that read them, since Snakemake compares contents only of files that are newer than the output.
    Files that have not changed since an earlier start are not read.
    """
    return provenance.digests(names, f"{WORK}/digests.json")


def data_of(wildcards):
    """The data files and folders from which a domain's originals are read."""
    return family_of(wildcards.domain).files_read(read_of(wildcards.domain), config["data_dir"])


def is_generated(bias):
    return catalog.load("bias", bias)["source"] == "generated"


def writing_cell(pool):
    """The cell whose tuned model writes a pool: that of the previous round, or of a probe's writer; else None."""
    return {**pool, "round": pool["round"] - 1} if pool["round"] > 1 else grid.cell_of_writer(config, pool)


def card_place(pool):
    """The origin of a pool, for its card; `cell` is the cell whose tuned model generated it, or None."""
    cell = writing_cell(pool)
    if cell:
        cell = {key: cell[key] for key in ("gamma", "mitigation", "round")}
    return {
        **{key: pool[key] for key in ("domain", "bias", "seed")},
        "model": grid.model_of(pool["model"]),
        "cell": cell,
    }


@with_signature
def adapter_of_writer(wildcards):
    """The adapter of the tuned model that writes a probe's pool; none for all other pools of round 1."""
    cell = grid.cell_of_writer(config, dict(wildcards.items()))
    return [f"{path_of(CELL, cell)}/adapter"] if cell else []


@with_signature
def pools_up_to_round(wildcards):
    """The pools of all rounds up to that of the cell."""
    return [pool_of(wildcards, number) for number in range(1, int(wildcards.round) + 1)]


@with_signature
def mix_before(wildcards):
    """The mix of the previous round, which records whether the chain has collapsed; none in round 1."""
    return (
        [f"{path_of(CELL, wildcards, round=int(wildcards.round) - 1)}/mix.json"]
        if int(wildcards.round) > 1
        else []
    )


def drawn_counts(wildcards):
    return grid.drawn_counts(config, wildcards.domain, wildcards.gamma, int(wildcards.round))


@with_signature
def pools_of_mix(wildcards):
    """The pools from which a mix takes samples; none for `original`."""
    counts = drawn_counts(wildcards)
    return [pool_of(wildcards, number) for number, count in enumerate(counts, start=1) if count]


def balanced_texts(wildcards):
    """The reference texts of mitigations that query the model: the baseline's pool, or D_o if the study has none."""
    if not grid.asks_the_model(wildcards.mitigation):
        return []
    control = grid.comparisons(config)[wildcards.bias].get("slant")
    if control:
        return [f"{path_of(POOL, wildcards, bias=control)}/pool.jsonl"]
    return [f"{path_of(ORIGINALS, wildcards)}/seed-{wildcards.seed}/originals.jsonl"]


def chosen_by_mix(wildcards):
    """The parameters that select the modules of a mix: the domain's family and the mitigation's methods."""
    return [domain_leaves(wildcards.domain, "family"), catalog.load("mitigation", wildcards.mitigation)]


def mix_parameters(wildcards):
    """The parameters of a cell's mix, in addition to its files and seed."""
    name = wildcards.mitigation
    unused = () if grid.reads_words(name) else ("swap", "stereotypes", "statements")
    return {
        "domain": text_leaves(wildcards.domain, *unused),
        "mitigation": leaves("mitigation", name, ("text", "rows", "weights")),
        "counts": [count for count in drawn_counts(wildcards) if count],
        "instruction_share": config["instruction_share"],
    }


def model_leaves(name, *keys):
    """A model's name and the leaves of its file that a step uses; of a student's model for a student."""
    name = grid.model_of(name)
    return {"name": name, **leaves("model", name, keys)}


def student_leaves(student, keys):
    """The leaves of a model's file that the report shows; generation settings are those of the writer of its pools."""
    model, writer = (
        leaves("model", name, keys) for name in (grid.model_of(student), grid.writer_of(student))
    )
    if model == writer:
        return model
    title = f"{model['title']}, texts by {writer['title']}"
    return {**model, "title": title, "generation": writer["generation"]}


@with_signature
def adapter_before(wildcards):
    """The adapter of the previous round; none in round 1."""
    round_ = int(wildcards.round)
    return [f"{path_of(CELL, wildcards, round=round_ - 1)}/adapter"] if round_ > 1 else []


@with_signature
def adapter_of(wildcards):
    """A cell's adapter; none for the untuned model."""
    return [] if wildcards.bias == "untuned" else [f"{path_of(CELL, wildcards)}/adapter"]


@with_signature
def items_of_tasks(wildcards):
    """The items of a cell's tasks, one file per task."""
    return [f"{path_of(ORIGINALS, wildcards)}/items/{task}.jsonl" for task in tasks_of(wildcards)]


@with_signature
def training_priority(wildcards):
    """Priority of training: the longest jobs first."""
    return 2 if alignment_of(wildcards) else 1


# the tasks of a cell
tasks_of = once_per(TASK_AXES, lambda wildcards: grid.tasks_of_cell(config, wildcards))


@with_signature
def opinions_file(wildcards):
    """The file with the opinion questions; none if they are fetched from the Hub."""
    source = config["opinions"]["source"]
    if source == "hub":
        return []
    return (
        ["resources/opinions-fixture.csv"]
        if source == "fixture"
        else [os.path.join(config["data_dir"] or "", source)]
    )


def of_seed(entries, wildcards):
    """Those of `entries` (pools or cells) that belong to the model, domain and seed of a job."""
    axes = ("model", "domain", "seed")
    return [entry for entry in entries if all(str(entry[axis]) == wildcards[axis] for axis in axes)]


def print_report_path():
    """Print where the study's report is, if this run made it or found it current."""
    page = f"{RESULTS}/report.html"
    planned = any(page in job.output for job in workflow.dag.jobs)
    if planned and os.path.exists(page):
        print(f"The report: {os.path.abspath(page)}", flush=True)
