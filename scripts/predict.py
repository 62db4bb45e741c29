"""Ask one cell's model every item of its domain's tasks and store the raw answers; scores come later, from them alone."""

from bias_inheritance import api, collapse, files, models, progress, scoring, step
from bias_inheritance.generation import sample
from bias_inheritance.seeds import record_seed
from bias_inheritance.step import Input, Inputs, Output, Work


def predict(card: Input, adapter: Inputs, questions: Inputs, predictions: Output, work: Work, model: dict, tasks: list):
    """Write predictions/TASK.parquet for every task: each item with the log-probability of its options, or its text.

    adapter: nothing for the untuned model. questions: the items, one JSON Lines file per task, in the order of `tasks`.
    A collapsed adapter leaves the reason in the predictions' place.
    """
    why = collapse.reason(adapter[0]) if adapter else None
    if why:
        collapse.mark(predictions, why)
        return
    import pandas as pd

    described = models.read_card(card)
    server = api.Server(described, adapter, model, work, predictions) if described["form"] == "api" else None
    answer = None if server else _local(described, adapter, model)
    asked = {task: files.read_jsonl(path) for task, path in zip(tasks, questions, strict=True)}
    total, done = sum(map(len, asked.values())), 0

    def advance(count):
        nonlocal done
        done += count
        progress.update(done, total, "items")

    predictions.mkdir(parents=True, exist_ok=True)
    for task, rows in asked.items():
        # a server keeps a journal of its own, answer by answer
        found = server.answer(rows, advance) if server else _resumed(work / f"{task}.jsonl", rows, answer, advance)
        answered = [{**row, **new} for row, new in zip(rows, found, strict=True)]
        with files.replacing(predictions / f"{task}.parquet") as temporary:
            pd.DataFrame(answered).to_parquet(temporary, index=False)
    if server:
        step.note(api=server.spent())
    else:
        import torch

        step.note(device=models.device(), threads=torch.get_num_threads())


def _resumed(path, rows, answer, advance):
    """The answers of a task from its journal, if it was finished.

    A task is short; one that was cut off is asked whole again, so that every item keeps its neighbours in the batch.
    """
    journal = files.Journal(path)
    if len(journal.rows) == len(rows):
        advance(len(rows))
    else:
        files.write_jsonl(path, [])
        journal = files.Journal(path)
        journal.append(answer(rows, advance))
    return journal.rows


def _local(card, adapter, model):
    """A function (rows, advance) → answers by the model on this machine, which it loads."""
    network, tokenizer = models.load_base(card)
    if adapter:
        network = models.load_adapter(network, adapter[0])
    chat = models.Chat(tokenizer, model["system"])
    return lambda rows, advance: _answer(network, tokenizer, chat, rows, model, advance)


def _answer(network, tokenizer, chat, rows, model, advance):
    """{logprobs, tokens, text} per item; tokens: the length of each option, which `logprobs` are sums over."""
    answers = [{"logprobs": None, "tokens": None, "text": None} for _ in rows]
    scored = [index for index, row in enumerate(rows) if row.get("options")]
    if scored:
        tokens = {option: chat.answer(option) for index in scored for option in rows[index]["options"]}
        found = scoring.option_logprobs(
            network,
            chat.opening_tokens(),
            [chat.prompt(rows[index]["prompt"]) for index in scored],
            [[tokens[option] for option in rows[index]["options"]] for index in scored],
            advance,
        )
        for index, logprobs in zip(scored, found, strict=True):
            answers[index]["logprobs"] = logprobs
            answers[index]["tokens"] = [len(tokens[option]) for option in rows[index]["options"]]
    written = [index for index, row in enumerate(rows) if not row.get("options")]
    size = model["generation"]["batch_size"]
    for first in range(0, len(written), size):
        batch = written[first : first + size]
        prompts = [chat.prompt(rows[index]["prompt"]) for index in batch]
        seeds = [record_seed("answer", rows[index]["item"]) for index in batch]
        # greedy where the task names no temperature: what is measured is the model, not the luck of sampling
        options = {
            "max_new_tokens": rows[batch[0]]["max_new_tokens"],
            "temperature": rows[batch[0]].get("temperature", 0),
        }
        written_now = sample(network, tokenizer, prompts, seeds, **options)
        for index, answer in zip(batch, written_now, strict=True):
            answers[index]["text"] = answer["text"]
        advance(len(batch))
    return answers


if __name__ == "__main__":
    step.run(predict)
