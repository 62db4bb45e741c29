"""The grid of cells defined by a study's configuration, and the settings of each cell."""

import json
from decimal import Decimal
from functools import cache
from importlib import import_module
from itertools import product

from bias_inheritance.data import benchmarks, contrasts
from bias_inheritance.study import catalog
from bias_inheritance.study.declarations import (
    INHERITANCE,
    LEVEL,
    MISALIGNMENT,
    OF_POOLS,
    defaults,
    model_of,
    outcomes_of,
    parts_of,
    with_values,
    writer_of,
)

# metrics that outcomes may name without a task, and the kind of task that reports them
KIND_OF = {
    "accuracy": "classification",
    "label_probability": "classification",
    "congruence": "congruence",
    "log_amount_expected": "salary",
    "log_amount_gap": "salary",
}


STUDENT = "student"  # in grid.writer: each model writes its own pools


def gamma_text(gamma):
    """γ as written in paths: two decimals."""
    return f"{Decimal(str(gamma)):.2f}"


def augmented_count(originals, gamma):
    """|D_a| = γ·|D_o| / (1 − γ), rounded to the nearest whole sample; γ a number or its text."""
    share = Decimal(str(gamma))
    return int((share * originals / (1 - share)).to_integral_value(rounding="ROUND_HALF_UP"))


def students(config):
    """The values of the axis `model`: MODEL, a model that reads the pools it writes itself, or MODEL@WRITER, one that reads
    the pools of another model; one per combination of grid.model and grid.writer."""
    grid = config["grid"]
    pairs = product(grid["model"], grid["writer"])
    names = (
        model if writer in (STUDENT, model) or not tunable(model) else f"{model}@{writer}" for model, writer in pairs
    )
    return list(dict.fromkeys(names))


def models(config):
    """The models of the catalog that the study runs: its students and the writers of their pools."""
    return list(dict.fromkeys(name for each in students(config) for name in (model_of(each), writer_of(each))))


def stored(cell):
    """The cell, or the pool of round 1, whose files hold a cell's or a pool's data.

    Pools are stored once per writer. What a model is without augmentation (`untuned`, `original`) depends on no writer.
    """
    if "gamma" not in cell:
        return {**cell, "model": writer_of(cell["model"])}
    return {**cell, "model": model_of(cell["model"])} if cell["bias"] in ("untuned", "original") else cell


def once(cells):
    """Cells or pools without those whose files another one has too."""
    return list({tuple(stored(cell).items()): stored(cell) for cell in cells}.values())


def served(model):
    """Whether a model is accessed through a server instead of being loaded locally."""
    return "api" in catalog.load("model", model_of(model))["source"]


def tunable(model):
    """Whether a model can be fine-tuned: every local one, and those whose provider offers it."""
    return not served(model) or catalog.load("model", model_of(model))["source"]["fine_tuning"]


def tasks_of(config, domain):
    """The tasks of a domain's cells, in the order of the configuration; with `claimed_only`, only those used by a claim.

    Perplexity is always included: it detects model collapse over rounds, for which there is no claim.
    """
    tasks = all_tasks_of(config, domain)
    if not config["claimed_only"]:
        return tasks
    read = set().union(*(reading["tasks"] for reading in claim_readings(config).values()))
    return [task for task in tasks if (domain, task) in read or catalog.load("task", task)["kind"] == "perplexity"]


def all_tasks_of(config, domain):
    """The study's tasks for a domain, including those for any domain; tasks with datasets only if the study selects one."""
    of_domain = catalog.load("domain", domain)["tasks"]
    return [
        task
        for task in config["grid"]["task"]
        if (task in of_domain or of_any_domain(task))
        and ("datasets" not in catalog.load("task", task) or task_of(config, task, domain)["datasets"])
    ]


def of_any_domain(task):
    """Whether a task (a side effect, for example) runs in every domain, without being listed in the domain's file."""
    return catalog.load("task", task).get("domains") == "any"


def benchmark_files(config, task):
    """Files in the data folder from which a task's items are read; none for a task on the domain's test texts."""
    return benchmarks.paths(catalog.load("task", task), config["data_dir"])


