"""Benchmark a randomly initialised Llama with the shape of the 8B on this machine's GPU, using the pipeline's steps.

Prints rows for docs/performance.md: seconds to load the packed base, throughput of generation, training and scoring, peak
GPU memory, training alternating with TRL's SFTTrainer, and the device name. Only the embedded model's tokenizer and TRL's
environment (envs/bench-trl.txt) are downloaded. Random weights generate noise; only speed and memory are measured.
"""

import argparse
import gc
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bias_inheritance.data import labelled
from bias_inheritance.models import base
from bias_inheritance.models.chat import Chat
from bias_inheritance.models.generation import sample
from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.study import catalog
from finetune import tune
from predict import predict
from prepare_model import prepare_model

import bench

SHAPE_8B = {
    "vocab_size": 128256,
    "tie_word_embeddings": False,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 8192,
    "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
}
NAME = "bench-gpu"
TURNS = 2  # measurements per side, alternating


def measure(shape, settings, generation, count, folder):
    """[(what, value, unit)] of one model: building, packing, loading, generation, and training and scoring of `count`
    samples."""
    import torch

    cuda = torch.cuda.is_available()
    rows = []

    def clock(what, unit, function):
        """Time `function`, which returns the number of units processed (None: report seconds)."""
        if cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        done = function()
        if cuda:
            torch.cuda.synchronize()
        seconds = time.perf_counter() - started
        rows.append((what, seconds if done is None else done / seconds, unit))
        if cuda:
            rows.append((f"{what}: peak GPU memory", torch.cuda.max_memory_allocated() / 1e9, "GB"))

    lender = "smollm2-135m-instruct"
    source = {"random": True, "tokenizer_of": lender, "seed": 1, "shape": shape}
    form = {"cpu": "dequantised", "cuda": "packed"}
    card = folder / "card.json"
    spec = {"source": source, "form": form, "system": ""}
    clock(
        "build and pack",
        "s",
        lambda: prepare_model(card, NAME, spec, {"source": catalog.load("model", lender)["source"]}),
    )
    loaded = []
    clock("load the packed base", "s", lambda: loaded.extend(base.load_base(base.read_card(card))))
    chat = Chat(loaded[1], "")
    prompts = [
        chat.prompt(f"Write a short biography of person {number}.") for number in range(generation["batch_size"])
    ]
    seeds = [record_seed("bench", number) for number in range(len(prompts))]
    options = {key: value for key, value in generation.items() if key != "batch_size"}
    clock(
        f"write (batch {len(prompts)})",
        "tokens/s",
        lambda: sum(answer["tokens"] for answer in sample(loaded[0], chat, prompts, seeds, **options)),
    )
    loaded.clear()
    if cuda:
        torch.cuda.empty_cache()
    domain = catalog.load("domain", "gender")
    pairs = biography_pairs(count, domain)
    rows_of_mix = [
        {"user": user, "assistant": label, "origin": "original", "words": len(user.split())} for user, label in pairs
    ]
    model = {"name": NAME, "system": "", "generation": generation}
    tokens = sum(len(chat.prompt(user)) + len(chat.answer(label)) for user, label in pairs)
    adapter, log, work = folder / "adapter", folder / "training.csv", folder / "work" / "study" / "step" / "0"

    def train_once():
        work.mkdir(parents=True, exist_ok=True)
        tune(card, rows_of_mix, [], adapter, log, work, model, settings, None, 1)
        return tokens * settings["epochs"]

    clock(f"train, load included (batch {settings['micro_batch_size']})", "tokens/s", train_once)
    items = [
        {"item": str(number), "prompt": user, "options": domain["labels"]} for number, (user, _) in enumerate(pairs)
    ]
    files.write_jsonl(folder / "items.jsonl", items)

    def answer_once():
        predict(card, [adapter], [folder / "items.jsonl"], folder / "predictions", work, model, ["choice"])
        return len(items)

    clock("answer, load included", "items/s", answer_once)
    return rows


def biography_pairs(count, domain):
    """`count` pairs (question about a biography, answer)."""
    test = labelled.load(domain)[0]["test"]
    return [labelled.pair(test[number % len(test)], domain, False) for number in range(count)]


def beside_trl(card, settings, count):
    """[(what, value, unit)]: training of the prepared model on `count` samples, alternating with TRL's SFTTrainer.

    Each is a process that times only the training; the peer quantises the same weights itself, with its defaults.
    """
    chat = Chat(base.load_tokenizer(base.STORE / NAME / base.read_card(card)["form"]), "")
    samples = [bench.conversation(chat, *pair) for pair in biography_pairs(count, catalog.load("domain", "gender"))]
    job = {"card": str(card), "system": "", "seed": bench.SEED, "settings": settings, "samples": samples}
    job |= {"checkpoint": str(base.STORE / NAME / "source"), "compute": base.read_card(card)["compute"]}
    speeds = {side: made["per_second"] for side, made in bench.train_in_turns(job, TURNS, "8B-shaped training").items()}
    return [
        ("train, in turns with TRL", speeds["ours"], "tokens/s"),
        ("TRL's SFTTrainer", speeds["trl"], "tokens/s"),
        ("TRL's SFTTrainer without gradient checkpointing", speeds["trl_without_gradient_checkpointing"], "tokens/s"),
        ("finetune_vs_trl", speeds["ours"] / speeds["trl"], "times"),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=32, help="layers of the model (default 32, the 8B's)")
    parser.add_argument("--samples", type=int, default=96, help="samples to train on and to answer (default 96)")
    arguments = parser.parse_args()
    import torch

    if not torch.cuda.is_available():
        sys.exit("bench_gpu: no GPU is at hand; nothing was measured")
    llama = catalog.load("model", "llama-3.1-8b-instruct")
    settings = {**llama["finetune"], "epochs": 1, "loss_average": "token"}  # as the peer's
    shape = {**SHAPE_8B, "num_hidden_layers": arguments.layers}
    try:
        with tempfile.TemporaryDirectory() as folder:
            rows = measure(shape, settings, llama["generation"], arguments.samples, Path(folder))
            gc.collect()
            torch.cuda.empty_cache()  # the peer's process needs the room
            whole = {**settings, "micro_batch_size": settings["batch_size"]}
            rows += beside_trl(Path(folder) / "card.json", whole, arguments.samples)
    finally:
        shutil.rmtree(base.STORE / NAME, ignore_errors=True)
    print(f"\nRandom Llama, 8B's shape, {arguments.layers} layers, on {torch.cuda.get_device_name()}\n")
    print("| what | value |\n|---|---|")
    for what, value, unit in rows:
        print(f"| {what} | {value:,.1f} {unit} |")


if __name__ == "__main__":
    main()
