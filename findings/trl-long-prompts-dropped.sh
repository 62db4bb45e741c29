#!/bin/sh
# TRL's SFTTrainer leaves out samples whose prompt fills max_length (1024 by default), without a warning.
#
# Versions: trl 1.16.0, transformers 5.23.0, datasets 5.2.0, torch 2.13.0, accelerate 1.15.0. Input: a random Llama of one
# layer and ten samples with prompt and completion: eight with prompts of 3 tokens, one of 1,500 and one of 1,020, the
# completions of 6 tokens (the last of them the end token), default settings.
# Expected: ten samples; those that are too long either keep their completion, with a shorter prompt, or cause a warning.
# Seen: nine samples. The prompt is cut at its end first, a sample without any token of its completion is dropped, and the
# trainer writes nothing but the caption of a progress bar, also at the default verbosity. The sample of 1,020 tokens keeps
# 4 tokens of its completion and loses the end token. In a mix of short and long texts, such as originals with synthetic
# ones, the trained proportion is another than that of the file, and the share of long classes shrinks.
# The script fails when all samples are trained on, or when a warning is written.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  trl==1.16.0 transformers==5.23.0 datasets==5.2.0 torch==2.13.0 accelerate==1.15.0
cat >"$folder/show.py" <<'PYTHON'
import logging
import sys
import warnings
from importlib.metadata import version

import datasets
import torch
import transformers
import trl
from tokenizers import Tokenizer, models, pre_tokenizers

folder = sys.argv[1]
torch.set_num_threads(1)
datasets.disable_progress_bars()

words = ["<unk>", "<s>", "</s>"] + [f"w{number}" for number in range(61)]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
torch.manual_seed(1)
shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
config = transformers.LlamaConfig(vocab_size=len(words), max_position_embeddings=4096, **shape)
model = transformers.LlamaForCausalLM(config)
samples = [
    {"prompt": " ".join(["w1"] * length), "completion": " w2 w3 w4 w5 w6"} for length in (*[3] * 8, 1500, 1020)
]
arguments = trl.SFTConfig(folder, use_cpu=True, bf16=False, report_to=[], per_device_train_batch_size=1)
messages = []


class Kept(logging.Handler):
    def emit(self, record):
        if record.levelno >= logging.WARNING:
            messages.append(record.getMessage())


for name in ("", "trl", "transformers", "datasets", "accelerate"):
    logging.getLogger(name).addHandler(Kept())
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    dataset = datasets.Dataset.from_list(samples)
    trainer = trl.SFTTrainer(model, arguments, train_dataset=dataset, processing_class=tokenizer)
    batches = list(trainer.get_train_dataloader())
messages += [str(warning.message) for warning in warned]
trained = sorted((len(row["input_ids"][0]), int((row["labels"] != -100).sum())) for row in batches)
told = [text for text in messages if any(word in text.lower() for word in ("truncat", "drop", "max_length", "mask"))]

print(*(f"{name} {version(name)}" for name in ("trl", "transformers", "datasets", "torch", "accelerate")))
print(f"max_length {arguments.max_length}; {len(samples)} samples, {len(batches)} trained on")
print("tokens, and tokens of the completion, of the samples trained on:", trained)
print("warnings about it:", told or "none")
ends = sum(tokenizer.eos_token_id in row["labels"][0].tolist() for row in batches)
print(f"samples trained on that end with the end token: {ends}")
if len(batches) != 9 or trained[-1] != (1024, 4) or ends != 8 or told:
    raise SystemExit("changed: 9 samples before, one of them with 4 tokens of its completion, and no warning")
PYTHON
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" "$folder/env/bin/python" "$folder/show.py" "$folder"