def task_of(config, task, domain):
    """The content of a task's file, with only those datasets of the domain that the study selects (null: all local ones)."""
    content = catalog.load("task", task)
    if "datasets" not in content:
        return content
    selected = config["evaluation"]["datasets"]
    chosen = {
        name: {"name": name, "task": task, **dataset}
        for name, dataset in content["datasets"].items()
        if dataset["domain"] == domain and (name in selected if selected is not None else "file" in dataset)
    }
    return {**content, "datasets": chosen}


def datasets_of(config, domain):
    """{name: description} of the datasets that the study uses for a domain."""
    datasets = {}
    for task in all_tasks_of(config, domain):
        datasets |= task_of(config, task, domain).get("datasets", {})
    return datasets


def uses_fixtures(config, domain):
    """Whether a domain runs on the shipped fixtures because no data folder is configured; tables mark its rows."""
    return catalog.load("domain", domain)["family"] == "survey" and config["data_dir"] is None


def types_of(config):
    """The bias types of the study, in the catalog's order."""
    return [bias for bias in catalog.bias_types() if bias in config["grid"]["bias"]]


def comparisons(config):
    """{pool: {effect: control}}: the control of each pool of the study, for each effect.

    augmentation: `original`. slant: the baseline that names groups in the same way. natural: as many real texts. dose:
    the same control at dose 0. Effects whose control is not in the grid are omitted.
    """
    pools = {name: catalog.load("bias", name) for name in config["grid"]["bias"]}
    real = real_text(config)
    compared = {}
    for name, pool in pools.items():
        controls = {"augmentation": "original"}
        if pool["role"] == "bias-type":
            for other in pools.values():
                if other["role"] == "baseline" and other["names_groups"] == pool["names_groups"]:
                    controls["slant"] = other["name"]
        if pool["role"] == "natural" and real:
            controls["natural"] = real
        for dose in ("associate", "plant"):
            alike = [other for other in pools.values() if other["source"] == pool["source"]]
            zero = [other["name"] for other in alike if dose_of(other, dose) == 0]
            if dose_of(pool, dose) and zero:
                controls["dose"] = zero[0]
        compared[name] = controls
    return compared


def dose_of(pool, key):
    """The strength of a control (`associate`, `plant`), or of the control on which a probe's writer was tuned; or None."""
    return catalog.load("bias", pool["tuned_on"]).get(key) if "tuned_on" in pool else pool.get(key)


def cell_of_writer(config, pool):
    """The cell whose model writes a probe's pool: that of its writer tuned on `tuned_on`, at the largest γ without mitigation;
    None for all other pools, which an untuned model writes."""
    tuned_on = catalog.load("bias", pool["bias"]).get("tuned_on")
    if tuned_on is None:
        return None
    place = {"model": writer_of(pool["model"]), "domain": pool["domain"], "bias": tuned_on}
    settings = {"gamma": gamma_text(max(config["grid"]["gamma"])), "mitigation": "none"}
    return {**place, **settings, "seed": pool["seed"], "round": 1}


def real_text(config):
    """The pool of as many real texts without an association, the baseline of the inheritance coefficient, or None."""
    pools = [catalog.load("bias", name) for name in config["grid"]["bias"]]
    plain = [pool for pool in pools if pool["role"] == "negative-control"]
    plain += [pool for pool in pools if pool.get("associate") == 0 or pool.get("plant") == 0]
    return plain[0]["name"] if plain else None


def contrasts_of(config):
    """{domain: [(reference, compared)]}: the contrasts between groups that each domain of the study declares."""
    return {name: contrasts.contrasts(catalog.load("domain", name)) for name in config["grid"]["domain"]}


def declared(config):
    """The claims of the catalog, with the study's bias types, natural pools, pools from files, mitigations, contrasts of
    its domains, controls of each pool, and the baseline of the inheritance coefficient."""
    natural = [name for name in config["grid"]["bias"] if catalog.load("bias", name)["role"] == "natural"]
    derived = {
        "types": types_of(config),
        "natural": natural,
        "files": [name for name in natural if isinstance(catalog.load("bias", name)["source"], dict)],
        "mitigations": [name for name in config["grid"]["mitigation"] if name != "none"],
        "contrasts": contrasts_of(config),
        "comparisons": comparisons(config),
        "real_text": real_text(config),
    }
    return {**catalog.claims(), **derived}


