"""Sampling with llama.cpp, one stream: the GGUF file (Q4_1) of the same model, for comparison with batched sampling.

    python generate_llama_cpp.py JOB.json RESULT.json     in the environment of envs/bench-llama-cpp.txt

Its published wheel is built for AVX2; a local build can be faster.
"""

import json
import os
import sys
import time

from xllamacpp import CommonParams, Server


def main(job_path, result_path):
    with open(job_path) as file:
        job = json.load(file)
    params = CommonParams()
    params.model.path = job["gguf"]
    params.n_parallel, params.n_ctx = 1, 1024
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(os.environ["OMP_NUM_THREADS"])
    server = Server(params)
    sampling = {key: value for key, value in job["sampling"].items() if key != "max_new_tokens"}
    seconds, tokens, texts = 0.0, 0, []
    for prompt, seed in zip(job["prompts"][: job["streamed"]], job["seeds"], strict=False):
        request = {"prompt": prompt, "n_predict": job["sampling"]["max_new_tokens"], "seed": seed % 2**31, **sampling}
        started = time.perf_counter()
        answer = server.handle_completions(request)
        seconds += time.perf_counter() - started
        tokens += answer["usage"]["completion_tokens"]
        texts.append(answer["choices"][0]["text"])
    with open(result_path, "w") as file:
        json.dump({"seconds": seconds, "tokens": tokens, "texts": texts}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
