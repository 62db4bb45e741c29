"""QLoRA fine-tuning: answer-only loss, an optional alignment term, checkpoints that resume to the same bits."""

import hashlib
import io
import itertools
import math
import operator
import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bias_inheritance.models.base import PACKED, allows, body_and_head, device, shared_opening
from bias_inheritance.plumbing import files

CHECKPOINT_SHARE = (
    0.02  # of the time may go into checkpoints: a small model has one every few steps, a large one per minute
)
WINDOW = 8  # batches whose samples are sorted by length among themselves


def training_order(lengths, epochs, batch_size, seed):
    """Batches of sample indices over all epochs: shuffled, then sorted by length inside windows of WINDOW batches.

    lengths: words per sample *before* mitigation, so that every mitigation sees the same order.
    """
    import numpy as np

    stream = np.random.default_rng(seed)
    for _ in range(epochs):
        order = stream.permutation(len(lengths)).tolist()
        epoch = []
        for start in range(0, len(order), WINDOW * batch_size):
            window = sorted(order[start : start + WINDOW * batch_size], key=lambda index: lengths[index])
            epoch += [window[first : first + batch_size] for first in range(0, len(window), batch_size)]
        yield from (epoch[index] for index in stream.permutation(len(epoch)))


def learning_rate(step, steps, peak, warmup_share):
    """Linear warm-up over the first share of steps, then a cosine to zero."""
    warmup = max(1, round(warmup_share * steps))
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def add_lora(model, settings, seed):
    """The model with a fresh LoRA on all linear layers but the output head (B starts at zero, A is drawn from `seed`).

    Raises RuntimeError where the model has an adapter already.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    from bias_inheritance.models.cpu_kernels.lora import assert_bare, fuse

    assert_bare(model)
    torch.manual_seed(seed)
    lora = LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules=settings["targets"],
        task_type="CAUSAL_LM",
    )
    tuned = get_peft_model(model, lora)
    if device() == "cpu":
        fuse(tuned)
    return tuned


@contextmanager
def in_compute_type(model):
    """Compute in the base's type from LoRA weights held in float32: autocast's work, without peft's copies of every input."""
    import torch
    from peft.helpers import disable_input_dtype_casting

    with (
        disable_input_dtype_casting(model),
        torch.autocast(model.device.type, dtype=torch.bfloat16, enabled=model.dtype == torch.bfloat16),
    ):
        yield


def answer_losses(body, head, samples):
    """The cross-entropy of each sample's answer, summed over its tokens (B, float, nats). Logits for those tokens only."""
    import torch

    row = _packed(body, samples)
    answers = [range(end - len(sample["answer"]), end) for sample, (_, end) in zip(samples, row.bounds, strict=True)]
    at = torch.tensor(list(itertools.chain(*answers)), dtype=torch.long, device=body.device)
    hidden = _hidden(body, row, wanted=at - 1) if _ends_early(body) else _hidden(body, row)[at - 1]
    losses = torch.nn.functional.cross_entropy(head(hidden).float(), row.ids[at], reduction="none")
    return torch.stack([part.sum() for part in losses.split([len(sample["answer"]) for sample in samples])])


def loss_shares(lengths):
    """What each sample's summed loss is multiplied by, so that the sum over a batch is its loss, by `loss_average`.

    lengths: answer tokens per sample, at least one of them above 0. `token`: the mean over all answer tokens of the
    batch, in which a text of 90 tokens outweighs a label of four. `sample`: the mean over samples of each one's own mean.
    """
    answered = sum(length > 0 for length in lengths)
    return {
        "token": [1 / sum(lengths)] * len(lengths),
        "sample": [1 / (length * answered) if length else 0.0 for length in lengths],
    }


def _ends_early(body):
    """Whether the body's last layer can be told where its output is wanted."""
    from bias_inheritance.models.cpu_kernels.lora import LastLayer

    return isinstance(getattr(body, "layers", [None])[-1], LastLayer)


def mean_hidden(body, samples):
    """φ of each sample: the mean of the last hidden layer over its answer-and-prompt tokens (B × width, float)."""
    import torch

    row = _packed(body, samples)
    hidden = _hidden(body, row).float()
    begun = hidden[: row.opening].sum(0)
    return torch.stack([(begun + hidden[first:end].sum(0)) / (row.opening + end - first) for first, end in row.bounds])


