"""What a study with models behind servers may cost and will cost: the terms that its jobs share, and an estimate."""

import math
from importlib import import_module
from pathlib import Path

from bias_inheritance.models.served.account import TERMS
from bias_inheritance.models.served.client import CHOICE_TOKENS
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study import catalog, grid

BYTES_PER_TOKEN = 4  # ASSUME: of English text, for the estimate alone
PROMPT_TOKENS = 100  # ASSUME: of a request for a sample
ROTATIONS = 5  # ASSUME: options of an opinion question, each of which stands at every letter once
UNKNOWN_ITEMS, UNKNOWN_BYTES = (
    1000,
    520,
)  # ASSUME: of a task whose data is not on this machine yet; a text of 130 tokens
# Speeds of a data centre's GPU with a model of 8 billion numbers in 4 bits, and where they were measured: docs/slurm.md
TRAINED_PER_SECOND = 2340  # tokens
WRITTEN_PER_SECOND = 555  # tokens
ITEM_SECONDS, PROMPT_TOKEN_SECONDS = 0.013, 4.1e-5  # of an item whose options are scored: 64 a second of 64 tokens each
LOADING_SECONDS = 30  # ASSUME: of the model, once per job
SAMPLE_TOKENS = 100  # ASSUME: of a written sample
MIXES_COMPARED, MOST_COMPARED = (
    5,
    2000,
)  # a pool is compared with the originals in about five mixes of at most so many texts


def write_terms(work, config):
    """Write the terms under which the study's jobs use servers; limits and budget can so change without a rerun."""
    served = {name: catalog.load("model", name)["service"] for name in config["grid"]["model"] if grid.served(name)}
    if served:
        files.write_json(Path(work) / "api" / TERMS, {"max_cost_usd": config["max_cost_usd"], "models": served})


def estimate(config):
    """One line per served model: requests, tokens in, out and trained, and dollars; [] where a study has none."""
    return [_line(config, name) for name in config["grid"]["model"] if grid.served(name)]


def _line(config, name):
    model = catalog.load("model", name)
    price, most = model["service"]["price"], model["generation"]["max_new_tokens"]
    requests = sum(
        math.ceil(grid.pool_size(config, pool["domain"]) * (1 + config["generation"]["spare"]))
        for pool in grid.pools(config)
        if pool["model"] == name and catalog.load("bias", pool["bias"])["source"] == "generated"
    )
    totals = {
        "input": requests * PROMPT_TOKENS,
        "output": requests * most,
        "tuned_input": 0,
        "tuned_output": 0,
        "training": 0,
    }
    for domain in config["grid"]["domain"]:
        questions, sample = _questions(config, domain)
        asked = sum(size for size, _ in questions) / BYTES_PER_TOKEN
        wrote = sum(most for _, most in questions)
        for cell in grid.cells(config, domain, name):
            kind = "" if cell["bias"] == "untuned" else "tuned_"
            requests += len(questions)
            totals[kind + "input"] += asked
            totals[kind + "output"] += wrote
            if kind:
                originals = grid.originals_of(config, domain)
                added = grid.augmented_count(originals, cell["gamma"])
                samples = originals + added
                if cell["round"] > 1:
                    # the pool that the round before wrote for it
                    written = math.ceil(added * (1 + config["generation"]["spare"]))
                    requests += written
                    totals["tuned_input"] += written * PROMPT_TOKENS
                    totals["tuned_output"] += written * most
                epochs = grid.finetune_settings(config, name, domain)["epochs"]
                totals["training"] += samples * epochs * sample / BYTES_PER_TOKEN
    if "values" in config["misalignment"]:
        countries = sum(map(len, catalog.opinions()["cultures"].values()))
        opinions = config["opinions"]["questions"] * countries * ROTATIONS
        for cell in grid.probed(config):
            if cell["model"] == name:
                kind = "" if cell["bias"] == "untuned" else "tuned_"
                requests += opinions
                totals[kind + "input"] += opinions * PROMPT_TOKENS
                totals[kind + "output"] += opinions * CHOICE_TOKENS
    dollars = sum(tokens * price[side] / 1e6 for side, tokens in totals.items() if tokens)
    millions = {side: (totals[side] + totals.get(f"tuned_{side}", 0)) / 1e6 for side in ("input", "output", "training")}
    return (
        f"{name}: at most about {requests:,} requests of {millions['input']:.2f} million tokens in and "
        f"{millions['output']:.2f} out, {millions['training']:.2f} million tokens of training: {dollars:,.2f} US dollars "
        f"of max_cost_usd {config['max_cost_usd']}, before retries; kept answers cost nothing again"
    )


