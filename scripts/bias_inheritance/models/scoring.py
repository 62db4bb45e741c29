"""Log-probabilities of answer options: the prompt is computed once, options branch off it in the same forward pass."""

import copy
import itertools
import math
from typing import NamedTuple

from bias_inheritance.models import network

BATCH = 8  # prompts per forward pass; affects results in bf16
WINDOW = 32  # prompts are sorted by length within such a window, so an additional item affects few others


def batches(lengths):
    """Indices in batches of similar length; the partition of each window of WINDOW items depends on that window only."""
    for start in range(0, len(lengths), WINDOW):
        window = sorted(range(start, min(start + WINDOW, len(lengths))), key=lambda index: (lengths[index], index))
        for first in range(0, len(window), BATCH):
            yield window[first : first + BATCH]


def option_logprobs(model, opening, prompts, options, on_batch=None, *, tree):
    """Log-probability of each option's full token sequence after its prompt: N lists of floats (nats).

    The arguments are those of `token_logprobs`.
    """
    by_token = token_logprobs(model, opening, prompts, options, on_batch, tree=tree)
    return [list(map(sum, logprobs)) for logprobs in by_token]


def token_logprobs(model, opening, prompts, options, on_batch=None, *, tree):
    """Log-probability of each token of each option after its prompt: N lists of one list per option (nats).

    opening: token ids of the common prefix of all prompts, computed once (it depends only on the chat template, so that no
    answer depends on other prompts); prompts: N lists of token ids; options: N lists of lists of token ids (all non-empty);
    tree: whether a prompt's options may be computed in one pass with a custom mask (the model card's `option_tree`);
    otherwise each is a separate text.
    Raises RuntimeError for log-probabilities that are not finite.
    """
    import torch

    with torch.inference_mode():
        if tree and _longest(prompts, options) <= attention_window(model.config.get_text_config()):
            return _in_trees(model, opening, prompts, options, on_batch)
        return _one_by_one(model, prompts, options, on_batch)


def attention_window(config):
    """The smallest attention window of an architecture's layers, in tokens; inf without a window."""
    widths = [getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size")]
    return min([width for width in widths if width] or [math.inf])


def _longest(prompts, options):
    return max(len(prompt) + max(map(len, listed)) for prompt, listed in zip(prompts, options, strict=True))


def _finite(logprobs):
    if not all(map(math.isfinite, logprobs)):
        raise RuntimeError("the model gives log-probabilities that are not finite; its training diverged")
    return logprobs


def _one_by_one(model, prompts, options, on_batch):
    """The log-probabilities, with a separate text per option."""
    head, results = network.float32_head(model), []
    for prompt, listed in zip(prompts, options, strict=True):
        samples = [{"prompt": prompt, "answer": option} for option in listed]
        results.append([_finite((-losses).tolist()) for losses in network.token_losses(model, samples, head)])
        if on_batch:
            on_batch(1)
    return results


# ---- trees of options ----


class Tree(NamedTuple):
    """One row: the rest of a prompt, then its options as a tree, in which a token attends to the prompt and its own path.

    tokens and positions: of the whole row; path: {index in the row: indices of the tree's tokens that lead to it, itself
    included}; reads: per option, (index in the row whose logits predict it, token) of each of its tokens.
    """

    tokens: list[int]
    positions: list[int]
    path: dict[int, list[int]]
    reads: list[list[tuple[int, int]]]


def _tree(prompt, options, offset):
    """The Tree of a prompt's options; the prompt's first token has the position `offset`.

    Options with a common prefix share its tokens. An option's last token is only predicted, so it is not in the tree.
    """
    tokens, positions, path = list(prompt), list(range(offset, offset + len(prompt))), {}
    index_of = {(): len(prompt) - 1}  # prefix of an option: index of its last token
    for option in options:
        for length in range(1, len(option)):
            beginning = tuple(option[:length])
            if beginning not in index_of:
                index_of[beginning] = index = len(tokens)
                tokens.append(option[length - 1])
                positions.append(offset + len(prompt) + length - 1)
                path[index] = [index_of[beginning[:shorter]] for shorter in range(1, length + 1)]
    reads = [[(index_of[tuple(option[:place])], token) for place, token in enumerate(option)] for option in options]
    return Tree(tokens, positions, path, reads)


def _in_trees(model, opening, prompts, options, on_batch):
    import torch

    head, shared = network.float32_head(model), len(opening)
    if any(prompt[:shared] != opening or len(prompt) == shared for prompt in prompts):
        shared = 0  # a prompt whose first letters join the template's last token
    prefix = None
    if shared:
        ids = torch.tensor([opening], device=model.device)
        prefix = network.body(model)(input_ids=ids, use_cache=True).past_key_values
    results = [None] * len(prompts)
    for indices in batches([len(prompt) for prompt in prompts]):
        trees = [_tree(prompts[index][shared:], options[index], shared) for index in indices]
        for index, logprobs in zip(indices, _read(model, head, prefix, shared, trees), strict=True):
            results[index] = logprobs
        if on_batch:
            on_batch(len(indices))
    return results


def _read(model, head, prefix, shared, trees):
    """Per tree, the log-probability of each token of each option.

    prefix: a cache of the `shared` tokens before the trees, or None.
    """
    import torch

    count, width = len(trees), max(len(tree.tokens) for tree in trees)
    ids = torch.zeros((count, width), dtype=torch.long)
    positions = torch.zeros((count, width), dtype=torch.long)
    sees = torch.ones((width, width), dtype=torch.bool).tril().repeat(count, 1, 1)
    for row, tree in enumerate(trees):
        ids[row, : len(tree.tokens)] = torch.tensor(tree.tokens)
        positions[row, : len(tree.tokens)] = torch.tensor(tree.positions)
        sees[row, :, len(tree.tokens) - len(tree.path) :] = False  # within the tree, a token attends only to its path
        for index, earlier in tree.path.items():
            sees[row, index, earlier] = True
    sees = torch.cat([torch.ones((count, width, shared), dtype=torch.bool), sees], -1).unsqueeze(1)
    cache = copy.deepcopy(prefix)
    if cache is not None:
        cache.batch_repeat_interleave(count)
    hidden = network.body(model)(
        input_ids=ids.to(model.device),
        attention_mask=sees.to(model.device),
        position_ids=positions.to(model.device),
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state
    reads = [(row, *read) for row, tree in enumerate(trees) for option in tree.reads for read in option]
    # each position is read once, for all options that branch off there
    places = {place: number for number, place in enumerate(sorted({(row, index) for row, index, _ in reads}))}
    rows, columns = torch.tensor(list(places), device=model.device).T
    logprobs = torch.log_softmax(head(hidden[rows, columns]), -1)
    numbers, tokens = torch.tensor([(places[row, index], token) for row, index, token in reads], device=model.device).T
    each = iter(_finite(logprobs[numbers, tokens].tolist()))
    return [[list(itertools.islice(each, len(option))) for option in tree.reads] for tree in trees]