def alignment_loss(body, originals, augmented):
    """An unbiased estimate of ‖E_o[φ] − E_a[φ]‖² from one draw of each origin (study, section 6).

    The squared distance of two draws' means holds their own variance too, which would be pulled down where there is no
    gap at all; it is taken off, so an estimate can lie below zero.
    """
    phi = mean_hidden(body, originals + augmented)
    sides = phi[: len(originals)], phi[len(originals) :]
    gap = sides[0].mean(0) - sides[1].mean(0)
    return gap.square().sum() - sum(side.var(0).sum() / len(side) for side in sides)


class Row(NamedTuple):
    """Samples end to end in one row, in which no token is padding and none sees another sample.

    ids: N token ids; positions: their places in their samples; opening: the length of what all samples begin with, which
    stands once at the row's beginning; bounds: where the rest of each sample begins and ends.
    """

    ids: object
    positions: object
    opening: int
    bounds: list[tuple[int, int]]


def _packed(body, samples):
    """The Row of samples. Only plain attention knows of openings, so with another nothing is shared."""
    import torch

    from bias_inheritance.models.cpu_kernels import attention

    shares = body.config._attn_implementation == attention.NAME
    opening = shared_opening([sample["prompt"][:-1] for sample in samples]) if shares else []
    start = len(opening)
    rests = [(sample["prompt"] + sample["answer"])[start:] for sample in samples]
    ids = [*opening, *itertools.chain(*rests)]
    positions = [*range(start), *itertools.chain(*(range(start, start + len(rest)) for rest in rests))]
    bounds = list(itertools.pairwise(itertools.accumulate(map(len, rests), initial=start)))
    return Row(torch.tensor(ids, device=body.device), torch.tensor(positions, device=body.device), start, bounds)


def _hidden(body, row, **told):
    """Last hidden states of a row (N × width).

    Plain attention is told where samples end; for any other, transformers makes a mask from positions that begin anew.
    Some architectures know of neither: for them samples lie side by side, filled up behind their ends.
    """
    import torch

    if not allows(body, PACKED):
        parts = [row.ids[first:end] for first, end in row.bounds]
        ids, kept = (
            torch.nn.utils.rnn.pad_sequence(values, batch_first=True)
            for values in (parts, [torch.ones_like(part) for part in parts])
        )
        return body(input_ids=ids, attention_mask=kept, use_cache=False).last_hidden_state[kept.bool()]
    return body(
        input_ids=row.ids.unsqueeze(0),
        position_ids=row.positions.unsqueeze(0),
        cu_seq_lens_q=torch.tensor(sorted({0, *itertools.chain(*row.bounds)}), dtype=torch.int32),
        use_cache=False,
        **({"opening": row.opening} if row.opening else {}),
        **told,
    ).last_hidden_state[0]


