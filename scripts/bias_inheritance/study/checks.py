"""Checks of a study's configuration and of the catalog, made once at startup; all other code relies on them.

`schema` checks each file in isolation; the checks here concern consistency within a file, between files and with the data.
A fault is (path of keys and indices, what is wrong there).
"""

import itertools
import math
import os
import re
from decimal import Decimal
from importlib import import_module

from bias_inheritance.data import contrasts, cues, labelled, prompts
from bias_inheritance.plumbing.errors import UserError, did_you_mean
from bias_inheritance.plumbing.provenance import ROOT, SCRIPTS
from bias_inheritance.pools import from_file
from bias_inheritance.study import catalog, declarations, grid, reading, schema
from bias_inheritance.study.reading import quoted, suggest

METHODS = "pools/mitigations"  # modules of mitigations, each with a function named after what it acts on
LARGEST_GRID = 100_000  # cells; Snakemake plans about a thousand jobs a second
# names with a fixed meaning in cells and tables, and keywords of claims
FIXED_NAMES = {
    "bias": ["original", "untuned", "types", "natural", "files"],
    "model": [grid.STUDENT],
    "mitigation": ["mitigations"],
    "task": [*declarations.MISALIGNMENT, declarations.INHERITANCE],
}


def sources(names):
    """[(file name, its content)] of configuration files; raises UserError for one that is missing or not YAML."""
    contents = []
    for name in map(os.path.relpath, names):
        try:
            content = reading.read(name)
        except OSError as error:
            raise UserError(f"{name}: {error.strerror}; name a file of studies/") from None
        if not isinstance(content, dict):
            raise UserError(f"{name}: has no keys; add keys of config.yaml, or omit the file")
        contents.append((name, content))
    return contents


def check(config, sources):
    """Raise UserError with one line per fault in the configuration or the catalog.

    sources: [(file name, its content)], later ones take precedence; a value in no file came from the command line. Each
    stage relies on the previous ones, so checking stops after the first stage with faults.
    """
    base = sources[0][0] if sources else "--config"
    _refuse(_lines(schema.faults(config, "study"), config, sources, base))
    _refuse(_lines([*_names(config), *_faults_of_the_grid(config)], config, sources, base))
    _refuse(_faults_of_the_catalog(config))
    _refuse(_lines(_disagreements(config), config, sources, base))
    _refuse(_lines(_faults_of_the_claimed(config), config, sources, base))


def check_claims(path=catalog.CLAIMS):
    """Raise UserError with one line per fault in a file of claims."""
    declared, name = catalog.claims(path), os.path.relpath(path)
    faults = schema.faults(declared, "claims") or _faults_of_claims(declared)
    _refuse(f"{name}: {reading.line(place, text)}" for place, text in faults)


def _refuse(lines):
    lines = sorted(set(lines))
    if lines:
        raise UserError("\n".join(lines))


def _lines(faults, content, sources, base):
    """One line per fault of a content that was merged from `sources`; base: the file to report for a missing key."""
    for path, text in faults:
        yield f"{_holder(path, content, sources, base)}: {reading.line(path, text)}"


def _holder(path, content, sources, base):
    """The file that the value at `path` is from: the last one that has it, or `--config` if none has."""
    value, holder = _at(content, path), "--config"
    if value is KeyError:
        return base
    for name, part in sources:
        held = _at(part, path)
        if held is not KeyError and (isinstance(value, dict) or repr(held) == repr(value)):
            holder = name
    return holder


def _at(content, path):
    """The value at a path of keys and indices, or KeyError if there is none."""
    for key in path:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return KeyError
    return content


# ---- files of the catalog ------------------------------------------------------------------------------------------


def _faults_of_the_catalog(config):
    """One line per fault in the claims, the embedder, the opinion questions, all biases, models and tasks (which the
    whole study uses), and the domains and mitigations of the study."""
    further = {
        "bias": _faults_of_bias,
        "domain": _faults_of_domain,
        "task": _faults_of_task,
        "model": _faults_of_model,
        "mitigation": _faults_of_mitigation,
    }
    for kind in catalog.FOLDERS:
        for name in config["grid"][kind] if kind in ("domain", "mitigation") else catalog.names(kind):
            try:
                files = catalog.sources(kind, name)
            except UserError as fault:
                yield str(fault)
                continue
            content = {key: value for key, value in catalog.load(kind, name).items() if key != "name"}
            faults = schema.faults(content, kind) or further[kind](content)
            yield from _lines([*_faults_of_name(kind, name), *faults], content, files, files[-1][0])
    for name in ("embedder", "opinions"):
        content = getattr(catalog, name)()
        for path, text in schema.faults(content, name) or (_faults_of_opinions(content) if name == "opinions" else []):
            yield f"catalog/{name}.yaml: {reading.line(path, text)}"
    try:
        check_claims()
    except UserError as fault:
        yield from str(fault).splitlines()