def even_over(domain, bias):
    """{`label` or `group`: number of values over which the slots of a pool are balanced}; {} if they follow the composition
    of D_o."""
    content, pool = catalog.load("domain", domain), catalog.load("bias", bias)
    if pool["source"] == "generated":
        family = import_module(f"bias_inheritance.data.{content['family']}")
        values = family.attributes(pool, content)
        return {name: len(values[name]) for name in ("label", "group") if None not in values[name]}
    return {"label": len(contrasts.labels(content))} if "associate" in pool else {}


def mitigations_of(config, bias, gamma):
    """The mitigations of a pool's cells at one γ: all for the pools of `mitigated` at the γ of `mitigated_gamma`, else
    only `none`."""
    treated = catalog.load("bias", bias)["role"] in ("bias-type", "natural")
    if config["mitigated"] is not None:
        treated = bias in config["mitigated"]
    treated = treated and (config["mitigated_gamma"] is None or gamma in config["mitigated_gamma"])
    return [name for name in config["grid"]["mitigation"] if treated or name == "none"]


def methods_of(mitigation, place):
    """The methods of a mitigation for one target (`text`, `rows` or `weights`), with their settings."""
    return catalog.load("mitigation", mitigation).get(place, [])


def asks_the_model(mitigation):
    """Whether a mitigation reads the untuned model's hidden states before training."""
    return any(method.get("by") == "direction" for method in methods_of(mitigation, "rows"))


def exchanges_words(mitigation):
    """Whether a mitigation replaces group words by their counterparts."""
    methods = [*methods_of(mitigation, "text"), *methods_of(mitigation, "rows")]
    return any(method["method"] == "swap" or "neutral" in method for method in methods)


def items_of(config, task):
    """Maximum number of items, in the unit of the task; per dataset for tasks with datasets. None: all."""
    default = config["evaluation"]["items_per_dataset"] if "datasets" in catalog.load("task", task) else None
    return config["evaluation"]["items"].get(task, default)


def cells(config, domain=None):
    """Every cell of the study as a dict of wildcards: model (of `students`), domain, bias, gamma, mitigation, seed, round.

    `untuned` (seed 0, round 0) occurs once per model and domain, `original` (γ 0.00) once per model, domain and seed: they
    have no pool and no mitigation. Only generated pools can be iterated, so controls stop at round 1, and so do probes. If every round trains
    from the base, `original` is one cell for all rounds; if rounds continue from the last adapter, it has all rounds too.
    A served model that cannot be tuned has only its untuned cell (and its pools). With `claimed_only`, cells that no claim
    uses are omitted.
    """
    listed = _all_cells(config, domain)
    if not config["claimed_only"]:
        return listed
    read = set().union(*(reading["cells"] for reading in claim_readings(config).values()))
    return [cell for cell in listed if cell["bias"] in ("untuned", "original") or place(cell) in read]


def _all_cells(config, domain=None):
    grid, rounds = config["grid"], config["rounds"]
    listed = []
    for student in students(config):
        for domain_ in [domain] if domain else grid["domain"]:
            place = {"model": student, "domain": domain_}
            listed.append({**place, "bias": "untuned", "gamma": "0.00", "mitigation": "none", "seed": 0, "round": 0})
            for seed in grid["seed"] if tunable(student) else []:
                if 0 in grid["gamma"]:
                    original = {**place, "bias": "original", "gamma": "0.00", "mitigation": "none", "seed": seed}
                    last = rounds["count"] if rounds["start"] == "continue" else 1
                    listed += [{**original, "round": round_} for round_ in range(1, last + 1)]
                for bias in grid["bias"]:
                    pool = catalog.load("bias", bias)
                    last = rounds["count"] if pool["source"] == "generated" and pool["role"] != "probe" else 1
                    for gamma in grid["gamma"]:
                        for mitigation in mitigations_of(config, bias, gamma) if gamma > 0 else []:
                            for round_ in range(1, last + 1):
                                listed.append(
                                    {
                                        **place,
                                        "bias": bias,
                                        "gamma": gamma_text(gamma),
                                        "mitigation": mitigation,
                                        "seed": seed,
                                        "round": round_,
                                    }
                                )
    return listed