def train(model, samples, settings, alignment, seed, work, on_step=None):
    """Train the LoRA weights of `model` in place; returns the log, one dict per optimiser step.

    samples: dicts with prompt and answer (token ids), origin and words (length before mitigation). settings:
    `loss_average` says which of `loss_shares` is minimised as the log's `sft_loss`; the log has both.
    alignment: None, or {weight, batch_size} of the `loss` mitigation, whose term every step has; its draws have a random
    stream of their own, so that the order of samples is that of any other mitigation.
    work: folder of the checkpoint; a checkpoint found there is continued from.
    Raises RuntimeError for a batch without an answer token, where no gradient reaches the first layer, and for a loss
    that is no finite number.
    """
    import numpy as np
    import torch

    body, head = body_and_head(model)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(
        weights, lr=settings["learning_rate"], weight_decay=settings["weight_decay"], fused=True
    )
    order = list(
        training_order([sample["words"] for sample in samples], settings["epochs"], settings["batch_size"], seed)
    )
    draws = np.random.default_rng([seed, 1])
    by_origin = {
        origin: [index for index, sample in enumerate(samples) if sample["origin"] == origin]
        for origin in ("original", "augmented")
    }
    model.train()
    checkpoint = Path(work) / "checkpoint.pt"
    log = _restore(checkpoint, weights, optimiser, draws)
    saved, cost = time.perf_counter(), 0.0
    for step in range(len(log), len(order)):
        started = time.perf_counter()
        rate = learning_rate(step, len(order), settings["learning_rate"], settings["warmup"])
        optimiser.param_groups[0]["lr"] = rate
        batch = [samples[index] for index in order[step]]
        lengths = [len(sample["answer"]) for sample in batch]
        if not any(lengths):
            raise RuntimeError(f"step {step + 1}: no sample of the batch has an answer token to learn")
        shares = loss_shares(lengths)
        summed = []
        size = settings["micro_batch_size"]
        for first in range(0, len(batch), size):
            micro_batch = slice(first, first + size)
            with in_compute_type(model):
                losses = answer_losses(body, head, batch[micro_batch])
            (losses * losses.new_tensor(shares[settings["loss_average"]][micro_batch])).sum().backward()
            summed += losses.tolist()
        means = {average: sum(map(operator.mul, of_batch, summed)) for average, of_batch in shares.items()}
        sft = means[settings["loss_average"]]
        align = None  # what a training without the term has in the log
        if alignment and by_origin["augmented"]:
            drawn = [
                [samples[index] for index in draws.choice(by_origin[origin], alignment["batch_size"])]
                for origin in ("original", "augmented")
            ]
            with in_compute_type(model):
                term = alignment_loss(body, *drawn)
            (alignment["weight"] * term).backward()
            align = term.item()
        if step == 0:
            _assert_gradient_reaches_first_layer(model)
        norm = torch.nn.utils.clip_grad_norm_(weights, settings["max_grad_norm"]).item()
        if not math.isfinite(norm + sft + (align or 0.0)):
            raise RuntimeError(
                f"step {step + 1}: the loss or its gradient is no finite number; lower the learning rate"
            )
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        tokens = sum(len(sample["prompt"]) + len(sample["answer"]) for sample in batch)
        weight = alignment["weight"] if alignment else 0.0
        log.append(
            {
                "step": step + 1,
                "loss": sft + weight * (align or 0.0),
                "sft_loss": sft,
                "sft_loss_token_mean": means["token"],
                "sft_loss_sample_mean": means["sample"],
                "alignment_loss": align,
                "learning_rate": rate,
                "gradient_norm": norm,
                "tokens": tokens,
                "tokens_per_second": tokens / (time.perf_counter() - started),
            }
        )
        if on_step:
            on_step(step + 1, len(order))
        last = step + 1 == len(order)
        if last or time.perf_counter() - saved >= cost / CHECKPOINT_SHARE:
            begun = time.perf_counter()
            _save(checkpoint, weights, optimiser, draws, log, finished=last)
            saved = time.perf_counter()
            cost = saved - begun
    model.eval()
    return log


def _assert_gradient_reaches_first_layer(model):
    """B is zero at the start, so A's gradient is too: B's gradient in the first layer tells whether training acts."""
    name, first = next((name, parameter) for name, parameter in model.named_parameters() if "lora_B" in name)
    if first.grad is None or not first.grad.abs().max() > 0:
        raise RuntimeError(f"no gradient reaches {name}: training would change nothing there")


def _save(path, weights, optimiser, draws, log, finished):
    """Write the state with its sha256 before it: torch itself does not notice bytes that changed."""
    import torch

    state = {
        "weights": [weight.detach() for weight in weights],
        "log": log,
        "draws": draws.bit_generator.state,
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),  # dropout draws from it; empty without a GPU
    }
    if not finished:
        state["optimiser"] = optimiser.state_dict()
    buffer = io.BytesIO()
    torch.save(state, buffer)
    with files.replacing(path) as temporary:
        temporary.write_bytes(hashlib.sha256(buffer.getbuffer()).digest() + buffer.getbuffer())


def _restore(path, weights, optimiser, draws):
    """Load a checkpoint into the given objects and return its log; a damaged one is put aside and training restarts."""
    import torch

    if not path.exists():
        return []
    content = path.read_bytes()
    if hashlib.sha256(content[32:]).digest() != content[:32]:
        os.replace(path, path.with_suffix(".broken"))
        print(
            f"{path}: the checkpoint is damaged; put aside as {path.with_suffix('.broken').name}, training starts over"
        )
        return []
    state = torch.load(io.BytesIO(content[32:]), weights_only=True)
    with torch.no_grad():
        for weight, saved in zip(weights, state["weights"], strict=True):
            weight.copy_(saved)
    if "optimiser" in state:
        optimiser.load_state_dict(state["optimiser"])
    draws.bit_generator.state = state["draws"]
    torch.set_rng_state(state["torch"])
    torch.cuda.set_rng_state_all(state["cuda"])
    print(f"continued after step {len(state['log'])}")
    return state["log"]
