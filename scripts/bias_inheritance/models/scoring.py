"""Log-probabilities of answer options: the prompt is computed once, options branch off it in the same forward pass."""

import math

from bias_inheritance.models import network

BATCH = 8  # prompts per forward pass; part of what a result depends on in bf16
WINDOW = 32  # prompts are sorted by length only inside such a window, so one more item at the end changes few others


def batches(lengths):
    """Indices in batches of similar length: a fixed partition that depends on each window of WINDOW items alone."""
    for start in range(0, len(lengths), WINDOW):
        window = sorted(range(start, min(start + WINDOW, len(lengths))), key=lambda index: (lengths[index], index))
        for first in range(0, len(window), BATCH):
            yield window[first : first + BATCH]


def option_logprobs(model, opening, prompts, options, on_batch=None, *, tree):
    """Log-probability of each option's full token sequence after its prompt.

    opening: token ids that all prompts begin with, which are computed once (they depend on the chat template alone, so
    that no answer depends on what else is asked); prompts: N lists of token ids; options: N lists of lists of token ids
    (all non-empty); tree: whether a prompt's options may be computed in one pass with a mask of our own (the model card's
    `option_tree`); else each is a text of its own. Returns N lists of floats (nats).
    """
    import torch

    head = network.float32_head(model)
    if not (tree and _longest(prompts, options) <= window(model.config.get_text_config())):
        return _one_by_one(model, head, prompts, options, on_batch)
    body, device = network.body(model), model.device
    shared = len(opening)
    if any(prompt[:shared] != opening or len(prompt) == shared for prompt in prompts):
        shared = 0  # a prompt whose first letters join the template's last token
    results = [None] * len(prompts)
    with torch.inference_mode():
        prefix = (
            body(input_ids=torch.tensor([prompts[0][:shared]], device=device), use_cache=True).past_key_values
            if shared
            else None
        )
        for indices in batches([len(prompt) for prompt in prompts]):
            batch = [_tree(prompts[index][shared:], options[index], shared) for index in indices]
            for index, row in zip(indices, _forward(body, head, prefix, shared, batch, device), strict=True):
                results[index] = row
            if on_batch:
                on_batch(len(indices))
    return results


def _longest(prompts, options):
    return max(len(prompt) + max(map(len, listed)) for prompt, listed in zip(prompts, options, strict=True))


def window(config):
    """How many tokens the layers of an architecture that see least can see: no mask of our own limits what is seen."""
    widths = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min([width for width in widths if width] or [math.inf])


def _one_by_one(model, head, prompts, options, on_batch):
    """The same with a text per option."""
    import torch

    results = []
    with torch.inference_mode():
        for prompt, listed in zip(prompts, options, strict=True):
            samples = [{"prompt": prompt, "answer": option} for option in listed]
            results.append(_finite((-network.answer_losses(model, samples, head)).tolist()))
            if on_batch:
                on_batch(1)
    return results


def _finite(logprobs):
    if not all(map(math.isfinite, logprobs)):
        raise RuntimeError("the model gives log-probabilities that are not finite; its training diverged")
    return logprobs


def _tree(prompt, options, offset):
    """One row: the rest of the prompt, then the options as a tree, in which a token sees the prompt and its own past.

    Options that begin alike share those tokens; an option's last token is only predicted, so it is not in the tree.
    Returns tokens, their positions, {index in the row: indices of its past in the tree}, and per option its reads:
    (index in the row whose logits predict it, token).
    """
    tokens, positions, past = list(prompt), [offset + i for i in range(len(prompt))], {}
    found, reads = {(): len(prompt) - 1}, []
    for option in options:
        for end in range(1, len(option)):
            beginning = tuple(option[:end])
            if beginning not in found:
                found[beginning] = index = len(tokens)
                tokens.append(option[end - 1])
                positions.append(offset + len(prompt) + end - 1)
                past[index] = [found[beginning[:length]] for length in range(1, end + 1)]
        reads.append([(found[tuple(option[:end])], token) for end, token in enumerate(option)])
    return tokens, positions, past, reads


def _forward(body, head, prefix, shared, batch, device):
    import copy

    import torch

    width = max(len(row[0]) for row in batch)
    count = len(batch)
    ids = torch.zeros((count, width), dtype=torch.long)
    positions = torch.zeros((count, width), dtype=torch.long)
    sees = torch.ones((width, width), dtype=torch.bool).tril().repeat(count, 1, 1)
    for row, (tokens, places, past, _) in enumerate(batch):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        positions[row, : len(tokens)] = torch.tensor(places)
        sees[row, :, len(tokens) - len(past) :] = False  # the tree, but for what follows
        for index, earlier in past.items():
            sees[row, index, earlier] = True
    sees = torch.cat([torch.ones((count, width, shared), dtype=torch.bool), sees], -1).unsqueeze(1)
    cache = None
    if prefix is not None:
        cache = copy.deepcopy(prefix)
        cache.batch_repeat_interleave(count)
    hidden = body(
        input_ids=ids.to(device),
        attention_mask=sees.to(device),
        position_ids=positions.to(device),
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state
    where, wanted = [], []
    for row, (*_, reads) in enumerate(batch):
        for option in reads:
            where += [(row, at) for at, _ in option]
            wanted += [token for _, token in option]
    # an index is read once, however many options begin there
    unique = sorted(set(where))
    place = {key: number for number, key in enumerate(unique)}
    rows, columns = torch.tensor(unique, device=device).T
    logprobs = torch.log_softmax(head(hidden[rows, columns]), -1)
    flat = _finite(
        logprobs[
            torch.tensor([place[key] for key in where], device=device), torch.tensor(wanted, device=device)
        ].tolist()
    )
    found, cursor = [], 0
    for *_, reads in batch:
        row = []
        for option in reads:
            row.append(sum(flat[cursor : cursor + len(option)]))
            cursor += len(option)
        found.append(row)
    return found
