"""Attention as plain matrix products, and a cache with spare capacity: fastest on a CPU at these lengths.

At a few hundred tokens, torch's fused CPU attention spends most of its backward pass on overhead, and it does not support
sequences packed into one row. A cache that grows by concatenation is copied at every token. CUDA uses the fused kernels.
"""

from dataclasses import dataclass

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import sdpa_mask

from bias_inheritance.models import network

ROOM = 64  # tokens that a full cache grows by
# arguments that do not change what attention computes
WITHOUT_EFFECT = {"position_ids", "use_cache", "output_router_logits"}
TOGETHER = 2  # packed sequences in one product: more of them exceed the processor's caches


def register():
    """Register this attention and its mask with transformers; models use them only if configured to."""
    AttentionInterface.register(network.CPU_KERNELS, cpu_attention)
    AttentionMaskInterface.register(network.CPU_KERNELS, causal_mask)


def cpu_attention(
    module,
    query,
    key,
    value,
    attention_mask,
    scaling,
    dropout=0.0,
    packing=None,
    **others,
):
    """Softmax(q·kᵀ·scaling)·v with heads that share a key in one product.

    query: B × H × T × d; key, value: B × K × S × d with K dividing H; attention_mask: B × 1 × T × S, true where a token
    may attend, or None; packing: the blocks of the samples in a single row, or None. Returns (B × T × H × d, None).
    Raises Unsupported for options that would change the result: a cap, a window, sinks, dropout, anything unknown.
    """
    unknown = [name for name, setting in others.items() if setting is not None and name not in WITHOUT_EFFECT]
    if unknown or dropout:
        raise Unsupported(f"attention with {', '.join(unknown) or 'dropout'} is not computed by the CPU kernels")
    if packing is not None:
        return PackedAttention.apply(query, key, value, scaling, packing), None
    batch, heads, length, width = query.shape
    shared, seen = key.shape[1], key.shape[2]
    folded = (batch, shared, heads // shared * length, width)
    query = (query * scaling).reshape(folded)
    if length == 1:  # a cache's keys are in a larger buffer, and would be copied as the right factor
        scores = torch.matmul(key, query.mT).mT.reshape(batch, heads, length, seen)
    else:
        scores = torch.matmul(query, key.mT).view(batch, heads, length, seen)
    if attention_mask is not None:
        scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, -1).to(query.dtype)
    mixed = torch.matmul(weights.view(*folded[:3], seen), value).view(batch, heads, length, width)
    return mixed.transpose(1, 2).contiguous(), None


class Unsupported(ValueError):
    """An architecture's attention differs from what `cpu_attention` computes."""


@dataclass(frozen=True)
class Block:
    """S consecutive sequences of a row, padded to T tokens, each preceded by `prefix` tokens of the opening.

    first, end: their place in the row; tokens: S·T places in the row of the padded tokens; padding: which of them are
    padding; order: for each token of the block, its place among the S·T; unseen: S × 1 × T × (prefix + T), true where a
    token does not attend to another.
    """

    first: int
    end: int
    prefix: int
    tokens: torch.Tensor
    padding: torch.Tensor
    order: torch.Tensor
    unseen: torch.Tensor


def packing(opening, bounds, sees=None):
    """The blocks of a row of an opening (its length) and sequences (start and end of each), the opening's first.

    No sequence attends to another, but all attend to the opening. sees: per sequence, T × T, true where a token attends to
    another; None for causal attention.
    """
    blocks = [_block([(0, opening)], 0, None)] if opening else []
    for first in range(0, len(bounds), TOGETHER):
        part = slice(first, first + TOGETHER)
        blocks.append(_block(bounds[part], opening, sees and sees[part]))
    return blocks


def _block(bounds, prefix, sees):
    lengths = [end - first for first, end in bounds]
    count, longest, start = len(bounds), max(lengths), bounds[0][0]
    causal = torch.ones((longest, longest), dtype=torch.bool).tril()
    unseen = torch.ones((count, 1, longest, prefix + longest), dtype=torch.bool)
    tokens = torch.full((count, longest), start)
    for row, ((first, end), length) in enumerate(zip(bounds, lengths, strict=True)):
        tokens[row, :length] = torch.arange(first, end)
        unseen[row, 0, :length, :prefix] = False
        unseen[row, 0, :length, prefix : prefix + length] = ~(sees[row] if sees else causal[:length, :length])
    used = torch.arange(longest) < torch.tensor(lengths).unsqueeze(1)
    places = torch.arange(count * longest)
    return Block(
        start, bounds[-1][1], prefix, tokens.flatten(), places[~used.flatten()], places[used.flatten()], unseen
    )


def attend(query, key, value, packing):
    """Attention within each sequence of a packed row: N × (H·d).

    query: N × H × d, already multiplied by the factor of the scores; key, value: N × K × d with K dividing H.
    """
    mixed = query.new_empty((len(query), query.shape[1] * query.shape[2]))
    for block in packing:
        _, _, v, weights = _weights(query, key, value, block)
        mixed[block.first : block.end] = _row_order(torch.bmm(weights, v), block, query.shape)
    return mixed