def _faults_of_name(kind, name):
    """Faults of a file's name, which is used in paths, tables and claims."""
    if not re.fullmatch(schema.FOLDER_NAME, name):
        yield [], f"{quoted(name)} cannot name a folder; rename the file: up to 64 letters, digits, '.', '_' and '-'"
    if name in FIXED_NAMES.get(kind, []):
        yield [], f"the name {name} is reserved in tables and claims; rename the file"


def _faults_of_bias(bias):
    """Keys of a pool that contradict its source or role."""
    changes = [key for key in ("associate", "plant", "shift") if key in bias]
    copied, role = bias["source"] in ("originals", "reserve"), bias["role"]
    probing = [key for key in ("topics", "tuned_on") if key in bias]
    if role == "probe" and (len(probing) < 2 or bias["source"] != "generated" or "names_groups" in bias):
        yield ["role"], "probe needs topics, tuned_on and source: generated, and no names_groups"
    elif probing and role != "probe":
        yield ["role"], f"{role} does not allow {probing[0]}; use probe, or remove the key"
    if bias["source"] == "generated" and "prompt" not in bias:
        yield ["prompt"], "missing; source: generated needs a template per domain family"
    if role in ("bias-type", "baseline") and "names_groups" not in bias:
        yield ["names_groups"], f"missing; role: {role} needs {{identities, signal}}"
    if changes and not copied:
        yield [changes[0]], "applies to copied texts only; use source: reserve or originals, or remove the key"
    elif "plant" in bias and bias["source"] == "originals":
        text = "with originals, each relabelled text would also be trained on with its true label; use reserve"
        yield ["source"], text
    elif role == "positive-control" and not changes:
        yield ["role"], "positive-control needs a known effect; add associate, plant or shift"
    elif bias["source"] == "originals" and not changes and role != "negative-control":
        text = "unchanged copies of D_o are allowed for a negative-control only; add associate or shift, or use reserve"
        yield ["source"], text
    if "later_rounds" in bias:
        sources = {name: catalog.load("bias", name) for name in catalog.names("bias")}
        generated = [
            name for name, pool in sources.items() if pool.get("source") == "generated" and pool.get("role") != "probe"
        ]
        if bias["source"] == "generated":
            yield (
                ["later_rounds"],
                "applies to copied texts only, since a generated pool has its own prompts; remove it",
            )
        elif bias["later_rounds"] not in generated:
            name = bias["later_rounds"]
            yield ["later_rounds"], f"{quoted(name)} is not a generated pool, or is a probe{suggest(name, generated)}"


def _faults_of_domain(domain):
    """Groups, labels, names and tasks that a domain's file uses but does not define."""
    yield from contrasts.faults(domain)
    groups, labels = domain["groups"], contrasts.labels(domain) if "labels" in domain else []
    associated, data = domain.get("associated_groups", {}), domain["data"]
    if "group" in data and data["group"] not in groups:
        yield (
            ["data", "group"],
            f"{quoted(data['group'])} is not one of the domain's groups{suggest(data['group'], groups)}",
        )
    for label in domain.get("label_words", {}):
        if label not in labels:
            yield ["label_words", label], f"{quoted(label)} is not one of the domain's labels{suggest(label, labels)}"
    for label in labels if "label_words" in domain else ():
        if label not in domain["label_words"]:
            text = "missing; list the words that reveal this label, which generated texts must not contain"
            yield ["label_words", label], text
    if associated.keys() >= {*labels} and len(set(associated.values())) == 1:
        text = "assigns all labels to one group, so no group follows a label; use at least two"
        yield ["associated_groups"], text
    if "label_words" in domain and "neutral_noun" not in domain:
        yield ["neutral_noun"], "missing; add a noun that replaces label_words"
    for group, spec in groups.items():
        spec = spec or {}
        if data.get("twins") and "forms" not in spec:
            yield ["groups", group, "forms"], "missing; add {placeholder: word} for the placeholders of data.twins"
        listed = spec.get("names", [])
        if isinstance(listed, dict) and not cues.names(listed):
            yield ["groups", group, "names"], f"{cues.NAMES} has no matching names"
            continue
        for culture in domain.get("cultures", {}) if isinstance(listed, dict) else ():
            if not cues.names(listed, culture=culture):
                yield ["cultures", culture], f"{cues.NAMES} has no names of it"
    yield from _unknown("task", [(["tasks", index], name) for index, name in enumerate(domain["tasks"])])
    yield from _without_module(["family"], domain["family"], "data", "slot")
    topics = {statement["topic"] for statement in domain.get("statements", {}).values()}
    for group in groups if topics else ():
        lacking = sorted(topics - set(domain["stereotypes"].get(group, {})))
        if lacking:
            yield ["stereotypes"], f"lacks {group}: {', '.join(lacking)}, topics of `statements`"


