"""Have a model write a pool of biased samples: balanced slots, bounded retries, everything that failed on record."""

from importlib import import_module

from bias_inheritance import files, generation, models, pools, progress, step
from bias_inheritance.step import Input, Output, Work


def write_pool(
    card: Input,
    originals: Input,
    pool: Output,
    failures: Output,
    counts: Output,
    work: Work,
    bias: dict,
    domain: dict,
    model: dict,
    size: int,
    attempts: int,
    seed: int,
):
    """Fill `size` slots, asking each at most `attempts` times; write kept samples, failures and their counts.

    Slots go in batches of the model's batch size; a batch's failing slots are asked again together, so that a record
    depends on its batch alone. Every finished attempt is in the journal at once: a killed run goes on behind it.
    asked = kept + rejected + failed, always.
    """
    family = import_module(f"bias_inheritance.families.{domain['family']}")
    key = (bias["name"], model["name"], domain["name"], seed)
    settings = model["generation"]
    batch_size = settings["batch_size"]
    # the last batch is filled up with the slots that would come next, so that no record depends on `size`
    padded = -(-size // batch_size) * batch_size
    asked_for = pools.slots(family, bias, domain, padded, key)
    journal = files.Journal(work / "journal.jsonl")
    answered = {(row["batch"], row["attempt"]): row["answers"] for row in journal.rows}
    seen = {pools.fold(sample["text"]) for sample in files.read_jsonl(originals)}
    generate = _generator(card, model, settings)
    kept, failed = {}, []
    for batch in range(padded // batch_size):
        open_slots = asked_for[batch * batch_size : (batch + 1) * batch_size]
        for attempt in range(attempts):
            if (batch, attempt) not in answered:
                seeds = [generation.record_seed(*key, "record", slot["slot"], attempt) for slot in open_slots]
                answers = generate([slot["prompt"] for slot in open_slots], seeds)
                answered[batch, attempt] = [
                    {"seed": seed_, **answer} for seed_, answer in zip(seeds, answers, strict=True)
                ]
                journal.append([{"batch": batch, "attempt": attempt, "answers": answered[batch, attempt]}])
            still_open = []
            for slot, answer in zip(open_slots, answered[batch, attempt], strict=True):
                sample, reason = pools.judge(answer["text"], answer["finished"], slot, family, domain, seen)
                record = {
                    **slot,
                    "attempt": attempt,
                    "seed": answer["seed"],
                    "raw_text": answer["text"],
                    "tokens": answer["tokens"],
                }
                if reason is None:
                    seen.add(pools.fold(sample["text"]))
                    name = f"{bias['name']}-s{seed}-{slot['slot']:05d}"
                    kept[slot["slot"]] = {"id": name, **record, **family.finish(sample, slot, domain)}
                else:
                    failed.append(
                        {**record, "outcome": "failed" if reason in pools.FAILED else "rejected", "reason": reason}
                    )
                    still_open.append(slot)
            open_slots = still_open
            progress.update(min(len([slot for slot in kept if slot < size]), size), size, "records")
            if not any(slot["slot"] < size for slot in open_slots):
                break
    samples = [kept[number] for number in sorted(kept) if number < size]
    failed = [record for record in failed if record["slot"] < size]
    files.write_jsonl(pool, samples)
    files.write_jsonl(failures, failed)
    files.write_json(counts, _counts(samples, failed, size))
    step.note(model={"name": model["name"]}, device=models.device())


def _generator(card, model, settings):
    """A function (prompts, seeds) → answers that loads the model only when it is first needed."""
    loaded = []

    def generate(prompts, seeds):
        if not loaded:
            network, tokenizer = models.load_base(models.read_card(card))
            loaded.extend((network, tokenizer, models.Chat(tokenizer, model["system"])))
        network, tokenizer, chat = loaded
        options = {key: value for key, value in settings.items() if key != "batch_size"}
        return generation.sample(network, tokenizer, [chat.prompt(prompt) for prompt in prompts], seeds, **options)

    return generate


def _counts(samples, failed, size):
    """How the pool came about: slots, attempts by outcome and reason, label words replaced, groups asked and shown."""
    reasons = {}
    for record in failed:
        reasons[record["reason"]] = reasons.get(record["reason"], 0) + 1
    outcomes = [record["outcome"] for record in failed]
    return {
        "slots": size,
        "slots_failed": size - len(samples),
        "asked": len(samples) + len(failed),
        "kept": len(samples),
        "rejected": outcomes.count("rejected"),
        "failed": outcomes.count("failed"),
        "reasons": reasons,
        "label_words_replaced": sum(sample["label_words_replaced"] for sample in samples),
        "samples_with_label_words": sum(sample["label_words_replaced"] > 0 for sample in samples),
        "tokens": sum(record["tokens"] for record in samples + failed),
        "mean_words": sum(len(sample["text"].split()) for sample in samples) / max(1, len(samples)),
    }


if __name__ == "__main__":
    step.run(write_pool)