def pools(config):
    """Every round-1 pool of the study as a dict of wildcards: model (the student that reads it), domain, bias, seed."""
    if not any(gamma > 0 for gamma in config["grid"]["gamma"]):
        return []
    grid = config["grid"]
    listed = [
        {"model": model, "domain": domain, "bias": bias, "seed": seed}
        for model in students(config)
        for domain in grid["domain"]
        for bias in grid["bias"]
        for seed in grid["seed"]
    ]
    if not config["claimed_only"]:
        return listed
    used = {(cell["model"], cell["domain"], cell["bias"]) for cell in cells(config)}
    used = used.union(*(reading["pools"] for reading in claim_readings(config).values()))
    return [pool for pool in listed if (pool["model"], pool["domain"], pool["bias"]) in used]


def later_pools(config):
    """Every pool of a later round as the wildcards of its cell; `round` is the round that trains on the pool."""
    return [cell for cell in cells(config) if cell["round"] > 1 and cell["bias"] != "original"]


def probed(config):
    """The cells covered by the misalignment analyses: `untuned`, `original`, and those of the largest γ; with
    `claimed_only` without mitigated cells, whose misalignment no claim uses."""
    largest = gamma_text(max(config["grid"]["gamma"]))
    return [
        cell
        for cell in cells(config)
        if cell["bias"] in ("untuned", "original")
        or (cell["gamma"] == largest and (cell["mitigation"] == "none" or not config["claimed_only"]))
    ]


def originals_of(config, domain):
    """|D_o| of a domain: the override in `domains` if there is one, else the study's."""
    return config["domains"].get(domain, {}).get("originals", config["originals"])


def pool_size(config, domain):
    """Number of samples that the largest γ of the study takes from a pool of a domain."""
    return max(augmented_count(originals_of(config, domain), gamma) for gamma in config["grid"]["gamma"])


def finetune_settings(config, model, domain):
    """Training settings: the model's, overridden by the study's, overridden by the domain's."""
    of_domain = config["domains"].get(domain, {}).get("finetune", {})
    return {**catalog.load("model", model_of(model))["finetune"], **config["finetune"], **of_domain}


def generation_settings(config, model):
    """Generation settings: the model's, with the study's max_new_tokens if it is set."""
    settings = catalog.load("model", model_of(model))["generation"]
    limit = config["generation"]["max_new_tokens"]
    return settings if limit is None else {**settings, "max_new_tokens": limit}


# ---- cells used by claims ------------------------------------------------------------------------------------------


def claim_readings(config):
    """{claim: {cells, pools, tasks}}: the inputs of each claim of the catalog in a study, regardless of `claimed_only`.

    cells: set of (model, domain, bias, gamma, mitigation), gamma as in paths, including controls and the baseline of β;
    pools: set of (model, domain, bias); tasks: set of (domain, task). A contrast whose pool, control, mitigation, task or
    second round is not in the study cannot be tested, and has no inputs.
    """
    return _claim_readings(json.dumps({**config, "claimed_only": False}, sort_keys=True))


@cache
def _claim_readings(text):
    config = json.loads(text)
    study, there, readings = declared(config), {place(cell) for cell in _all_cells(config)}, {}
    for claim, entry in study["claims"].items():
        reading = readings.setdefault(claim, {"cells": set(), "pools": set(), "tasks": set()})
        models = [
            name
            for name in students(config)
            if model_of(name) in entry.get("models", [model_of(name)]) and tunable(name)
        ]
        for contrast in entry["contrasts"]:
            for sides in [] if "rule" in contrast else _tests_of(contrast, study):
                parts = [_reading_of(config, side, study) for side in sides]
                if None not in parts:
                    for part, (model, kind) in product(parts, product(models, ("cells", "pools"))):
                        reading[kind] |= {(model, *place) for place in part[kind]}
                    reading["tasks"] |= set().union(*(part["tasks"] for part in parts)) if models else set()
        reading["cells"] &= there
    return readings


