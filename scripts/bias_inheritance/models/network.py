"""Quantities computed from a causal language model: hidden states, logits and log-probabilities of answers.

The default is transformers' forward pass over padded batches. A Llama accelerated by cpu_kernels/ gives the same numbers;
it is recognised by the name of its attention.

A *sample* is a dict with `prompt` and `answer`, lists of token ids.
"""

import copy
import itertools
from contextlib import contextmanager
from functools import partial

CPU_KERNELS = "bias_inheritance_cpu_kernels"  # name of the kernels' attention in transformers


def accelerated(model):
    """Whether a model is computed by cpu_kernels/."""
    return model.config._attn_implementation == CPU_KERNELS


def inner(model):
    """The causal language model, without its adapter's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def body(model):
    """The transformer without its output layer, including an adapter."""
    return getattr(inner(model), inner(model).base_model_prefix)


@contextmanager
def in_compute_type(model):
    """Compute in the base's type although LoRA weights are float32: bf16 by autocast, or float32."""
    import torch
    from peft.helpers import disable_input_dtype_casting

    with (
        disable_input_dtype_casting(model),  # autocast handles it; peft would first copy every input to float32
        torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=model.dtype == torch.bfloat16),
    ):
        yield


def micro_batches(model, samples, size):
    """Slices of at most `size` samples; with the CPU kernels also of few enough tokens for the memory of a backward pass."""
    count = -(-len(samples) // size)
    if accelerated(model):
        from bias_inheritance.models.cpu_kernels import packed

        tokens = sum(len(sample["prompt"]) + len(sample["answer"]) for sample in samples)
        count = max(count, -(-tokens * model.dtype.itemsize // packed.LIMIT))
    size = -(-len(samples) // count)
    return [slice(first, first + size) for first in range(0, len(samples), size)]


# ---- hidden states ----


def answer_states(model, samples):
    """The last hidden states that predict each answer token, concatenated over samples (answer tokens × width)."""
    if accelerated(model):
        from bias_inheritance.models.cpu_kernels import packed

        return packed.answer_states(body(model), samples)
    hidden, _ = _padded(model, samples)
    places = [
        (row, len(sample["prompt"]) - 1 + place)
        for row, sample in enumerate(samples)
        for place in range(len(sample["answer"]))
    ]
    rows, columns = hidden.new_tensor(places, dtype=int).T
    return hidden[rows, columns]


def text_states(model, samples):
    """The last hidden states of each sample's prompt and answer: a list of (tokens × width)."""
    if accelerated(model):
        from bias_inheritance.models.cpu_kernels import packed

        return packed.text_states(body(model), samples)
    hidden, lengths = _padded(model, samples)
    return [row[:length] for row, length in zip(hidden, lengths, strict=True)]


def _padded(model, samples):
    """Last hidden states of a batch of samples, padded on the right (B × T × width), and their lengths."""
    import torch

    texts = [torch.tensor(sample["prompt"] + sample["answer"]) for sample in samples]
    ids, mask = (
        torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
        for rows in (texts, [torch.ones_like(text) for text in texts])
    )
    hidden = body(model)(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
    return hidden, list(map(len, texts))


def tree_states(model, opening):
    """A function (trees, places) → the last hidden states at `places`, (tree, index of its token) (places × width).

    All trees (as `scoring.Tree`) continue the tokens `opening`, which may be empty.
    """
    import torch

    if accelerated(model):
        from bias_inheritance.models.cpu_kernels import packed

        return partial(packed.tree_states, body(model), opening)
    prefix = None
    if opening:
        ids = torch.tensor([opening], device=model.device)
        prefix = body(model)(input_ids=ids, use_cache=True).past_key_values
    return partial(_padded_trees, model, prefix, len(opening))


def _padded_trees(model, prefix, shared, trees, places):
    """`tree_states` of a padded batch. prefix: a cache of the `shared` tokens before the trees, or None."""
    import torch

    count, width = len(trees), max(len(tree.tokens) for tree in trees)
    ids = torch.zeros((count, width), dtype=torch.long)
    positions = torch.zeros((count, width), dtype=torch.long)
    sees = torch.ones((width, shared + width), dtype=torch.bool).tril(shared).repeat(count, 1, 1)
    for row, tree in enumerate(trees):
        length = len(tree.tokens)
        ids[row, :length] = torch.tensor(tree.tokens)
        positions[row, :length] = torch.tensor(tree.positions)
        sees[row, :length, shared : shared + length] = tree.sees
    cache = copy.deepcopy(prefix)
    if cache is not None:
        cache.batch_repeat_interleave(count)
    hidden = body(model)(
        input_ids=ids.to(model.device),
        attention_mask=sees.unsqueeze(1).to(model.device),
        position_ids=positions.to(model.device),
        past_key_values=cache,
        use_cache=cache is not None,
    ).last_hidden_state
    rows, columns = hidden.new_tensor(places, dtype=int).T
    return hidden[rows, columns]


def new_cache(model):
    """An empty cache for sampling one batch."""
    if accelerated(model):
        from bias_inheritance.models.cpu_kernels import attention

        return attention.cache()
    from transformers import DynamicCache

    return DynamicCache()


# ---- logits ----


def head(model):
    """A function from hidden states (N × width) to the model's logits (N × V, float), rounded as the output layer does."""
    layer, finish = inner(model).get_output_embeddings(), _after_head(inner(model).config.get_text_config())
    return lambda hidden: finish(layer(hidden).float())


def float32_head(model):
    """A function from hidden states (N × width) to the model's logits (N × V) in float32, without gradients.

    A bf16 product is rounded to eight bits, so logits between 32 and 64 would be multiples of 0.25, which is as large as
    the effects that a study measures. The factors are still bf16 numbers; only the product is not rounded. The function
    keeps a copy of the weights (113 MB for 49,152 × 576 numbers), except on CUDA, where products of bf16 matrices are
    available in float32.
    """
    import torch

    layer, finish = inner(model).get_output_embeddings(), _after_head(inner(model).config.get_text_config())
    weight, bias = layer.weight, 0.0 if layer.bias is None else layer.bias.float()
    if weight.is_cuda and weight.dtype == torch.bfloat16:
        return lambda hidden: finish(torch.mm(hidden.bfloat16(), weight.T, out_dtype=torch.float32) + bias)
    wide = weight.float().T
    return lambda hidden: finish(hidden.float() @ wide + bias)


def _after_head(config):
    """An architecture's transformation of the output layer's logits: Granite and Cohere scale them, Gemma caps them.

    Architectures with other transformations are refused by examine.py, which compares with the model's own logits.
    """
    import torch

    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    cap = getattr(config, "final_logit_softcapping", None)

    def finish(logits):
        if scale != 1.0:
            logits = logits * scale
        return torch.tanh(logits / cap) * cap if cap else logits

    return finish


def answer_losses(model, samples, logits_of):
    """The cross-entropy of each sample's answer, summed over its tokens (B, nats); arguments as of `token_losses`."""
    import torch

    return torch.stack([losses.sum() for losses in token_losses(model, samples, logits_of)])


def token_losses(model, samples, logits_of):
    """The cross-entropy of each token of each sample's answer (B tensors, nats). Computes logits for those tokens only.

    logits_of: `head(model)`, or `float32_head(model)` if no gradient is needed.
    """
    import torch

    logits = logits_of(answer_states(model, samples))
    targets = torch.tensor(list(itertools.chain(*(sample["answer"] for sample in samples))), device=logits.device)
    losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
    return losses.split([len(sample["answer"]) for sample in samples])
