"""The inheritance coefficient: how much of a group–label association in the data the model acquires.

An association is a table over labels ℓ and contrasts g (reference vs compared group): the log-ratio, in nats, of how
strongly a label goes with the reference rather than with the compared group. The inheritance coefficient β is the slope of
the model's table on the data's table, both minus those of a baseline without association. All functions accept leading
axes before [labels × contrasts], so that the simulations in tests/null run the same code as a study.
"""

from bias_inheritance.stats import statistics

SMOOTHING = 0.5  # added to each count of a label in a group
NOTHING = 1e-12  # sums of squares below this are rounding error


def association(labels, sides, label_set):
    """x [labels × contrasts] of a training mix: log P(ℓ | reference) − log P(ℓ | compared), counts smoothed by 0.5.

    labels: one per sample. sides: bool [contrasts × 2 × samples], membership in each contrast's reference and compared
    group; samples in neither are ignored. label_set: the labels, in the order of the rows of x.
    """
    import numpy as np

    labels = np.asarray(labels, dtype=object)
    of_label = np.array([labels == label for label in label_set], dtype=float)
    counts = np.einsum("li,csi->slc", of_label, np.asarray(sides, dtype=float))
    return association_of_counts(*counts)


def association_of_counts(reference, compared):
    """x [… × labels × contrasts] from the counts of the reference and of the compared groups, same shapes."""
    import numpy as np

    def log_share(counts):
        smoothed = np.asarray(counts, dtype=float) + SMOOTHING
        return np.log(smoothed / smoothed.sum(-2, keepdims=True))

    return log_share(reference) - log_share(compared)


def option_log_probabilities(logprobs):
    """log p [… × items × labels], normalised over the options, of the options' log-probabilities [… × items × labels]."""
    from scipy.special import log_softmax

    return log_softmax(logprobs, axis=-1)