def attend_backward(query, key, value, of_mixed, packing):
    """What `attend` returned, and the gradients of query, key and value from that of it."""
    mixed, of_query, of_key, of_value = (torch.empty_like(states) for states in (of_mixed, query, key, value))
    for block in packing:
        q, k, v, weights = _weights(query, key, value, block)
        span = slice(block.first, block.end)
        mixed[span] = _row_order(torch.bmm(weights, v), block, query.shape)
        of_output = _in_heads(of_mixed.view(query.shape), key.shape[1], block, clear=True)
        of_scores = torch._softmax_backward_data(torch.bmm(of_output, v.mT), weights, -1, weights.dtype)
        of_query[span] = _row_order(torch.bmm(of_scores, k), block, query.shape).view(-1, *query.shape[1:])
        for total, part in ((of_key, torch.bmm(of_scores.mT, q)), (of_value, torch.bmm(weights.mT, of_output))):
            part = part.view(-1, key.shape[1], *part.shape[1:])  # S × K × (prefix + T) × d
            total[span] = _row_order(part[:, :, block.prefix :], block, key.shape).view(-1, *key.shape[1:])
            if block.prefix:
                total[: block.prefix] += part[:, :, : block.prefix].sum(0).transpose(0, 1)
    return mixed, of_query, of_key, of_value


def _weights(query, key, value, block):
    """Queries (S·K × (H/K)·T × d), keys and values (S·K × (prefix + T) × d) of a block, and the attention weights."""
    shared, heads = key.shape[1], query.shape[1]
    q = _in_heads(query, shared, block)
    k, v = (_with_prefix(_in_heads(states, shared, block), states, block) for states in (key, value))
    scores = torch.bmm(q, k.mT)
    scores.view(-1, heads, *block.unseen.shape[2:]).masked_fill_(block.unseen, torch.finfo(scores.dtype).min)
    return q, k, v, torch.softmax(scores, -1)


def _in_heads(states, shared, block, clear=False):
    """The tokens of a block (rows × H × d), padded, by sequence and shared head: S·K × (H/K)·T × d."""
    _, heads, width = states.shape
    padded = states.index_select(0, block.tokens)
    if clear:
        padded.index_fill_(0, block.padding, 0.0)
    longest = block.unseen.shape[2]
    return padded.view(-1, longest, heads, width).transpose(1, 2).reshape(-1, heads // shared * longest, width)


def _with_prefix(padded, states, block):
    if not block.prefix:
        return padded
    count, shared = len(block.unseen), states.shape[1]
    prefix = states[: block.prefix].transpose(0, 1).expand(count, -1, -1, -1).reshape(count * shared, block.prefix, -1)
    return torch.cat([prefix, padded], 1)


def _row_order(padded, block, shape):
    """The reverse of `_in_heads`: tokens of the block × (H·d); shape: of the row's states."""
    _, heads, width = shape
    longest = block.unseen.shape[2]
    return (
        padded.reshape(-1, heads, longest, width)
        .transpose(1, 2)
        .reshape(-1, heads * width)
        .index_select(0, block.order)
    )


class PackedAttention(torch.autograd.Function):
    """`attend` for layers that are not fused; query: 1 × H × N × d; key, value: 1 × K × N × d. Returns 1 × N × H × d."""

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(context, query, key, value, scaling, packing):
        query, key, value = (states[0].transpose(0, 1) for states in (query * scaling, key, value))
        context.save_for_backward(query, key, value)
        context.scaling, context.packing = scaling, packing
        return attend(query, key, value, packing).view(1, *query.shape)

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context, gradient):
        states = context.saved_tensors
        _, *of_states = attend_backward(*states, gradient.reshape(len(states[0]), -1), context.packing)
        of_query, of_key, of_value = (of.transpose(0, 1).unsqueeze(0) for of in of_states)
        return of_query * context.scaling, of_key, of_value, None, None


def causal_mask(*arguments, **options):
    """The boolean mask for torch's attention, also if transformers would rely on `is_causal`."""
    return sdpa_mask(*arguments, **{**options, "allow_is_causal_skip": False})


class GrowingLayer(DynamicLayer):
    """One layer's keys and values (B × K × S × d), views of buffers that grow by ROOM tokens at a time."""

    def update(self, key_states, value_states, *_, **__):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.buffers = [states[:, :, :0] for states in (key_states, value_states)]
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        if end > self.buffers[0].shape[2]:
            self.buffers = [_grown(old, start, end + ROOM) for old in self.buffers]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices):
        """Keep the rows `indices`; rows that move in from behind the last one kept are copied, and no others."""
        end, count = self.get_seq_length(), len(indices)
        moved = [(place, index) for place, index in enumerate(indices.tolist()) if place != index]
        if all(index >= count for _, index in moved):
            for buffer in self.buffers:
                for place, index in moved:
                    buffer[place, :, :end] = buffer[index, :, :end]
            self.buffers = [buffer[:count] for buffer in self.buffers]
        else:
            self.buffers = [buffer[indices] for buffer in self.buffers]
        self._show(end)

    def _show(self, end):
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.buffers)


def _grown(buffer, used, size):
    batch, heads, _, width = buffer.shape
    grown = buffer.new_empty((batch, heads, size, width))
    grown[:, :, :used] = buffer[:, :, :used]
    return grown


def cache():
    """An empty cache for sampling one batch."""
    return Cache(layer_class_to_replicate=GrowingLayer)