def _faults_of_task(task):
    yield from _without_module(["kind"], task["kind"], "tasks", "score")
    if "cultures" in task:
        pairs = list(itertools.product(task["cultures"], task["genders"]))
        for culture, gender in pairs:
            if not cues.names({"culture": culture, "gender": gender}):
                yield ["cultures"], f"{cues.NAMES} has no first names of {culture} and {gender}"
        known = [*task["genders"], *task["cultures"], *map("-".join, pairs)]
        for side, names in task.get("contrasts", {}).items():
            for name in [names] if isinstance(names, str) else names:
                if name not in known:
                    yield ["contrasts", side], f"{quoted(name)} is not a group of the candidates{suggest(name, known)}"
    datasets = task.get("datasets", {})
    yield from _unknown("domain", [(["datasets", name, "domain"], each["domain"]) for name, each in datasets.items()])
    for name, dataset in datasets.items():
        for index, label in enumerate(dataset["positive"]):
            if label not in dataset["labels"]:
                text = f"{quoted(label)} is not one of its labels{suggest(label, dataset['labels'])}"
                yield ["datasets", name, "positive", index], text
        if "second_prompt" in task and dataset.get("words", {}).keys() != dataset["labels"].keys():
            yield ["datasets", name, "words"], f"must give {', '.join(dataset['labels'])} a word for second_prompt"


def _faults_of_model(model):
    if model.get("form") == "plain" and model["source"].get("file", "").endswith(".gguf"):
        text = "plain means weights that were never quantised, and those of a GGUF file were; use {cpu: dequantised, cuda: packed}"
        yield ["form"], text
    if "random" in model["source"]:
        yield from _unknown("model", [(["source", "tokenizer_of"], model["source"]["tokenizer_of"])])


def _faults_of_mitigation(mitigation):
    for place in ("text", "rows", "weights"):
        for index, method in enumerate(mitigation.get(place, [])):
            yield from _without_module([place, index, "method"], method["method"], METHODS, place)


def _faults_of_opinions(opinions):
    for side, cultures in opinions["sides"].items():
        for index, culture in enumerate(cultures):
            if culture not in opinions["cultures"]:
                yield ["sides", side, index], f"no such culture{suggest(culture, opinions['cultures'])}"
    try:
        re.compile(opinions["no_answer"])
    except re.error as error:
        yield ["no_answer"], f"not a regular expression ({error})"


def _faults_of_claims(declared):
    """Names in the claims that do not exist, and placeholders in a contrast's name that are not filled."""
    domains, tasks = catalog.names("domain"), [*catalog.names("task"), *FIXED_NAMES["task"]]
    used = [
        (["outcomes", outcome, index], selector, {"task": tasks, "domain": domains})
        for outcome, selectors in declared["outcomes"].items()
        for index, selector in enumerate(selectors)
    ]
    for place, selector, _ in used:
        if "task" not in selector and selector["metric"] not in grid.KIND_OF:
            text = f"{quoted(selector['metric'])} needs `task`; without it there are {', '.join(grid.KIND_OF)}"
            yield [*place, "metric"], text
    for claim, entry in declared["claims"].items():
        families = {contrast.get("family", claim) for contrast in entry["contrasts"]}
        known = {
            "outcome": declared["outcomes"],
            "biases": [*catalog.names("bias"), "original"],
            "mitigation": catalog.names("mitigation"),
            "of": families,
            "where": families,
        }
        used.append((["claims", claim], entry, {"models": catalog.names("model")}))
        for index, contrast in enumerate(entry["contrasts"]):
            place = ["claims", claim, "contrasts", index]
            # keywords instead of lists have been checked by `schema`
            each = {key: values for key, values in contrast.get("each", {}).items() if isinstance(values, list)}
            chosen = {key: value for key, value in contrast.items() if (key, value) != ("biases", "types")}
            used += [(place, chosen, known), ([*place, "each"], each, known)]
            used += [([*place, key], contrast[key], known) for key in ("minus", "than", "with") if key in contrast]
            yield from _faults_of_contrast(place, contrast, entry["contrasts"], known)
    for place, part, known in used:
        for key in (key for key in known if key in part):
            for name in [part[key]] if isinstance(part[key], str) else part[key]:
                if name not in known[key]:
                    yield [*place, key], f"no such name: {quoted(name)}{suggest(name, known[key])}"