def pairing(labels, sides, clusters, label_set, readable=None):
    """(weights [contrasts × labels × 2 × items], pairs [contrasts × labels]): the item weights of each side of a contrast.

    sides: bool [contrasts × 2 × items], membership in the reference (0) and the compared group (1). If clusters (content
    twins) contain both sides of a true label, only these are used, each as one pair; otherwise all items of the label are
    used as matched strata, and the number of pairs is the size of the smaller side. A label without items of one side has
    no pairs and weight 0. The weights of a side sum to the number of pairs. readable: bool [items], by default all; items
    that are not have weight 0, and do not decide whether a label has twins.
    """
    import numpy as np

    labels = np.asarray(labels, dtype=object)
    readable = np.ones(len(labels), dtype=bool) if readable is None else readable
    names, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    weights = np.zeros((len(sides), len(label_set), 2, len(labels)))
    pairs = np.zeros((len(sides), len(label_set)), dtype=int)
    for column, contrast in enumerate(sides):
        for row, label in enumerate(label_set):
            posed = [(labels == label) & side for side in contrast]
            of_label = [side & readable for side in posed]
            posed_sizes, sizes = (
                [np.bincount(cluster[side], minlength=len(names)) for side in both] for both in (posed, of_label)
            )
            if np.minimum(*posed_sizes).any():
                twins = np.minimum(*sizes) > 0
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

    log_probabilities: [… × items × options], options in the order of the labels; weights, pairs: from `pairing`. True
    labels with pairs have equal weight; NaN for a contrast without any. draws: bootstrap weights [replicates × items] from
    `statistics.cluster_weights`; the result is then y [replicates × labels × contrasts] of one study, pairs resampled.
    """
    import numpy as np

    values = np.asarray(log_probabilities, dtype=float)
    drawn = np.ones((1, values.shape[-2])) if draws is None else draws

    def mean(side):
        """Weighted mean [… × replicates × options] over the items of one side."""
        chosen = side > 0
        shares = drawn[:, chosen] * side[chosen]
        with np.errstate(invalid="ignore"):  # a draw may contain no pair of a label
            return (shares / shares.sum(1, keepdims=True)) @ values[..., chosen, :]

    columns = []
    for contrast, known in zip(weights, pairs > 0, strict=True):
        differences = [mean(reference) - mean(compared) for reference, compared in contrast[known]]
        nothing = np.full((*values.shape[:-2], len(drawn), values.shape[-1]), np.nan)
        columns.append(np.mean(differences, axis=0) if differences else nothing)
    y = np.stack(columns, axis=-1)
    return y[..., 0, :, :] if draws is None else y


def slope(data, model):
    """(β, r): least-squares slope and correlation over all (ℓ, g) of the model's change in association on the data's.

    data, model: Δx, Δy [… × labels × contrasts], differences from the baseline; both are centred within g. β is 0 if
    nothing is inherited and 1 if the association is inherited fully. With another pool's Δx as `data` it is the projection
    on that direction, for pools whose own Δx is 0 by design. NaN if Δx (for r: or Δy) is constant.
    """
    import numpy as np

    data, model = (np.asarray(side, dtype=float) - np.mean(side, axis=-2, keepdims=True) for side in (data, model))
    xx, xy, yy = (
        np.sum(first * second, axis=(-2, -1)) for first, second in ((data, data), (data, model), (model, model))
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        beta = np.where(xx > NOTHING, xy / xx, np.nan)
        r = np.where((xx > NOTHING) & (yy > NOTHING), xy / np.sqrt(xx * yy), np.nan)
    return beta[()], r[()]  # scalars for a single study


def strength(data):
    """Root mean square of Δx [… × labels × contrasts] over all (ℓ, g), centred within g, in nats."""
    import numpy as np

    centred = np.asarray(data, dtype=float) - np.mean(data, axis=-2, keepdims=True)
    return np.sqrt(np.mean(centred**2, axis=(-2, -1)))


def interval(data, change, weights, pairs, clusters, labels, replicates, seed):
    """(low, high): the 95% bootstrap interval of one seed's β, test clusters resampled within their true label.

    data: Δx [labels × contrasts]. change: log p of the cell minus log p of the baseline per item [items × options].
    (nan, nan) if no label has two clusters, so that nothing can be resampled.
    """
    import numpy as np

    draws = statistics.cluster_weights(clusters, labels, replicates, seed)
    if not len(draws):
        return float("nan"), float("nan")
    betas, _ = slope(data, model_association(change, weights, pairs, draws))
    return tuple(float(end) for end in np.nanpercentile(betas, [2.5, 97.5]))


def directions(pools):
    """{pool: [(kind, pool whose Δx is the direction)]}: the coefficients of each pool, kind `beta` or `projection`.

    pools: {name: leaves of its catalog file}. A pool has a β if it can have an association: its groups are chosen by the
    model or given by a file (role natural), or set by a control (`associate` or `plant` above 0). All other pools are
    balanced over label × group by design, so that their own Δx is 0 or chance; their Δy is projected on another pool's Δx.
    All doses of a control are projected on the strongest dose, an axis that is also defined at dose 0, and so are probes whose
    writer is tuned on one of them. Other pools are projected on a natural pool (generated ones first), else on the strongest
    associated, else the strongest planted pool; without any of these nothing is measured.
    """

    def strongest(dial):
        doses = {name: pool[dial] for name, pool in pools.items() if pool.get(dial)}
        return max(doses, key=doses.get, default=None)

    natural = [name for name, pool in pools.items() if pool["role"] == "natural"]
    natural.sort(key=lambda name: pools[name]["source"] != "generated")
    common = natural[0] if natural else strongest("associate") or strongest("plant")
    measured = {}
    for name, pool in pools.items():
        origin = pools.get(pool.get("tuned_on"), pool)
        dial = next((dial for dial in ("associate", "plant") if dial in origin), None)
        axis = strongest(dial) if dial else common
        expected = name in natural or bool(dial and pool.get(dial))
        measured[name] = [("beta", name)] if expected else []
        if axis and axis != name and name not in natural:
            measured[name].append(("projection", axis))
    return measured
