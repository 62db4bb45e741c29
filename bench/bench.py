"""Benchmark the pipeline against alternative tools, in one run on this machine.

    make bench                    all benchmarks, 15 to 30 minutes on two idle cores
    make bench ARGS=--quick       a few samples of each, as a smoke test; the figures are not meaningful

Each measurement is a separate process that times the work only (no imports, no model load). Our runs alternate with the
peer's, with the same model, data, settings, number type and number of threads; each peer runs in its own environment,
created from envs/bench-*.txt. Prints a table; writes results/bench/bench.json, the figures in docs/performance.md and its
chart (--quick writes only .work/bench/quick.json).
"""

import argparse
import csv
import math
import multiprocessing
import os
import platform
import random
import shutil
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "scripts"))

from bias_inheritance.data import labelled
from bias_inheritance.models import base, gguf_files, schedule
from bias_inheritance.models.chat import Chat
from bias_inheritance.plumbing import files, machine, progress, provenance, warm
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.pools import slots
from bias_inheritance.study import catalog
from prepare_model import prepare_model

ROOT = provenance.ROOT
BENCH = ROOT / "bench"
WORK = ROOT / ".work" / "bench"
RESULT = ROOT / "results" / "bench" / "bench.json"
PAGE = ROOT / "docs" / "performance.md"
DRAWING = ROOT / "docs" / "performance-growth.svg"
MARKS = ("<!-- figures of `make bench`: begin -->", "<!-- figures of `make bench`: end -->")
MODEL = "smollm2-135m-instruct"
THREADS = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count())
SEED = 7
BATCH = 8  # samples per optimiser step, for both trainers
GENERATED = 64  # texts per batch, for both generators
TARGETS = {"finetune_vs_trl": 4.1, "score_vs_lm_eval": 12.0, "generate_vs_transformers": 2.4}
# ASSUME: tolerances. Log-probabilities: our error relative to a float32 reference is at most this multiple of the peer's,
# or below this number of nats; losses: mean difference per step, in nats per token.
LOGPROB_FACTOR, LOGPROB_TOLERANCE, LOSS_TOLERANCE = 1.25, 0.001, 0.1
IN_PROPORTION = 1.1  # scaling exponent above which growth of time or memory counts as superlinear, with room for noise
FULL = {
    "train": 64,
    "curve": 48,
    "turns": 3,
    "items": 240,
    "exact": 10,
    "texts": 64,
    "streamed": 6,
    "growth": 4,
    "rows": 1_000_000,
    "analysis": 25,
    "audited": 64,
}
QUICK = {
    "train": 16,
    "curve": 16,
    "turns": 1,
    "items": 24,
    "exact": 2,
    "texts": 8,
    "streamed": 1,
    "growth": 1,
    "rows": 20_000,
    "analysis": 2,
    "audited": 4,
}


# ---- processes ---------------------------------------------------------------------------------------------------


def environment(peer):
    """The Python of a peer's environment, which is created from its lock file on first use."""
    folder, pinned = WORK / peer, ROOT / "envs" / f"bench-{peer}.txt"
    stamp = folder / "pinned.txt"
    if not stamp.exists() or stamp.read_text() != pinned.read_text():
        print(f"setting up the environment of {peer} from {pinned.relative_to(ROOT)}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", pinned], check=True)
        stamp.write_text(pinned.read_text())
    return folder / "bin" / "python"


def measure(python, script, job, name):
    """Run one measurement in a process that reads a job and writes its result; returns the result with
    peak_memory_bytes."""
    print(f"  {name} …", end="", flush=True)
    slug = name.replace(" ", "-").replace("/", "-")
    paths = [WORK / "jobs" / f"{slug}.{kind}.json" for kind in ("job", "result")]
    files.write_json(paths[0], job)
    paths[1].unlink(missing_ok=True)
    variables = {
        "OMP_NUM_THREADS": str(THREADS),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONWARNINGS": "ignore",
    }
    if script.parent == BENCH:  # as the Snakefile sets it for every step
        variables |= warm.MEMORY | {"PYTHONPATH": f"{ROOT / 'scripts'}{os.pathsep}{ROOT / 'tests'}"}
    with open(WORK / "jobs" / f"{slug}.log", "w") as log:
        process = subprocess.Popen(
            [python, script, *paths], env={**os.environ, **variables}, stdout=log, stderr=subprocess.STDOUT
        )
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"\nbench: {name} failed:\n" + Path(log.name).read_text()[-3000:])
    result = files.read_json(paths[1])
    print(f" {result['seconds']:.1f} s", flush=True)
    return {**result, "peak_memory_bytes": usage.ru_maxrss * 1024}


