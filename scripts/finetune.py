"""Fine-tune one cell: QLoRA on its mix, answer-only loss, with the alignment term where the mitigation has one."""

import csv
import io

from bias_inheritance.models import base, training
from bias_inheritance.plumbing import files, progress, step
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Input, Inputs, Output, Work
from bias_inheritance.pools import collapse


def finetune(
    card: Input,
    train: Input,
    mix: Input,
    start: Inputs,
    adapter: Output,
    training_log: Output,
    work: Work,
    model: dict,
    settings: dict,
    alignment: dict | None,
    seed: int,
):
    """Write the cell's adapter (a folder, safetensors) and its training log (CSV, a row per optimiser step).

    mix: the summary of the mix. start: nothing, or the adapter that training continues from. alignment: {weight,
    batch_size} or None. For a collapsed mix the adapter is replaced by the reason.
    Raises UserError where a sample is longer than the model's context.
    """
    why = files.read_json(mix)["collapsed"]
    if why:
        collapse.mark(adapter, why)
        write_table(training_log, [{"collapsed": why}])
        return
    import torch

    network, tokenizer = base.load_base(base.read_card(card))
    chat = base.Chat(tokenizer, model["system"])
    samples = [
        {
            "prompt": chat.prompt(row["user"]),
            "answer": chat.answer(row["assistant"]),
            "origin": row["origin"],
            "words": row["words"],
        }
        for row in files.read_jsonl(train)
    ]
    longest = max(len(sample["prompt"]) + len(sample["answer"]) for sample in samples)
    if longest > network.config.max_position_embeddings:
        raise UserError(
            f"{train}: a sample has {longest} tokens, and the context of {model['name']} is {network.config.max_position_embeddings}; shorten the sample or use another model"
        )
    tuned = training.add_lora(network, settings, record_seed("lora", seed) % 2**31)
    if start:
        from peft import set_peft_model_state_dict
        from safetensors.torch import load_file

        set_peft_model_state_dict(tuned, load_file(start[0] / "adapter_model.safetensors"))
    rows = training.train(
        tuned,
        samples,
        settings,
        alignment,
        record_seed("order", seed),
        work,
        on_step=lambda done, total: progress.update(done, total, "steps"),
    )
    base.assert_adapter_acts(tuned)
    tuned.save_pretrained(adapter, save_embedding_layers=False)
    (adapter / "README.md").unlink(missing_ok=True)  # an empty template
    # the same bytes on every machine: no paths, sorted sets
    described = files.read_json(adapter / "adapter_config.json")
    described["base_model_name_or_path"] = model["name"]
    described["target_modules"] = sorted(described["target_modules"])
    files.write_json(adapter / "adapter_config.json", described)
    write_table(training_log, rows)
    step.note(device=base.device(), threads=torch.get_num_threads())


def write_table(path, rows):
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, table.getvalue())


if __name__ == "__main__":
    step.run(finetune)
