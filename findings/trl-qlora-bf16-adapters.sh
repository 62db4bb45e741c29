#!/bin/sh
# TRL's SFTTrainer trains a QLoRA adapter in bfloat16, where most of lora_A never changes at a small learning rate.
#
# Versions: trl 1.16.0, transformers 5.23.0, peft 0.21.2, bitsandbytes 0.50.2, accelerate 1.15.0, datasets 5.2.0, torch
# 2.13.0. Input: a random Llama of one layer (width 576) loaded in 4 bits (NF4), LoRA on all linear layers, prompts with a
# completion; 60 steps at constant learning rates of 1e-5, 2e-5 (TRL's default) and 2e-4. Beside them, at 1e-5: the
# adapter's tensors set to float32 between SFTTrainer(...) and train(), and the same base without quantisation.
# Expected: an adapter in float32, as peft makes it on any base (autocast_adapter_dtype), of which every number moves.
# Seen: SFTTrainer converts the adapter of a quantised base to bfloat16 (on purpose, its source says), and Adam's moments
# follow. A step of 1e-5 is smaller than half the distance between two bfloat16 numbers of lora_A's size, so that 92% of its
# numbers are bit for bit those of the random start after 60 steps, 84% at 2e-5 and 2% at 2e-4; set to float32, or on the
# base in 16 bits, 0% at 1e-5. B, which starts at 0, does move, so that the size of the update B·A is nearly the same and
# nothing looks wrong. A comparison of 4 with 16 bits then compares two precisions of the optimiser as well, and a sweep
# over learning rates trains more or less of the adapter.
# The script fails when the adapter stays float32 or lora_A moves.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet --disable-pip-version-check \
  trl==1.16.0 transformers==5.23.0 peft==0.21.2 bitsandbytes==0.50.2 accelerate==1.15.0 datasets==5.2.0 torch==2.13.0
cat >"$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import datasets
import peft
import torch
import transformers
import trl
from tokenizers import Tokenizer, models, pre_tokenizers

STEPS = 60
folder = sys.argv[1]
torch.set_num_threads(1)
warnings.simplefilter("ignore")  # about renamed arguments
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
datasets.disable_progress_bars()

words = ["<unk>", "<s>", "</s>"] + [f"w{number}" for number in range(61)]
tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
special = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}
tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
torch.manual_seed(1)
shape = {"hidden_size": 576, "intermediate_size": 576, "num_hidden_layers": 1, "num_attention_heads": 9}
config = transformers.LlamaConfig(vocab_size=len(words), bos_token_id=1, eos_token_id=2, **shape)
transformers.LlamaForCausalLM(config).save_pretrained(f"{folder}/model")
numbers = torch.randint(61, (2 * STEPS, 7)).tolist()
texts = [{"prompt": " ".join(f"w{n}" for n in row[:6]), "completion": f" w{row[0]}"} for row in numbers]
FOUR_BITS = transformers.BitsAndBytesConfig(
    load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
)


def train(rate, bits=4, cast=False):
    """Train one adapter on a base of 4 or 16 bits; cast: set its tensors to float32 after the trainer has been made.

    Returns the adapter's dtype, the dtype of Adam's second moments, the share of lora_A's numbers that never changed and
    the norm of the update B·A.
    """
    base = transformers.AutoModelForCausalLM.from_pretrained(
        f"{folder}/model",
        quantization_config=FOUR_BITS if bits == 4 else None,
        dtype=torch.bfloat16,
        device_map={"": "cpu"},
    )
    arguments = trl.SFTConfig(
        f"{folder}/{rate}-{bits}-{cast}",
        learning_rate=rate,
        lr_scheduler_type="constant",
        per_device_train_batch_size=2,
        max_steps=STEPS,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        seed=3,
    )
    transformers.set_seed(3)
    trainer = trl.SFTTrainer(
        base,
        arguments,
        train_dataset=datasets.Dataset.from_list(texts),
        processing_class=tokenizer,
        peft_config=peft.LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    adapter = {name: value for name, value in trainer.model.named_parameters() if value.requires_grad}
    if cast:
        for value in adapter.values():
            value.data = value.data.float()
    start = {name: value.detach().clone() for name, value in adapter.items()}
    trainer.train()
    moments = {state["exp_avg_sq"].dtype for state in trainer.optimizer.state.values()}
    same = torch.cat([(start[name] == value).flatten() for name, value in adapter.items() if "lora_A" in name])
    update = sum(
        float((adapter[name.replace("lora_A", "lora_B")].detach().float() @ value.detach().float()).norm() ** 2)
        for name, value in adapter.items()
        if "lora_A" in name
    )
    return {value.dtype for value in adapter.values()}, moments, round(float(same.float().mean()), 3), update**0.5


packages = ("trl", "transformers", "peft", "bitsandbytes", "accelerate", "datasets", "torch")
print(*(f"{name} {version(name)}" for name in packages))
BRAIN, SINGLE = torch.bfloat16, torch.float32
for rate, options, dtype, known in (
    (1e-5, {}, BRAIN, 0.92),
    (2e-5, {}, BRAIN, 0.84),
    (2e-4, {}, BRAIN, 0.02),
    (1e-5, {"cast": True}, SINGLE, 0.0),
    (1e-5, {"bits": 16}, SINGLE, 0.0),
):
    dtypes, moments, same, update = train(rate, **options)
    print(f"learning rate {rate} {options or ''}: adapter {dtypes}, Adam's moments {moments}, ", end="")
    print(f"lora_A unchanged after {STEPS} steps {same}, norm of the update {update:.5f}")
    if dtypes != {dtype} or moments != {dtype}:
        raise SystemExit(f"changed: {dtype} before")
    if abs(same - known) > 0.03:
        raise SystemExit(f"changed: the unchanged share was {known}")
PYTHON
HF_HUB_OFFLINE=1 HF_HOME="$folder/cache" "$folder/env/bin/python" "$folder/show.py" "$folder"