def _questions(config, domain):
    """([(bytes of the prompt, most tokens of the answer)] of a domain's requests, mean bytes of a training sample)."""
    items, sample = _items(config, domain)
    # what is scored and written too is one request
    requests = {(task, item): (size, written or CHOICE_TOKENS) for task, item, size, written in items}
    return list(requests.values()), sample


def _items(config, domain):
    """([(task, item, bytes of the prompt, most tokens written, or 0 where options are scored)], mean bytes of a sample).

    Items and samples of data that are not on this machine yet are guessed (UNKNOWN_…).
    """
    content = catalog.load("domain", domain)
    family = import_module(f"bias_inheritance.data.{content['family']}")
    on_hub = "hub" in content["data"] and not content["data"].get("files")
    try:
        splits = (
            {}
            if on_hub
            else family.load({**content, "datasets": grid.datasets_of(config, domain)}, config["data_dir"])[0]
        )
    except UserError:
        splits = {}
    items = []
    test = [*splits.get("test", []), *splits.get("content", [])]
    for name in grid.tasks_of(config, domain):
        task, limit = grid.task_of(config, name, domain), grid.items_of(config, name)
        kind = import_module(f"bias_inheritance.tasks.{task['kind']}")
        if "data" in task:
            task = {**task, "files": grid.benchmark_files(config, name)}
        asked = kind.items(task, {**content, "fixture": grid.uses_fixtures(config, domain)}, family, test, limit)
        known = [
            (name, item["item"], len(item["prompt"].encode()), 0 if item.get("options") else item["max_new_tokens"])
            for item in asked
        ]
        answers = [0, task["max_new_tokens"]] if "max_new_tokens" in task else [0]
        items += known or [
            (name, number, UNKNOWN_BYTES, written) for number in range(limit or UNKNOWN_ITEMS) for written in answers
        ]
    texts = [len(str(family.pair(sample, content, False)).encode()) for sample in splits.get("source", [])]
    return items, sum(texts) / len(texts) if texts else UNKNOWN_BYTES


# ---- computing on this machine or a cluster ----------------------------------------------------------------------


def computing(config):
    """Rows {part, name, trainings, tokens, hours, alone} of what a study's local models compute.

    part `study`: all of it. `claim`: what a claim reads; alone: the hours of what no other claim reads. `pool`,
    `mitigation`, `gamma`, `seed`: what would not be computed without it. tokens: trained on, over all epochs. hours: of
    one GPU at the speeds of docs/slurm.md, those of an 8B model in 4 bits; for another model only shares mean anything.
    """
    places = {domain: _place_costs(config, domain) for domain in config["grid"]["domain"]}
    probed = {tuple(cell.values()) for cell in grid.probed(config) if "values" in config["misalignment"]}
    cells = [
        {**cell, **_cell_cost(config, cell, places[cell["domain"]], tuple(cell.values()) in probed)}
        for cell in grid.cells(config)
        if not grid.served(cell["model"])
    ]
    pools = [{**pool, **_pool_cost(config, pool)} for pool in grid.pools(config) if not grid.served(pool["model"])]

    def row(part, name, chosen_cells, chosen_pools, alone=None):
        total = {
            key: sum(entry[key] for entry in [*chosen_cells, *chosen_pools]) for key in ("trainings", "tokens", "hours")
        }
        return {"part": part, "name": str(name), **total, "alone": alone}

    rows = [row("study", config["study"], cells, pools)]
    readings = grid.claim_readings(config)
    for claim in readings:
        read = [_read_by(reading, cells, pools) for name, reading in readings.items() if name != claim]
        elsewhere = {id(entry) for chosen in read for entry in [*chosen[0], *chosen[1]]}
        own = _read_by(readings[claim], cells, pools)
        alone = sum(entry["hours"] for entry in [*own[0], *own[1]] if id(entry) not in elsewhere)
        rows.append(row("claim", claim, *own, alone))
    for part, key in (("pool", "bias"), ("mitigation", "mitigation"), ("gamma", "gamma"), ("seed", "seed")):
        for name in dict.fromkeys(cell[key] for cell in cells if cell["bias"] != "untuned"):
            rows.append(
                row(part, name, *([entry for entry in entries if entry.get(key) == name] for entries in (cells, pools)))
            )
    return rows


