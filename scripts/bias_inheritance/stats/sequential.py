"""Interim analyses planned in advance: how much of α each look may spend, exactly for t tests of few replicates.

The levels come from the spending functions of Lan and DeMets (Biometrika 70, 1983), with the share of the seeds as the
information. The libraries for such designs assume normal statistics, whose nominal levels reject a true null in 5.3% of
studies (at a nominal 5%, looks at 3, 5, 8 and 12 seeds, Pocock-like); here the null distribution of the t statistics is
computed instead. With r = Σx / √Σx², which is a function of t, a further observation gives

    r' = (r + y) / √(1 + y²),  y = T / √n,  T ~ t with n degrees of freedom, independent of r and of everything before,

since Σx² is independent of the direction of (x₁, …, xₙ). So the t statistics of a growing sample form a Markov chain, and
one-dimensional recursion over looks (Armitage, McPherson and Rowe, 1969) is exact for them up to the grid.

The overall p of a test is the smallest α at which the design would have rejected by now (the sequential p-value of Liu and
Anderson, JASA 103, 2008). It never rises from one look to the next, and Holm's method on overall p values is the
group-sequential Bonferroni-Holm procedure of Maurer and Bretz (Statistics in Biopharmaceutical Research 5, 2013).
"""

from functools import cache, reduce
from itertools import pairwise
from operator import matmul

from bias_inheritance.stats import statistics

CELLS = 300  # of the grid, equally wide on the scale of a standard normal quantile
WIDEST = 7.5  # its end, a one-sided p of 3e-14
SMALLEST = 1e-8  # an overall p below it is given as this


def obrien_fleming(alpha, share):
    """α of one side spent by a share of the seeds: next to nothing early, so that the last look loses little."""
    from scipy.special import ndtr, ndtri

    return 2 * ndtr(ndtri(alpha / 2) / share**0.5)


def pocock(alpha, share):
    """α of one side spent by a share of the seeds: about evenly, so that a large effect is found early."""
    import numpy as np

    return alpha * np.log1p((np.e - 1) * share)


SPENDING = {"obrien-fleming": obrien_fleming, "pocock": pocock}


def level(alpha, look, looks, spending, sides=2):
    """The nominal level: a p at this look (counted from 1) below it rejects in a design of overall level alpha.

    looks: seeds at each look, increasing. sides: 2 for a two-sided test, 1 for a one-sided one and for TOST.
    """
    import numpy as np

    alphas, levels = _table(tuple(looks), spending, sides)
    return float(np.exp(np.interp(np.log(alpha), np.log(alphas), np.log(levels[look - 1]))))


def overall_p(p, look, looks, spending, sides=2):
    """The smallest overall level at which a nominal p at this look rejects; p a number or an array, NaN stays NaN."""
    import numpy as np

    alphas, levels = _table(tuple(looks), spending, sides)
    with np.errstate(divide="ignore"):
        overall = np.exp(np.interp(np.log(p), np.log(levels[look - 1]), np.log(alphas)))
    return float(overall) if np.ndim(p) == 0 else overall


@cache
def _table(looks, spending, sides):
    """(alphas [k], nominal levels [looks × k]) of a design."""
    import numpy as np

    alphas = np.concatenate([np.geomspace(SMALLEST, 0.9, 150), [1.0]])
    transitions = _transitions(looks)
    levels = np.array([_levels(alpha / sides, looks, SPENDING[spending], sides, transitions) for alpha in alphas]).T
    return alphas, sides * levels


