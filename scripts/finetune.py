"""Mix and fine-tune one cell: QLoRA, answer-only loss, plus the alignment term if the mitigation has one."""

import csv
import io
from functools import partial

from bias_inheritance.models import adapters, base
from bias_inheritance.models import train as training
from bias_inheritance.models.chat import Chat
from bias_inheritance.models.losses import alignment as alignment_term
from bias_inheritance.models.losses import sft
from bias_inheritance.plumbing import files, progress, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Input, Inputs, Output, Work
from bias_inheritance.pools import collapse, mixing


def finetune(
    card: Input,
    originals: Input,
    pools: Inputs,
    before: Inputs,
    start: Inputs,
    train: Output,
    summary: Output,
    adapter: Output,
    training_log: Output,
    work: Work,
    mix: dict,
    model: dict,
    settings: dict,
    alignment: dict | None,
    seed: int,
    balanced: Inputs = (),
):
    """Write the cell's mix (rows and summary), its adapter (a folder, safetensors) and its training log (CSV, a row per
    optimiser step).

    pools, before, mix: arguments of mixing.mix: the cell's pools, the summary of its mix in the previous round (none in
    round 1), and {domain, mitigation, counts, instruction_share}. balanced: for mitigations that query the untuned model,
    files of texts without a slant. start: the adapter from which training continues, or nothing. alignment: {weight,
    batch_size} or None. For a collapsed mix the adapter is replaced by the reason. Raises UserError if a pool is too small
    for γ, or a sample exceeds the model's context.
    """
    untuned_model = {"balanced": balanced, "card": card, "system": model["system"]} if balanced else {}
    rows, collapsed = mixing.mix(originals, pools, before, train, summary, **mix, seed=seed, **untuned_model)
    if collapsed:
        collapse.mark(adapter, collapsed)
        write_table(training_log, [{"collapsed": collapsed}])
        return
    tune(card, rows, start, adapter, training_log, work, model, settings, alignment, seed)


def tune(card, rows, start, adapter, training_log, work, model, settings, alignment, seed):
    """Train an adapter on the rows of a mix and write it with its log; other arguments as in `finetune`."""
    import torch

    network, tokenizer = base.load_base(base.read_card(card))
    chat = Chat(tokenizer, model["system"])
    samples = [
        {
            "prompt": chat.prompt(row["user"]),
            "answer": chat.answer(row["assistant"]),
            "words": row["words"],
            "weight": row.get("weight", 1.0),
        }
        for row in rows
    ]
    longest = max(len(sample["prompt"]) + len(sample["answer"]) for sample in samples)
    base.refuse_beyond_context(network, longest, f"{adapter.parent}: a sample of the mix")
    losses = [partial(sft.loss, average=settings["loss_average"], micro_batch_size=settings["micro_batch_size"])]
    originals, augmented = (
        [sample for sample, row in zip(samples, rows, strict=True) if row["origin"] == origin]
        for origin in ("original", "augmented")
    )
    if alignment and augmented:
        term = partial(alignment_term.loss, originals=originals, augmented=augmented, **alignment)
        losses.append(partial(term, seed=record_seed("order", seed)))
    tuned = adapters.add_lora(network, settings, record_seed("lora", seed) % 2**31, *start)
    log = training.train(
        tuned,
        samples,
        settings,
        losses,
        record_seed("order", seed),
        work,
        on_step=lambda done, total: progress.update(done, total, "steps"),
    )
    adapters.assert_adapter_acts(tuned)
    adapters.save(tuned, adapter, model["name"])
    write_table(training_log, log)
    step.note(device=base.device(), threads=torch.get_num_threads())


def write_table(path, rows):
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    files.write_text(path, table.getvalue())


if __name__ == "__main__":
    step.run(finetune)
