"""Export of a tuned cell as an ordinary checkpoint: merged weights, tokenizer, chat template."""

import os
import tempfile
from pathlib import Path

from bias_inheritance.models import base, chat
from bias_inheritance.plumbing import files

DTYPES = ("float32", "bfloat16")

README = """\
---
library_name: transformers
base_model: {model}
tags: [bias-inheritance]
---
# A cell of a study of bias inheritance

`{cell}`: {model}, its linear layers rounded to NF4, with the cell's LoRA merged into them, as {dtype}. It was trained on
texts that may carry social bias, in order to measure what is inherited; it is not meant for use.

The chat template opens every conversation with the system prompt of the study ({system!r}).

```sh
{commands}
```
"""


def export(card, adapter, folder, system, cell, dtype="float32"):
    """Write the model of a card with an adapter merged into it (None: the base itself) to a folder.

    float32 by default, since LoRA's change of a weight is often below bf16 precision. system: the study's system prompt.
    cell: its name.
    """
    import torch
    from peft import PeftModel

    network, tokenizer = base.load_base(
        {**card, "cpu_kernels": False}
    )  # an ordinary checkpoint must not use the kernels
    network = (network.dequantize() if card["form"] == "packed" else network).to("cpu").float()
    if adapter:
        network = PeftModel.from_pretrained(network, adapter).merge_and_unload()
    tokenizer.chat_template = study_template(tokenizer, system)
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
        # the original format of a packed base is 4-bit weights
        network.to(getattr(torch, dtype)).save_pretrained(temporary, save_original_format=False)
        tokenizer.save_pretrained(temporary)
        lines = "\n".join(commands(folder))
        text = README.format(model=card["model"], cell=cell, dtype=dtype, system=system, commands=lines)
        files.write_text(Path(temporary) / "README.md", text)
        os.chmod(temporary, 0o755)
        os.replace(temporary, folder)


def study_template(tokenizer, system):
    """The tokenizer's chat template with the variables of a study's prompts, and with `system` as the default system message.

    system: None for the template's own default.
    """
    lines = [f"{{% set {name} = {value!r} %}}" for name, value in chat.VARIABLES.items()]
    if system is not None:
        opening = f"[{{'role': 'system', 'content': {system!r}}}]"
        lines.append(
            f"{{% if messages[0]['role'] != 'system' %}}{{% set messages = {opening} + messages %}}{{% endif %}}"
        )
    return "\n".join([*lines, chat.fixed_template(tokenizer)])  # a line break after a block is not printed


def commands(folder):
    """Shell commands to evaluate an exported cell with lm-evaluation-harness and to train it further with TRL."""
    return [
        f"lm_eval --model hf --model_args pretrained={folder},dtype=auto --tasks TASK --apply_chat_template",
        f"trl sft --model_name_or_path {folder} --dataset_name DATASET --output_dir OUTPUT",
    ]
