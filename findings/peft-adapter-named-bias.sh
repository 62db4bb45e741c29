#!/bin/sh
# An adapter whose name contains "bias" gets no weight decay from the Trainer of `transformers`.
#
# Versions: transformers 5.23.0, peft 0.21.2, accelerate 1.15.0, torch 2.13.0. Input: a random Llama of two layers with LoRA
# on q_proj and v_proj, trained for 20 steps with weight_decay=0.1 on the same texts from the same start. Runs differ in the
# adapter's name alone: balanced, biased, Debiased.
# Expected: the same adapter three times, since a name is a label.
# Seen: "balanced" has its 8 tensors in the optimiser's group with decay 0.1, "biased" and "Debiased" in the one with 0.0.
# So the norm of the trained weights is smaller under the first name, and the three are equal only without weight decay. The
# cause: the Trainer excludes every parameter with "bias" in its name, and peft puts the adapter's name into the names of
# its parameters (…lora_A.biased.weight). A comparison of a biased and a balanced adapter, named so and loaded into one
# model, compares two settings of the optimiser as well. Nothing is logged.
# The script fails when the names no longer matter.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  transformers==5.23.0 peft==0.21.2 accelerate==1.15.0 torch==2.13.0
cat >"$folder/show.py" <<'PYTHON'
import sys

import accelerate
import peft
import torch
import transformers

torch.set_num_threads(1)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.manual_seed(1)
TEXTS = [{"input_ids": ids, "labels": ids} for ids in torch.randint(64, (40, 8))]


def train(name, decay):
    """The norm of the trained LoRA weights, and the optimiser's groups as {weight decay: number of tensors}."""
    torch.manual_seed(2)
    shape = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    base = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=64, **shape))
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    model = peft.get_peft_model(base, config, adapter_name=name)
    arguments = transformers.TrainingArguments(
        f"{sys.argv[1]}/{name}",
        weight_decay=decay,
        learning_rate=1e-2,
        per_device_train_batch_size=2,
        num_train_epochs=1,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=TEXTS)
    trainer.train()
    weights = torch.cat([value.detach().flatten() for value in model.parameters() if value.requires_grad])
    groups = {
        group["weight_decay"]: len(group["params"]) for group in trainer.optimizer.param_groups if group["params"]
    }
    return round(float(weights.norm()), 4), groups


versions = {module.__name__: module.__version__ for module in (transformers, peft, accelerate, torch)}
print(*(f"{name} {version}" for name, version in versions.items()))
norms = {}
for decay in (0.0, 0.1):
    for name in ("balanced", "biased", "Debiased"):
        norms[name, decay], groups = train(name, decay)
        print(f"weight_decay={decay}, adapter {name}: norm {norms[name, decay]}, tensors by weight decay {groups}")
if len({norms[name, 0.0] for name in ("balanced", "biased", "Debiased")}) != 1:
    raise SystemExit("changed: the names matter without weight decay too")
if norms["biased", 0.1] != norms["biased", 0.0] or norms["Debiased", 0.1] != norms["biased", 0.1]:
    raise SystemExit("changed: an adapter named after a bias decays")
if not norms["balanced", 0.1] < norms["biased", 0.1]:
    raise SystemExit("changed: the adapter named balanced does not decay")
PYTHON
"$folder/env/bin/python" "$folder/show.py" "$folder"
