"""Sampling with transformers' own `generate`.

python generate_transformers.py JOB.json RESULT.json     in the environment of envs/bench-transformers.txt
"""

import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed


def main(job_path, result_path):
    with open(job_path) as file:
        job = json.load(file)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=getattr(torch, job["compute"])).to(device).eval()
    tokenizer = AutoTokenizer.from_pretrained(job["base"], padding_side="left")
    set_seed(job["seeds"][0] % 2**31)
    seconds, tokens, texts = 0.0, 0, []
    for first in range(0, len(job["prompts"]), job["batch_size"]):
        inputs = tokenizer(
            job["prompts"][first : first + job["batch_size"]],
            return_tensors="pt",
            padding=True,
            add_special_tokens=False,
        ).to(device)
        started = time.perf_counter()
        generated = model.generate(**inputs, do_sample=True, pad_token_id=tokenizer.pad_token_id, **job["sampling"])
        seconds += time.perf_counter() - started
        for row in generated[:, inputs["input_ids"].shape[1] :].tolist():
            # what follows the first end token is padding
            written = row[: row.index(tokenizer.eos_token_id) + 1] if tokenizer.eos_token_id in row else row
            tokens += len(written)
            texts.append(tokenizer.decode(written, skip_special_tokens=True))
    with open(result_path, "w") as file:
        json.dump({"seconds": seconds, "tokens": tokens, "texts": texts}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
