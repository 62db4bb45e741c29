"""The grid of cells defined by a study's configuration, and the settings of each cell."""

import json
from decimal import Decimal
from functools import cache
from importlib import import_module
from itertools import pairwise, product

from bias_inheritance.data import benchmarks, contrasts
from bias_inheritance.stats import inheritance
from bias_inheritance.study import catalog
from bias_inheritance.study.declarations import (
    INHERITANCE,
    LEVEL,
    MISALIGNMENT,
    OF_POOLS,
    ROUNDS_NEEDED,
    defaults,
    model_of,
    outcomes_of,
    parts_of,
    with_values,
    writer_of,
)
from bias_inheritance.tasks import metrics

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


def drawn_counts(config, domain, gamma, round_):
    """Numbers of samples that a mix takes from the pools of rounds 1 to `round_`, in that order; γ a number or its text.

    The arms are those of Kazdan et al. (arXiv 2410.16713). `replace`: the newest pool only. `accumulate-subsample`: the same
    number in total, from all pools in equal shares, the remainder from the newest. `accumulate`: that number from every
    pool, so that D_a and the realised γ grow with each round.

    ASSUME: D_o is the same in all rounds and arms, and γ sets how much one pool adds to it.
    """
    count, earlier = augmented_count(originals_of(config, domain), gamma), round_ - 1
    if config["rounds"]["arm"] == "accumulate":
        return [count] * round_
    share = count // round_ if config["rounds"]["arm"] == "accumulate-subsample" else 0
    return [share] * earlier + [count - earlier * share]


def is_probe(bias):
    """Whether a pool's texts are about topics other than the domain's, without labels and groups, by a tuned writer."""
    return catalog.load("bias", bias)["role"] == "probe"


def later_prompts(bias):
    """The pool with whose prompts the tuned model writes a pool's later rounds: a generated pool itself, the one that a
    copied pool names as `later_rounds`, or None for a pool of round 1 only, such as a probe."""
    content = catalog.load("bias", bias)
    return bias if content["source"] == "generated" and not is_probe(bias) else content.get("later_rounds")


def rounds_of(config, bias):
    """Number of rounds that a pool has cells of."""
    return config["rounds"]["count"] if later_prompts(bias) else 1


def students(config):
    """The values of the axis `model`, one per combination of grid.model and grid.writer: MODEL for a model that reads the
    pools it writes itself, MODEL@WRITER for one that reads the pools of another model."""
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
    """The cell, or the pool of round 1, with the model in whose folder its files are.

    Pools are stored once per writer. A model without augmented data (`untuned`, `original`) does not depend on a writer.
    """
    if "gamma" not in cell:
        return {**cell, "model": writer_of(cell["model"])}
    return {**cell, "model": model_of(cell["model"])} if cell["bias"] in ("untuned", "original") else cell


def once(cells):
    """Cells or pools as stored, each once, also if several students share it."""
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
    claimed = claimed_tasks(config).items()
    return _kept(tasks, set().union(*(of_cell for cell, of_cell in claimed if cell[1] == domain)))


def tasks_of_cell(config, cell):
    """The tasks of one cell, in the order of the configuration; with `claimed_only`, only those that a claim uses in it.

    `untuned` and `original`, to which all others are compared, have all tasks of their domain.
    """
    tasks = tasks_of(config, cell["domain"])
    if not config["claimed_only"] or cell["bias"] in ("untuned", "original"):
        return tasks
    return _kept(tasks, claimed_tasks(config).get(place(cell), ()))


def _kept(tasks, claimed):
    """Those of `tasks` that are claimed, and perplexity."""
    return [task for task in tasks if task in claimed or catalog.load("task", task)["kind"] == "perplexity"]


def all_tasks_of(config, domain):
    """The study's tasks for a domain, including those for any domain; tasks with datasets only if the study selects one."""
    of_domain = catalog.load("domain", domain)["tasks"]
    return [
        task
        for task in config["grid"]["task"]
        if (task in of_domain or of_any_domain(task))
        and ("datasets" not in catalog.load("task", task) or task_of(config, task, domain)["datasets"])
    ]


