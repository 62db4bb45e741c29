"""Do two sets of vectors come from one distribution? Tests by permutation, all permutations at once.

Origins are permuted within strata (label, or label × group): D_o and D_a are both balanced over these by design, and a
permutation that ignored it would be too slow to find a gap (p-values not uniform where there is none).
"""

FOLDS = 5
SMALLEST = 8  # of either origin; fewer vectors say nothing


def assignments(augmented, strata, permutations, seed):
    """Columns of 0 (original) and 1 (augmented) [n × (1 + permutations)]: as observed, then shuffled within strata."""
    import numpy as np

    stream = np.random.default_rng(seed)
    table = np.tile(np.asarray(augmented, dtype=float)[:, None], (1, permutations + 1))
    strata = np.asarray(strata)
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        table[members, 1:] = stream.permuted(table[members, 1:], axis=0)
    return table


def compare(vectors, augmented, strata, permutations, seed):
    """Rows {metric, value, ci_low, ci_high, p, null, n} of three comparisons of originals with augmented samples.

    vectors: [n × d]; augmented: n booleans; strata: n names. null: the mean over permutations, what the metric is where
    there is no gap. n: the smaller number of vectors; below SMALLEST, or where strata leave nothing to permute, no row
    has a value.
    - mmd: squared maximum mean discrepancy, unbiased, Gaussian kernel with the median distance as its width (Gretton
      et al., 2012), on standardised dimensions: a few of a hidden state are hundreds of times larger than all others.
    - auc: mean cross-validated AUC of a ridge classifier that tells the origins apart (Lopez-Paz & Oquab, 2017), on
      standardised dimensions; 0.5 is no gap. Its interval resamples the judged samples.
    - mean_distance: distance of the two means, on the vectors as they are: what the `loss` mitigation makes small.
    """
    import numpy as np

    augmented = np.asarray(augmented, dtype=bool)
    n = int(min(augmented.sum(), (~augmented).sum()))
    names = ("mmd", "auc", "mean_distance")
    if n < SMALLEST or not _mixed(augmented, strata):
        blank = dict.fromkeys(("value", "ci_low", "ci_high", "p", "null"))
        return [{"metric": name, **blank, "n": n} for name in names]
    vectors = np.asarray(vectors, dtype=float)
    table, scaled = assignments(augmented, strata, permutations, seed), standardised(vectors)
    low, high, auc = separability(scaled, table, strata, seed)
    found = {"mmd": mmd(gaussian_kernel(scaled), table), "auc": auc, "mean_distance": mean_distance(vectors, table)}
    return [
        {
            "metric": name,
            "value": float(values[0]),
            "ci_low": low if name == "auc" else None,
            "ci_high": high if name == "auc" else None,
            # one-sided: a gap makes each of them larger
            "p": float((1 + np.sum(values[1:] >= values[0] - 1e-12)) / (permutations + 1)),
            "null": float(values[1:].mean()),
            "n": n,
        }
        for name, values in found.items()
    ]


def _mixed(augmented, strata):
    """Whether any stratum holds samples of both origins."""
    return bool(
        {name for name, new in zip(strata, augmented, strict=True) if new}
        & {name for name, new in zip(strata, augmented, strict=True) if not new}
    )


def standardised(vectors):
    """Each dimension with mean 0 and variance 1 over all vectors; constant dimensions become 0."""
    import numpy as np

    spread = vectors.std(0)
    return (vectors - vectors.mean(0)) / np.where(spread > 0, spread, 1)


def gaussian_kernel(vectors):
    """exp(−d² / 2·m²), m the median distance of distinct pairs [n × n]."""
    import numpy as np
    from scipy.spatial.distance import pdist, squareform

    squared = pdist(vectors, "sqeuclidean")
    median = np.median(squared)
    return np.exp(-squareform(squared) / (2 * median if median > 0 else 1.0))


def mmd(kernel, table):
    """Unbiased squared MMD for every column of `table` (Gretton et al., 2012, eq. 3)."""
    import numpy as np

    kernel = kernel - np.diag(np.diag(kernel))
    new, old = table, 1 - table
    m, n = new.sum(0), old.sum(0)
    to_new = kernel @ new
    within_new = (new * to_new).sum(0)
    between = (old * to_new).sum(0)
    within_old = kernel.sum() - within_new - 2 * between
    return within_new / (m * (m - 1)) + within_old / (n * (n - 1)) - 2 * between / (m * n)


def mean_distance(vectors, table):
    """Euclidean distance of the two means, for every column of `table`."""
    import numpy as np

    return np.linalg.norm(vectors.T @ (table / table.sum(0) - (1 - table) / (1 - table).sum(0)), axis=0)


def separability(features, table, strata, seed, replicates=1000):
    """(ci_low, ci_high, AUC for every column of `table`): the mean over folds of a ridge classifier's AUC.

    features: standardised vectors. Folds know no origin, so that all columns are judged alike; the scores of all columns
    come from one fit per fold, since ridge regression is linear in what it is to predict. The interval (95%) is a
    bootstrap of the judged samples in their folds; it does not hold the chance of training.
    """
    import warnings

    import numpy as np
    from scipy.stats import rankdata
    from sklearn.linear_model import Ridge

    fold = folds(strata, seed)
    stream = np.random.default_rng([seed, 1])
    weights = stream.multinomial(len(table), np.full(len(table), 1 / len(table)), size=replicates)
    aucs, draws = [], []
    for train, test in ((fold != number, fold == number) for number in range(FOLDS)):
        # ASSUME: the penalty equals the number of features, so that as many dimensions as samples do not overfit
        model = Ridge(alpha=features.shape[1]).fit(features[train], 2 * table[train] - 1)
        scores, new = model.predict(features[test]), table[test]
        positive, negative = new.sum(0), (1 - new).sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            ranks = rankdata(scores, axis=0)
            aucs.append(((ranks * new).sum(0) - positive * (positive + 1) / 2) / (positive * negative))
        drawn = weights[:, test].astype(float)
        of_new, of_old = new[:, 0] == 1, new[:, 0] == 0
        difference = scores[of_new, 0][:, None] - scores[of_old, 0][None, :]
        wins = (difference > 0) + 0.5 * (difference == 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            pairs = drawn[:, of_new].sum(1) * drawn[:, of_old].sum(1)
            draws.append(((drawn[:, of_new] @ wins) * drawn[:, of_old]).sum(1) / pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fold with one origin only judges nothing
        auc, draws = np.nanmean(aucs, axis=0), np.nanmean(draws, axis=0)
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(low), float(high), np.nan_to_num(auc, nan=0.5)


def folds(strata, seed):
    """The fold of each sample [n]: every stratum is dealt out over the folds, going on where the last one ended."""
    import numpy as np

    stream = np.random.default_rng(seed)
    strata = np.asarray(strata)
    order = np.concatenate([stream.permutation(np.flatnonzero(strata == name)) for name in np.unique(strata)])
    found = np.empty(len(strata), dtype=int)
    found[order] = np.arange(len(strata)) % FOLDS
    return found


def projection(vectors):
    """The first two principal components of the standardised vectors [n × 2], for the eye."""
    from sklearn.decomposition import PCA

    return PCA(2, random_state=0).fit_transform(standardised(vectors))
