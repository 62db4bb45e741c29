"""Samples packed into one row without padding; the common prefix of their prompts is computed once."""

import itertools
from typing import NamedTuple

import torch

from bias_inheritance.models.chat import shared_beginning
from bias_inheritance.models.cpu_kernels import attention

# bytes that one number of each token of a row takes in training: 900 tokens in float32, for which the embedded model keeps
# 0.6 GB until the backward pass. Shorter rows take more time per token.
LIMIT = 3600


class Row(NamedTuple):
    """Samples in one row, in which no token attends to another sample.

    ids: N token ids; positions: their positions in their samples; opening: length of the samples' common prefix, stored once
    at the start of the row; bounds: start and end of the rest of each sample.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    opening: int
    bounds: list[tuple[int, int]]


def answer_states(body, samples):
    """The last hidden states that predict each answer token, concatenated over samples (answer tokens × width)."""
    row = pack(samples)
    places = [range(end - len(sample["answer"]), end) for sample, (_, end) in zip(samples, row.bounds, strict=True)]
    return _hidden(body, row, output_places=torch.tensor(list(itertools.chain(*places))) - 1)


def text_states(body, samples):
    """The last hidden states of each sample's prompt and answer: a list of (tokens × width)."""
    row = pack(samples)
    hidden = _hidden(body, row)
    return [torch.cat([hidden[: row.opening], hidden[first:end]]) for first, end in row.bounds]


def tree_states(body, opening, trees, places):
    """The last hidden states at `places`, (tree, index of its token), of trees that all continue the tokens `opening`.

    trees: as `scoring.Tree`, with `tokens`, `positions` and the matrix `sees`.
    """
    row = _row(opening, [tree.tokens for tree in trees], [tree.positions for tree in trees])
    starts = [first for first, _ in row.bounds]
    chosen = torch.tensor([starts[tree] + index for tree, index in places])
    return _hidden(body, row, sees=[tree.sees for tree in trees], output_places=chosen)


def pack(samples):
    """The Row of samples. The last token of a prompt is never shared, because it predicts the answer's first token."""
    opening = shared_beginning([sample["prompt"][:-1] for sample in samples])
    start = len(opening)
    rests = [(sample["prompt"] + sample["answer"])[start:] for sample in samples]
    return _row(opening, rests, [range(start, start + len(rest)) for rest in rests])


def _row(opening, rests, positions):
    """The Row of an opening and its continuations, given by their token ids and positions."""
    ids = [*opening, *itertools.chain(*rests)]
    places = [*range(len(opening)), *itertools.chain(*positions)]
    bounds = list(itertools.pairwise(itertools.accumulate(map(len, rests), initial=len(opening))))
    return Row(torch.tensor(ids), torch.tensor(places), len(opening), bounds)


def _hidden(body, row, sees=None, **options):
    """Last hidden states of a row (N × width, or of the tokens at `output_places`)."""
    return body(
        input_ids=row.ids.unsqueeze(0),
        position_ids=row.positions.unsqueeze(0),
        packing=attention.packing(row.opening, row.bounds, sees),
        use_cache=False,
        **options,
    ).last_hidden_state[0]
