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
UNKNOWN_ITEMS, UNKNOWN_BYTES = 1000, 800  # ASSUME: of a task whose data is not on this machine yet


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
    """([(bytes of the prompt, most tokens of the answer)] of the domain's items, mean bytes of a training sample)."""
    content = catalog.load("domain", domain)
    family = import_module(f"bias_inheritance.data.{content['family']}")
    on_hub = "hub" in content["data"] and not content["data"].get("files")
    try:
        splits = (
            None
            if on_hub
            else family.load({**content, "datasets": grid.datasets_of(config, domain)}, config["data_dir"])[0]
        )
    except UserError:
        splits = None
    found, asked = [], {}
    for name in grid.tasks_of(config, domain):
        task, limit = grid.task_of(config, name, domain), grid.items_of(config, name)
        if splits is None:
            found += [(UNKNOWN_BYTES, CHOICE_TOKENS)] * (limit or UNKNOWN_ITEMS)
            continue
        kind = import_module(f"bias_inheritance.tasks.{task['kind']}")
        test = [*splits["test"], *splits.get("content", [])]
        for item in kind.items(task, {**content, "fixture": grid.uses_fixtures(config, domain)}, family, test, limit):
            # what is scored and written too is one request
            asked[name, item["item"]] = (len(item["prompt"].encode()), item.get("max_new_tokens", CHOICE_TOKENS))
    texts = [len(str(family.pair(sample, content, False)).encode()) for sample in (splits or {"source": []})["source"]]
    return [*found, *asked.values()], sum(texts) / len(texts) if texts else UNKNOWN_BYTES
