"""The order of samples, and the learning rate of each step."""

import math

WINDOW = 8  # number of batches within which samples are sorted by length


def training_order(lengths, epochs, batch_size, seed):
    """Batches of sample indices over all epochs: shuffled, then sorted by length within windows of WINDOW batches.

    lengths: words per sample *before* mitigation, so that the order is the same for every mitigation.
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
