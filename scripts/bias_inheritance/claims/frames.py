"""Scores and misalignments as frames of one layout, the effects per seed in them, and the types that may not be tested."""

from bias_inheritance.errors import UserError

CELL = ["bias", "gamma", "mitigation", "round"]
KEYS = [
    "model",
    "domain",
    "bias",
    "gamma",
    "mitigation",
    "seed",
    "round",
    "task",
    "dataset",
    "relation",
    "metric",
    "group",
    "scoring",
]


def read_scores(path):
    """scores.csv, or a table of its layout, as a frame. Raises UserError for a missing column or a row that is there twice."""
    import pandas as pd

    try:
        scores = pd.read_csv(path)
    except (ValueError, UnicodeDecodeError) as fault:
        raise UserError(f"{path}: not readable as CSV ({fault}); delete it and run again") from None
    return checked(scores, path)


def checked(scores, name):
    """The frame with γ on two decimals, once it is known to have all columns and no row twice (else UserError)."""
    missing = [column for column in [*KEYS, "value", "n", "n_unparsed"] if column not in scores]
    if missing:
        raise UserError(f"{name}: lacks the column {missing[0]!r}; it needs {', '.join(KEYS)}, value, n, n_unparsed")
    scores = scores.assign(gamma=scores["gamma"].round(2))
    twice = scores[scores.duplicated(keys_of(scores))]
    if len(twice):
        row = twice.iloc[0]
        where = ", ".join(f"{key} {row[key]}" for key in keys_of(scores))
        raise UserError(
            f"{name}: two rows for {where}; a run has one value per metric, so delete the table and run again"
        )
    return scores


def read_misalignment(path):
    """A table of misalignment/ in the layout of scores: its file's name is the task, fields of the grid it lacks are filled.

    Needs model, domain, bias, seed, metric, group, value, n (issue 7). What belongs to a pool and not to a cell has no γ,
    mitigation or round: it stands at γ 0.00, none, 1. Texts whose group is unclear (n_unclear) are unreadable ones, which
    n counts like any others.
    """
    import pandas as pd

    table = pd.read_csv(path)
    if "n_unclear" in table:
        table = table.assign(n=table["n"] + table["n_unclear"], n_unparsed=table["n_unclear"])
    filled = {
        "gamma": 0.0,
        "mitigation": "none",
        "round": 1,
        "dataset": path.stem,
        "relation": "direct",
        "scoring": "logprob",
        "n_unparsed": 0,
    }
    for column, value in filled.items():
        # a column of nothing is read as numbers, which hold no text
        table[column] = value if column not in table or table[column].isna().all() else table[column].fillna(value)
    return checked(table.assign(task=path.stem), path)


def keys_of(scores):
    """The columns that tell rows apart; rounds studies have the arm among them."""
    return [*KEYS, "arm"] if "arm" in scores else KEYS


def effects(scores):
    """Per-seed effects of every cell (study, section 1): the scores' keys, effect, control, value, n.

    augmentation: cell - `original` of equal model, domain and seed, of its round or the last one before it.
    bias: cell - `neutral`, and - `faithful` where the study has it, of equal γ, mitigation, seed and round.
    n is the smaller number of items of the two. A cell whose control is missing has no row; an undefined score
    gives an undefined effect.
    """
    import numpy as np
    import pandas as pd

    cells = scores[(scores["bias"] != "untuned") & ~scores["metric"].isin(["uninformative", "collapsed"])]
    same = [key for key in keys_of(scores) if key not in CELL]
    originals = cells[cells["bias"] == "original"]
    tuned = cells[cells["bias"] != "original"]
    by_round = [
        originals[originals["round"] <= number]
        .sort_values("round")
        .groupby(same, dropna=False)
        .tail(1)
        .assign(round=number)
        for number in sorted(tuned["round"].unique())
    ]
    found = []
    for effect, control in (("augmentation", "original"), ("bias", "neutral"), ("bias", "faithful")):
        if control == "original":
            runs, controls, on = tuned, pd.concat(by_round) if by_round else originals, [*same, "round"]
        else:
            runs, controls, on = (
                tuned[tuned["bias"] != control],
                cells[cells["bias"] == control],
                [*same, "gamma", "mitigation", "round"],
            )
        both = runs.merge(controls[[*on, "value", "n"]], on=on, suffixes=("", "_control"))
        difference = both["value"] - both["value_control"]
        found.append(
            both[keys_of(scores)].assign(
                effect=effect, control=control, value=difference, n=np.minimum(both["n"], both["n_control"])
            )
        )
    return pd.concat(found, ignore_index=True).sort_values([*keys_of(scores), "effect", "control"], ignore_index=True)


def failed_manipulation(manipulation, model, domain, types):
    """{bias: `failed` or `not checked`} of the bias types that may not be tested in a domain (study, section 2)."""
    rows = manipulation[(manipulation["model"] == model) & (manipulation["domain"] == domain)]
    passed = rows["passed"].astype(str).str.lower()
    failed = {bias: "not checked" for bias in types if not (passed[rows["bias"] == bias] == "true").any()}
    return failed | dict.fromkeys(rows[passed == "false"]["bias"], "failed")
