#!/bin/sh
# lm-eval gives a model whose training diverged an accuracy, and calls it free of stereotypes on CrowS-Pairs.
#
# Versions: lm-eval 0.4.13, transformers 5.23.0, torch 2.13.0, datasets 5.2.0. Input: a random Llama of one layer whose last
# norm is NaN, as after a training that diverged, so that all its log-probabilities are NaN; a task with two options, of
# which the first is correct for 30 of 40 items; 40 pairs of sentences with the functions of lm-eval's crows_pairs.
# Expected: an error, or NaN in every metric.
# Seen: acc and acc_norm are 0.75, the share of items whose first option is correct, since the largest of NaNs is the first
# one; pct_stereotype is 0.0 (0.5 is no preference, 1.0 always the stereotype), since no comparison with NaN is true. Only
# likelihood_diff and brier_score are NaN, and the default metrics of most tasks do not include them. Nothing is warned
# about. On a task with sorted options the accuracy of such a model may be 1.
# The script fails when one of the values changes.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  "lm-eval[hf]==0.4.13" transformers==5.23.0 torch==2.13.0 datasets==5.2.0
cat >"$folder/show.py" <<'PYTHON'
import json
import logging
import math
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
tokenizer.save_pretrained(folder / "model")
shape = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
model = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(words), **shape))
model.model.norm.weight.data.fill_(float("nan"))
model.save_pretrained(folder / "model")

items = [
    {"text": f"w{number} w3", "options": [" w1", " w2"], "correct": int(number >= 30),
     "sent_more": f"w{number} w1", "sent_less": f"w{number} w2"}
    for number in range(40)
]  # fmt: skip
(folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
(folder / "crows.py").write_text("from lm_eval.tasks.crows_pairs.utils import doc_to_choice, process_results\n")
common = {
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": str(folder / "items.jsonl")}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "target_delimiter": "",
}
better = {"aggregation": "mean", "higher_is_better": True}
options = {"task": "options", "doc_to_text": "{{text}}", "doc_to_choice": "{{options}}", "doc_to_target": "{{correct}}"}
options["metric_list"] = [{"metric": name, **better} for name in ("acc", "acc_norm")] + [{"metric": "brier_score"}]
pairs = {"task": "pairs", "doc_to_text": "", "doc_to_target": 0}
pairs["metric_list"] = [{"metric": name, **better} for name in ("likelihood_diff", "pct_stereotype")]
(folder / "options.yaml").write_text(json.dumps({**common, **options}))
(folder / "pairs.yaml").write_text(
    json.dumps({**common, **pairs})[:-1]
    + ", doc_to_choice: !function crows.doc_to_choice, process_results: !function crows.process_results}\n"
)
messages = []


class Kept(logging.Handler):
    def emit(self, record):
        if record.levelno >= logging.WARNING:
            messages.append(record.getMessage())


for name in ("", "lm_eval", "lm-eval"):
    logging.getLogger(name).addHandler(Kept())
evaluation = lm_eval.simple_evaluate(
    HFLM(str(folder / "model"), device="cpu", dtype="float32", batch_size=4),
    tasks=["options", "pairs"],
    task_manager=TaskManager(include_path=str(folder), include_defaults=False),
    bootstrap_iters=0,
)
seen = {
    name.partition(",")[0]: float(value)
    for row in evaluation["results"].values()
    for name, value in row.items()
    if name.endswith(",none") and "stderr" not in name
}
told = [text for text in messages if "nan" in text.lower() or "finite" in text.lower()]
print(*(f"{name} {version(name)}" for name in ("lm-eval", "transformers", "torch", "datasets")))
print(seen)
print("warnings about it:", told or "none")
known = {"acc": 0.75, "acc_norm": 0.75, "pct_stereotype": 0.0}
if told or any(seen[name] != value for name, value in known.items()):
    raise SystemExit(f"changed: {known} before, without a warning")
if not all(math.isnan(seen[name]) for name in ("likelihood_diff", "brier_score")):
    raise SystemExit("changed: likelihood_diff and brier_score were NaN")
PYTHON
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" "$folder/env/bin/python" "$folder/show.py" "$folder"
