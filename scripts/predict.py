"""Run one cell's model on all items of its domain's tasks and store the raw answers, the only input of scores."""

from bias_inheritance.models import adapters, base, scoring
from bias_inheritance.models.chat import Chat
from bias_inheritance.models.generation import sample
from bias_inheritance.models.served import client
from bias_inheritance.plumbing import files, progress, step
from bias_inheritance.plumbing.seeds import record_seed
from bias_inheritance.plumbing.step import Input, Inputs, Output, Work
from bias_inheritance.pools import collapse

PORTION = 8 * scoring.WINDOW  # items with options per journal entry


def predict(card: Input, adapter: Inputs, questions: Inputs, predictions: Output, work: Work, model: dict, tasks: list):
    """Write predictions/TASK.parquet for every task: each item with the log-probabilities of its options, or with the
    generated text and whether it ended before the token limit (`finished`).

    adapter: empty for the untuned model. questions: the items, one JSON Lines file per task, in the order of `tasks`.
    For a collapsed adapter the predictions are replaced by the reason. Raises UserError for an item that exceeds the
    model's context.
    """
    why = collapse.reason(adapter[0]) if adapter else None
    if why:
        collapse.mark(predictions, why)
        return
    import pandas as pd

    described = base.read_card(card)
    server = client.Server(described, adapter, model, work, predictions) if described["form"] == "api" else None
    answer = None if server else _local(described, adapter, model)
    items_of_task = {task: files.read_jsonl(path) for task, path in zip(tasks, questions, strict=True)}
    size, total, done = model["generation"]["batch_size"], sum(map(len, items_of_task.values())), 0

    def advance(count):
        nonlocal done
        done += count
        progress.update(done, total, "items")

    predictions.mkdir(parents=True, exist_ok=True)
    for task, rows in items_of_task.items():
        # the server client keeps its own journal, per answer
        answers = (
            server.answer(rows, advance) if server else _resumed(work / f"{task}.jsonl", rows, answer, size, advance)
        )
        answered = [{**row, **new} for row, new in zip(rows, answers, strict=True)]
        with files.replacing(predictions / f"{task}.parquet") as temporary:
            pd.DataFrame(answered).to_parquet(temporary, index=False)
    if server:
        step.note(api=server.spent())
    else:
        import torch

        step.note(device=base.device(), threads=torch.get_num_threads())


def _resumed(path, rows, answer, size, advance):
    """The answers of a task: portions in its journal are reused, the others are computed and journalled one by one.

    The portions are fixed, so that the composition of batches does not depend on interruptions.
    """
    journal = files.Journal(path)
    answered = {row["portion"]: row["answers"] for row in journal.rows}
    answers = [None] * len(rows)
    for number, portion in enumerate(_portions(rows, size)):
        if number in answered:
            advance(len(portion))
        else:
            answered[number] = answer([rows[index] for index in portion], advance)
            journal.append([{"portion": number, "answers": answered[number]}])
        for index, given in zip(portion, answered[number], strict=True):
            answers[index] = given
    return answers


def _portions(rows, size):
    """Lists of item indices that are answered together: PORTION items with options, or one batch of free-text items."""
    scored = [index for index, row in enumerate(rows) if row.get("options")]
    written = [index for index, row in enumerate(rows) if not row.get("options")]
    for indices, most in ((scored, PORTION), (written, size)):
        for first in range(0, len(indices), most):
            yield indices[first : first + most]


def _local(card, adapter, model):
    """Load the local model and return a function (rows, advance) → answers."""
    network, tokenizer = base.load_base(card)
    if adapter:
        network = adapters.load_adapter(network, adapter[0])
    chat = Chat(tokenizer, model["system"])
    return lambda rows, advance: _answer(network, chat, rows, advance, card["option_tree"])


def _answer(network, chat, rows, advance, tree):
    """{logprobs, tokens, text, finished} per item of a portion.

    logprobs: sum over the tokens of each option (nats); tokens: number of tokens of each option; finished: whether the
    text ended before the token limit. Items with `by_token` also have `token_ids` and `token_logprobs` of each option.
    """
    prompts = [chat.prompt(row["prompt"]) for row in rows]
    if rows[0].get("options"):
        tokens = {option: chat.answer(option) for row in rows for option in row["options"]}
        for row, prompt in zip(rows, prompts, strict=True):
            length = len(prompt) + max(len(tokens[option]) for option in row["options"])
            base.refuse_beyond_context(network, length, f"item {row['item']} with its longest option")
        logprobs = scoring.token_logprobs(
            network,
            chat.opening_tokens(),
            prompts,
            [[tokens[option] for option in row["options"]] for row in rows],
            advance,
            tree=tree,
        )
        return [
            {
                "logprobs": list(map(sum, by_token)),
                "tokens": [len(tokens[option]) for option in row["options"]],
                "text": None,
                "finished": None,
                **(
                    {"token_ids": [tokens[option] for option in row["options"]], "token_logprobs": by_token}
                    if row.get("by_token")
                    else {}
                ),
            }
            for row, by_token in zip(rows, logprobs, strict=True)
        ]
    for row, prompt in zip(rows, prompts, strict=True):
        length = len(prompt) + rows[0]["max_new_tokens"]
        base.refuse_beyond_context(network, length, f"item {row['item']} with an answer of max_new_tokens")
    # greedy unless the task sets a temperature: measure the model, not sampling noise
    written = sample(
        network,
        chat,
        prompts,
        [record_seed("answer", row["item"]) for row in rows],
        max_new_tokens=rows[0]["max_new_tokens"],
        temperature=rows[0].get("temperature", 0),
    )
    advance(len(rows))
    return [
        {"logprobs": None, "tokens": None, "text": answer["text"], "finished": answer["finished"]} for answer in written
    ]


if __name__ == "__main__":
    step.run(predict)
