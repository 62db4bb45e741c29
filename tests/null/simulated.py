"""Simulated studies whose truth is known: seeds, pools shared over γ and mitigations, items in twins shared by all runs."""

from itertools import product

from bias_inheritance.study import catalog, grid

METRICS = ["accuracy", "label_probability"]  # a study's tables hold both; simulated ones are equal
GAMMAS = [0.05, 0.10, 0.20, 0.50]
ORIGINAL = ("original", 0.0, "none", 1)
BIAS, BASELINE = "contrastive-explicit", "balanced"
CELLS = [
    ORIGINAL,
    *[(BIAS, gamma, mitigation, 1) for gamma, mitigation in product(GAMMAS, ["none", "loss"])],
    *[(BASELINE, gamma, "none", 1) for gamma in GAMMAS],
]


def declared(*pools):
    """The catalog's claims as a study of these pools (default: all of the catalog) gives them to `verdicts.evaluate`."""
    axes = {axis: catalog.names(axis) for axis in ("domain", "mitigation")}
    study = grid.declared({"grid": axes | {"bias": list(pools or catalog.names("bias"))}, "rounds": {"count": 1}})
    return study if pools else study | {"types": catalog.bias_types()}


DECLARED = declared()


def predictions(stream, studies, seeds, gap=0.0, twins=36, cells=CELLS, skill=0.65):
    """Whether each item is right: bool [studies × seeds × cells × 2 groups (male, female) × twins].

    gap: true effect of BIAS on the accuracy gap at γ = 0.5, linear in γ, half of it up for male and half down for female.
    Probabilities add up an item's difficulty (one for both twins, all seeds and cells), the seed (its originals), the
    pool (seed × bias × group, growing with γ, the same under every mitigation) and the run (training).
    """
    import numpy as np

    def normal(sd, *shape):
        return stream.normal(0, sd, shape).astype(np.float32)

    difficulty = normal(0.12, studies, 1, 1, 1, twins)
    seed = normal(0.03, studies, seeds, 1, 1, 1)
    names = sorted({cell[0] for cell in cells})
    pool = normal(0.05, studies, seeds, len(names), 2, 1)[:, :, [names.index(cell[0]) for cell in cells]]
    gamma = np.array([cell[1] for cell in cells], dtype=np.float32)[:, None, None]
    run = normal(0.03, studies, seeds, len(cells), 2, 1)
    biased = np.array([cell[0] == BIAS for cell in cells], dtype=np.float32)[:, None, None]
    truth = gap / 2 * biased * gamma / 0.5 * np.array([1, -1], dtype=np.float32)[:, None]
    chance = skill + difficulty + seed + pool * gamma / 0.5 + run + truth
    return stream.random(chance.shape, dtype=np.float32) < chance


def accuracies(correct):
    """{male, female, male-female, all}: [studies × seeds × cells] each."""
    mean = correct.mean(-1)
    male, female = mean[..., 0], mean[..., 1]
    return {"male": male, "female": female, "male-female": male - female, "all": (male + female) / 2}


def scores(correct, cells=CELLS):
    """scores.csv of the first simulated study, as a frame, by plain means."""
    import pandas as pd

    rows = []
    for group, table in accuracies(correct[:1]).items():
        for (seed, cell), value in zip(product(range(correct.shape[1]), cells), table.ravel(), strict=True):
            size = correct.shape[-1] * (1 if group in ("male", "female") else 2)
            rows += [row(cell, seed, group, value, n=size, metric=metric) for metric in METRICS]
    return pd.DataFrame(rows)


def row(cell, seed, group, value, n=36, **other):
    """One row of scores.csv; by default accuracy in occupation-classification."""
    bias, gamma, mitigation, number = cell
    place = {
        "model": "m",
        "domain": "gender",
        "bias": bias,
        "gamma": gamma,
        "mitigation": mitigation,
        "seed": seed,
        "round": number,
    }
    task = {
        "task": "occupation-classification",
        "dataset": "gender",
        "relation": "direct",
        "metric": "accuracy",
        "group": group,
        "scoring": "logprob",
    }
    bounds = (None, None) if value is None else (value - 0.1, value + 0.1)
    return (
        place
        | task
        | {"value": value, "ci_low": bounds[0], "ci_high": bounds[1], "n": n, "n_unparsed": 0, "n_clusters": n}
        | other
    )


def manipulation(*biases, passed=True):
    """manipulation.csv in which the given bias types passed, or failed."""
    import pandas as pd

    columns = ["model", "domain", "bias", "measure", "group", "value", "ci_low", "ci_high", "n", "passed"]
    return pd.DataFrame(
        [
            ["m", "gender", bias, "stereotype_rate_minus_neutral", "female", 0.1, 0.05, 0.15, 90, passed]
            for bias in biases
        ],
        columns=columns,
    )


def no_predictions(*key):
    """For `claims.evaluate` in tests without items."""
    return


def inheritances(
    stream, studies, seeds, beta=0.0, labels=6, twins=8, women=(0.15, 0.35, 0.45, 0.55, 0.75, 0.9), size=48
):
    """(Δx, Δy) [studies × seeds × labels × 1] of simulated studies in which a model takes over the share `beta`.

    Data: each seed draws a pool of `size` texts, as many of each label, with the given shares of women per label, into
    originals that are balanced; the baseline's pool is balanced. Model: an item's log p of each option adds up the item's
    difficulty (shared by twins, seeds and cells), how this run treats the groups (drawn anew for each training, label by
    label), noise of each answer, and, of the pool's model, the association that it took over, which varies by seed as well.
    """
    import numpy as np
    from bias_inheritance.stats import inheritance

    per_label = size // labels
    shape = (studies, seeds, labels, 1)
    drawn = stream.binomial(per_label, np.array(women)[:labels, None], shape)
    original = np.full(shape, per_label / 2)  # of originals per label and group
    x = inheritance.association_of_counts(original + per_label - drawn, original + drawn)
    dx = x - inheritance.association_of_counts(original + per_label / 2, original + per_label / 2)

    true = np.repeat(np.arange(labels), 2 * twins)
    man = np.tile([1.0, 0.0], labels * twins)
    cluster = np.repeat(np.arange(labels * twins), 2)
    difficulty = stream.normal(0, 1.0, (studies, 1, labels * twins, labels)).astype(np.float32)[:, :, cluster]

    def log_p(association):
        run = stream.normal(0, 0.15, (studies, seeds, labels)) + association
        noise = stream.normal(0, 0.4, (studies, seeds, len(true), labels)).astype(np.float32)
        raw = difficulty + noise + man[:, None] * run[:, :, None].astype(np.float32)
        return inheritance.option_log_probabilities(raw + 3 * (true[:, None] == np.arange(labels)))

    of_seed = beta + stream.normal(0, 0.05, (studies, seeds, 1))
    change = log_p(of_seed * dx[..., 0]) - log_p(0.0)
    sides = np.array([[man == 1, man == 0]])
    weights, pairs = inheritance.pairing(true, sides, cluster, range(labels))
    return dx, inheritance.model_association(change, weights, pairs)