def _faults_of_contrast(place, contrast, contrasts_of_claim, known):
    """Placeholders that are not filled, published results on values that the contrast does not have, and a counterpart
    that the claim does not have."""
    each, names = contrast.get("each", {}), [other["name"] for other in contrasts_of_claim]
    for fault in schema.faults_of_template(
        contrast["name"], [] if "rule" in contrast else [*each, *declarations.PLACEHOLDERS]
    ):
        yield [*place, "name"], fault
    if isinstance(contrast.get("published"), dict):
        values = [name for key, chosen in each.items() for name in (chosen if isinstance(chosen, list) else known[key])]
        for value in contrast["published"]:
            if value not in values:
                yield [*place, "published", value], f"not a value of `each`{suggest(value, values)}"
    if contrast.get("counterpart", names[0]) not in names:
        counterpart = contrast["counterpart"]
        yield (
            [*place, "counterpart"],
            f"no such contrast: {quoted(counterpart)}{did_you_mean(counterpart, names)}",
        )


def _unknown(kind, named):
    """Faults of names [(path, name)] without a file in the catalog."""
    known = catalog.names(kind)
    for path, name in named:
        if name not in known:
            yield path, f"no file catalog/{catalog.FOLDERS[kind]}/{quoted(name)[1:-1]}.yaml{suggest(name, known)}"


def _without_module(path, name, package, function):
    """The fault of a name that is not a module of a package with the given function."""
    modules = (SCRIPTS / "bias_inheritance" / package).glob("[!_]*.py")
    known = sorted(file.stem for file in modules if f"\ndef {function}(" in file.read_text(encoding="utf-8"))
    if name not in known:
        text = f"no module {quoted(name)} with `{function}` in scripts/bias_inheritance/{package}{suggest(name, known)}"
        yield path, text


# ---- the configuration ---------------------------------------------------------------------------------------------


def _names(config):
    """Names in the configuration without a file in the catalog."""
    for kind in catalog.FOLDERS:
        yield from _unknown(kind, [(["grid", kind, index], name) for index, name in enumerate(config["grid"][kind])])
    writers = [(["grid", "writer", index], name) for index, name in enumerate(config["grid"]["writer"])]
    yield from _unknown("model", [(path, name) for path, name in writers if name != grid.STUDENT])
    yield from _unknown("bias", [(["mitigated", index], name) for index, name in enumerate(config["mitigated"] or [])])
    yield from _unknown("task", [(["evaluation", "items", name], name) for name in config["evaluation"]["items"]])
    yield from _unknown("domain", [(["domains", name], name) for name in config["domains"]])


def _disagreements(config):
    """What of the configuration goes neither with the rest of it, nor with the catalog, nor with the data."""
    yield from _faults_of_the_evaluation(config)
    yield from _faults_of_the_data(config)
    yield from _faults_of_the_baselines(config)
    for domain in config["grid"]["domain"]:
        yield from _faults_of_the_tasks(config, domain)
        yield from _faults_of_the_pools(config, domain)
        yield from _faults_of_the_sizes(config, domain)
    yield from _faults_of_the_servers(config)
    yield from _faults_of_the_mitigations(config)
    yield from _faults_of_the_training(config)


