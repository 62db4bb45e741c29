#!/bin/sh
# lm-eval's cache does not distinguish models: with the same `use_cache`, the second model gets the first one's scores.
#
# Versions: lm-eval 0.4.13, transformers 5.23.0, torch 2.13.0, datasets 5.2.0. Input: two random Llamas of one layer and a
# task of 40 items with two options; `simple_evaluate` with the same `use_cache` for both, as in a loop over the tuned cells
# of a study that is meant to be resumable.
# Expected: the model is part of a cached request, or a cache that another model filled is refused.
# Seen: a cached answer is found by the text of its request alone. The second model's log-probabilities are those of the
# first, digit for digit; without the cache they differ. Only a line of level INFO says how many requests were cached, and
# none says from which model. Compared with its base, a tuned model then shows no effect, with an interval of no width.
# The script fails when the second model gets its own scores, or a warning is written.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  "lm-eval[hf]==0.4.13" transformers==5.23.0 torch==2.13.0 datasets==5.2.0
cat >"$folder/show.py" <<'PYTHON'
import json
import logging
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import datasets
import lm_eval
import torch
import transformers
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from tokenizers import Tokenizer, models, pre_tokenizers

folder = Path(sys.argv[1])
torch.set_num_threads(1)
warnings.simplefilter("ignore")  # about renamed arguments
transformers.logging.set_verbosity_error()
datasets.disable_progress_bars()

words = ["<unk>", "<s>", "</s>"] + [f"w{number}" for number in range(61)]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
for name, seed in {"base": 1, "tuned": 2}.items():
    torch.manual_seed(seed)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(words), **shape))
    model.save_pretrained(folder / name)
    tokenizer.save_pretrained(folder / name)

items = [{"text": f"w{number} w3", "options": [" w1", " w2"]} for number in range(40)]
(folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
task = {
    "task": "options",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": str(folder / "items.jsonl")}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{text}}",
    "doc_to_choice": "{{options}}",
    "doc_to_target": 0,
    "target_delimiter": "",
    "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
}
(folder / "options.yaml").write_text(json.dumps(task))
messages = []


class Kept(logging.Handler):
    def emit(self, record):
        if record.levelno >= logging.WARNING:
            messages.append(record.getMessage())


for name in ("", "lm_eval", "lm-eval"):
    logging.getLogger(name).addHandler(Kept())


def evaluate(name, **options):
    """The accuracy and the log-probability of every option under one of the models."""
    evaluation = lm_eval.simple_evaluate(
        HFLM(str(folder / name), device="cpu", dtype="float32", batch_size=4),
        tasks=["options"],
        task_manager=TaskManager(include_path=str(folder), include_defaults=False),
        bootstrap_iters=0,
        **options,
    )
    samples = sorted(evaluation["samples"]["options"], key=lambda sample: sample["doc_id"])
    logprobs = [float(response[0]) for sample in samples for response in sample["filtered_resps"]]
    return evaluation["results"]["options"]["acc,none"], logprobs


cache = {"use_cache": str(folder / "cache")}
base, tuned, alone = evaluate("base", **cache), evaluate("tuned", **cache), evaluate("tuned")
told = [text for text in messages if "cache" in text.lower()]
print(*(f"{name} {version(name)}" for name in ("lm-eval", "transformers", "torch", "datasets")))
for name, (accuracy, logprobs) in {"base": base, "tuned, same cache": tuned, "tuned, no cache": alone}.items():
    print(f"{name}: accuracy {accuracy}, first log-probabilities {[round(value, 4) for value in logprobs[:3]]}")
print("warnings about it:", told or "none")
if told or tuned != base or alone == base:
    raise SystemExit("changed: the second model had the first one's scores, without a warning")
PYTHON
HF_HUB_OFFLINE=1 HF_HOME="$folder/hub" "$folder/env/bin/python" "$folder/show.py" "$folder"