def ours(job, name):
    return measure(sys.executable, BENCH / "bench_ours.py", job, f"ours {name}")


def theirs(peer, script, job, name):
    return measure(environment(peer), BENCH / "peers" / script, job, f"{peer} {name}")


def rate(results, unit):
    """{per_second overall, per result, and peak memory} of one side, as stored in bench.json."""
    return {
        "per_second": sum(result[unit] for result in results) / sum(result["seconds"] for result in results),
        "each": [result[unit] / result["seconds"] for result in results],
        unit: sum(result[unit] for result in results),
        "seconds": sum(result["seconds"] for result in results),
        "peak_memory_bytes": max(result["peak_memory_bytes"] for result in results),
    }


# ---- benchmarks ----------------------------------------------------------------------------------------------------


def prepare():
    """The data shared by all jobs: the embedded model in all required forms, and the texts."""
    spec, domain = catalog.load("model", MODEL), catalog.load("domain", "gender")
    card = WORK / "card.json"
    prepare_model(card, MODEL, {key: spec[key] for key in ("source", "form", "system")}, None)
    prepared = base.read_card(card)
    source = base.STORE / MODEL / "source"
    checkpoint = gguf_files.checkpoint(source)  # unquantised weights; the peer quantises to NF4 itself
    tokenizer = base.load_tokenizer(base.STORE / MODEL / prepared["form"])
    chat = Chat(tokenizer, spec["system"])
    texts = random.Random(SEED).sample(labelled.load(domain)[0]["source"], 288)
    rows = [conversation(chat, *labelled.pair(text, domain, False)) for text in texts]
    bias = catalog.load("bias", "contextual-single-explicit")
    user_prompts = [slot["prompt"] for slot in slots.slots(labelled, bias, domain, GENERATED, ("bench", SEED))]
    common = {"card": str(card), "system": spec["system"], "model": spec, "seed": SEED, "checkpoint": str(checkpoint)}
    common["base"] = str(base.STORE / MODEL / prepared["form"])
    common["compute"] = prepared["compute"]  # the peers' number type too: a CPU may only emulate bf16
    common["gguf"] = str(next(source.glob("*.gguf")))
    common["device"] = base.device()
    return {
        "common": common,
        # the peer's loss is the mean over tokens
        "settings": {
            **spec["finetune"],
            "epochs": 1,
            "batch_size": BATCH,
            "micro_batch_size": BATCH,
            "loss_average": "token",
        },
        "rows": rows,
        "labels": domain["labels"],
        "end": tokenizer.eos_token,
        "user_prompts": user_prompts,
        "prompts": [rendered(chat, user) for user in user_prompts],
        "sampling": {key: value for key, value in spec["generation"].items() if key != "batch_size"},
    }


def conversation(chat, user, answer):
    """A training sample in both formats: texts for ours, rendered prompt and completion for the peer."""
    completion = answer + chat.tokenizer.eos_token
    return {"user": user, "answer": answer, "prompt": rendered(chat, user), "completion": completion}


def rendered(chat, user):
    """The text of a conversation up to where the assistant speaks; peers tokenise it themselves."""
    return chat.tokenizer.decode(chat.prompt(user))


def train_in_turns(job, turns, name):
    """`rate` of our training and of TRL's SFTTrainer, alternating, and once of TRL without gradient checkpointing."""
    job = {**job, "do": "train", "order": "shuffled", "gradient_checkpointing": True}
    left, right = [], []
    for turn in range(turns):
        left.append(ours(job, f"{name} {turn + 1}"))
        right.append(theirs("trl", "train_trl.py", job, f"{name} {turn + 1}"))
    assert left[0]["ids"] == right[0]["ids"], "the peer trains on different tokens"
    plain = theirs("trl", "train_trl.py", {**job, "gradient_checkpointing": False}, f"{name} without checkpointing")
    sides = {"ours": left, "trl": right, "trl_without_gradient_checkpointing": [plain]}
    return {side: rate(results, "tokens") for side, results in sides.items()}


