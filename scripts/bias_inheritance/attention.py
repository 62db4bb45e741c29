"""Attention as plain matrix products, and a cache with room to grow: what a CPU computes fastest at these lengths.

torch's fused attention for CPUs spends most of its backward pass on bookkeeping at some hundred tokens, and a cache that
grows by concatenation copies itself at every token. On CUDA the fused kernels stay.
"""

import torch
from transformers import AttentionInterface
from transformers.cache_utils import Cache, DynamicLayer
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask

NAME = "plain"
ROOM = 64  # tokens that a full cache grows by


def plain_attention(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
    """Softmax(q·kᵀ·scaling)·v with heads that share a key in one product.

    query: B × H × T × d; key, value: B × K × S × d with K dividing H; attention_mask: B × 1 × T × S, true where a token
    may look, or None. Returns (B × T × H × d, None).
    """
    batch, heads, length, width = query.shape
    shared, seen = key.shape[1], key.shape[2]
    folded = (batch, shared, heads // shared * length, width)
    scores = torch.matmul((query * scaling).reshape(folded), key.transpose(2, 3)).view(batch, heads, length, seen)
    if attention_mask is not None:
        scores.masked_fill_(~attention_mask, torch.finfo(scores.dtype).min)
    weights = torch.softmax(scores, -1).to(query.dtype)
    mixed = torch.matmul(weights.view(*folded[:3], seen), value).view(batch, heads, length, width)
    return mixed.transpose(1, 2).contiguous(), None


def causal_mask(*arguments, **options):
    """The boolean mask that torch's own attention takes, but never left out where a token must not look ahead."""
    return sdpa_mask(*arguments, **{**options, "allow_is_causal_skip": False})


class Roomy(DynamicLayer):
    """One layer's keys and values (B × K × S × d), views of buffers that grow by ROOM tokens at a time."""

    def update(self, key_states, value_states, *_, **__):
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self.room = [states[:, :, :0] for states in (key_states, value_states)]
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        if end > self.room[0].shape[2]:
            self.room = [_grown(old, start, end + ROOM) for old in self.room]
        for buffer, states in zip(self.room, (key_states, value_states), strict=True):
            buffer[:, :, start:end] = states
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices):
        end = self.get_seq_length()
        self.room = [buffer[indices] for buffer in self.room]
        self._show(end)

    def _show(self, end):
        self.keys, self.values = (buffer[:, :, :end] for buffer in self.room)


def _grown(buffer, used, size):
    batch, heads, _, width = buffer.shape
    grown = buffer.new_empty((batch, heads, size, width))
    grown[:, :, :used] = buffer[:, :, :used]
    return grown


def cache():
    """An empty cache for the sampling of one batch."""
    return Cache(layer_class_to_replicate=Roomy)


AttentionInterface.register(NAME, plain_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, causal_mask)
