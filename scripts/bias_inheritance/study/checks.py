"""The checks of a study's configuration and of the catalog, made once at startup."""

import math
import os
from decimal import Decimal
from importlib import import_module

from bias_inheritance.data import contrasts, prompts
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.provenance import ROOT, SCRIPTS
from bias_inheritance.pools import from_file
from bias_inheritance.study import catalog, grid, schema

METHODS = "pools/mitigations"  # modules that mitigations name, each with a function of the place that it acts on
MODULES = {"domain": ("family", "data", "slot"), "task": ("kind", "tasks", "score")}
LARGEST_GRID = 100_000  # cells; Snakemake plans about a thousand jobs a second


def check(config, sources):
    """Raise UserError with one line per error in the configuration or the catalog.

    sources: [(file name, its parsed content)], the later one winning; a value that no file holds came from the command
    line.
    """
    faults = schema.faults(config, schema.SCHEMAS / "config.schema.yaml")
    lines = [] if faults else list(_faults_of_the_catalog(config))
    if not faults and not lines:
        faults = list(_against_catalog(config)) or list(_against_claims(config))
    lines += [f"{_source(path, config, sources)}: {schema.line(path, text)}" for path, text in faults]
    if lines:
        raise UserError("\n".join(dict.fromkeys(sorted(lines))))
    catalog.claims()  # claims are fixed before a run, so an error in them stops it


def sources(names):
    """[(file name, its parsed content)] of configuration files; raises UserError for one that is missing or not YAML."""
    parsed = []
    for name in names:
        try:
            content = schema.read(name, name)
        except OSError as fault:
            raise UserError(f"{name}: {fault.strerror}; name a file of studies/") from None
        require(isinstance(content, dict), f"{name}: holds no keys; add keys of config.yaml, or leave the file out")
        parsed.append((os.path.relpath(name), content))
    return parsed


def _faults_of_the_catalog(config):
    """One line per error in the catalog: in every bias, model and task file, and in the study's domains and mitigations."""
    for axis, folder in catalog.FOLDERS.items():
        known = catalog.names(axis)
        for name in known if axis in ("bias", "model", "task") else set(config["grid"][axis]) & set(known):
            file = f"catalog/{folder}/{name}.yaml"
            try:
                content = catalog.load(axis, name)
            except UserError as fault:
                yield str(fault)
                continue
            faults = schema.faults(content, schema.SCHEMAS / f"{axis}.schema.yaml")
            if not faults and axis == "bias":
                faults = list(_against_its_source(content))
            if not faults and axis == "domain":
                faults = list(contrasts.faults(content))
            for path, text in faults or _unresolved_names(axis, content):
                yield f"{file}: {schema.line(path, text)}"


def _against_its_source(pool):
    """Keys of a pool that contradict its source or role."""
    changes = [key for key in ("associate", "plant", "shift") if key in pool]
    if pool["source"] not in ("originals", "reserve") and changes:
        yield [changes[0]], "applies to copied texts only; use source: reserve or originals, or remove the key"
    elif "plant" in pool and pool["source"] != "reserve":
        yield (
            ["source"],
            "originals would train on each relabelled text with its true label too; a planted pool needs reserve",
        )
    elif pool["role"] == "positive-control" and not changes:
        yield ["role"], "positive-control needs a known effect; add associate, plant or shift"
    elif pool["source"] == "originals" and not changes and pool["role"] != "negative-control":
        yield (
            ["source"],
            "originals alone gives plain copies of D_o, which only a negative-control may be; add associate or shift, or use reserve",
        )


def _modules(package, function):
    """Names of the library's modules in a package that have a function."""
    modules = (SCRIPTS / "bias_inheritance" / package).glob("[!_]*.py")
    return sorted(path.stem for path in modules if f"\ndef {function}(" in path.read_text(encoding="utf-8"))