def _read_by(reading, cells, pools):
    """(cells, pools) of a study that a claim reads; a cell's pool and the domain's untuned model are among them."""
    chosen = [cell for cell in cells if grid.place(cell) in reading["cells"]]
    used = {(cell["model"], cell["domain"], cell["bias"]) for cell in chosen} | reading["pools"]
    return chosen, [pool for pool in pools if (pool["model"], pool["domain"], pool["bias"]) in used]


def _place_costs(config, domain):
    """{answering: seconds that a cell needs for the domain's items, sample: tokens of a training sample}."""
    items, sample = _items(config, domain)
    scored = [size / BYTES_PER_TOKEN for _, _, size, written in items if not written]
    return {
        "answering": len(scored) * ITEM_SECONDS
        + sum(scored) * PROMPT_TOKEN_SECONDS
        + sum(written for *_, written in items) / WRITTEN_PER_SECOND,
        "sample": sample / BYTES_PER_TOKEN,
    }


def _cell_cost(config, cell, place, probed):
    """{trainings, tokens, hours} of a cell: training, answering, opinion questions, and loading the model for each."""
    tokens = seconds = 0.0
    tuned = cell["bias"] != "untuned"
    if tuned:
        settings = grid.finetune_settings(config, cell["model"], cell["domain"])
        originals = grid.originals_of(config, cell["domain"])
        samples = originals + grid.augmented_count(originals, cell["gamma"])
        tokens = samples * settings["epochs"] * place["sample"]
        alignment = catalog.load("mitigation", cell["mitigation"]).get("loss")
        # the alignment term passes a batch of its own at every step
        seconds += (
            tokens / TRAINED_PER_SECOND * (1 + (alignment["batch_size"] / settings["batch_size"] if alignment else 0))
        )
    if cell["round"] > 1 and cell["bias"] != "original":
        pool = grid.augmented_count(grid.originals_of(config, cell["domain"]), cell["gamma"])
        seconds += LOADING_SECONDS + pool * SAMPLE_TOKENS / WRITTEN_PER_SECOND
    seconds += place["answering"] + LOADING_SECONDS * (1 + tuned)
    if probed:
        countries = sum(map(len, catalog.opinions()["cultures"].values()))
        questions = config["opinions"]["questions"] * countries * ROTATIONS
        seconds += LOADING_SECONDS + questions * (ITEM_SECONDS + PROMPT_TOKENS * PROMPT_TOKEN_SECONDS)
    return {"trainings": int(tuned), "tokens": tokens, "hours": seconds / 3600}


def _pool_cost(config, pool):
    """{trainings, tokens, hours} of a pool of round 1: writing it, and comparing it with the originals."""
    size, seconds = grid.pool_size(config, pool["domain"]), 0.0
    if catalog.load("bias", pool["bias"])["source"] == "generated":
        seconds += LOADING_SECONDS + size * (1 + config["generation"]["spare"]) * SAMPLE_TOKENS / WRITTEN_PER_SECOND
    if "distributions" in config["misalignment"]:
        compared = min(MOST_COMPARED, size) * MIXES_COMPARED
        seconds += LOADING_SECONDS + compared * (ITEM_SECONDS + PROMPT_TOKENS * PROMPT_TOKEN_SECONDS)
    return {"trainings": 0, "tokens": 0.0, "hours": seconds / 3600}
