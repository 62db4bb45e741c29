#!/bin/sh
# `transformers serve` takes `logprobs: true` and answers without any log-probability.
#
# Versions: transformers 5.23.0, torch 2.13.0, fastapi 0.165.0, uvicorn 0.54.0. Input: a random Llama of one layer, made
# here, and two chat requests: one with `logprobs: true, top_logprobs: 5`, one with a field that no server knows.
# Seen: the first is answered with status 200 and a choice without the key `logprobs`; the second is refused with
# status 422 and {"detail": "Unexpected fields in the request: {'colour'}"}. So the server does check its fields, but says
# of these two in its own log alone that it ignores them; a caller has to look into the first answer to learn it.
# The script fails when one of the two changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.23.0 torch==2.13.0 accelerate fastapi==0.165.0 uvicorn==0.54.0
cat >"$folder/show.py" <<'PYTHON'
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

folder = sys.argv[1]
words = {word: number for number, word in enumerate(["<unk>", "<s>", "</s>", "Hello", "world", "yes", "no", "."])}
tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
)
tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} {% endfor %}"
tokenizer.save_pretrained(folder)
torch.manual_seed(1)
shape = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
config = transformers.LlamaConfig(vocab_size=len(words), bos_token_id=1, eos_token_id=2, pad_token_id=2, **shape)
transformers.LlamaForCausalLM(config).save_pretrained(folder)

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
command = [sys.executable, "-m", "transformers.cli.transformers", "serve", folder, "--host", "127.0.0.1"]
with open(f"{folder}/server.log", "wb") as log:
    server = subprocess.Popen(
        [*command, "--port", str(port)], stdout=log, stderr=log, env={**os.environ, "HF_HUB_OFFLINE": "1"}
    )


def ask(**more):
    body = {"model": folder, "messages": [{"role": "user", "content": "Hello world"}], "max_tokens": 3, **more}
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


try:
    for _ in range(600):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            break
        except OSError:
            if server.poll() is not None:
                raise SystemExit(open(f"{folder}/server.log").read()[-2000:])
            time.sleep(0.5)
    print("transformers", transformers.__version__, "torch", torch.__version__)
    status, answer = ask(logprobs=True, top_logprobs=5)
    print("logprobs:", status, json.dumps(answer))
    if status != 200 or answer["choices"][0].get("logprobs"):
        raise SystemExit("changed: log-probabilities are refused or listed")
    status, answer = ask(colour="blue")
    print("an unknown field:", status, json.dumps(answer))
    if status != 422:
        raise SystemExit("changed: an unknown field is no longer refused with 422")
finally:
    server.kill()
    server.wait()
PYTHON
mkdir "$folder/model"
"$folder/env/bin/python" "$folder/show.py" "$folder/model"
