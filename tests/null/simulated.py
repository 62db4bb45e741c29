"""Simulated studies whose truth is known: seeds, pools shared over γ and mitigations, items in twins shared by all runs."""

from itertools import product

from bias_inheritance import catalog, study

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
    own = study.declared({"grid": {"bias": list(pools or catalog.names("bias"))}})
    return own if pools else own | {"types": catalog.bias_types()}


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
    """One row of scores.csv, of occupation-classification's accuracy unless `other` says otherwise."""
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
    """For `claims.evaluate` where a test needs no items."""
    return
