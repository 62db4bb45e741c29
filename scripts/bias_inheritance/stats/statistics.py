"""The statistical tests of the study: seeds are the replicates, items within one run are not.

statsmodels is used wherever it has the method. Functions that decide verdicts are vectorised over studies (columns), so
that the simulations in tests/null run the same code as a study.
"""

from functools import cache

ALPHA = 0.05
POWER = 0.80
SEEDS_FOR_GEE = 20  # with fewer seeds its false-positive rate at a nominal 5% is 15-26%
MOST_EXACT = 8  # entities for which all permutations (40,320) are enumerated; ten would have 3.6 million
SAMPLED = 9_999  # random permutations for more entities
CONSTANT = 1e-10  # a range below this fraction of the values is rounding error


def seed_test(values, alpha=ALPHA):
    """Two-sided t test of per-seed contrasts or slopes against 0, with n - 1 degrees of freedom.

    values: [n_seeds] for one study or [n_seeds × studies]; no NaN. Returns {n, estimate, sd, ci_low, ci_high, p}: floats
    for one study, else arrays. With one seed, or if all seeds give the same value, the variance is unknown: all but the
    estimate (and n) are NaN. The interval has coverage 1 - alpha.
    """
    import numpy as np
    from statsmodels.stats.weightstats import DescrStatsW

    values = np.asarray(values, dtype=float)
    table = values[:, None] if values.ndim == 1 else values
    n, nothing = len(table), np.full(table.shape[1], np.nan)
    columns = {
        "estimate": table.mean(0) if n else nothing,
        "sd": nothing,
        "ci_low": nothing,
        "ci_high": nothing,
        "p": nothing,
    }
    if n > 1:
        judged = ~is_constant(table)
        with np.errstate(divide="ignore", invalid="ignore"):
            summary = DescrStatsW(table)
            low, high = summary.tconfint_mean(alpha=alpha)
            p = summary.ttest_mean(0)[1]
        columns |= {"sd": summary.std_ddof(1), "ci_low": low, "ci_high": high, "p": p}
        columns |= {key: np.where(judged, columns[key], np.nan) for key in ("sd", "ci_low", "ci_high", "p")}
    if values.ndim == 1:
        columns = {key: float(column[0]) for key, column in columns.items()}
    return {"n": n, **columns}


def tost(values, margin):
    """p of the equivalence test TOST (two one-sided t tests) that the mean is within ±margin; values, NaN: `seed_test`."""
    import numpy as np
    from statsmodels.stats.weightstats import DescrStatsW

    values = np.asarray(values, dtype=float)
    table = values[:, None] if values.ndim == 1 else values
    p = np.full(table.shape[1], np.nan)
    if len(table) > 1:
        with np.errstate(divide="ignore", invalid="ignore"):
            p = np.where(is_constant(table), np.nan, DescrStatsW(table).ttost_mean(-margin, margin)[0])
    return float(p[0]) if values.ndim == 1 else p


def is_constant(table):
    """Whether each column [n_seeds × k] is constant up to floating-point error; bool [k]."""
    import numpy as np

    return np.ptp(table, axis=0) <= CONSTANT * np.maximum(1.0, np.abs(table).max(0))


def slope_weights(x, through_origin=False):
    """Weights w with w @ y = the least-squares slope of y on x.

    `through_origin` is for a contrast that is 0 at x = 0 by definition and without noise: a slant effect at γ = 0, where
    the cell and its control are the same run. The line then passes through the origin, and x must not contain 0.
    Raises ValueError if x is constant (or, through the origin, all 0).
    """
    import numpy as np

    x = np.asarray(x, dtype=float)
    centred = x if through_origin else x - x.mean()
    if not np.any(centred):
        raise ValueError(f"no slope over {x.tolist()}")
    return centred / np.sum(centred**2)