def _faults_of_the_grid(config):
    axes = config["grid"]
    for index, gamma in enumerate(axes["gamma"]):
        if Decimal(str(gamma)) != Decimal(str(gamma)).quantize(Decimal("0.01")):
            text = f"{gamma} has more than two decimals; cells are named by γ with two; round it"
            yield ["grid", "gamma", index], text
    if 0 not in axes["gamma"]:
        yield ["grid", "gamma"], "add 0.00: every augmented cell is compared with the cell `original` at γ = 0"
    for index, gamma in enumerate(config["mitigated_gamma"] or []):
        if gamma not in axes["gamma"]:
            text = f"{gamma} is not in grid.gamma; add it there, or remove it from mitigated_gamma"
            yield ["mitigated_gamma", index], text
    if config["looks"] and config["looks"]["seeds"][-1] != len(axes["seed"]):
        text = f"ends at {config['looks']['seeds'][-1]} seeds, but grid.seed lists {len(axes['seed'])}; the last look takes all"
        yield ["looks", "seeds"], text
    if "none" not in axes["mitigation"]:
        yield ["grid", "mitigation"], "add none, which every mitigation is compared with"
    size = math.prod(map(len, axes.values())) // len(axes["task"]) * config["rounds"]["count"]
    if size > LARGEST_GRID:
        yield ["grid"], f"defines {size} cells; at most {LARGEST_GRID} are allowed"


def _faults_of_the_evaluation(config):
    """Datasets that no task has, and a missing file of opinion questions."""
    known = [name for task in catalog.names("task") for name in catalog.load("task", task).get("datasets", {})]
    for index, name in enumerate(config["evaluation"]["datasets"] or []):
        if name not in known:
            text = f"no task in catalog/tasks has a dataset {quoted(name)}{suggest(name, known)}"
            yield ["evaluation", "datasets", index], text
    source, folder = config["opinions"]["source"], config["data_dir"]
    from_file = "values" in config["misalignment"] and source not in ("fixture", "hub")
    if from_file and not os.path.isfile(os.path.join(folder or ROOT, source)):
        text = f"no file {quoted(source)} in {folder or 'the project'}; use fixture, hub, or a file in data_dir"
        yield ["opinions", "source"], text


def _fault_of_the_world(table):
    """What is wrong with a domain's table of real-world shares, or None."""
    if not table:
        return None
    if not os.path.isfile(ROOT / table["file"]):
        return f"file: no file {table['file']}; correct the path"
    with open(ROOT / table["file"], encoding="utf-8") as file:
        columns = file.readline().rstrip("\n").split("\t")
    missing = [name for name in (table["label"], *table["percent"].values()) if name not in columns]
    return (
        f"file: {table['file']} has no column {quoted(missing[0])}{suggest(missing[0], columns)}" if missing else None
    )


def _faults_of_the_data(config):
    """A missing data folder, or a missing file that the study reads from it."""
    if config["data_dir"] is not None and not os.path.isdir(config["data_dir"]):
        yield ["data_dir"], f"no folder {config['data_dir']}; give the folder with the data, or null"
        return
    for index, task in enumerate(config["grid"]["task"]):
        try:
            grid.benchmark_files(config, task)
        except UserError as fault:
            yield ["grid", "task", index], str(fault)
        requests = catalog.load("task", task).get("requests")
        if requests and not os.path.isfile(ROOT / requests):
            yield ["grid", "task", index], f"catalog/tasks/{task}.yaml: requests: no file {requests}; correct the path"
    for index, name in enumerate(config["grid"]["domain"]):
        if fault := _fault_of_the_world(catalog.load("domain", name).get("world")):
            yield ["grid", "domain", index], f"catalog/domains/{name}.yaml: world.{fault}"
    invented = [name for name in config["grid"]["domain"] if grid.uses_fixtures(config, name)]
    hub = [name for name in grid.models(config) if "hub" in catalog.load("model", name)["source"]]
    if invented and hub:
        text = f"null selects invented fixtures for {', '.join(invented)}, which are not meant for {', '.join(hub)}; give the folder with the data (docs/culture.md), or remove the domains from grid.domain"
        yield ["data_dir"], text
        return
    domains = config["grid"]["domain"]
    for name in domains:
        domain = catalog.load("domain", name)
        family = import_module(f"bias_inheritance.data.{domain['family']}")
        try:
            paths = family.files_read({**domain, "datasets": grid.datasets_of(config, name)}, config["data_dir"])
        except UserError as fault:
            yield ["data_dir"], str(fault)
            return
        try:
            if domain["family"] == "labelled":
                labelled.check(domain)
        except UserError as fault:
            yield ["grid", "domain", domains.index(name)], str(fault)
            continue
        missing = [path for path in paths if not os.path.exists(ROOT / path)]
        if missing:
            more = f" and {len(missing) - 1} more files" if missing[1:] else ""
            remedy = "add the files, or limit grid.task and evaluation.datasets to those that exist"
            if missing[0].startswith(f"{domain['data'].get('content')}/"):
                remedy = f"add the files, or set data.content to null in catalog/domains/{name}.yaml"
            yield ["data_dir"], f"the domain {name} needs {missing[0]}{more}, not found; {remedy}"
            return
        lacking = {}  # group → files of twins without it
        for path in paths if domain["data"].get("twins") else ():
            with open(ROOT / path, encoding="utf-8") as file:
                twin = file.readline()
            for group in [group for group in domain["groups"] if f'"{group}":' not in twin]:
                lacking.setdefault(group, []).append(path)
        for group, without in lacking.items():
            more = f" and {len(without) - 1} more files" if without[1:] else ""
            text = f"catalog/domains/{name}.yaml: groups.{group}: the texts in {without[0]}{more} were not written for it; add texts for the group, or remove it"
            yield ["grid", "domain", domains.index(name)], text