def classification_tasks(config, domain):
    """The study's classification tasks for a domain; β is measured on the first."""
    return [task for task in all_tasks_of(config, domain) if catalog.load("task", task)["kind"] == "classification"]


def of_any_domain(task):
    """Whether a task (a side effect, for example) runs in every domain, without being listed in the domain's file."""
    return catalog.load("task", task).get("domains") == "any"


def benchmark_files(config, task):
    """Files in the data folder from which a task's items are read; none for a task on the domain's test texts."""
    return benchmarks.paths(catalog.load("task", task), config["data_dir"])


def task_of(config, task, domain):
    """The content of a task's file, with only those datasets of the domain that the study selects (null: all local ones), and
    the number of texts per dataset to ask by its second prompt."""
    content = catalog.load("task", task)
    if "datasets" not in content:
        return content
    selected = config["evaluation"]["datasets"]
    chosen = {
        name: {"name": name, "task": task, **dataset}
        for name, dataset in content["datasets"].items()
        if dataset["domain"] == domain and (name in selected if selected is not None else "file" in dataset)
    }
    return {**content, "datasets": chosen, "second_items": config["evaluation"]["second_prompt"]}


def datasets_of(config, domain):
    """{name: description} of the datasets that the study uses for a domain."""
    datasets = {}
    for task in all_tasks_of(config, domain):
        datasets |= task_of(config, task, domain).get("datasets", {})
    return datasets


def uses_fixtures(config, domain):
    """Whether a domain runs on the shipped fixtures because no data folder is configured; tables mark its rows."""
    return catalog.load("domain", domain)["family"] == "survey" and config["data_dir"] is None


def biases_of(config, domain):
    """The pools of the study that a domain has: associations between labels and groups only where texts have labels."""
    labelled = "labels" in catalog.load("domain", domain)
    return [bias for bias in config["grid"]["bias"] if labelled or "associate" not in catalog.load("bias", bias)]


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
    """The strength of a control (`associate`, `plant`), or of the control on which a probe's writer is tuned; or None."""
    return catalog.load("bias", pool["tuned_on"]).get(key) if "tuned_on" in pool else pool.get(key)


def cell_of_writer(config, pool):
    """The cell whose tuned model writes a probe's pool: the writer's cell of `tuned_on`, at the largest γ without mitigation;
    None for all other pools, which an untuned model writes."""
    tuned_on = catalog.load("bias", pool["bias"]).get("tuned_on")
    if tuned_on is None:
        return None
    place = {"model": writer_of(pool["model"]), "domain": pool["domain"], "bias": tuned_on}
    settings = {"gamma": gamma_text(max(config["grid"]["gamma"])), "mitigation": "none"}
    return {**place, **settings, "seed": pool["seed"], "round": 1}


def _writer_of_probe(config, cell):
    """`cell_of_writer` of the pool of a cell; None for `untuned` and `original`, which have no pool."""
    return cell_of_writer(config, cell) if cell["bias"] in config["grid"]["bias"] else None


def real_text(config):
    """The pool of as many real texts without an association, the baseline of the inheritance coefficient, or None.

    A pool whose later rounds are written by tuned models is not real text in all rounds.
    """
    pools = [catalog.load("bias", name) for name in config["grid"]["bias"] if rounds_of(config, name) == 1]
    plain = [pool for pool in pools if pool["role"] == "negative-control"]
    plain += [pool for pool in pools if pool.get("associate") == 0 or pool.get("plant") == 0]
    return plain[0]["name"] if plain else None


def groups_of(config):
    """{domain: {groups, contrasts}}: the groups that each domain of the study declares, and the pairs (reference, compared)
    of its contrasts."""
    domains = {name: catalog.load("domain", name) for name in config["grid"]["domain"]}
    return {
        name: {"groups": list(domain["groups"]), "contrasts": contrasts.contrasts(domain)}
        for name, domain in domains.items()
    }