def bench_finetune(shared, size):
    """Training throughput (tokens/s without padding), and the loss curves with the same order of samples."""
    job = {**shared["common"], "settings": shared["settings"], "samples": shared["rows"][: size["train"]]}
    sides = train_in_turns(job, size["turns"], "fine-tuning")
    return {"unit": "tokens/s", "samples": size["train"], **sides, "equal_order": bench_curve(shared, size)}


def bench_curve(shared, size):
    """Loss per step of both trainers on the same batches in the same order, with the same learning rates."""
    rows, settings = shared["rows"][: size["curve"]], shared["settings"]
    order = list(
        schedule.training_order(
            [len(row["user"].split()) for row in rows], settings["epochs"], settings["batch_size"], SEED
        )
    )
    rates = [
        schedule.learning_rate(step, len(order), settings["learning_rate"], settings["warmup"])
        for step in range(len(order))
    ]
    job = {**shared["common"], "settings": settings, "gradient_checkpointing": True, "rates": rates}
    ordered = [rows[index] for batch in order for index in batch]
    adapter = str(WORK / "adapter")
    mine = ours({**job, "do": "train", "samples": rows, "adapter": adapter}, "fine-tuning in equal order")
    peer = theirs("trl", "train_trl.py", {**job, "samples": ordered, "order": "given"}, "fine-tuning in equal order")
    difference = [abs(a - b) for a, b in zip(mine["losses"], peer["losses"], strict=True)]
    return {"ours": mine["losses"], "trl": peer["losses"], "mean_difference": sum(difference) / len(difference), "largest_difference": max(difference), "agree": sum(difference) / len(difference) <= LOSS_TOLERANCE}  # fmt: skip


def bench_score(shared, size):
    """Scoring throughput (items/s) of a six-option classification with a tuned adapter, alternating."""
    if not (WORK / "adapter").exists():
        sys.exit("bench: scoring needs the adapter that fine-tuning writes; run with --only finetune score")
    items, options = shared["rows"][-size["items"] :], [label + shared["end"] for label in shared["labels"]]
    step = len(items) // size["turns"]
    left, right = [], []
    for first in range(0, len(items), step):
        job = {**shared["common"], "adapter": str(WORK / "adapter"), "items": items[first : first + step]}
        mine = ours({**job, "do": "score", "options": shared["labels"]}, f"scoring {first // step + 1}")
        peer = theirs(
            "lm-eval",
            "score_lm_eval.py",
            {**job, "options": options, "batch_size": 8},
            f"scoring {first // step + 1}",
        )
        left.append({**mine, "items": step})
        right.append({**peer, "items": step})
    job = {**shared["common"], "do": "score_plainly", "adapter": str(WORK / "adapter"), "options": shared["labels"]}
    exact = ours({**job, "items": items[: size["exact"]]}, "scoring in 32 bits")["logprobs"]
    mine, peer = ([row for result in side for row in result["logprobs"]] for side in (left, right))
    best = [[row.index(max(row)) for row in side] for side in (mine, peer)]
    errors = {name: mean_difference(side[: len(exact)], exact) for name, side in (("ours", mine), ("lm_eval", peer))}
    # margin between the two choices of items on which the sides disagree
    margins = [row[a] - row[b] for row, a, b in zip(mine, *best, strict=True) if a != b]
    return {
        "unit": "items/s",
        "items": len(items),
        "options": len(options),
        "ours": rate(left, "items"),
        "lm_eval": rate(right, "items"),
        "same_choices": len(items) - len(margins),
        "largest_margin_of_another_choice": max(margins, default=0.0),
        "mean_difference": mean_difference(mine, peer),
        "mean_difference_from_32_bits": errors,
        "agree": errors["ours"] <= max(LOGPROB_FACTOR * errors["lm_eval"], LOGPROB_TOLERANCE),
    }


