"""Scores and misalignments as frames with the same layout, effects per seed, and bias types that may not be tested."""

from bias_inheritance.plumbing import files
from bias_inheritance.plumbing.errors import UserError
from bias_inheritance.study.declarations import INHERITANCE

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
    """scores.csv, or a table of its layout, as a frame. Raises UserError for a missing column or a duplicate row."""
    try:
        scores = files.read_table(path)
    except (ValueError, UnicodeDecodeError) as fault:
        message = " ".join(str(fault).split())
        raise UserError(f"{path}: not readable as CSV ({message}); delete it and run again") from None
    return checked(scores, path)


def checked(scores, name):
    """The frame with γ rounded to two decimals. Raises UserError for a missing column or a duplicate row."""
    missing = [column for column in [*KEYS, "value", "n", "n_unparsed"] if column not in scores]
    if missing:
        raise UserError(f"{name}: lacks the column {missing[0]!r}; required: {', '.join(KEYS)}, value, n, n_unparsed")
    scores = scores.assign(gamma=scores["gamma"].round(2))
    twice = scores[scores.duplicated(keys_of(scores))]
    if len(twice):
        row = twice.iloc[0]
        where = ", ".join(f"{key} {row[key]}" for key in keys_of(scores))
        raise UserError(
            f"{name}: two rows for {where}, but a run has one value per metric; delete the table and run again"
        )
    return scores


def read_misalignment(path):
    """A table of misalignment/ in the layout of scores: its file's name is the task; missing grid columns are filled in.

    Required: model, domain, bias, seed, metric, group, value, n. Rows of a pool, which have no γ, mitigation or round, get
    γ 0.00, none, 1. Texts with an unclear group (n_unclear) are counted as unreadable, and included in n.
    """
    table = files.read_table(path)
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
        # pandas reads an empty column as numeric, which cannot hold text
        table[column] = value if column not in table or table[column].isna().all() else table[column].fillna(value)
    return checked(table.assign(task=path.stem), path)


def keys_of(scores):
    """The columns that identify a row; in studies of rounds, including the arm."""
    return [*KEYS, "arm"] if "arm" in scores else KEYS


def read_inheritance(path):
    """inheritance.csv in the layout of scores: task `inheritance`, metric `beta` or `projection`, n the number of pairs,
    n_unparsed that of the pairs without readable answers, group a contrast or `all`.

    Rows over seeds are excluded. A pool that is its own direction has no projection row; its β is used for it.
    """
    import pandas as pd

    table = files.read_table(path, dtype={"seed": str})
    table = table[table["seed"] != "all"]
    single = table[~table["domain"].isin(table[table["contrast"] == "all"]["domain"])]
    table = pd.concat([table, single.assign(contrast="all")], ignore_index=True)
    projected = set(
        table[table["kind"] == "projection"][["model", "domain", "bias"]].itertuples(index=False, name=None)
    )
    pools = table[["model", "domain", "bias"]].itertuples(index=False, name=None)
    alone = pd.Series([pool not in projected for pool in pools], index=table.index, dtype=bool)
    table = pd.concat([table, table[alone].assign(kind="projection")], ignore_index=True)
    columns = {"kind": "metric", "beta": "value", "n_pairs": "n", "contrast": "group"}
    named = table.rename(columns=columns).assign(seed=table["seed"].astype(int), dataset=table["domain"])
    named = checked(named.assign(task=INHERITANCE, relation="direct", scoring="logprob"), path)
    return named.assign(n=named["n"] + named["n_unparsed"])


def control_cell(control, cell, grid):
    """The control of a cell, as (bias, gamma, mitigation, round), or None if the study has none.

    grid: set of cells. `original` has γ 0. The control has the cell's mitigation if the study includes that, otherwise
    none; and the cell's round, or the last one before it, since only generated pools are iterated.
    """
    _, gamma, mitigation, number = cell
    gamma = 0.0 if control == "original" else gamma
    candidates = [other for other in grid if other[:2] == (control, gamma) and other[3] <= number]
    treated = [other for other in candidates if other[2] == mitigation]
    plain = [other for other in candidates if other[2] == "none"]
    return max(treated or plain, key=lambda other: other[3], default=None)


def effects(scores, comparisons):
    """Per-seed effects of every cell: the scores' keys, effect, control, value, n.

    comparisons: {pool: {effect: control}} of `grid.comparisons`. A value is the cell's minus that of its control's cell
    (`control_cell`) of the same model, domain and seed; n is the smaller number of items of the two. A cell without a
    control has no row; an undefined score gives an undefined effect.
    """
    import numpy as np
    import pandas as pd

    cells = scores[(scores["bias"] != "untuned") & ~scores["metric"].isin(["uninformative", "collapsed"])]
    grid = set(cells[CELL].itertuples(index=False, name=None))
    pairs = [
        (*cell, effect, *control)
        for cell in grid
        for effect, name in comparisons.get(cell[0], {}).items()
        if (control := control_cell(name, cell, grid))
    ]
    of_control = ["control", *(f"{key}_control" for key in CELL[1:])]
    compared = pd.DataFrame(pairs, columns=[*CELL, "effect", *of_control]).astype({"gamma": float, "round": int})
    compared = compared.astype({"gamma_control": float, "round_control": int})
    same = [key for key in keys_of(scores) if key not in CELL]
    controls = cells[[*same, *CELL, "value", "n"]].rename(columns=dict(zip(CELL, of_control, strict=True)))
    both = cells.merge(compared, on=CELL).merge(controls, on=[*same, *of_control], suffixes=("", "_control"))
    table = both[[*keys_of(scores), "effect", "control"]].assign(
        value=both["value"] - both["value_control"], n=np.minimum(both["n"], both["n_control"])
    )
    return table.sort_values([*keys_of(scores), "effect", "control"], ignore_index=True)


def failed_manipulation(manipulation, model, domain, types):
    """{pool: `failed` or `not checked`} of the pools that may not be tested in a domain: a bias type has to pass its
    check, any other pool must not fail it."""
    rows = manipulation[(manipulation["model"] == model) & (manipulation["domain"] == domain)]
    passed = rows["passed"].astype(str).str.lower()
    failed = {bias: "not checked" for bias in types if not (passed[rows["bias"] == bias] == "true").any()}
    return failed | dict.fromkeys(rows[passed == "false"]["bias"], "failed")
