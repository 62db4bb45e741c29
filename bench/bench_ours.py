"""One measurement of the pipeline's functions, in a separate process, for bench.py.

    PYTHONPATH=scripts python bench/bench_ours.py JOB.json RESULT.json

A job contains the name of a function below and its data; only the work itself is timed, as for the peers: no imports, no
model load, no writing of results.
"""

import json
import sys
import tempfile
import time
from functools import partial

import predict
from bias_inheritance.data import labelled
from bias_inheritance.models import adapters, base, generation
from bias_inheritance.models import train as training
from bias_inheritance.models.chat import Chat
from bias_inheritance.models.losses import sft


def train(job):
    """The training of finetune.py, without its files."""
    network, tokenizer = base.load_base(base.read_card(job["card"]))
    chat = Chat(tokenizer, job["system"])
    samples = [
        {
            "prompt": chat.prompt(row["user"]),
            "answer": chat.answer(row["answer"]),
            "words": len(row["user"].split()),
        }
        for row in job["samples"]
    ]
    tuned = adapters.add_lora(network, job["settings"], job["seed"])
    settings = job["settings"]
    losses = [partial(sft.loss, average=settings["loss_average"], micro_batch_size=settings["micro_batch_size"])]
    with tempfile.TemporaryDirectory() as work:
        started = time.perf_counter()
        log = training.train(tuned, samples, settings, losses, job["seed"], work)
        seconds = time.perf_counter() - started
    adapters.assert_adapter_acts(tuned)
    if job.get("adapter"):
        tuned.save_pretrained(job["adapter"], save_embedding_layers=False)
    return {
        "seconds": seconds,
        "tokens": sum(row["tokens"] for row in log),
        "losses": [row["sft_loss"] for row in log],
        "ids": [sample["prompt"] + sample["answer"] for sample in samples],
    }


def read(job):
    """The reading and splitting of prepare_originals.py, and the drawing of draw_originals.py."""
    started, cpu_started = time.perf_counter(), time.process_time()
    splits, _ = labelled.load(job["domain"])
    labelled.draw(splits["source"], job["count"], job["seed"])
    return {"seconds": time.perf_counter() - started, "cpu_seconds": time.process_time() - cpu_started}


def score(job):
    """The scoring of predict.py on the items of a classification task."""
    answer = predict._local(base.read_card(job["card"]), job["adapter"] and [job["adapter"]], job["model"])
    rows = [
        {"item": str(number), "prompt": row["user"], "options": job["options"]}
        for number, row in enumerate(job["items"])
    ]
    started = time.perf_counter()
    predictions = answer(rows, lambda count: None)
    return {"seconds": time.perf_counter() - started, "logprobs": [row["logprobs"] for row in predictions]}


def score_plainly(job):
    """Reference log-probabilities: float32, one forward pass per option, all logits."""
    import torch
    from peft import PeftModel

    network, tokenizer = base.load_base(base.read_card(job["card"]))
    network = PeftModel.from_pretrained(network, job["adapter"]).float().eval()
    chat = Chat(tokenizer, job["system"])
    started, logprobs = time.perf_counter(), []
    with torch.inference_mode():
        for row in job["items"]:
            logprobs.append([])
            for option in job["options"]:
                prompt, answer = chat.prompt(row["user"]), chat.answer(option)
                logits = network(input_ids=torch.tensor([prompt + answer], device=network.device)).logits[0]
                chosen = torch.log_softmax(logits[len(prompt) - 1 : -1], -1).gather(
                    1, torch.tensor(answer, device=network.device).unsqueeze(1)
                )
                logprobs[-1].append(chosen.sum().item())
    return {"seconds": time.perf_counter() - started, "logprobs": logprobs}


def generate(job):
    """The generation of write_pool.py for the prompts of a batch."""
    network, tokenizer = base.load_base(base.read_card(job["card"]))
    chat = Chat(tokenizer, job["system"])
    prompts = [chat.prompt(user) for user in job["users"]]
    seconds, tokens, texts = 0.0, 0, []
    for first in range(0, len(prompts), job["batch_size"]):
        batch = slice(first, first + job["batch_size"])
        started = time.perf_counter()
        answers = generation.sample(network, chat, prompts[batch], job["seeds"][batch], **job["sampling"])
        seconds += time.perf_counter() - started
        tokens += sum(answer["tokens"] for answer in answers)
        texts += [answer["text"] for answer in answers]
    return {"seconds": seconds, "tokens": tokens, "texts": texts}


def load(job):
    """Seconds to load the base with all modules already imported, as in a fork of the warm worker."""
    base.load_base(base.read_card(job["card"]))
    started = time.perf_counter()
    base.load_base(base.read_card(job["card"]))
    return {"seconds": time.perf_counter() - started}


def main(job_path, result_path):
    with open(job_path) as file:
        job = json.load(file)
    result = {
        "train": train,
        "score": score,
        "score_plainly": score_plainly,
        "generate": generate,
        "load": load,
        "read": read,
    }[job["do"]](job)
    with open(result_path, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