def _faults_of_the_tasks(config, domain):
    """A domain of the study without a task of the study."""
    tasks, selected = catalog.load("domain", domain)["tasks"], config["grid"]["task"]
    if not set(tasks) & set(selected) and not any(map(grid.of_any_domain, selected)):
        yield ["grid", "task"], f"none of these belongs to the domain {domain}, whose tasks are {', '.join(tasks)}"
    elif not grid.all_tasks_of(config, domain):
        text = f"no dataset listed here is used by the domain {domain} and the tasks of grid.task"
        yield ["evaluation", "datasets"], text
    if not catalog.load("domain", domain)["data"].get("content"):
        for task in grid.all_tasks_of(config, domain):
            if catalog.load("task", task)["kind"] == "congruence":
                text = f"{task} needs data.content, which catalog/domains/{domain}.yaml does not have; remove the task"
                yield ["grid", "task"], text
    local = not any(map(grid.served, config["grid"]["model"]))
    if config["rounds"]["count"] > 1 and local and "perplexity" in set(tasks) - set(selected):
        text = "add perplexity: multi-round studies (rounds.count above 1) need it to tell model collapse from bias"
        yield ["grid", "task"], text


def _faults_of_the_claimed(config):
    """With `claimed_only`, domains without a task that a claim uses."""
    for domain in config["grid"]["domain"]:
        if not grid.tasks_of(config, domain):
            yield ["claimed_only"], f"no claim uses a task of the domain {domain} in this study; use false"


def _faults_of_the_baselines(config):
    """Several baselines for one way of naming groups, of which a bias type could only be compared with one."""
    first = {}
    for index, name in enumerate(config["grid"]["bias"]):
        pool = catalog.load("bias", name)
        if pool["role"] == "baseline":
            other = first.setdefault(tuple(sorted(pool["names_groups"].items())), name)
            if other != name:
                text = f"{name} names groups in the same way as {other}, and bias types have one baseline; remove one of them"
                yield ["grid", "bias", index], text


def _faults_of_the_pools(config, name):
    """Pools that a domain does not support, or that would change nothing in it at the study's size."""
    domain = catalog.load("domain", name)
    groups, needs = len(domain["groups"]), grid.pool_size(config, name)
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    for index, bias in enumerate(config["grid"]["bias"]):
        pool, path = catalog.load("bias", bias), ["grid", "bias", index]
        if bias not in grid.biases_of(config, name):
            if not any(bias in grid.biases_of(config, other) for other in config["grid"]["domain"]):
                yield path, f"{bias} needs `labels`, which catalog/domains/{name}.yaml does not have; remove {bias}"
            continue
        later = grid.later_prompts(bias) if config["rounds"]["count"] > 1 else None
        prompted = bias if pool["source"] == "generated" else later
        for fault in prompts.faults(family, catalog.load("bias", prompted), domain) if prompted else ():
            yield path, f"catalog/biases/{prompted}.yaml {fault}"
        if "topics" in pool and domain["family"] != "labelled":
            yield path, f"{bias} needs labelled texts, which {name} does not have; remove one of them"
        yield from ((path, f"{bias} {fault}") for fault in _faults_of_the_writer(config, pool))
        if "plant" in pool and "labels" in domain and "planted_label" not in domain:
            yield path, f"{bias} needs `planted_label` in catalog/domains/{name}.yaml; add it, or remove {bias}"
        if pool["source"] == "reserve" and "associate" not in pool and not family.has_reserve(domain):
            text = f"{bias} copies the reserve, which catalog/domains/{name}.yaml does not have"
            yield path, f"{text}; give data.split.reserve a share there, or remove {bias}"
        if from_file.is_file(pool):
            try:
                from_file.check(pool, domain, needs)
            except UserError as fault:
                yield path, str(fault)
        if needs and pool.get("associate") and needs * pool["associate"] * (1 - 1 / groups) < 1:
            text = f"{bias} changes no sample: {pool['associate']:g} of {needs} samples in {groups} groups is less than one; raise originals, the largest γ, or associate"
            yield path, text
        if needs and pool.get("plant") and needs // groups * pool["plant"] < 1:
            text = f"{bias} relabels nothing: {pool['plant']:g} of a group's {needs // groups} is less than one sample; raise originals, the largest γ, or plant"
            yield path, text


