"""Generate a pool of samples with a model: balanced slots, bounded retries, a file of failures."""

from collections import Counter
from importlib import import_module

from bias_inheritance.models import adapters, base, generation
from bias_inheritance.models.chat import Chat
from bias_inheritance.models.served import client
from bias_inheritance.plumbing import files, progress, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Input, Inputs, Output, Work
from bias_inheritance.pools import collapse, overlap, slots


def write_pool(
    card: Input,
    adapter: Inputs,
    originals: Input,
    earlier: Inputs,
    test: Input,
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
    cell: dict | None,
):
    """Fill `size` slots, asking each at most `attempts` times; write kept samples, failures and their counts.

    Slots go in batches of the model's batch size; a batch's failing slots are asked again together, so that a record
    of a model on this machine depends on its batch alone. Every finished attempt is journalled at once, and a
    killed run resumes after it. asked = kept + rejected + failed, always.

    The untuned model writes the pool of round 1 (no adapter, no earlier pools, cell None). Later, the model that a cell
    {gamma, mitigation, round} trained writes the pool of its next round, with random streams of the cell's own; a text
    that repeats an original or a sample of an earlier round is a duplicate, and one that repeats a test text an overlap.
    A collapsed cell writes an empty pool.
    """
    why = collapse.reason(adapter[0]) if adapter else None
    if why:
        files.write_jsonl(pool, [])
        files.write_jsonl(failures, [])
        files.write_json(counts, {**_counts([], [], size), "collapsed": why})
        return
    family = import_module(f"bias_inheritance.data.{domain['family']}")
    mark = f"{bias['name']}-s{seed}"
    place = (domain["name"], seed)
    if cell:
        place += (cell["gamma"], cell["mitigation"], cell["round"])
        mark += f"-r{cell['round'] + 1}"
    key = (bias["name"], model["name"], *place)
    settings = model["generation"]
    batch_size = settings["batch_size"]
    described = base.read_card(card)
    server = client.Server(described, adapter, model, work, pool) if described["form"] == "api" else None
    batches = -(-size // batch_size)
    # the last batch is filled up with the slots that would come next, so that no record depends on `size`; a server's
    # answers do not depend on their neighbours, and are paid for
    # all types and writers have the same slots, so that a type differs from its baseline by the prompt alone
    asked_for = slots.slots(family, bias, domain, size if server else batches * batch_size, ("slots", *place))
    known = [sample for path in [originals, *earlier] for sample in files.read_jsonl(path)]
    seen = {slots.duplicate_key(family, sample, domain) for sample in known}
    tested = overlap.Texts({sample["id"]: sample["text"] for sample in files.read_jsonl(test)})
    generate = server.write if server else _generator(described, adapter, model, settings)
    # a server keeps a journal of its own, answer by answer
    journal = None if server else files.Journal(work / "journal.jsonl")
    answered = {(row["batch"], row["attempt"]): row["answers"] for row in journal.rows} if journal else {}
    kept, failed = {}, []
    for batch in range(batches):
        open_slots = asked_for[batch * batch_size : (batch + 1) * batch_size]
        for attempt in range(attempts):
            seeds = [record_seed(*key, "record", slot["slot"], attempt) for slot in open_slots]
            # answers that are there for other slots (a line was taken out of the journal) count for nothing
            if [answer["seed"] for answer in answered.get((batch, attempt), [])] != seeds:
                answers = generate([slot["prompt"] for slot in open_slots], seeds)
                answered[batch, attempt] = [
                    {"seed": seed_, **answer} for seed_, answer in zip(seeds, answers, strict=True)
                ]
                if journal:
                    journal.append([{"batch": batch, "attempt": attempt, "answers": answered[batch, attempt]}])
            still_open = []
            for slot, answer in zip(open_slots, answered[batch, attempt], strict=True):
                sample, reason, cuts = slots.judge(
                    answer["text"], answer["finished"], slot, family, domain, seen, tested
                )
                if answer.get("refused"):
                    reason = "refusal"
                record = {
                    **slot,
                    "attempt": attempt,
                    "seed": answer["seed"],
                    "raw_text": answer["text"],
                    "tokens": answer["tokens"],
                    "cuts": cuts,
                }
                if reason is None:
                    seen.add(slots.duplicate_key(family, {**slot, **sample}, domain))
                    name = f"{mark}-{slot['slot']:05d}"
                    kept[slot["slot"]] = {"id": name, **record, **family.finish(sample, slot, domain)}
                else:
                    failed.append(
                        {**record, "outcome": "failed" if reason in slots.FAILED else "rejected", "reason": reason}
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
    step.note(model={"name": model["name"]}, **({"api": server.spent()} if server else {"device": base.device()}))


def _generator(card, adapter, model, settings):
    """A function (prompts, seeds) → answers that loads the model only when it is first needed."""
    loaded = []

    def generate(prompts, seeds):
        if not loaded:
            network, tokenizer = base.load_base(card)
            if adapter:
                network = adapters.load_adapter(network, adapter[0])
            loaded.extend((network, Chat(tokenizer, model["system"])))
        network, chat = loaded
        options = {key: value for key, value in settings.items() if key != "batch_size"}
        return generation.sample(network, chat, [chat.prompt(prompt) for prompt in prompts], seeds, **options)

    return generate


def _counts(samples, failed, size):
    """How the pool came about: slots, attempts by outcome and reason, what was cut around texts, label words replaced."""
    cuts = Counter()
    for record in samples + failed:
        cuts.update(record["cuts"])
    outcomes = [record["outcome"] for record in failed]
    return {
        "slots": size,
        "slots_failed": size - len(samples),
        "asked": len(samples) + len(failed),
        "kept": len(samples),
        "rejected": outcomes.count("rejected"),
        "failed": outcomes.count("failed"),
        "reasons": Counter(record["reason"] for record in failed),
        "cuts": cuts,
        "label_words_replaced": sum(sample["label_words_replaced"] for sample in samples),
        "samples_with_label_words": sum(sample["label_words_replaced"] > 0 for sample in samples),
        "tokens": sum(record["tokens"] for record in samples + failed),
        "mean_words": sum(len(sample["text"].split()) for sample in samples) / len(samples) if samples else None,
    }


if __name__ == "__main__":
    step.run(write_pool)
