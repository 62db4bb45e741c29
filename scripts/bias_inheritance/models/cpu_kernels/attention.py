"""Attention as plain matrix products, and a cache with spare capacity: fastest on a CPU at these lengths.

At a few hundred tokens, torch's fused CPU attention spends most of its backward pass on overhead, and it does not support
sequences packed into one row. A cache that grows by concatenation is copied at every token. CUDA uses the fused kernels.
"""

import itertools

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import sdpa_mask

from bias_inheritance.models import network

ROOM = 64  # tokens that a full cache grows by
# arguments that do not change what attention computes; `output_places` is for layers.LastLayer
WITHOUT_EFFECT = {"position_ids", "use_cache", "output_router_logits", "output_places"}


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
    cu_seq_lens_q=None,
    opening=0,
    blocked=None,
    **others,
):
    """Softmax(q·kᵀ·scaling)·v with heads that share a key in one product.

    query: B × H × T × d; key, value: B × K × S × d with K dividing H; attention_mask: B × 1 × T × S, true where a token
    may attend, or None; cu_seq_lens_q: boundaries of the sequences packed into a single row, or None; opening: length of
    the first sequence if all others continue it, else 0; blocked: per packed sequence, T × T, true where a token may not
    attend to another (default: to later ones). Returns (B × T × H × d, None).
    Raises Unsupported for options that would change the result: a cap, a window, sinks, dropout, anything unknown.
    """
    unknown = [name for name, setting in others.items() if setting is not None and name not in WITHOUT_EFFECT]
    if unknown or dropout:
        raise Unsupported(f"attention with {', '.join(unknown) or 'dropout'} is not computed by the CPU kernels")
    if cu_seq_lens_q is not None:
        bounds = list(itertools.pairwise(cu_seq_lens_q.tolist()))
        return PackedAttention.apply(query, key, value, scaling, bounds, opening, blocked), None
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


class PackedAttention(torch.autograd.Function):
    """Attention within each of the sequences packed into one row; none attends to another.

    query: 1 × H × N × d; key, value: 1 × K × N × d; bounds: start and end of each sequence; opening: length of the first
    sequence if it is a prefix of all others, else 0; blocked: per sequence, T × T, true where a token may not attend to
    another of its sequence, or None for causal attention. Only the probabilities are kept for the backward pass.
    Returns 1 × N × H × d.
    """

    @staticmethod
    @torch.amp.custom_fwd(device_type="cpu", cast_inputs=torch.bfloat16)
    def forward(context, query, key, value, scaling, bounds, opening, blocked):
        _, heads, length, width = query.shape
        shared = key.shape[1]
        mixed, kept = query.new_empty((1, length, heads, width)), []
        query = query * scaling
        if blocked is None:
            longest = max(end - first for first, end in bounds)
            ahead = torch.ones((longest, longest), dtype=torch.bool).triu(1)
            blocked = [ahead[: end - first, : end - first] for first, end in bounds]
        for (first, end), unseen in zip(bounds, blocked, strict=True):
            q = query[0, :, first:end].reshape(shared, -1, width)
            k, v = (_seen(states, first, end, opening) for states in (key, value))
            scores = torch.bmm(q, k.mT).view(heads, end - first, -1)
            among_themselves = scores[:, :, first - end :]
            among_themselves.masked_fill_(unseen, torch.finfo(scores.dtype).min)
            weights = torch.softmax(scores, -1).view(shared, -1, scores.shape[-1])
            mixed[0, first:end] = torch.bmm(weights, v).view(heads, -1, width).transpose(0, 1)
            kept.append(weights)
        context.save_for_backward(query, key, value, *kept)
        context.scaling, context.bounds, context.opening = scaling, bounds, opening
        return mixed

    @staticmethod
    @torch.amp.custom_bwd(device_type="cpu")
    def backward(context, gradient):
        query, key, value, *kept = context.saved_tensors
        heads, shared, width = query.shape[1], key.shape[1], query.shape[-1]
        of_query, of_key, of_value = (torch.empty_like(states) for states in (query, key, value))
        # every sequence attends to the opening, which comes first; the others add to its gradient
        for (first, end), weights in zip(context.bounds, kept, strict=True):
            q = query[0, :, first:end].reshape(shared, -1, width)
            k, v = (_seen(states, first, end, context.opening) for states in (key, value))
            of_mixed = gradient[0, first:end].transpose(0, 1).reshape(shared, -1, width)
            of_weights = torch.bmm(of_mixed, v.mT)
            of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
            of_query[0, :, first:end] = torch.bmm(of_scores, k).view(heads, -1, width)
            for total, part in ((of_key, torch.bmm(of_scores.mT, q)), (of_value, torch.bmm(weights.mT, of_mixed))):
                total[0, :, first:end] = part[:, first - end :]
                if first:
                    total[0, :, : context.opening] += part[:, : context.opening]
        return of_query * context.scaling, of_key, of_value, None, None, None, None


def _seen(states, first, end, opening):
    """The keys or values (K × S × d) that a sequence attends to: its own, preceded by those of the opening."""
    sequence = states[0, :, first:end]
    return torch.cat([states[0, :, :opening], sequence], 1) if opening and first else sequence


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