def _faults_of_the_writer(config, pool):
    """Requirements of a probe's tuned writers on a study."""
    axes, tuned_on = config["grid"], pool.get("tuned_on")
    if tuned_on is None:
        return
    if tuned_on not in axes["bias"] or "tuned_on" in catalog.load("bias", tuned_on):
        yield f"is written by a model tuned on {tuned_on}, which must be in grid.bias and must not be a probe"
    for writer in dict.fromkeys(map(grid.writer_of, grid.students(config))):
        if not grid.tunable(writer):
            yield f"needs a tuned writer, and {writer} cannot be fine-tuned; remove one of them"
        elif writer not in grid.students(config):
            yield f"needs {writer} tuned on {tuned_on} from pools of its own; add {writer} to grid.model"


def _faults_of_the_sizes(config, domain):
    """Values of γ that add no sample, or as many as another one; more samples than the domain's file says there are."""
    originals, sizes = grid.originals_of(config, domain), {}
    for index, gamma in enumerate(config["grid"]["gamma"]):
        size = grid.augmented_count(originals, gamma)
        if gamma > 0 and size == 0:
            yield ["grid", "gamma", index], f"{gamma} adds no sample to {originals} originals; raise `originals`"
        elif size in sizes:
            yield ["grid", "gamma", index], f"{gamma} adds as many samples as {sizes[size]} ({size}); raise `originals`"
        sizes[size] = gamma
    content = catalog.load("domain", domain)
    if not content.get("samples"):
        return
    if originals > content["samples"]["source"]:
        text = f"{originals} exceeds the {content['samples']['source']} samples of the domain {domain}; lower originals"
        yield ["originals"], text
    needs, labels, groups = grid.pool_size(config, domain), len(contrasts.labels(content)), len(content["groups"])
    kept = content["samples"]["reserve"] // (labels * groups)
    for index, bias in enumerate(config["grid"]["bias"]):
        pool = catalog.load("bias", bias)
        strength = Decimal(str(pool.get("associate", 0)))
        share = (1 - strength) / groups + strength  # of its label's samples, the largest group's
        most = math.ceil(math.ceil(needs / labels) * share)
        if pool["source"] == "reserve" and most > kept:
            text = f"{bias} needs up to {most} samples of one label and group that are in no original; the reserve of {domain} has {kept}: lower originals or the largest γ"
            yield ["grid", "bias", index], text


def _faults_of_the_servers(config):
    """Settings that a served model does not support, since only its text is accessible."""
    axes = config["grid"]
    for name in filter(grid.served, grid.models(config)):
        if any(catalog.load("model", name)["service"]["price"].values()) and not config["max_cost_usd"]:
            text = f"{config['max_cost_usd']} leaves no budget for {name}, which is billed per token; set the study's budget in US dollars"
            yield ["max_cost_usd"], text
    for name in filter(grid.served, axes["model"]):
        if not grid.tunable(name) and grid.STUDENT not in axes["writer"]:
            text = f"{name} cannot be fine-tuned, so it cannot read pools of {', '.join(axes['writer'])}; remove it, or make it a writer"
            yield ["grid", "model", axes["model"].index(name)], text
        for index, task in enumerate(axes["task"]):
            if catalog.load("task", task).get("whole_texts"):
                text = f"{task} needs the probability of whole texts, which the server of {name} does not return; remove it"
                yield ["grid", "task", index], text
        if grid.tunable(name):
            for index, mitigation in enumerate(axes["mitigation"]):
                lacking = None
                if "loss" in catalog.load("mitigation", mitigation) or grid.asks_the_model(mitigation):
                    lacking = f"works on hidden states, which the provider of {name} does not expose"
                elif grid.methods_of(mitigation, "weights"):
                    lacking = f"weights samples in the loss, which the provider of {name} does not offer"
                if lacking:
                    text = f"{mitigation} {lacking}; remove it, or run {name} in a separate study"
                    yield ["grid", "mitigation", index], text