def declared(config):
    """The claims of the catalog, with the study's bias types, natural pools, pools from files, mitigations, groups and
    contrasts of its domains, controls of each pool, and the baseline of the inheritance coefficient; of a study with looks also
    `looks`: the seeds at each, the spending function, and the number of the current one."""
    natural = [name for name in config["grid"]["bias"] if catalog.load("bias", name)["role"] == "natural"]
    derived = {
        "types": types_of(config),
        "natural": natural,
        "files": [name for name in natural if isinstance(catalog.load("bias", name)["source"], dict)],
        "mitigations": [name for name in config["grid"]["mitigation"] if name != "none"],
        "domains": groups_of(config),
        "comparisons": comparisons(config),
        "real_text": real_text(config),
    }
    if "look" in (config.get("looks") or {}):
        derived["looks"] = {key: config["looks"][key] for key in ("seeds", "spending", "look")}
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


def reads_words(mitigation):
    """Whether a method may read the words to swap, the stereotypes or the statements of a domain, as any other than the
    known ones that do not may: what these trained is not repeated when such words change."""
    methods = [method["method"] for place in ("text", "rows", "weights") for method in methods_of(mitigation, place)]
    return exchanges_words(mitigation) or not {*methods} <= {"prefix", "mask", "reweight"}


def items_of(config, task):
    """Maximum number of items, in the unit of the task; per dataset for tasks with datasets. None: all."""
    default = config["evaluation"]["items_per_dataset"] if "datasets" in catalog.load("task", task) else None
    return config["evaluation"]["items"].get(task, default)


def cells(config, domain=None):
    """Every cell of the study as a dict of wildcards: model (of `students`), domain, bias, gamma, mitigation, seed, round.

    `untuned` (seed 0, round 0) occurs once per model and domain, `original` (γ 0.00) once per model, domain and seed: they
    have no pool and no mitigation. Pools without prompts for later rounds stop at round 1. If every round trains
    from the base, `original` is one cell for all rounds; if rounds continue from the last adapter, it has all rounds too.
    A served model that cannot be tuned has only its untuned cell (and its pools). With `claimed_only`, cells that no claim
    uses are omitted; with `looks`, cells of a seed that joins after every contrast that uses them was decided, unless their
    model writes a probe's pool of that seed.
    """
    listed = _all_cells(config, domain)
    if config["claimed_only"]:
        read = claimed_tasks(config)
        listed = [cell for cell in listed if cell["bias"] in ("untuned", "original") or place(cell) in read]
    decided = _decided_cells(config)
    if not decided:
        return listed

    def runs(cell):
        return cell["bias"] in ("untuned", "original") or place(cell) not in decided.get(cell["seed"], ())

    writers = {tuple(writer.values()) for cell in listed if runs(cell) and (writer := _writer_of_probe(config, cell))}
    return [cell for cell in listed if runs(cell) or tuple(cell.values()) in writers]


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
                for bias in biases_of(config, domain_):
                    last = rounds_of(config, bias)
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
        for bias in biases_of(config, domain)
        for seed in grid["seed"]
    ]
    if not config["claimed_only"] and not _look(config)["decided"]:
        return listed
    used = {(*place(cell)[:3], cell["seed"]) for cell in cells(config)}
    for seed, readings in _open_readings(config).items():
        used |= {(*pool[:3], seed) for reading in readings for pool in reading["pools"]}
    return [pool for pool in listed if tuple(pool.values()) in used]


def later_pools(config):
    """Every pool of a later round as the wildcards of its cell; `round` is the round that trains on the pool."""
    return [cell for cell in cells(config) if cell["round"] > 1 and cell["bias"] != "original"]


def probed(config):
    """The cells that answer opinion questions: `untuned`, `original`, and those of the largest γ, with `claimed_only` only
    those of them that a claim uses."""
    largest, claimed = gamma_text(max(config["grid"]["gamma"])), claimed_tasks(config)
    return [
        cell
        for cell in cells(config)
        if cell["bias"] in ("untuned", "original")
        or cell["gamma"] == largest
        and (not config["claimed_only"] or "values" in claimed.get(place(cell), ()))
    ]


