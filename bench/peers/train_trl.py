"""Fine-tuning with TRL's SFTTrainer, by its defaults: QLoRA (bitsandbytes, NF4), prompt-completion data.

    python train_trl.py JOB.json RESULT.json     in the environment of envs/bench-trl.txt

`order: given` keeps the order of samples in the job, logs every step, and uses the learning rates of the job, so that its
loss curve can be compared with the pipeline; `order: shuffled` is the default behaviour.
"""

import json
import sys
import tempfile
import time

import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig, TrainerCallback
from trl import SFTConfig, SFTTrainer


class Clock(TrainerCallback):
    """Seconds between the first and the last step's ends, begin included."""

    def on_train_begin(self, *_, **__):
        self.started = time.perf_counter()

    def on_train_end(self, *_, **__):
        self.seconds = time.perf_counter() - self.started


def main(job_path, result_path):
    with open(job_path) as file:
        job = json.load(file)
    settings, given, compute = job["settings"], job["order"] == "given", getattr(torch, job["compute"])
    nf4 = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute,
    )
    model = AutoModelForCausalLM.from_pretrained(job["checkpoint"], dtype=compute, quantization_config=nf4)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        arguments = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=settings["batch_size"],
            num_train_epochs=settings["epochs"],
            learning_rate=settings["learning_rate"],
            weight_decay=settings["weight_decay"],
            max_grad_norm=settings["max_grad_norm"],
            gradient_checkpointing=job["gradient_checkpointing"],
            train_sampling_strategy="sequential" if given else "random",
            seed=job["seed"],
            save_strategy="no",
            report_to="none",
            bf16=job["compute"] == "bfloat16",
            disable_tqdm=True,
            use_cpu=not torch.cuda.is_available(),
            **({"logging_steps": 1} if given else {}),
        )
        torch.manual_seed(job["seed"])
        trainer = SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_list(
                [{"prompt": row["prompt"], "completion": row["completion"]} for row in job["samples"]]
            ),
            processing_class=AutoTokenizer.from_pretrained(job["checkpoint"]),
            peft_config=LoraConfig(
                r=settings["rank"],
                lora_alpha=settings["alpha"],
                lora_dropout=settings["dropout"],
                target_modules=settings["targets"],
                task_type="CAUSAL_LM",
            ),
            callbacks=[clock],
        )
        if given:
            trainer.create_optimizer()
            trainer.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
                trainer.optimizer, lambda step: [*job["rates"], 0.0][step] / settings["learning_rate"]
            )
        trainer.train()
    ids = [row["input_ids"] for row in trainer.train_dataset]
    result = {
        "seconds": clock.seconds,
        "tokens": sum(map(len, ids)) * settings["epochs"],
        "losses": [float(row["loss"]) for row in trainer.state.log_history if "loss" in row],
        "ids": ids,
    }
    with open(result_path, "w") as file:
        json.dump(result, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
