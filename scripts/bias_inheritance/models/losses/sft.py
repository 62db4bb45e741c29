"""Supervised fine-tuning: the cross-entropy of the answers."""

import operator

from bias_inheritance.models import network


def loss(model, batch, step, *, average, micro_batch_size):
    """The loss of a batch, averaged according to `average` (see `loss_shares`), in micro-batches; the log has both averages.

    A sample may have a `weight`, by which its loss is multiplied. Raises RuntimeError if no sample has an answer token.
    """
    lengths = [len(sample["answer"]) for sample in batch]
    if not any(lengths):
        raise RuntimeError(f"step {step + 1}: no sample of the batch has an answer token")
    shares, sums = loss_shares(lengths, [sample.get("weight", 1.0) for sample in batch]), []
    for part in network.micro_batches(model, batch, micro_batch_size):
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
    """Factors of the samples' summed losses, so that their sum over a batch is its loss, for each way of averaging.

    lengths: answer tokens per sample, at least one of them above 0. weights: of the samples, with mean 1 over the training
    set; None for 1. A batch is not divided by its total weight, which would undo the weights in small batches.
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