def holm(p):
    """Holm-adjusted p values of one family; NaN (not tested) stays NaN and does not count towards the family size."""
    import numpy as np
    from statsmodels.stats.multitest import multipletests

    p = np.asarray(p, dtype=float)
    adjusted, tested = np.full(p.shape, np.nan), ~np.isnan(p)
    if tested.any():
        adjusted[tested] = multipletests(p[tested], method="holm")[1]
    return adjusted


def power_of(effect, sd, n, alpha=ALPHA):
    """Power of the two-sided t test with n seeds, counting only significant results of the correct sign; effect and sd
    are in the same unit."""
    return _exceeds(abs(effect) / sd, n, alpha / 2)


def equivalence_power(margin, sd, n, alpha=ALPHA):
    """Lower bound of the power of TOST with n seeds and ±margin if the true effect is 0."""
    return max(0.0, 2 * _exceeds(margin / sd, n, alpha) - 1)


def _exceeds(effect, n, alpha):
    """Power of a one-sided t test, effect in standard deviations: the lower tail of the mirrored non-central t.

    Not statsmodels' ttest_power: its upper tail is NaN for some effects and n that occur during root finding.
    """
    from scipy.special import nctdtr
    from scipy.stats import t

    critical, shift = t.isf(alpha, n - 1), effect * n**0.5
    if shift > 40 * max(critical, 1):  # the power is 1 in double precision, and nctdtr is not reliable
        return 1.0
    return float(nctdtr(n - 1, -shift, -critical))


def minimal_effect(sd, n, alpha=ALPHA, power=POWER):
    """The minimum detectable effect with n seeds at the given power, in the unit of sd; NaN for fewer than two seeds."""
    return sd * _minimal_effect(n, alpha, power) if n > 1 and sd > 0 else float("nan")


@cache
def _minimal_effect(n, alpha, power):
    """In standard deviations. For 2 or 3 seeds and a small alpha, statsmodels' solver silently returns a wrong root."""
    import math

    from scipy.optimize import brentq

    highest = 10.0
    while power_of(highest, 1.0, n, alpha) < power:
        highest *= 10
    return math.exp(
        brentq(lambda log: power_of(math.exp(log), 1.0, n, alpha) - power, math.log(1e-6), math.log(highest))
    )


def seeds_needed(success, most=10_000):
    """The smallest number of seeds n ≥ 2 with success(n), which must be monotone in n; None if above `most`."""
    if not success(most):
        return None
    low, high = 1, most
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if success(middle) else (middle, high)
    return high


def cluster_weights(clusters, strata, replicates=2000, seed=0):
    """Bootstrap weights [replicates × items]: clusters resampled within strata, all items of a cluster together.

    clusters: cluster id per item (twins, files that share a text); strata: label per item. A cluster is assigned to the
    rarest label among its items, so that a rare class never vanishes. From a stratum of k clusters, k - 1 are drawn and
    weighted by k / (k - 1), which keeps the variance unbiased for small k (Rao and Wu, 1988). A stratum with one cluster
    is constant; if all strata are, the result has 0 replicates, to avoid intervals of width 0.
    Any weighted statistic is one matrix product: accuracy is (weights @ correct) / weights.sum(1).
    """
    import numpy as np

    _, cluster = np.unique(np.asarray(clusters), return_inverse=True)
    _, label, support = np.unique(np.asarray(strata), return_inverse=True, return_counts=True)
    rank = np.empty(len(support), dtype=int)
    rank[np.argsort(support, kind="stable")] = np.arange(len(support))
    stratum = np.full(cluster.max() + 1, len(support))
    np.minimum.at(stratum, cluster, rank[label])
    stream = np.random.default_rng(seed)
    alone = len(np.unique(stratum)) == len(stratum)
    drawn = np.ones((0 if alone else replicates, len(stratum)))
    for value in np.unique(stratum):
        members = np.flatnonzero(stratum == value)
        k = len(members)
        if k > 1:
            drawn[:, members] = stream.multinomial(k - 1, np.full(k, 1 / k), size=replicates) * (k / (k - 1))
    return drawn[:, cluster]


