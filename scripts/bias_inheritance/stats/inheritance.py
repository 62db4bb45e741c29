"""How much of a group–label association in the training data arrives in the model (study, section 1).

An association is a table over labels ℓ and contrasts g, each of a reference with a compared group, of how much more the
reference goes with a label than the compared group does, in nats. The inheritance coefficient β is the slope of the model's table on the data's, both minus those of a
baseline without association. All functions take whatever axes come before [labels × contrasts], so that the simulations of
tests/null run through the code that a study runs through.
"""

from bias_inheritance.stats import statistics

SMOOTHING = 0.5  # added to each count of a label in a group
NOTHING = 1e-12  # a sum of squares below it is rounding


def association(labels, sides, label_set):
    """x [labels × contrasts] of a training mix: log P(ℓ | reference) − log P(ℓ | compared), counts smoothed by 0.5.

    labels: one per sample. sides: bool [contrasts × 2 × samples], which samples are of each contrast's reference and
    compared group; samples of neither do not count. label_set: the labels, in the order of x's rows.
    """
    import numpy as np

    labels = np.asarray(labels, dtype=object)
    of_label = np.array([labels == label for label in label_set], dtype=float)
    counts = np.einsum("li,csi->slc", of_label, np.asarray(sides, dtype=float))
    return association_of_counts(*counts)


def association_of_counts(reference, compared):
    """x [… × labels × contrasts] of the counts of the references and of the compared groups, [… × labels × contrasts] each."""
    import numpy as np

    def log_share(counts):
        smoothed = np.asarray(counts, dtype=float) + SMOOTHING
        return np.log(smoothed / smoothed.sum(-2, keepdims=True))

    return log_share(reference) - log_share(compared)


def option_log_probabilities(logprobs):
    """log p [… × items × labels], normalised over the options, of the options' log-probabilities [… × items × labels]."""
    from scipy.special import log_softmax

    return log_softmax(logprobs, axis=-1)


def pairing(labels, sides, clusters, label_set):
    """(weights [contrasts × labels × 2 × items], pairs [contrasts × labels]) by which items stand for each side.

    sides: bool [contrasts × 2 × items], which items are of the reference (0) and of the compared group (1). Where clusters
    (content twins) hold both sides of a true label, only these count, each as one pair; else all items of the label do, as
    matched strata, and the smaller side's number counts as pairs. A label that lacks a side has no pair and weight 0. The
    weights of a side add up to the pairs.
    """
    import numpy as np

    labels = np.asarray(labels, dtype=object)
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    weights = np.zeros((len(sides), len(label_set), 2, len(labels)))
    pairs = np.zeros((len(sides), len(label_set)), dtype=int)
    for column, contrast in enumerate(sides):
        for row, label in enumerate(label_set):
            of_label = [(labels == label) & side for side in contrast]
            sizes = [np.bincount(cluster[side], minlength=len(names)) for side in of_label]
            twins = np.minimum(*sizes) > 0
            if twins.any():
                pairs[column, row] = twins.sum()
                for number, (side, size) in enumerate(zip(of_label, sizes, strict=True)):
                    chosen = side & twins[cluster]
                    weights[column, row, number, chosen] = 1 / size[cluster[chosen]]
            else:
                pairs[column, row] = min(side.sum() for side in of_label)
                for number, side in enumerate(of_label):
                    weights[column, row, number, side] = pairs[column, row] / max(1, side.sum())
    return weights, pairs