def _unresolved_names(axis, content):
    """Names in a catalog file that no module of the library and no other catalog file has."""
    if axis in MODULES:
        key, package, function = MODULES[axis]
        known = _modules(package, function)
        if content[key] not in known:
            yield (
                [key],
                f"no module {content[key]!r} in scripts/bias_inheritance/{package}{schema.suggest(content[key], known)}",
            )
    for place in ("text", "rows", "weights") if axis == "mitigation" else ():
        for index, method in enumerate(content.get(place, [])):
            known = _modules(METHODS, place)
            if method["method"] not in known:
                yield (
                    [place, index, "method"],
                    f"no module {method['method']!r} in scripts/bias_inheritance/{METHODS} acts on {place}{schema.suggest(method['method'], known)}",
                )
    named = [
        (["tasks", index], "task", task) for index, task in enumerate(content["tasks"] if axis == "domain" else [])
    ]
    named += [
        (["datasets", name, "domain"], "domain", dataset["domain"])
        for name, dataset in content.get("datasets", {}).items()
    ]
    if axis == "model" and "random" in content["source"]:
        named.append((["source", "tokenizer_of"], "model", content["source"]["tokenizer_of"]))
    for path, other, name in named:
        if name not in catalog.names(other):
            yield (
                path,
                f"no file catalog/{catalog.FOLDERS[other]}/{name}.yaml{schema.suggest(name, catalog.names(other))}",
            )