def rms_gap(
    correct, groups, labels, clusters, reference, compared, permutations=1000, seed=0, weights=None, unread=None
):
    """RMS over labels of TPR(reference) - TPR(compared), minus its mean when groups are permuted.

    correct, groups, labels, clusters: [items]. Permutations exchange the groups of the twins of a cluster, and
    shuffle the groups of items without a twin within their label. Labels without one of the groups are dropped. Returns {debiased, low, high}:
    debiased is about 0 for a model that treats groups alike. low, high: bootstrap draws of the smallest and of the largest
    value that it has if any of the `unread` answers (bool [items], counted as wrong) are correct, one per row of `weights`
    (`cluster_weights`), recentred on that value, since resampling inflates the RMS of a true zero. ASSUME: the mean under
    permutation stays the same. NaN without data.
    """
    import numpy as np
    import pandas as pd

    right = np.asarray(correct, dtype=float)
    items = pd.DataFrame({"right": right, "group": groups, "label": labels, "cluster": clusters})
    items["possible"] = right if unread is None else np.where(unread, 1.0, right)
    items = items[items["group"].isin([reference, compared])]
    items = items[items.groupby("label")["group"].transform("nunique") == 2]
    weights = np.empty((0, len(items))) if weights is None else weights[:, items.index]
    items = items.reset_index(drop=True)
    if items.empty:
        return {"debiased": float("nan")} | dict.fromkeys(("low", "high"), np.full(len(weights), np.nan))
    sign = np.where(items["group"] == reference, 1.0, -1.0)
    by_cluster = items.groupby("cluster")["group"]
    twin = by_cluster.transform("nunique") == 2
    pair = twin & (by_cluster.transform("size") == 2)
    stream = np.random.default_rng(seed)
    signs = np.tile(sign, (permutations + 1, 1))  # row 0 stays as observed
    code = pd.factorize(items.loc[pair, "cluster"])[0]
    flips = stream.choice([-1.0, 1.0], size=(permutations, code.max(initial=-1) + 1))
    signs[1:, pair] *= flips[:, code]
    for chosen, key in ((~twin, "label"), (twin & ~pair, "cluster")):
        for places in items[chosen].groupby(key, sort=False).indices.values():
            places = np.flatnonzero(chosen)[places]
            signs[1:, places] = stream.permuted(signs[1:, places], axis=1)
    members = [(items["label"] == label).to_numpy() for label in items["label"].unique()]

    def rates(side, answers):
        """True-positive rates [labels × rows] of the weights [rows × items] of one side."""
        values = items[answers].to_numpy()
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.array([side[:, of_label] @ values[of_label] / side[:, of_label].sum(1) for of_label in members])

    def rms(gaps):
        return np.sqrt(np.mean(np.square(gaps), axis=0))

    def ends(first, second):
        """The smallest and the largest possible RMS gap per row of the weights of either side."""
        least = rates(first, "right") - rates(second, "possible")
        most = rates(first, "possible") - rates(second, "right")
        return rms(np.maximum(0.0, np.maximum(least, -most))), rms(np.maximum(-least, most))

    first, second = (signs > 0).astype(float), (signs < 0).astype(float)
    value, *null = rms(rates(first, "right") - rates(second, "right"))
    result = {"debiased": float(value - np.mean(null))}
    drawn = ends(weights * first[0], weights * second[0])
    for name, end, draws in zip(("low", "high"), ends(first[:1], second[:1]), drawn, strict=True):
        draws = draws[~np.isnan(draws)]
        result[name] = draws - draws.mean() + end - np.mean(null) if len(draws) else draws
    return result


