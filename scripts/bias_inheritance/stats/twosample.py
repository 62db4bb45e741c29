"""Two-sample permutation tests for sets of vectors, vectorised over permutations.

Origins are permuted within strata (label, or label × group): D_o and D_a are both balanced over these by design, and
unrestricted permutations would make the tests conservative (p-values not uniform under the null).
"""

FOLDS = 5
SMALLEST = 8  # minimum number of vectors per origin


def assignments(augmented, strata, permutations, seed):
    """Origins as 0 (original) and 1 (augmented) [n × (1 + permutations)]: column 0 is observed, the others are shuffled
    within strata."""
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

    vectors: [n × d]; augmented: bool [n]; strata: names [n]. null: the mean over permutations, the expectation without a
    gap. n: the size of the smaller origin; below SMALLEST, or if no stratum contains both origins, the values are None.
    - mmd: squared maximum mean discrepancy, unbiased, Gaussian kernel with the median distance as its width (Gretton
      et al., 2012), on standardised dimensions: a few of a hidden state are hundreds of times larger than all others.
    - auc: mean cross-validated AUC of a ridge classifier that separates the origins (Lopez-Paz & Oquab, 2017), on
      standardised dimensions; 0.5 is no gap. Its interval resamples the held-out samples.
    - mean_distance: Euclidean distance of the two means of the raw vectors, the objective of the `loss` mitigation.
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
    statistics = {
        "mmd": mmd(gaussian_kernel(scaled), table),
        "auc": auc,
        "mean_distance": mean_distance(vectors, table),
    }
    return [
        {
            "metric": name,
            "value": float(values[0]),
            "ci_low": low if name == "auc" else None,
            "ci_high": high if name == "auc" else None,
            # one-sided: a gap increases each statistic
            "p": float((1 + np.sum(values[1:] >= values[0] - 1e-12)) / (permutations + 1)),
            "null": float(values[1:].mean()),
            "n": n,
        }
        for name, values in statistics.items()
    ]


def _mixed(augmented, strata):
    """Whether any stratum contains samples of both origins."""
    return bool(
        {name for name, new in zip(strata, augmented, strict=True) if new}
        & {name for name, new in zip(strata, augmented, strict=True) if not new}
    )


def standardised(vectors):
    """Vectors [n × d] with each dimension scaled to mean 0 and variance 1; constant dimensions become 0."""
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

    features: standardised vectors. Folds do not depend on origin, so that all columns are treated alike; one fit per fold
    gives the scores of all columns, since ridge regression is linear in its targets. The interval (95%) is a bootstrap of
    the held-out samples within folds; it does not include the variance of training.
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
        warnings.simplefilter("ignore")  # folds with a single origin have no AUC
        auc, draws = np.nanmean(aucs, axis=0), np.nanmean(draws, axis=0)
    low, high = np.nanpercentile(draws, [2.5, 97.5])
    return float(low), float(high), np.nan_to_num(auc, nan=0.5)


def folds(strata, seed):
    """The fold of each sample [n]: strata are assigned round-robin, each continuing at the fold where the last ended."""
    import numpy as np

    stream = np.random.default_rng(seed)
    strata = np.asarray(strata)
    order = np.concatenate([stream.permutation(np.flatnonzero(strata == name)) for name in np.unique(strata)])
    fold = np.empty(len(strata), dtype=int)
    fold[order] = np.arange(len(strata)) % FOLDS
    return fold


def projection(vectors):
    """The first two principal components of the standardised vectors [n × 2], for plots."""
    from sklearn.decomposition import PCA

    return PCA(2, random_state=0).fit_transform(standardised(vectors))
