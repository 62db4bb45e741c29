"""Supervised fine-tuning: the cross-entropy of the answers."""

import operator

from bias_inheritance.models import network


def loss(model, batch, step, *, average, micro_batch_size):
    """The loss of a batch, averaged as `average` says (see `loss_shares`), over micro-batches; the log has both averages.

    A sample may have a `weight`, by which its loss is multiplied. Raises RuntimeError if no sample has an answer token.
    """
    lengths = [len(sample["answer"]) for sample in batch]
    if not any(lengths):
        raise RuntimeError(f"step {step + 1}: no sample of the batch has an answer token to learn")
    shares, sums = loss_shares(lengths, [sample.get("weight", 1.0) for sample in batch]), []
    for first in range(0, len(batch), micro_batch_size):
        part = slice(first, first + micro_batch_size)
        with network.in_compute_type(model):
            losses = network.answer_losses(model, batch[part], network.head(model))
        (losses * losses.new_tensor(shares[average][part])).sum().backward()
        sums += losses.tolist()
    means = {kind: sum(map(operator.mul, of_batch, sums)) for kind, of_batch in shares.items()}
    return means[average], {
        "sft_loss": means[average],
        "sft_loss_token_mean": means["token"],
        "sft_loss_sample_mean": means["sample"],
    }


def loss_shares(lengths, weights=None):
    """What each sample's summed loss is multiplied by, so that the sum over a batch is its loss, for each way to average.

    lengths: answer tokens per sample, at least one of them above 0. weights: of the samples, on average 1 over all that
    are trained on; None for 1. A batch is not divided by its own weights, or a small one would undo them.
    `token`: the mean over all answer tokens of the batch, in which a text of 90 tokens outweighs a label of four.
    `sample`: the mean over samples of each one's own mean.
    """
    weights = weights or [1.0] * len(lengths)
    answered = sum(length > 0 for length in lengths)
    return {
        "token": [weight / sum(lengths) for weight in weights],
        "sample": [
            weight / (length * answered) if length else 0.0 for length, weight in zip(lengths, weights, strict=True)
        ],
    }
