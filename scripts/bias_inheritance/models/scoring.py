"""Log-probabilities of answer options: the prompt is computed once, options branch off it in the same forward pass."""

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

    tokens and positions: of the whole row; sees: T × T, true where a token attends to another; reads: per option, (index
    in the row whose logits predict it, token) of each of its tokens.
    """

    tokens: list[int]
    positions: list[int]
    sees: "torch.Tensor"  # noqa: F821
    reads: list[list[tuple[int, int]]]


def _tree(prompt, options, offset):
    """The Tree of a prompt's options; the prompt's first token has the position `offset`.

    Options with a common prefix share its tokens. An option's last token is only predicted, so it is not in the tree.
    """
    import torch

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
    sees = torch.ones((len(tokens), len(tokens)), dtype=torch.bool).tril()
    sees[:, len(prompt) :] = False  # within the tree, a token attends only to its path
    for index, earlier in path.items():
        sees[index, earlier] = True
    return Tree(tokens, positions, sees, reads)


def _in_trees(model, opening, prompts, options, on_batch):
    head = network.float32_head(model)
    if any(prompt[: len(opening)] != opening or len(prompt) == len(opening) for prompt in prompts):
        opening = []  # a prompt whose first letters join the template's last token
    states_at = network.tree_states(model, opening)
    results = [None] * len(prompts)
    for indices in batches([len(prompt) for prompt in prompts]):
        trees = [_tree(prompts[index][len(opening) :], options[index], len(opening)) for index in indices]
        for index, logprobs in zip(indices, _read(head, states_at, trees), strict=True):
            results[index] = logprobs
        if on_batch:
            on_batch(len(indices))
    return results


def _read(head, states_at, trees):
    """Per tree, the log-probability of each token of each option; head and states_at: functions of `network`."""
    import torch

    reads = [(row, *read) for row, tree in enumerate(trees) for option in tree.reads for read in option]
    # each position is read once, for all options that branch off there
    places = {place: number for number, place in enumerate(sorted({(row, index) for row, index, _ in reads}))}
    logprobs = torch.log_softmax(head(states_at(trees, list(places))), -1)
    numbers, tokens = logprobs.new_tensor([(places[row, index], token) for row, index, token in reads], dtype=int).T
    each = iter(_finite(logprobs[numbers, tokens].tolist()))
    return [[list(itertools.islice(each, len(option))) for option in tree.reads] for tree in trees]