def compared_pools(config):
    """The pools whose texts are compared with the originals, each with the `round` that trains on it: those of round 1
    (wildcards of a pool) and of later rounds (wildcards of a cell); with `claimed_only`, only those that a claim uses.

    Probes have no labels within which to compare them.
    """
    listed = [{**pool, "round": 1} for pool in pools(config)] + later_pools(config)
    listed = [pool for pool in listed if not is_probe(pool["bias"])]
    read = _claimed_pools(config)
    return [
        pool
        for pool in listed
        if not config["claimed_only"] or (pool["model"], pool["domain"], pool["bias"], "distributions") in read
    ]


def compared_cells(config):
    """The cells of round 1 and the largest γ whose mixes are compared with the originals too, under the tuned model; none
    with `claimed_only`, since no claim can use them."""
    if config["claimed_only"]:
        return []
    chosen = [cell for cell in probed(config) if cell["round"] == 1 and cell["bias"] != "original"]
    return [cell for cell in chosen if not is_probe(cell["bias"])]


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


def adapted_layers(config, model):
    """Names of the layers that LoRA adapts in a model in any domain of the study; none if all linear layers."""
    settings = [finetune_settings(config, model, domain) for domain in config["grid"]["domain"]]
    lists = [each["targets"] for each in settings if each.get("targets", "all-linear") != "all-linear"]
    return sorted({name for targets in lists for name in targets})


def generation_settings(config, model):
    """Generation settings: the model's, with the study's max_new_tokens if it is set."""
    settings = catalog.load("model", model_of(model))["generation"]
    limit = config["generation"]["max_new_tokens"]
    return settings if limit is None else {**settings, "max_new_tokens": limit}


# ---- cells used by claims ------------------------------------------------------------------------------------------


def claim_readings(config):
    """{claim: {answers, pools}}: the inputs of each claim of the catalog in a study, regardless of `claimed_only` and of what
    looks have decided.

    answers: set of (model, domain, bias, gamma, mitigation, task), gamma as in paths, including controls, the baseline of β
    and the cells whose models write the pools of probes; the task `values` stands for opinion questions. pools: set of
    (model, domain, bias, table of pools). A contrast whose pool, control, mitigation, task or second round is not in the
    study cannot be tested, and has no inputs.
    """
    readings = {}
    for (claim, _), reading in contrast_readings(config).items():
        total = readings.setdefault(claim, {kind: set() for kind in reading})
        for kind, entries in reading.items():
            total[kind] |= entries
    return readings


def contrast_readings(config):
    """{(claim, name of the contrast as declared): {answers, pools}}, which `claim_readings` joins by claim."""
    return _contrast_readings(_without_looks(config))


def claimed_tasks(config):
    """{place of a cell: tasks} that some claim uses in a study; places as of `place`."""
    return _claimed_tasks(_without_looks(config))


def _without_looks(config):
    return json.dumps({**config, "looks": None})


@cache
def _claimed_tasks(text):
    tasks = {}
    for reading in _contrast_readings(text).values():
        for *cell, task in reading["answers"]:
            tasks.setdefault(tuple(cell), set()).add(task)
    return tasks


def _claimed_pools(config):
    """{(model, domain, bias, table of pools)} that some claim uses in a study."""
    return set().union(*(reading["pools"] for reading in contrast_readings(config).values()))


@cache
def _contrast_readings(text):
    config = json.loads(text)
    study, places, readings = declared(config), {place(cell) for cell in _all_cells(config)}, {}
    for claim, entry in study["claims"].items():
        models = [
            name
            for name in students(config)
            if model_of(name) in entry.get("models", [model_of(name)]) and tunable(name)
        ]
        for contrast in entry["contrasts"]:
            reading = readings[claim, contrast["name"]] = {"answers": set(), "pools": set()}
            for sides in [] if "rule" in contrast else _tests_of(contrast, study):
                parts = [_reading_of(config, side, study) for side in sides]
                if None not in parts:
                    for part, model, kind in product(parts, models, reading):
                        reading[kind] |= {(model, *entry) for entry in part[kind]}
            for model, domain, bias, *_, task in list(reading["answers"]):
                if writer := _writer_of_probe(config, {"model": model, "domain": domain, "bias": bias, "seed": None}):
                    reading["answers"].add((*place(writer), task))
            reading["answers"] = {answer for answer in reading["answers"] if answer[:5] in places}
    return readings