def mean_difference(left, right):
    """Mean absolute difference of two tables of numbers."""
    differences = [abs(a - b) for row, other in zip(left, right, strict=True) for a, b in zip(row, other, strict=True)]
    return sum(differences) / len(differences)


def bench_generate(shared, size):
    """Generation throughput (tokens/s up to the end of each text) in batches of GENERATED."""
    left, right = [], []
    for turn in range(size["turns"]):
        job = {
            **shared["common"],
            "do": "generate",
            "users": shared["user_prompts"][: size["texts"]],
            "prompts": shared["prompts"][: size["texts"]],
            "seeds": [record_seed("bench", turn, number) for number in range(size["texts"])],
            "batch_size": GENERATED,
            "sampling": shared["sampling"],
            "streamed": size["streamed"],
        }
        left.append(ours(job, f"generation {turn + 1}"))
        right.append(theirs("transformers", "generate_transformers.py", job, f"generation {turn + 1}"))
    stream = [theirs("llama-cpp", "generate_llama_cpp.py", job, "generation, one stream")]
    sides = {"ours": rate(left, "tokens"), "transformers": rate(right, "tokens")}
    sides["llama_cpp_one_stream"] = rate(stream, "tokens")
    return {"unit": "tokens/s", "batch": GENERATED, **sides}


# ---- overhead ------------------------------------------------------------------------------------------------------


def moment(text):
    return datetime.fromisoformat(text).timestamp()


def bench_overhead(shared, study="demo"):
    """Core time of the default study not spent on the work of steps, from its records; None without records.

    Between steps: core time between Snakemake's start and end in which no step ran: its startup and planning, process
    starts, imports, and waiting for other steps. Loading: the model load of every step that has one, at the duration
    measured by this benchmark. Killed runs and their steps are excluded.
    """
    load = ours({**shared["common"], "do": "load"}, "model load")["seconds"]
    records = [files.read_json(path) for path in sorted((ROOT / "results" / study).rglob("*.prov.json"))]
    runs_file = ROOT / ".work" / study / progress.RUNS
    runs = files.read_jsonl(runs_file) if runs_file.exists() else []
    spans = [
        (moment(record["started"]), moment(record["ended"]), record["step"])
        for record in records
        if any(run["started"] <= moment(record["started"]) <= run["ended"] for run in runs)
    ]
    if not spans:
        return {"study": None, "load_seconds": load}
    runs = [run for run in runs if any(run["started"] <= start <= run["ended"] for start, *_ in spans)]
    wall = sum(run["ended"] - run["started"] for run in runs)
    cores = records[0]["machine"]["cores"]
    busy = sum(end - start for start, end, _ in spans)
    loading = load * sum(step in ("finetune", "predict", "write_pool") for _, _, step in spans)
    between = max(0.0, cores * wall - busy)
    return {
        "study": study,
        "steps": len(spans),
        "runs": len(runs),
        "wall_seconds": wall,
        "cores": cores,
        "between_steps_share": between / (cores * wall),
        "load_seconds": load,
        "loading_share": loading / (cores * wall),
        "share": (between + loading) / (cores * wall),
        "seconds_by_step": {
            name: sum(end - start for start, end, step in spans if step == name)
            for name in sorted({step for *_, step in spans})
        },
    }


def dry_run(seeds):
    """Plan the paper's grid with the given number of seeds; returns {seconds, peak_memory_bytes, jobs}.

    The embedded model replaces the 8B model, whose files are not required to be present; the size of the grid is the same.
    """
    print(f"  dry run of studies/paper.yaml, {seeds} seeds …", end="", flush=True)
    overlay = WORK / "jobs" / "grid.yaml"
    files.write_text(overlay, f"study: bench-grid\ngrid: {{model: [{MODEL}], seed: {list(range(1, seeds + 1))}}}\n")
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--configfile",
        "studies/paper.yaml",
        overlay,
        "-n",
        "--quiet",
        "rules",
    ]
    started = time.perf_counter()
    with open(WORK / "jobs" / "dry-run.log", "w+") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        log.seek(0)
        said = log.read()
    if status:
        sys.exit(f"\nbench: the dry run failed:\n{said[-2000:]}")
    jobs = int(next(line.split()[1] for line in said.splitlines() if line.startswith("total ")))
    print(f" {seconds:.1f} s, {jobs} jobs", flush=True)
    return {"seconds": seconds, "peak_memory_bytes": usage.ru_maxrss * 1024, "jobs": jobs}