def _against_catalog(config):
    axes = config["grid"]
    for index, gamma in enumerate(axes["gamma"]):
        if Decimal(str(gamma)) != Decimal(str(gamma)).quantize(Decimal("0.01")):
            yield ["grid", "gamma", index], f"{gamma} has more than two decimals; cells are named by γ with two"
    for axis in catalog.FOLDERS:
        known = catalog.names(axis)
        for index, name in enumerate(axes[axis]):
            if name not in known:
                yield (
                    ["grid", axis, index],
                    f"no file catalog/{catalog.FOLDERS[axis]}/{schema.quoted(name)[1:-1]}.yaml{schema.suggest(name, known)}; there are {', '.join(known)}",
                )
    for index, name in enumerate(config["mitigated"] or []):
        if name not in axes["bias"]:
            yield (
                ["mitigated", index],
                f"{schema.quoted(name)} is not in grid.bias{schema.suggest(name, axes['bias'])}",
            )
    for index, gamma in enumerate(config["mitigated_gamma"] or []):
        if gamma not in axes["gamma"]:
            yield ["mitigated_gamma", index], f"{gamma} is not in grid.gamma"
    if "none" not in axes["mitigation"]:
        yield ["grid", "mitigation"], "add none, which every mitigation is compared with"
    for task in config["evaluation"]["items"]:
        if task not in catalog.names("task"):
            yield ["evaluation", "items"], f"no task {task!r}{schema.suggest(str(task), catalog.names('task'))}"
    source, folder = config["opinions"]["source"], config["data_dir"]
    from_file = "values" in config["misalignment"] and source not in ("fixture", "hub")
    if from_file and not os.path.isfile(os.path.join(folder or ROOT, source)):
        yield (
            ["opinions", "source"],
            f"no file {source} in {folder or 'the project'}; use fixture, hub, or a file in data_dir",
        )
    if all(name in catalog.names("domain") for name in axes["domain"]):
        for name in axes["domain"]:
            tasks = catalog.load("domain", name)["tasks"]
            if not set(tasks) & set(axes["task"]) and not any(map(grid.of_any_domain, axes["task"])):
                yield (
                    ["grid", "task"],
                    f"none of these belongs to the domain {name}, whose tasks are {', '.join(tasks)}",
                )
            elif not grid.all_tasks_of(config, name):
                yield (
                    ["evaluation", "datasets"],
                    f"no dataset listed here is used by the domain {name} and the tasks of grid.task",
                )
            known = all(model in catalog.names("model") for model in axes["model"])
            local = known and not any(map(grid.served, axes["model"]))
            if config["rounds"]["count"] > 1 and local and "perplexity" in set(tasks) - set(axes["task"]):
                yield (
                    ["grid", "task"],
                    "add perplexity: multi-round studies (rounds.count above 1) need it to tell model collapse from bias",
                )
        yield from _against_data(config)
        yield from _against_files(config)
    for name in config["domains"]:
        if name not in catalog.names("domain"):
            yield ["domains"], f"no domain {name!r}{schema.suggest(str(name), catalog.names('domain'))}"
    known = [name for task in catalog.names("task") for name in catalog.load("task", task).get("datasets", {})]
    for index, name in enumerate(config["evaluation"]["datasets"] or []):
        if name not in known:
            yield (
                ["evaluation", "datasets", index],
                f"no task in catalog/tasks has a dataset {name!r}{schema.suggest(name, known)}",
            )
    for domain in [name for name in axes["domain"] if name in catalog.names("domain")]:
        content = catalog.load("domain", domain)
        family = import_module(f"bias_inheritance.data.{content['family']}")
        for index, name in enumerate(axes["bias"]):
            pool = catalog.load("bias", name) if name in catalog.names("bias") else {}
            if pool.get("source") == "generated":
                for fault in prompts.faults(family, pool, content):
                    yield ["grid", "bias", index], f"catalog/biases/{name}.yaml {fault}"
            if "associate" in pool and "labels" not in content:
                yield (
                    ["grid", "bias", index],
                    f"{name} needs `labels`, which catalog/domains/{domain}.yaml does not have; remove {name}",
                )
            if "plant" in pool and content["family"] == "labelled" and "planted_label" not in content:
                yield (
                    ["grid", "bias", index],
                    f"{name} needs `planted_label`, which catalog/domains/{domain}.yaml does not have; add it there, or remove {name}",
                )
            if pool.get("source") == "reserve" and "associate" not in pool and not family.has_reserve(content):
                yield (
                    ["grid", "bias", index],
                    f"{name} copies the reserve, which catalog/domains/{domain}.yaml does not keep; give data.split.reserve a share there, or remove {name}",
                )
        yield from _against_sizes(config, domain)
        yield from _against_samples(config, domain)
    if all(name in catalog.names(axis) for axis in ("model", "mitigation") for name in axes[axis]):
        yield from _against_servers(config)
        yield from _against_mitigations(config)
        yield from _against_training(config)
    size = math.prod(len(axes[axis]) for axis in ("model", "domain", "bias", "gamma", "mitigation", "seed"))
    if size * config["rounds"]["count"] > LARGEST_GRID:
        yield ["grid"], f"defines {size * config['rounds']['count']} cells; at most {LARGEST_GRID} are allowed"
    if any(gamma > 0 for gamma in axes["gamma"]) and 0 not in axes["gamma"]:
        yield ["grid", "gamma"], "add 0.00: every augmented cell is compared with the cell `original` at γ = 0"


def _against_claims(config):
    """Domains of which no claim reads a task, where only what claims read is to run."""
    for domain in config["grid"]["domain"]:
        if not grid.tasks_of(config, domain):
            yield ["claimed_only"], f"no claim reads a task of the domain {domain} in this study; use false"


def _against_sizes(config, domain):
    """Values of γ that give the same number of samples as another one, or none, with a domain's number of originals."""
    originals, sizes = grid.originals_of(config, domain), {}
    for index, gamma in enumerate(config["grid"]["gamma"]):
        size = grid.augmented_count(originals, gamma)
        if gamma > 0 and size == 0:
            yield ["grid", "gamma", index], f"{gamma} adds no sample to {originals} originals; raise `originals`"
        elif size in sizes:
            yield ["grid", "gamma", index], f"{gamma} adds as many samples as {sizes[size]} ({size}); raise `originals`"
        sizes[size] = gamma


