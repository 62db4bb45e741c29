"""The alignment term of the mitigation `loss`, which reduces the distance of hidden states of originals and augmented samples."""

from bias_inheritance.models import network


def loss(model, batch, step, *, originals, augmented, seed, weight, batch_size):
    """`weight` times the squared distance of the two origins, estimated from `batch_size` samples of each.

    The samples are drawn separately, so that the order of training is the same as for any other mitigation.
    """
    import numpy as np

    draws = np.random.default_rng([seed, 1, step])
    drawn = [[side[index] for index in draws.choice(len(side), batch_size)] for side in (originals, augmented)]
    with network.in_compute_type(model):
        distance = squared_distance(model, *drawn)
    (weight * distance).backward()
    return weight * distance.item(), {"alignment_loss": distance.item()}


def squared_distance(model, originals, augmented):
    """An unbiased estimate of ‖E_o[φ] − E_a[φ]‖² from one draw of each origin.

    The squared distance between two sample means includes their variance, which would be minimised even without a
    difference; it is subtracted, so an estimate can be negative.
    """
    phi = mean_states(model, originals + augmented)
    sides = phi[: len(originals)], phi[len(originals) :]
    gap = sides[0].mean(0) - sides[1].mean(0)
    return gap.square().sum() - sum(side.var(0).sum() / len(side) for side in sides)


def mean_states(model, samples):
    """φ of each sample: the mean of the last hidden layer over its prompt and answer tokens (B × width, float)."""
    import torch

    return torch.stack([states.float().mean(0) for states in network.text_states(model, samples)])