# ---- data ----------------------------------------------------------------------------------------------------------


def bench_read(size):
    """Time and memory to read a CSV of labelled texts of a hundred words, split it and draw a D_o, as the steps do."""
    labels, groups = [f"label {number}" for number in range(5)], [f"group {number}" for number in range(4)]
    stream, path = random.Random(SEED), WORK / "rows.csv"
    words = ["".join(stream.choices("abcdefghijklmnopqrstuvwxyz", k=stream.randint(2, 9))) for _ in range(20_000)]
    WORK.mkdir(parents=True, exist_ok=True)
    with open(path, "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "label", "group"])
        for number in range(size["rows"]):
            table.writerow([" ".join(stream.choices(words, k=100)), labels[number % 5], groups[number // 5 % 4]])
    domain = {
        "name": "rows",
        "data": {"files": str(path), "columns": {"text": "text", "label": "label", "group": "group"}},
        "labels": labels,
        "groups": dict.fromkeys(groups, {}),
    }
    result = ours({"do": "read", "domain": domain, "count": 3600, "seed": SEED}, f"reading of {size['rows']:,} rows")
    file_bytes = path.stat().st_size
    path.unlink()
    return {**result, "rows": size["rows"], "file_bytes": file_bytes}


def bench_analysis(size):
    """Analyse and report a simulated study of studies/full.yaml with `analysis` seeds, every section and table of it;
    returns {cells, seconds, peak_memory_bytes}."""
    job = {"folder": str(WORK / "analysis"), "seeds": size["analysis"]}
    parts = {
        part: measure(sys.executable, BENCH / "bench_analysis.py", {**job, "do": part}, f"{part} the full grid")
        for part in ("simulate", "analyse", "report")
    }
    timed = [parts["analyse"], parts["report"]]
    return {
        "cells": parts["report"]["cells"],
        "seconds": sum(part["seconds"] for part in timed),
        "peak_memory_bytes": max(part["peak_memory_bytes"] for part in timed),
    }


def bench_audit(size):
    """Throughput of `bias-inheritance audit` on a results folder of files of 16 MB, beside sha256sum on all cores, in turns;
    both as a whole command, with the files in the page cache."""
    folder, file_bytes = WORK / "audit" / "bench", 16 * 2**20
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stream = random.Random(SEED)
    for number in range(size["audited"]):
        (folder / f"{number}.bin").write_bytes(stream.randbytes(file_bytes))
    outputs = [entry | {"path": f"results/bench/{Path(entry['path']).name}"} for entry in provenance.describe(folder)]
    now = datetime.now(UTC).isoformat()
    record = {
        "step": "write_config",
        "study": "bench",
        "record": f"results/bench/bench{provenance.SUFFIX}",
        "wildcards": {},
        "parameters": {},
        "inputs": {},
        "outputs": {"files": outputs},
        "code": provenance.code_digest("write_config", {}, {}),
        "environment": {"container_sha256": None},
        "machine": {},
        "git": None,
        "started": now,
        "ended": now,
        "seconds": 0.0,
    }
    files.write_json(folder / f"bench{provenance.SUFFIX}", provenance.sealed(record))
    listed = [str(path) for path in folder.iterdir()]
    commands = {
        "ours": [sys.executable, "-m", "bias_inheritance.tools", "audit", str(folder)],
        "sha256sum": ["xargs", "-0", "-n", "1", "-P", str(os.cpu_count()), "sha256sum"],
    }
    print(f"  audit of {len(listed)} files …", end="", flush=True)
    sides = {side: [] for side in commands}
    for _ in range(3):
        for side, command in commands.items():
            started = time.perf_counter()
            done = subprocess.run(
                command, input="\0".join(listed), capture_output=True, text=True, cwd=ROOT / "scripts"
            )
            if done.returncode:
                sys.exit(f"\nbench: {side} failed:\n{(done.stdout + done.stderr)[-2000:]}")
            sides[side].append(time.perf_counter() - started)
    shutil.rmtree(folder)
    print(f" {sum(sides['ours']):.1f} s", flush=True)
    audited = size["audited"] * file_bytes
    return {side: {"bytes_per_second": 3 * audited / sum(each), "each": each} for side, each in sides.items()}


# ---- growth --------------------------------------------------------------------------------------------------------


def bench_growth(shared, size):
    """Scaling of time and memory with items (scoring), γ (training a fixed D_o with growing D_a) and cells (planning)."""
    points = []

    def point(axis, value, work, seconds, memory):
        points.append({"axis": axis, "value": value, "work": work, "seconds": seconds, "peak_memory_bytes": memory})

    for doubling in range(size["growth"]):
        count = 30 * 2**doubling
        job = {**shared["common"], "do": "score", "adapter": None, "options": shared["labels"]}
        result = ours({**job, "items": shared["rows"][:count]}, f"scoring of {count} items")
        point("items", count, count, result["seconds"], result["peak_memory_bytes"])
    for gamma in (0.0, 0.2, 0.5, 2 / 3)[: size["growth"]]:
        count = round(24 / (1 - gamma))
        job = {**shared["common"], "do": "train", "settings": shared["settings"]}
        result = ours({**job, "samples": shared["rows"][:count]}, f"fine-tuning at gamma {gamma:.2f}")
        point("gamma", gamma, result["tokens"], result["seconds"], result["peak_memory_bytes"])
    for seeds in (1, 2, 4)[: size["growth"]]:
        plan = dry_run(seeds)
        point("jobs", plan["jobs"], plan["jobs"], plan["seconds"], plan["peak_memory_bytes"])
    exponents = {}
    for axis in ("items", "gamma", "jobs"):
        points_of_axis = [one for one in points if one["axis"] == axis]
        if len(points_of_axis) > 1:
            exponents[axis] = {
                what: math.log(points_of_axis[-1][what] / points_of_axis[0][what])
                / math.log(points_of_axis[-1]["work"] / points_of_axis[0]["work"])
                for what in ("seconds", "peak_memory_bytes")
            }
    return {"points": points, "exponents": exponents}


def draw(growth, path):
    import altair as alt

    titles = {
        "items": "Scoring: items",
        "gamma": "Fine-tuning at γ = 0, 0.2, 0.5, 0.67: tokens",
        "jobs": "Planning: jobs of the grid",
    }
    values = [
        {"panel": titles[one["axis"]], "work": one["work"], "what": what, "value": value}
        for one in growth["points"]
        for what, value in (("seconds", one["seconds"]), ("peak memory, GB", one["peak_memory_bytes"] / 1e9))
    ]
    panels = [
        alt.Chart(alt.Data(values=[value for value in values if value["panel"] == title]), title=title)
        .mark_line(point=True)
        .encode(
            x=alt.X("work:Q", title=None),
            y=alt.Y("value:Q", title=None),
            color=alt.Color("what:N", title=None, legend=alt.Legend(orient="bottom")),
        )
        .properties(width=220, height=160)
        for title in titles.values()
    ]
    alt.hconcat(*panels).save(str(path))


# ---- output --------------------------------------------------------------------------------------------------------


def hardware():
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": machine.cpu(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "memory_bytes": memory,
        "device": base.device(),
        "compute": base.compute_type(),
    }


def versions():
    def pinned(peer, package):
        lines = (ROOT / "envs" / f"bench-{peer}.txt").read_text().splitlines()
        return next(line.split("==")[1] for line in lines if line.startswith(f"{package}=="))

    peers = {"trl": "trl", "lm-eval": "lm-eval", "transformers": "transformers", "llama-cpp": "xllamacpp"}
    our_versions = {name: metadata.version(name) for name in ("torch", "transformers", "peft", "snakemake")}
    return {
        "python": platform.python_version(),
        "ours": our_versions,
        "peers": {name: f"{package} {pinned(name, package)}" for name, package in peers.items()},
    }


def table(report):
    """The results as Markdown."""
    gb = 1e9
    rows = ["| what | ours | peer | ratio (of single turns) | target |", "|---|---|---|---|---|"]
    finetune, score, generate = report.get("finetune"), report.get("score"), report.get("generate")

    def row(what, mine, peer, name, ratio):
        memory = f"{mine['peak_memory_bytes'] / gb:.1f} GB", f"{peer['peak_memory_bytes'] / gb:.1f} GB"
        target = f"≥ {TARGETS[ratio]:g}" if ratio else "–"
        value = f"{mine['per_second'] / peer['per_second']:.2f}"
        if len(peer["each"]) > 1:
            by_turn = [left / right for left, right in zip(mine["each"], peer["each"], strict=True)]
            value += f" ({min(by_turn):.2f} to {max(by_turn):.2f})"
        rows.append(
            f"| {what} | {mine['per_second']:,.1f} ({memory[0]}) | {peer['per_second']:,.1f} ({memory[1]}), {name} | {value} | {target} |"
        )

    if finetune:
        what = f"fine-tuning, {finetune['unit']}"
        row(what, finetune["ours"], finetune["trl"], "TRL's SFTTrainer", "finetune_vs_trl")
        row(what, finetune["ours"], finetune["trl_without_gradient_checkpointing"], "TRL without gradient checkpointing", None)  # fmt: skip
    if score:
        row(f"scoring, {score['unit']}", score["ours"], score["lm_eval"], "lm-evaluation-harness", "score_vs_lm_eval")
    if generate:
        what = f"generation, {generate['unit']}"
        row(what, generate["ours"], generate["transformers"], "transformers", "generate_vs_transformers")
        row(what, generate["ours"], generate["llama_cpp_one_stream"], "llama.cpp, one stream", None)
    lines = []
    if finetune:
        curve = finetune["equal_order"]
        lines.append(
            f"- With the same order of samples, the losses of {len(curve['ours'])} steps ({curve['ours'][0]:.2f} → {curve['ours'][-1]:.2f}) differ by {curve['mean_difference']:.3f} on average and {curve['largest_difference']:.3f} at most: {'equal' if curve['agree'] else 'NOT EQUAL'} within {report['machine']['compute']} precision."
        )
    if score:
        far = score["mean_difference_from_32_bits"]
        lines.append(
            f"- Both choose the same option for {score['same_choices']} of {score['items']} items (otherwise the two options are at most {score['largest_margin_of_another_choice']:.2f} nats apart). Log-probabilities differ by {score['mean_difference']:.2f} on average; ours differ from a float32 reference by {far['ours']:.2f}, the harness's by {far['lm_eval']:.2f}: {'equal' if score['agree'] else 'NOT EQUAL'} within {report['machine']['compute']} precision."
        )
    if overhead := report.get("overhead"):
        if overhead["study"]:
            lines.append(
                f"- Overhead of the study `{overhead['study']}` ({overhead['steps']} steps, {overhead['wall_seconds'] / 60:.1f} min on {overhead['cores']} cores): {overhead['share']:.1%} of core time (target: < 10%): {overhead['between_steps_share']:.1%} between steps, {overhead['loading_share']:.1%} loading the model ({overhead['load_seconds']:.2f} s per load)."
            )
        else:
            lines.append("- Overhead: no records of the default study; run `make study` first.")
    if plan := report.get("dry_run"):
        lines.append(
            f"- Dry run of the paper's grid ({plan['jobs']:,} jobs): {plan['seconds']:.1f} s (target: < 20 s), {plan['peak_memory_bytes'] / gb:.1f} GB."
        )
    if read := report.get("read"):
        lines.append(
            f"- {read['rows']:,} rows of a hundred words (a CSV of {read['file_bytes'] / 1e6:,.0f} MB) are read, split and drawn from in {read['seconds']:.0f} s (target: < 90 s), {read['cpu_seconds']:.0f} s of CPU time, {read['peak_memory_bytes'] / gb:.1f} GB (target: < 2 GB)."
        )
    if analysis := report.get("analysis"):
        lines.append(
            f"- Analysis and report of the full grid ({analysis['cells']:,} simulated cells, every section): {analysis['seconds']:.1f} s (target: ≤ 60 s), {analysis['peak_memory_bytes'] / gb:.1f} GB (target: ≤ 1.5 GB)."
        )
    if audit := report.get("audit"):
        ours, peer = (audit[side]["bytes_per_second"] / 1e6 for side in ("ours", "sha256sum"))
        lines.append(
            f"- Audit: {ours:,.0f} MB/s, sha256sum on all cores {peer:,.0f} MB/s, ratio {ours / peer:.2f} (target: ≥ 0.9)."
        )
    if growth := report.get("growth"):
        words = ", ".join(
            f"{axis} {powers['seconds']:.2f} (memory {powers['peak_memory_bytes']:.2f})"
            for axis, powers in growth["exponents"].items()
        )
        faster = [axis for axis, powers in growth["exponents"].items() if max(powers.values()) > IN_PROPORTION]
        verdict = f"{', '.join(faster)} SCALES SUPERLINEARLY" if faster else "nothing scales superlinearly"
        lines.append(f"- Scaling exponent of time (1: proportional to the work): {words or '–'}; {verdict}.")
    return "\n".join([*rows, "", *lines])


def describe(report):
    """The marked block of docs/performance.md."""
    where, used = report["machine"], report["versions"]
    peers = ", ".join(used["peers"].values())
    return "\n".join(
        [
            MARKS[0],
            f"Measured on {report['date']}: {where['cpu']}, {where['threads']} threads, {where['memory_bytes'] / 1e9:.0f} GB, {where['compute']}; Python {used['python']}, torch {used['ours']['torch']}, transformers {used['ours']['transformers']}; peers {peers}.",
            "",
            table(report),
            "",
            f"![Time and memory over items, tokens and jobs]({DRAWING.name})",
            MARKS[1],
        ]
    )


def write_page(report):
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    files.write_text(PAGE, before + describe(report) + after)


PARTS = {  # name: (whether it uses the model, measurement)
    "finetune": (True, bench_finetune),
    "score": (True, bench_score),
    "generate": (True, bench_generate),
    "overhead": (True, lambda shared, size: bench_overhead(shared)),
    "dry_run": (False, lambda shared, size: dry_run(seeds=5)),
    "read": (False, lambda shared, size: bench_read(size)),
    "analysis": (False, lambda shared, size: bench_analysis(size)),
    "audit": (False, lambda shared, size: bench_audit(size)),
    "growth": (True, bench_growth),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few samples of everything; writes no result")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*PARTS],
        help="these parts alone; writes no result",
    )
    arguments = parser.parse_args()
    size = QUICK if arguments.quick else FULL
    started = time.time()
    if set(arguments.only or PARTS) & {"finetune", "score", "generate"}:
        for peer in ("trl", "lm-eval", "transformers", "llama-cpp"):
            environment(peer)
    names, shared = arguments.only or [*PARTS], None
    if any(PARTS[name][0] for name in names):
        print("preparing the model", flush=True)
        # in another process, since the peak memory of a measured process is never below that of the one that starts it
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
            shared = executor.submit(prepare).result()
    report = {"date": datetime.now(UTC).date().isoformat(), "versions": versions()}
    for name in names:
        report[name] = PARTS[name][1](shared, size)
    ratios = {}
    for ratio in TARGETS:
        part, peer = ratio.split("_vs_")
        if part in report:
            ratios[ratio] = report[part]["ours"]["per_second"] / report[part][peer]["per_second"]
    # hardware() imports torch, which would count as memory of everything measured after it
    report = {**ratios, "machine": hardware(), **report, "seconds": time.time() - started}
    print(f"\n{table(report)}\n")
    if arguments.quick or arguments.only:
        files.write_json(WORK / "quick.json", report)
        return
    files.write_json(RESULT, report)
    draw(report["growth"], DRAWING)
    write_page(report)
    print(f"{RESULT.relative_to(ROOT)} and docs/performance.md are written, in {report['seconds'] / 60:.1f} minutes")


if __name__ == "__main__":
    main()