def _against_servers(config):
    """Settings that a model behind a server cannot follow: it takes and returns text, and exposes nothing inside."""
    axes = config["grid"]
    for name in filter(grid.served, axes["model"]):
        model = catalog.load("model", name)
        for index, task in enumerate(axes["task"]):
            if task in catalog.names("task") and catalog.load("task", task).get("whole_texts"):
                yield (
                    ["grid", "task", index],
                    f"{task} needs the probability of whole texts, which the server of {name} does not return; remove it",
                )
        if grid.tunable(name):
            for index, mitigation in enumerate(axes["mitigation"]):
                lacking = None
                if "loss" in catalog.load("mitigation", mitigation) or grid.asks_the_model(mitigation):
                    lacking = f"works on hidden states, which the provider of {name} does not expose"
                elif grid.methods_of(mitigation, "weights"):
                    lacking = f"weights samples in the loss, which the provider of {name} does not offer"
                if lacking:
                    yield (
                        ["grid", "mitigation", index],
                        f"{mitigation} {lacking}; remove it, or run {name} in a separate study",
                    )
        if any(model["service"]["price"].values()) and not config["max_cost_usd"]:
            yield (
                ["max_cost_usd"],
                f"{config['max_cost_usd']} leaves no budget for {name}, which is billed per token; set what the study may cost in US dollars",
            )


def _against_mitigations(config):
    """What a mitigation needs of the domains, the pools and the spare samples of a study."""
    axes, spare = config["grid"], config["generation"]["spare"]
    for index, name in enumerate(axes["mitigation"]):
        for domain in axes["domain"] if grid.exchanges_words(name) else []:
            if domain in catalog.names("domain") and "swap" not in catalog.load("domain", domain):
                yield (
                    ["grid", "mitigation", index],
                    f"{name} needs `swap`, words of the groups that correspond to each other, which catalog/domains/{domain}.yaml does not have; add them there, or remove {name}",
                )
        dropped = max((method["share"] for method in grid.methods_of(name, "rows") if "share" in method), default=0)
        copied = [
            bias
            for bias in axes["bias"]
            if bias in catalog.names("bias")
            and catalog.load("bias", bias)["source"] != "generated"
            and any(name in grid.mitigations_of(config, bias, gamma) for gamma in axes["gamma"] if gamma > 0)
        ]
        if dropped and copied:
            yield (
                ["grid", "mitigation", index],
                f"{name} replaces samples by spare ones, which the copies of {copied[0]} do not have; remove {copied[0]} from mitigated, or {name}",
            )
        elif dropped > spare:
            yield (
                ["generation", "spare"],
                f"{spare} leaves too few spare samples for {name}, which replaces {dropped:g} of the augmented ones; set it to at least {dropped:g}",
            )


def _against_training(config):
    """Training settings that a model of the study does not have."""
    given = {("finetune", key) for key in config["finetune"]}
    given |= {
        ("domains", domain, "finetune", key)
        for domain in config["grid"]["domain"]
        for key in config["domains"].get(domain, {}).get("finetune", {})
    }
    for name in filter(grid.tunable, config["grid"]["model"]):
        settings = catalog.load("model", name)["finetune"]
        for path in sorted(given):
            if path[-1] not in settings:
                who = f"the provider of {name}" if grid.served(name) else f"the training of {name}"
                yield list(path), f"{who} has no such setting; it has {', '.join(settings)}"