def rank_permutation(first, second, seed=0):
    """Spearman's correlation over k entities within each seed, and its permutation test over the order of the entities.

    first, second: [n_seeds × k], no constant row. The same permutation is applied to all seeds, since what an entity has
    in common over seeds (the distance of a bias type's texts, for example) is drawn once: n seeds that agree on the order
    of four entities are not n independent observations. Up to MOST_EXACT entities all k! permutations are enumerated,
    otherwise SAMPLED random ones plus the observed order. Returns {values [n_seeds], p of their mean (two-sided:
    twice the smaller tail), smallest (lowest possible p), sampled (number of random permutations, 0 if exact)}.
    """
    from itertools import permutations

    import numpy as np
    from scipy.stats import rankdata

    sides = []
    for side in (first, second):
        ranks = rankdata(side, axis=1)
        ranks -= ranks.mean(1, keepdims=True)
        sides.append(ranks / np.linalg.norm(ranks, axis=1, keepdims=True))
    k = sides[0].shape[1]
    observed = np.arange(k)[None]
    if k <= MOST_EXACT:
        orders = np.array(list(permutations(range(k))))  # the first is the identity
    else:
        drawn = np.random.default_rng(seed).permuted(np.tile(observed, (SAMPLED, 1)), axis=1)
        orders = np.concatenate([observed, drawn])
    values = np.einsum("sk,sok->os", sides[0], sides[1][:, orders])
    means = values.mean(1)
    tails = np.mean(means >= means[0] - CONSTANT), np.mean(means <= means[0] + CONSTANT)
    return {
        "values": values[0],
        "p": float(min(1.0, 2 * min(tails))),
        "smallest": 2 / len(orders),
        "sampled": 0 if k <= MOST_EXACT else SAMPLED,
    }


def mcnemar_exact(first, second):
    """Exact McNemar test of paired binary outcomes of one run and one group: estimate is mean(first) - mean(second).

    first, second: bool per item, for the same items in the same order. Returns {n, estimate, p}; p is 1 without a
    discordant pair, NaN without items.
    """
    import numpy as np
    from statsmodels.stats.contingency_tables import mcnemar

    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    if not len(first):
        return {"n": 0, "estimate": float("nan"), "p": float("nan")}
    table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
    return {
        "n": len(first),
        "estimate": float(first.mean() - second.mean()),
        "p": float(mcnemar(table, exact=True).pvalue),
    }


def binomial_share(count, n, share, alpha=ALPHA):
    """Exact binomial test of count/n against a share, with Clopper-Pearson interval: {n, estimate, ci_low, ci_high, p}."""
    from statsmodels.stats.proportion import binom_test, proportion_confint

    if not n:
        return {"n": 0} | dict.fromkeys(("estimate", "ci_low", "ci_high", "p"), float("nan"))
    low, high = proportion_confint(count, n, alpha=alpha, method="beta")
    return {
        "n": int(n),
        "estimate": count / n,
        "ci_low": float(low),
        "ci_high": float(high),
        "p": float(binom_test(count, n, share)),
    }


def mixed_model(runs):
    """Cell means with variance components for seed and seed × bias over the whole grid; None if it cannot be fitted.

    runs: frame with seed, bias, cell, value, one row per run; cells that some seed lacks are left out. A seed's pool is
    shared over γ and mitigations, hence the second component; it cannot be told from the residual if each bias has one
    cell. Returns {means: {cell: mean over seeds}, covariance: of these means [cells × cells]} for `cell_contrast`. Never
    used for verdicts.
    """
    import numpy as np
    import pandas as pd

    first = runs.drop_duplicates("cell")
    codes = pd.factorize(runs["cell"])[0]
    table = runs.assign(cell=codes).pivot(index="seed", columns="cell", values="value").dropna(axis=1)
    cells, bias = (first[column].to_numpy()[table.columns] for column in ("cell", "bias"))
    deviations = (table - table.mean()).to_numpy()
    if len(table) < 2 or first["bias"].value_counts().max() < 2 or not np.abs(deviations).max(initial=0) > CONSTANT:
        return None
    between_seeds, between_pools, residual = variance_components(deviations, bias)
    of_a_seed = between_seeds + between_pools * (bias[:, None] == bias) + residual * np.eye(len(bias))
    return {"means": dict(zip(cells, table.mean(), strict=True)), "covariance": of_a_seed / len(table)}