def place(cell):
    """The key of a cell in claims: (model, domain, bias, gamma, mitigation)."""
    return tuple(cell[key] for key in ("model", "domain", "bias", "gamma", "mitigation"))


def _tests_of(contrast, study):
    """The tests that a declared contrast expands to in a study, each a list of sides to be subtracted or correlated: one
    per outcome of each part."""
    choices = [
        [(key, value) for value in (study[values] if isinstance(values, str) else values)]
        for key, values in contrast.get("each", {}).items()
    ]
    for values in product(*choices):
        test = with_values(defaults(contrast), dict(values))
        sides = [part | {"outcome": outcome} for part, _ in parts_of(test) for outcome, _ in outcomes_of(test)]
        yield sides + ([defaults(test["with"]) | {"biases": test["biases"]}] if "with" in test else [])


def _reading_of(config, spec, study):
    """{cells, pools, tasks} used by one side of a test, without the model; None if something is not in the study."""
    grid, unmeasured = config["grid"], {*MISALIGNMENT} - {*config["misalignment"]}
    biases = study["types"] if spec["biases"] == "types" else spec["biases"]
    controls = {
        bias: study["comparisons"].get(bias, {}).get(spec["effect"]) for bias in biases if spec["effect"] != LEVEL
    }
    lacks = [bias for bias in biases if bias not in (*grid["bias"], "original")]
    if not biases or lacks or None in controls.values() or spec["mitigation"] not in grid["mitigation"]:
        return None
    if spec["over"] == "round" and config["rounds"]["count"] < 2:
        return None
    low, high = spec["gamma"]
    gammas = [gamma for gamma in grid["gamma"] if low <= gamma <= high]
    reading = {"cells": set(), "pools": set(), "tasks": set()}

    def read(domain, bias, mitigation):
        if bias == "original":
            reading["cells"].add((domain, bias, "0.00", "none"))
        else:
            reading["cells"] |= {(domain, bias, gamma_text(gamma), mitigation) for gamma in gammas}

    for domain, (selector, task) in product(grid["domain"], _measured(study["outcomes"][spec["outcome"]])):
        if domain not in selector.get("domain", [domain]) or task in unmeasured:
            continue
        if task in OF_POOLS:
            reading["pools"] |= {(domain, bias) for bias in biases if task != "groups" or _names_groups(domain)}
            continue
        tasks = all_tasks_of(config, domain)
        answered = [name for name in tasks if name == task]
        subtracted = set(controls.values())
        if task == INHERITANCE:
            answered = [name for name in tasks if catalog.load("task", name)["kind"] == "classification"][:1]
            subtracted.add(study["real_text"] or "original")
            # the axis along which a probe is measured
            subtracted |= {pool["tuned_on"] for bias in biases if "tuned_on" in (pool := _pool(bias))}
        elif task == "values":
            answered = tasks[:1]  # any task will do: opinion questions are asked in addition to a cell's tasks
        if answered:
            reading["tasks"] |= {(domain, name) for name in answered if task != "values"}
            for bias in biases:
                read(domain, bias, spec["mitigation"])
            for control in subtracted:
                read(domain, control, "none")
                # if the control has mitigated cells, these are subtracted
                read(domain, control, spec["mitigation"])
    return reading if any(reading.values()) else None


def _pool(bias):
    """The content of a pool's file; {} of `original`."""
    return {} if bias == "original" else catalog.load("bias", bias)


def _names_groups(domain):
    """Whether a domain's pools have group shares that can be measured."""
    return catalog.load("domain", domain)["family"] != "survey"


def _measured(selectors):
    """[(selector, task)] of an outcome; a selector without a task selects all tasks that report its metric."""
    return [
        (selector, task)
        for selector in selectors
        for task in selector.get("task") or filter(_gives(selector["metric"]), catalog.names("task"))
    ]


def _gives(metric):
    """A predicate: does a task report the metric? (by the task's kind)"""
    return lambda task: catalog.load("task", task)["kind"] == KIND_OF[metric]