def _against_data(config):
    """A missing data folder, or a missing file that the study reads from it."""
    if config["data_dir"] is not None and not os.path.isdir(config["data_dir"]):
        yield ["data_dir"], f"no folder {config['data_dir']}; give the folder that holds the data, or null"
        return
    for index, task in enumerate(config["grid"]["task"]):
        try:
            if task in catalog.names("task"):
                grid.benchmark_files(config, task)
        except UserError as fault:
            yield ["grid", "task", index], str(fault)
    invented = [name for name in config["grid"]["domain"] if grid.uses_fixtures(config, name)]
    hub = [name for name in config["grid"]["model"] if _from_hub(name)]
    if invented and hub:
        yield (
            ["data_dir"],
            f"null gives {', '.join(invented)} the project's invented fixtures, which are not meant for {', '.join(hub)}; give the folder that holds the data (docs/culture.md), or remove the domains from grid.domain",
        )
        return
    for name in config["grid"]["domain"]:
        try:
            paths = import_module(f"bias_inheritance.data.{catalog.load('domain', name)['family']}").files_read(
                {**catalog.load("domain", name), "datasets": grid.datasets_of(config, name)}, config["data_dir"]
            )
        except UserError as fault:
            yield ["data_dir"], str(fault)
            return
        missing = [path for path in paths if not os.path.exists(ROOT / path)]
        if missing:
            yield (
                ["data_dir"],
                f"the domain {name} needs {missing[0]}{f' and {len(missing) - 1} more files' if missing[1:] else ''}, not found; add the files, or limit grid.task and evaluation.datasets to those that exist",
            )
            return


def _against_files(config):
    """A pool's files that are not there, hold something else than the domain's samples, or too few of them."""
    for index, name in enumerate(config["grid"]["bias"]):
        bias = catalog.load("bias", name) if name in catalog.names("bias") else {"source": None}
        for domain in config["grid"]["domain"] if from_file.is_file(bias) else ():
            try:
                from_file.check(bias, catalog.load("domain", domain), grid.pool_size(config, domain))
            except UserError as fault:
                yield ["grid", "bias", index], str(fault)
                break


def _from_hub(model):
    return model in catalog.names("model") and "hub" in catalog.load("model", model)["source"]


def _against_samples(config, domain):
    """Samples that the study asks for beyond what a domain has, where its file says so (`samples`)."""
    has = catalog.load("domain", domain).get("samples")
    if not has:
        return
    originals = grid.originals_of(config, domain)
    if originals > has["source"]:
        yield ["originals"], f"{originals} is more than the {has['source']} that the domain {domain} has"
    needs = grid.pool_size(config, domain)
    labels, groups = (
        len(contrasts.labels(catalog.load("domain", domain))),
        len(catalog.load("domain", domain)["groups"]),
    )
    kept = has["reserve"] // (labels * groups)
    for index, bias in enumerate(config["grid"]["bias"]):
        pool = catalog.load("bias", bias) if bias in catalog.names("bias") else {"source": None}
        strength = Decimal(str(pool.get("associate", 0)))
        share = (1 - strength) / groups + strength  # of its label's samples, the largest group's
        most = math.ceil(math.ceil(needs / labels) * share)
        if pool["source"] == "reserve" and most > kept:
            yield (
                ["grid", "bias", index],
                f"{bias} needs up to {most} samples of one label and group that are in no original; the reserve of {domain} has {kept}: lower originals or the largest γ",
            )
        elif pool.get("plant") and needs // groups * pool["plant"] < 1:
            yield (
                ["grid", "bias", index],
                f"{bias} relabels nothing: {pool['plant']:g} of a group's {needs // groups} is less than one sample; raise originals, the largest γ, or plant",
            )


def _source(path, config, sources):
    """The file that gave the value at `path`, else the command line."""

    def at(node):
        for key in path:
            node = node[key]
        return node

    for name, content in reversed(sources):
        try:
            if not path or isinstance(at(config), dict) or repr(at(content)) == repr(at(config)):
                at(content)
                return name
        except (KeyError, IndexError, TypeError):
            continue  # this file does not hold the key
    return "--config"


# ---- the grid ----------------------------------------------------------------------------------------------------


def warnings(config):
    """A line that names the domains that run on fixtures, if there are any."""
    invented = [name for name in config["grid"]["domain"] if grid.uses_fixtures(config, name)]
    return (
        [f"warning: data_dir is null, so {', '.join(invented)} run on the project's invented fixtures"]
        if invented
        else []
    )


def require(condition, message):
    if not condition:
        raise UserError(message)