def variance_components(deviations, pools):
    """(seed, pool, residual): the variance components of a complete grid, by restricted maximum likelihood (REML).

    deviations: [seeds × cells] of the runs from their cell's mean over seeds; pools: the pool of each cell. On a complete
    grid the cell means are the fixed effects whatever the components, and the deviations count as seeds - 1 independent
    draws. With pool = ratio × residual, the other two maximise the likelihood in closed form; the ratio is searched over
    its whole range. (The optimisers of statsmodels' MixedLM end below the maximum if a component is close to 0.)
    """
    import numpy as np
    from scipy.optimize import minimize_scalar

    draws, n_cells = len(deviations) - 1, deviations.shape[1]
    _, pool, sizes = np.unique(pools, return_inverse=True, return_counts=True)
    sums = np.array([np.bincount(pool, of_seed) for of_seed in deviations])
    total = np.sum(deviations**2)

    def at(ratio):
        """(minus the log-likelihood, components); the inverse of a seed's covariance by the Sherman-Morrison formula."""
        weights = 1 / (1 + ratio * sizes)
        size = weights @ sizes
        of_seeds = np.sum((sums @ weights) ** 2) / size
        rest = max(total - ratio * np.sum(sums**2 @ weights) - of_seeds, CONSTANT * total)
        share = min(1.0, rest / max(of_seeds * (n_cells - 1), CONSTANT * total))  # 1 / (1 + size × seed / residual)
        residual = (rest + share * of_seeds) / (draws * n_cells)
        loss = n_cells * np.log(residual) - np.sum(np.log(weights)) - np.log(share)
        return loss, ((1 / share - 1) / size * residual, ratio * residual, residual)

    ratios = np.array([0.0, *np.geomspace(1e-4, 1e6, 200), 1e7])
    best = int(np.argmin([at(ratio)[0] for ratio in ratios[:-1]]))
    bounds = (ratios[max(best - 1, 0)], ratios[best + 1])
    ratio = minimize_scalar(lambda ratio: at(ratio)[0], bounds=bounds, method="bounded", options={"xatol": 1e-8}).x
    return min(at(ratio), at(ratios[best]))[1]


def gee(items):
    """Mean correctness per cell over all items by GEE, robust to correlation within seeds; None below SEEDS_FOR_GEE.

    items: frame with seed, cell, correct, one row per item and run. Linear probability model, so that `cell_contrast` is
    in the unit of the metric; independence working correlation. Returns the same as `mixed_model`. Never used for verdicts.
    """
    import pandas as pd
    import statsmodels.api as sm

    if items["seed"].nunique() < SEEDS_FOR_GEE or items["correct"].nunique() < 2:
        return None
    design = pd.get_dummies(items["cell"]).astype(float)
    model = sm.GEE(items["correct"].astype(float).to_numpy(), design.to_numpy(), groups=items["seed"].to_numpy())
    fit = model.fit()
    return {"means": dict(zip(design.columns, fit.params, strict=True)), "covariance": fit.cov_params()}


def cell_contrast(fitted, weights):
    """{estimate, ci_low, ci_high, p} of a contrast of cell means, weights {cell: weight}: a Wald z test with a 95% interval.

    fitted: the result of `mixed_model` or `gee`; None, also returned if it has not all the cells or the standard error is
    0.
    """
    import numpy as np
    from scipy.stats import norm

    if fitted is None or not weights.keys() <= fitted["means"].keys():
        return None
    w = np.array([weights.get(cell, 0.0) for cell in fitted["means"]])
    estimate, error = float(w @ list(fitted["means"].values())), float(w @ fitted["covariance"] @ w) ** 0.5
    if not error > 0:
        return None
    half = float(norm.isf(ALPHA / 2)) * error
    p = float(2 * norm.sf(abs(estimate) / error))
    return {"estimate": estimate, "ci_low": estimate - half, "ci_high": estimate + half, "p": p}
