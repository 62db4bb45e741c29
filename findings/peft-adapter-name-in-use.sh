#!/bin/sh
# `load_adapter` of `peft` under a name in use makes a mixture of the two adapters.
#
# Versions: peft 0.21.2, transformers 5.23.0, torch 2.13.0. Input: a random Llama of two layers and three LoRA adapters made
# here: "first" (alpha 4, q_proj and v_proj), "second" (alpha 64, q_proj and v_proj), "third" (alpha 4, q_proj alone).
# "first" is loaded by PeftModel.from_pretrained, then "second" or "third" by load_adapter(folder, adapter_name="default"),
# as a loop over adapters does that keeps the base in memory.
# Expected: the second adapter replaces the first, or the call is refused (as models of transformers refuse it).
# Seen: the configuration of the first stays and only tensors are copied. "second" acts with alpha 4, a sixteenth of its
# strength, and peft_config says 4; of "third" q_proj is taken while v_proj stays that of "first". The logits are those of
# neither adapter. The call raises and warns nothing; it returns "<All keys matched successfully>" for "second", and the
# missing keys of v_proj for "third", which whoever ignores the returned value does not see. After delete_adapter("default")
# the same call gives the second adapter exactly. Another rank does raise an error.
# The script fails when one of these changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  peft==0.21.2 transformers==5.23.0 accelerate==1.15.0 torch==2.13.0
cat >"$folder/show.py" <<'PYTHON'
import shutil
import sys
import warnings
from pathlib import Path

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

folder = Path(sys.argv[1])
torch.set_num_threads(1)
IDS = torch.arange(10, 18).unsqueeze(0)


def base():
    torch.manual_seed(1)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=64, initializer_range=0.2, **shape)).eval()


def make(name, seed, alpha, targets, rank=4):
    model = base()
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=targets, init_lora_weights=False)
    peft.get_peft_model(model, config).save_pretrained(folder / name)


def mix(name, config_of, tensors_of):
    """An adapter with one adapter's configuration, whose tensors are overwritten by those of the others, in order."""
    shutil.copytree(folder / config_of, folder / name)
    tensors = {}
    for other in tensors_of:
        tensors |= load_file(folder / other / "adapter_model.safetensors")
    save_file(tensors, folder / name / "adapter_model.safetensors", {"format": "pt"})


def logits(model):
    with torch.inference_mode():
        return model.eval()(IDS).logits


def load(name):
    return peft.PeftModel.from_pretrained(base(), folder / name)


def nearest(model):
    """The adapter, alone on a base of its own, that has the same logits."""
    seen = logits(model)
    same = [name for name in KNOWN if torch.allclose(seen, logits(load(name)), atol=1e-5)]
    return same[0] if same else "none of these"


def expect(what, seen, known):
    print(f"{what}: {seen}")
    if seen != known:
        raise SystemExit(f"changed: {known} before")


print(*(f"{module.__name__} {module.__version__}" for module in (peft, transformers, torch)))
warnings.filterwarnings("ignore", message=".*gradient_checkpointing.*")  # about another part of transformers
make("first", 2, 4, ["q_proj", "v_proj"])
make("second", 3, 64, ["q_proj", "v_proj"])
make("third", 4, 4, ["q_proj"])
make("rank 8", 5, 4, ["q_proj", "v_proj"], rank=8)
mix("tensors of second, alpha of first", "first", ["second"])
mix("q_proj of third, v_proj of first", "first", ["first", "third"])
KNOWN = ("first", "second", "third", "tensors of second, alpha of first", "q_proj of third, v_proj of first")
for name, missing, known in (("second", 0, KNOWN[3]), ("third", 4, KNOWN[4])):
    model = load("first")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = model.load_adapter(folder / name, adapter_name="default")
    told = [str(each.message) for each in caught if "gradient_checkpointing" not in str(each.message)]
    print(f"load_adapter answers {answer!s:.80}, peft_config has alpha {model.peft_config['default'].lora_alpha}")
    expect(f"missing keys of {name}", sum("lora" in key for key in answer.missing_keys), missing)
    expect(f"warnings about {name}", told, [])
    expect(f"{name} over first has the logits of", nearest(model), known)
    model = load("first")
    model.delete_adapter("default")
    model.load_adapter(folder / name, adapter_name="default")
    model.set_adapter("default")
    expect(f"{name} after delete_adapter has the logits of", nearest(model), name)
try:
    load("first").load_adapter(folder / "rank 8", adapter_name="default")
    raise SystemExit("changed: another rank raises nothing")
except RuntimeError as error:
    print("another rank:", str(error).splitlines()[0])
PYTHON
"$folder/env/bin/python" "$folder/show.py" "$folder"