def _faults_of_the_mitigations(config):
    """Requirements of mitigations on a study's domains, pools and spare samples."""
    axes, spare = config["grid"], config["generation"]["spare"]
    for index, name in enumerate(axes["mitigation"]):
        for domain in axes["domain"] if grid.exchanges_words(name) else []:
            if "swap" not in catalog.load("domain", domain):
                text = f"{name} needs `swap`, corresponding words of the groups, which catalog/domains/{domain}.yaml does not have; add it, or remove {name}"
                yield ["grid", "mitigation", index], text
        dropped = max((method["share"] for method in grid.methods_of(name, "rows") if "share" in method), default=0)
        copied = [
            bias
            for bias in axes["bias"]
            if catalog.load("bias", bias)["source"] != "generated"
            and any(name in grid.mitigations_of(config, bias, gamma) for gamma in axes["gamma"] if gamma > 0)
        ]
        if dropped and copied:
            text = f"{name} replaces samples with spare ones, which {copied[0]}, a pool of copies, does not have; remove {copied[0]} from mitigated, or {name}"
            yield ["grid", "mitigation", index], text
        elif dropped > spare:
            text = f"{spare} leaves too few spare samples for {name}, which replaces {dropped:g} of the augmented ones; set it to at least {dropped:g}"
            yield ["generation", "spare"], text


def _faults_of_the_training(config):
    """Training settings that a model of the study does not have."""
    overridden = {("finetune", key) for key in config["finetune"]}
    overridden |= {
        ("domains", domain, "finetune", key)
        for domain in config["grid"]["domain"]
        for key in config["domains"].get(domain, {}).get("finetune", {})
    }
    for name in filter(grid.tunable, config["grid"]["model"]):
        settings = catalog.load("model", name)["finetune"]
        for path in sorted(overridden):
            if path[-1] not in settings:
                who = f"the provider of {name}" if grid.served(name) else f"the training of {name}"
                yield list(path), f"{who} has no such setting; it has {', '.join(settings)}"


# ---- warnings ------------------------------------------------------------------------------------------------------


def warnings(config):
    """Warnings about the data of the study and about what it cannot show."""
    lines = []
    invented = [name for name in config["grid"]["domain"] if grid.uses_fixtures(config, name)]
    if invented:
        lines.append(f"data_dir is null, so {', '.join(invented)} run on the project's invented fixtures")
    untreated = set(config["grid"]["mitigation"]) - {cell["mitigation"] for cell in grid.cells(config)}
    if untreated and any(config["grid"]["gamma"]):
        lines.append(f"no cell is trained with {', '.join(sorted(untreated))}: no pool of grid.bias is mitigated")
    pools = config["grid"]["bias"]
    without = {
        name: [bias for bias in pools if bias not in grid.biases_of(config, name)] for name in config["grid"]["domain"]
    }
    if lacking := [name for name, biases in without.items() if biases]:
        lines.append(f"{', '.join(without[lacking[0]])}: only in domains with labels, not in {', '.join(lacking)}")
    carried = [name for name in config["grid"]["bias"] if "later_rounds" in catalog.load("bias", name)]
    if carried and config["rounds"]["count"] > 1 and grid.real_text(config) is None:
        lines.append(
            f"later rounds of {', '.join(carried)} are not real text, so β is measured against `original`; add faithful"
        )
    reason = _no_verdict(config)
    if reason:
        lines.append(f"no claim of catalog/claims.yaml can get a verdict: {reason}")
    return [f"warning: {line}" for line in lines]


def _no_verdict(config):
    """Why no claim can get a verdict in a study, or None."""
    axes = config["grid"]
    if not any(map(grid.tunable, axes["model"])):
        return f"{', '.join(axes['model'])} cannot be fine-tuned; add a model that can"
    if len(axes["seed"]) < 2:
        return "one seed cannot show the variation between runs; list at least two"
    if not any(axes["gamma"]):
        return "the only γ is 0, so nothing is added to the originals; list a γ above 0"
    if all(grid.uses_fixtures(config, domain) for domain in axes["domain"]):
        return "all data are the project's fixtures; give data_dir"
    if not any(reading["answers"] or reading["pools"] for reading in grid.claim_readings(config).values()):
        return "each needs a task, pool or control that is not in the grid; compare the grid with catalog/claims.yaml"
    return None