def model_association(log_probabilities, weights, pairs, draws=None):
    """y [… × labels × contrasts]: mean over pairs of log p(ℓ | reference's item) − log p(ℓ | compared group's item).

    log_probabilities: [… × items × options], the options in the order of the labels; weights, pairs: of `pairing`. Each
    true label that has a pair weighs the same; NaN for a contrast without any. draws: bootstrap weights [replicates × items]
    of `statistics.cluster_weights`; then y [replicates × labels × contrasts] of one study, its pairs resampled.
    """
    import numpy as np

    values = np.asarray(log_probabilities, dtype=float)
    drawn = np.ones((1, values.shape[-2])) if draws is None else draws

    def mean(side):
        """[… × replicates × options] over the items that stand for one side."""
        chosen = side > 0
        shares = drawn[:, chosen] * side[chosen]
        with np.errstate(invalid="ignore"):  # a draw may hold none of a label's pairs
            return (shares / shares.sum(1, keepdims=True)) @ values[..., chosen, :]

    columns = []
    for contrast, known in zip(weights, pairs > 0, strict=True):
        differences = [mean(reference) - mean(compared) for reference, compared in contrast[known]]
        nothing = np.full((*values.shape[:-2], len(drawn), values.shape[-1]), np.nan)
        columns.append(np.mean(differences, axis=0) if differences else nothing)
    y = np.stack(columns, axis=-1)
    return y[..., 0, :, :] if draws is None else y


def slope(data, model):
    """(β, r): least-squares slope and correlation over all (ℓ, g) of the model's change of association on the data's.

    data, model: Δx, Δy [… × labels × contrasts], each against the baseline's; both are centred within g. β is 0 where nothing
    is inherited, 1 where the association is taken over whole. With another pool's Δx as `data` it is the projection on
    that direction, for pools whose own Δx is 0 by design. NaN where Δx (for r: or Δy) does not vary.
    """
    import numpy as np

    data, model = (np.asarray(side, dtype=float) - np.mean(side, axis=-2, keepdims=True) for side in (data, model))
    xx, xy, yy = (
        np.sum(first * second, axis=(-2, -1)) for first, second in ((data, data), (data, model), (model, model))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        beta = np.where(xx > NOTHING, xy / xx, np.nan)
        r = np.where((xx > NOTHING) & (yy > NOTHING), xy / np.sqrt(xx * yy), np.nan)
    return beta[()], r[()]  # plain numbers of one study


def strength(data):
    """Root mean square of Δx [… × labels × contrasts] over all (ℓ, g), centred within g, in nats."""
    import numpy as np

    centred = np.asarray(data, dtype=float) - np.mean(data, axis=-2, keepdims=True)
    return np.sqrt(np.mean(centred**2, axis=(-2, -1)))


def interval(data, change, weights, pairs, clusters, labels, replicates, seed):
    """(low, high): the 95% interval of one seed's β over test clusters, resampled within their true label.

    data: Δx [labels × contrasts]. change: log p of the cell minus log p of the baseline, item by item [items × options].
    (nan, nan) where no label has two clusters, so that nothing can be resampled.
    """
    import numpy as np

    draws = statistics.cluster_weights(clusters, labels, replicates, seed)
    if not len(draws):
        return float("nan"), float("nan")
    betas, _ = slope(data, model_association(change, weights, pairs, draws))
    return tuple(float(end) for end in np.nanpercentile(betas, [2.5, 97.5]))


def directions(pools):
    """{pool: [(kind, pool whose Δx is the direction)]}: what is measured of each pool, `beta` or `projection`.

    pools: {name: leaves of its catalog file}. A pool has a β where an association is expected of it: the group is the
    model's choice or a file's (role natural), or a control sets it (`associate` or `plant` above 0). Everything else is
    balanced over label × group by design, its own Δx is 0 or chance, and its Δy is projected on another pool's Δx. Doses of
    one control are all projected on its strongest one, so that they share an axis that exists at dose 0 too. The others
    take a natural pool, one that was generated before one from a file, else the strongest associated, else the strongest
    planted pool; where there is none, nothing is measured.
    """

    def strongest(dial):
        doses = {name: pool[dial] for name, pool in pools.items() if pool.get(dial)}
        return max(doses, key=doses.get, default=None)

    natural = [name for name, pool in pools.items() if pool["role"] == "natural"]
    natural.sort(key=lambda name: pools[name]["source"] != "generated")
    common = natural[0] if natural else strongest("associate") or strongest("plant")
    measured = {}
    for name, pool in pools.items():
        dial = next((dial for dial in ("associate", "plant") if dial in pool), None)
        axis = strongest(dial) if dial else common
        expected = name in natural or bool(dial and pool[dial])
        measured[name] = [("beta", name)] if expected else []
        if axis and axis != name and name not in natural:
            measured[name].append(("projection", axis))
    return measured