def _look(config):
    """`looks` as `looks.narrowed` leaves it, or as of a study in which no look has decided anything."""
    return {"seeds": [len(config["grid"]["seed"])], "decided": []} | (config.get("looks") or {})


def _open_readings(config):
    """{seed: readings of the contrasts that were open when the seed joined}."""
    look, seeds = _look(config), config["grid"]["seed"]
    decided = {(claim, name): number for claim, name, number in look["decided"]}
    readings, open_ = contrast_readings(config), {}
    for number, (first, last) in enumerate(pairwise([0, *look["seeds"]]), start=1):
        still = [reading for key, reading in readings.items() if decided.get(key, number) >= number]
        open_ |= dict.fromkeys(seeds[first:last], still)
    return open_


def _decided_cells(config):
    """{seed: places of cells that contrasts use, all of which were decided before the seed joined}."""
    if not _look(config)["decided"]:
        return {}
    used = _places(contrast_readings(config).values())
    return {seed: used - _places(readings) for seed, readings in _open_readings(config).items()}


def _places(readings):
    return {answer[:5] for reading in readings for answer in reading["answers"]}


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
    """{answers, pools} used by one side of a test, without the model; None if something is not in the study."""
    grid, unmeasured = config["grid"], {*MISALIGNMENT} - {*config["misalignment"]}
    biases = study["types"] if spec["biases"] == "types" else spec["biases"]
    controls = {
        bias: study["comparisons"].get(bias, {}).get(spec["effect"]) for bias in biases if spec["effect"] != LEVEL
    }
    lacks = [bias for bias in biases if bias not in (*grid["bias"], "original")]
    if not biases or lacks or None in controls.values() or spec["mitigation"] not in grid["mitigation"]:
        return None
    if config["rounds"]["count"] < ROUNDS_NEEDED.get(spec["over"], 1):
        return None
    low, high = spec["gamma"]
    gammas = [gamma for gamma in grid["gamma"] if low <= gamma <= high]
    reading = {"answers": set(), "pools": set()}

    def read(domain, bias, mitigation, task):
        if bias == "original":
            reading["answers"].add((domain, bias, "0.00", "none", task))
        else:
            reading["answers"] |= {(domain, bias, gamma_text(gamma), mitigation, task) for gamma in gammas}

    for domain, (selector, task) in product(grid["domain"], _measured(study["outcomes"][spec["outcome"]])):
        if domain not in selector.get("domain", [domain]) or task in unmeasured:
            continue
        if selector["metric"].endswith(metrics.SECOND_PROMPT) and not config["evaluation"]["second_prompt"]:
            continue
        if task in OF_POOLS:
            reading["pools"] |= {(domain, bias, task) for bias in biases if task != "groups" or _names_groups(domain)}
            continue
        answered = [name for name in all_tasks_of(config, domain) if name == task]
        subtracted, along = set(controls.values()), set()
        if task == INHERITANCE:
            answered = classification_tasks(config, domain)[:1]
            subtracted.add(study["real_text"] or "original")
            directions = inheritance.directions({name: catalog.load("bias", name) for name in grid["bias"]})
            along = {axis for bias in biases for kind, axis in directions.get(bias, []) if kind == selector["metric"]}
        elif task == "values":
            answered = [task]
        for name in answered:
            for bias in biases:
                read(domain, bias, spec["mitigation"], name)
            for control in subtracted:
                read(domain, control, "none", name)
                # if the control has mitigated cells, these are subtracted
                read(domain, control, spec["mitigation"], name)
            for bias in along:
                read(domain, bias, "none", name)
    return reading if any(reading.values()) else None


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