def _levels(alpha, looks, spending, sides, transitions):
    """One-sided nominal levels of a design that spends alpha on a side: the mass in the tail of those that have gone on."""
    import numpy as np

    edges, _ = _grid()
    mass, spent, levels = np.diff(edges), 0.0, []
    for number, seeds in enumerate(looks):
        if number:
            mass = mass @ transitions[number - 1]
        share, spent = spending(alpha, seeds / looks[-1]) - spent, spending(alpha, seeds / looks[-1])
        tail = np.concatenate([[0.0], np.cumsum(mass)])
        last = min(np.searchsorted(tail, share, side="right"), CELLS) - 1
        part = min((share - tail[last]) / mass[last], 1.0) if mass[last] > 0 else 1.0
        levels.append(edges[last] + part * (edges[last + 1] - edges[last]))
        kept = np.concatenate([np.zeros(last), [1 - part], np.ones(CELLS - last - 1)])
        mass = mass * kept * (kept[::-1] if sides == 2 else 1.0)
    return levels


@cache
def _transitions(looks):
    """Per pair of neighbouring looks, the probabilities [cells × cells] from one look's p to the next one's, under the null."""
    return [reduce(matmul, map(_one_more, range(*pair))) for pair in pairwise(looks)]


@cache
def _one_more(n):
    """Probabilities [cells of p with n seeds × cells of p with n + 1], each cell starting from its middle."""
    import numpy as np
    from scipy.special import stdtr

    edges, middles = _grid()
    r, bound = _ratio(middles, n)[:, None], _ratio(edges[1:-1], n + 1)[None]
    # y = tan θ turns (r + y) / √(1 + y²) into √(1 + r²) cos(θ − θ₀), which is above a bound on both sides of θ₀
    peak, reach = np.arctan2(1, r), np.arccos(np.clip(bound / np.sqrt(1 + r**2), -1, 1))

    def up_to(angle):
        ends = np.pi / 2 - 1e-12
        return stdtr(n, np.sqrt(n) * np.tan(np.clip(angle, -ends, ends)))

    below = np.hstack([np.zeros_like(r), up_to(peak + reach) - up_to(peak - reach), np.ones_like(r)])
    return np.diff(below, axis=1)


def _ratio(p, n):
    """Σx / √Σx² of n observations whose one-sided p is the given one; √n at p 0."""
    import numpy as np
    from scipy.special import stdtrit

    t = -stdtrit(n - 1, p)
    return t * np.sqrt(n / (n - 1 + t**2))


@cache
def _grid():
    """(edges [cells + 1], middles [cells]) of the one-sided p, from 0 to 1."""
    import numpy as np
    from scipy.special import ndtr

    quantiles = np.linspace(-WIDEST, WIDEST, CELLS + 1)
    return np.concatenate([[0.0], ndtr(quantiles[1:-1]), [1.0]]), ndtr((quantiles[1:] + quantiles[:-1]) / 2)


def stopping(effect, margin, looks, spending, alpha=statistics.ALPHA, studies=10_000):
    """{found, equivalent, seeds} of a design with looks, in simulated studies of normal per-seed contrasts with sd 1.

    effect, margin: in units of the sd; margin None for a contrast without one. found: share of studies that are decided by
    the t test with the right sign. equivalent: share decided by TOST within ±margin. seeds: mean number at the decision, or
    at the last look if there was none.
    """
    import numpy as np

    values = np.random.default_rng(0).normal(effect, 1, (looks[-1], studies))
    differs, equivalent, right = [], [], []
    for look, seeds in enumerate(looks, start=1):
        result = statistics.seed_test(values[:seeds])
        differs.append(overall_p(result["p"], look, looks, spending) < alpha)
        right.append(result["estimate"] > 0)
        p = statistics.tost(values[:seeds], margin) if margin else np.ones(studies)
        equivalent.append(overall_p(p, look, looks, spending, sides=1) < alpha)
    differs, equivalent, right = map(np.array, (differs, equivalent, right))
    first = np.where((differs | equivalent).any(0), (differs | equivalent).argmax(0), len(looks) - 1)
    at_stop = (first, np.arange(studies))
    return {
        "found": float(np.mean(differs[at_stop] & ~equivalent[at_stop] & right[at_stop])),
        "equivalent": float(np.mean(equivalent[at_stop])),
        "seeds": float(np.mean(np.array(looks)[first])),
    }
