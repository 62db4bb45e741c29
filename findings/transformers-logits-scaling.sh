#!/bin/sh
# `logits_scaling` in a model's configuration divides the logits of Granite and multiplies those of HyperCLOVA X.
#
# Versions: transformers 5.23.0, torch 2.13.0. Input: tiny random models of three architectures, each with a scale of 8 in
# its configuration, and one prompt of five tokens.
# Expected: one key has one meaning, so that a program which computes logits itself (only those of an answer's tokens, as
# trainers and evaluators do to save memory) can read the key from any configuration.
# Seen: the logits are the output layer's product of the last hidden states, divided by 8 in Granite and multiplied by
# 8 in HyperCLOVA X, by the same key. Cohere multiplies as well, and calls the key `logit_scale`. With the rule of Granite,
# the logits of HyperCLOVA X come out smaller by 64: nearly every token gets the same probability, and no error is raised.
# The script fails when one of the factors changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check transformers==5.23.0 torch==2.13.0
cat >"$folder/show.py" <<'PYTHON'
from importlib.metadata import version

import torch
import transformers

SCALE = 8.0
SHAPE = {
    "vocab_size": 50,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MODELS = {
    "Granite": ("logits_scaling", 1 / SCALE),
    "HyperCLOVAX": ("logits_scaling", SCALE),
    "Cohere": ("logit_scale", SCALE),
}

print(*(f"{name} {version(name)}" for name in ("transformers", "torch")))
for name, (key, known) in MODELS.items():
    torch.manual_seed(1)
    config = getattr(transformers, f"{name}Config")(**SHAPE, **{key: SCALE})
    model = getattr(transformers, f"{name}ForCausalLM")(config).eval()
    ids = torch.tensor([[1, 7, 8, 9, 10]])
    with torch.inference_mode():
        logits = model(ids).logits
        product = model.get_output_embeddings()(model.get_decoder()(ids).last_hidden_state)
    factor = float((logits * product).sum() / (product * product).sum())
    print(f"{name}: {key} {SCALE:g}, logits are the product of the output layer times {factor:g}")
    if not torch.allclose(logits, product * known, atol=1e-5):
        raise SystemExit(f"changed: the factor was {known:g}")
PYTHON
HF_HUB_OFFLINE=1 "$folder/env/bin/python" "$folder/show.py"
