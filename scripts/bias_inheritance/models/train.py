"""The training loop: AdamW over the adapter's weights, a few losses, checkpoints."""

import math
import time
from pathlib import Path

from bias_inheritance.models import checkpoint, schedule

# maximum share of the time for checkpoints: every few steps for a small model, every minute for a large one
CHECKPOINT_SHARE = 0.02


def train(model, samples, settings, losses, seed, work, on_step=None):
    """Train the adapter of `model` in place; returns the log, one dict per optimiser step.

    samples: dicts with prompt and answer (token ids), words (length before mitigation), and the keys that losses read.
    losses: callables (model, batch, step) whose sum is minimised (see losses/). seed: of the order of samples. work: folder
    of the checkpoint, from which training resumes if there is one. on_step: called with (steps done, all steps).
    Raises RuntimeError if no gradient reaches the first layer, or if a loss or a gradient is not finite.
    """
    import torch

    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    peak = settings["learning_rate"]
    optimiser = torch.optim.AdamW(weights, lr=peak, weight_decay=settings["weight_decay"], fused=True)
    lengths = [sample["words"] for sample in samples]
    batches = list(schedule.training_order(lengths, settings["epochs"], settings["batch_size"], seed))
    saved_state = Path(work) / "checkpoint.pt"
    log = checkpoint.restore(saved_state, weights, optimiser)
    for weight in weights:  # kept for all steps: allocated within a backward pass, they would fragment the memory
        weight.grad = torch.zeros_like(weight)
    model.train()
    last_save, cost_of_saving = time.perf_counter(), 0.0
    for step in range(len(log), len(batches)):
        started = time.perf_counter()
        batch = [samples[index] for index in batches[step]]
        rate = schedule.learning_rate(step, len(batches), peak, settings["warmup"])
        optimiser.param_groups[0]["lr"] = rate
        values, columns = zip(*(loss(model, batch, step) for loss in losses), strict=True)
        if step == 0:
            _assert_gradient_reaches_first_layer(model)
        norm = torch.nn.utils.clip_grad_norm_(weights, settings["max_grad_norm"]).item()
        if not math.isfinite(norm + sum(values)):
            raise RuntimeError(f"step {step + 1}: the loss or its gradient is not finite; lower the learning rate")
        optimiser.step()
        optimiser.zero_grad(set_to_none=False)
        tokens = sum(len(sample["prompt"]) + len(sample["answer"]) for sample in batch)
        log.append(
            {"step": step + 1, "loss": sum(values)}
            | {name: value for of_loss in columns for name, value in of_loss.items()}
            | {"learning_rate": rate, "gradient_norm": norm, "tokens": tokens}
            | {"tokens_per_second": tokens / (time.perf_counter() - started)}
        )
        if on_step:
            on_step(step + 1, len(batches))
        finished = step + 1 == len(batches)
        if finished or time.perf_counter() - last_save >= cost_of_saving / CHECKPOINT_SHARE:
            begun = time.perf_counter()
            checkpoint.save(saved_state, weights, optimiser, log, finished)
            last_save = time.perf_counter()
            cost_of_saving = last_save - begun
    model.eval()
    return log


def _assert_gradient_reaches_first_layer(model):
    """B is zero at the start, so A's gradient is too; B's gradient in the first layer shows whether training has an effect."""
    name, first = next((name, parameter) for name, parameter in model.named_parameters() if "lora_B" in name)
    if first.grad is None or not first.grad.abs().max() > 0:
        raise RuntimeError(f"no gradient reaches {name}: training would not change it")
