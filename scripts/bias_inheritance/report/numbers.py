"""From the tables to the numbers that are shown: means over seeds with t intervals, and the rows behind each of them."""

from bias_inheritance import statistics
from bias_inheritance.claims import frames

CELL = ["bias", "gamma", "mitigation", "round"]
GRADES = ("accuracy", "macro_f1")  # metrics that say how many answers are right


def read_table(path):
    """A CSV as a frame with the column `row`, 1 for the first row below the header; γ on two decimals.

    A table of no rows may have no columns either: an empty frame.
    """
    import pandas as pd

    table = pd.read_csv(path) if path.stat().st_size > 1 else pd.DataFrame()
    table["row"] = range(1, len(table) + 1)
    return table.assign(gamma=table["gamma"].round(2)) if "gamma" in table else table


def over_seeds(values, by):
    """One row per group of `by`: mean over seeds (`value`), 95% t interval (NaN for one seed, or where all are equal).

    values: frame with seed, value, rows and `by`. Where a seed has several values (datasets), they are averaged first, so
    that the seed stays the unit. Returns by + value, ci_low, ci_high, n_seeds, rows; groups without any value are left out.
    """
    import numpy as np
    import pandas as pd

    values = values.dropna(subset=["value"])
    if values.empty:
        return pd.DataFrame(columns=[*by, "value", "ci_low", "ci_high", "n_seeds", "rows"])
    per_seed = values.groupby([*by, "seed"], sort=False, dropna=False).agg(value=("value", "mean")).reset_index()
    found = per_seed.groupby(by, sort=False, dropna=False)["value"].agg(list).reset_index()
    found["n_seeds"] = found["value"].map(len)
    found[["mean", "ci_low", "ci_high"]] = np.nan
    for n in sorted(found["n_seeds"].unique()):
        chosen = found["n_seeds"] == n
        test = statistics.seed_test(np.array(found.loc[chosen, "value"].tolist()).T)
        found.loc[chosen, ["mean", "ci_low", "ci_high"]] = np.column_stack(
            [test["estimate"], test["ci_low"], test["ci_high"]]
        )
    rows = values.groupby(by, sort=False, dropna=False)["rows"].agg(joined).reset_index()
    return found.drop(columns="value").rename(columns={"mean": "value"}).merge(rows, on=by)


def joined(rows):
    """Rows of several values as one text: '12|40' and '58|90' become '12,58|40,90'."""
    sides = zip(*(str(text).split("|") for text in rows), strict=True)
    return "|".join(",".join(dict.fromkeys(side)) for side in sides)


def scores_with_rows(scores):
    return scores.assign(rows=scores["row"].astype(str))


def answered(scores):
    """One row per run, task, dataset and way of scoring: its answers n, n_unparsed of them, and `row` of the first.

    The rows of one run count the same answers under several metrics. Those of the group `all` say it, where there are any
    (a story that is silent on one dimension is no unreadable one); else the groups of one metric add up, gaps aside.
    """
    import pandas as pd

    keys = ["model", "domain", "task", "scoring", "dataset", "bias", "gamma", "mitigation", "seed", "round"]
    own = scores[~scores["metric"].isin(["uninformative", "collapsed", "macro_f1_mean"])]
    whole = own["group"] == "all"
    split = ~whole.groupby([own[key] for key in keys], dropna=False).transform("any")
    groups = own[split & ~own["group"].str.contains("-")]
    first = groups.groupby(keys, dropna=False)["metric"].transform("first")
    counts = {"n": ("n", "sum"), "n_unparsed": ("n_unparsed", "sum"), "row": ("row", "min")}
    found = [
        own[whole].groupby(keys, sort=False, dropna=False).agg(n=("n", "max"), n_unparsed=("n_unparsed", "max"), row=("row", "min")),
        groups[groups["metric"] == first].groupby(keys, sort=False, dropna=False).agg(**counts),
    ]  # fmt: skip
    return pd.concat(found).reset_index()


def effects_with_rows(effects, scores):
    """The effects with `rows`: the row of the cell in scores.csv, and the row of its control."""
    import pandas as pd

    keys = frames.keys_of(scores)
    rows = scores[[*keys, "row"]]
    same = [key for key in keys if key not in CELL]
    found = []
    for control, part in effects.groupby("control", sort=False):
        own = part.drop(columns="row").merge(rows, on=keys)
        controls = rows[rows["bias"] == control].rename(columns={"row": "control_row"})
        if control == "original":
            # the γ = 0 cell of the effect's round, or the last one before it
            both = own.merge(controls[[*same, "round", "control_row"]], on=same, suffixes=("", "_control"))
            both = both[both["round_control"] <= both["round"]].sort_values("round_control")
            both = both.groupby([*keys, "effect"], sort=False, dropna=False).tail(1).drop(columns="round_control")
        else:
            both = own.merge(controls.drop(columns="bias"), on=[key for key in keys if key != "bias"])
        found.append(both)
    both = pd.concat(found, ignore_index=True) if found else effects.assign(row=0, control_row=0)
    return both.assign(rows=both["row"].astype(str) + "|" + both["control_row"].astype(str))


def outcomes(scores, tasks, domains):
    """What is shown of each task, from its file's `primary`: a list of dicts, one per model, domain, task and dataset.

    gap: the group that is a difference of two, the domain's reference − compared or the one that the task names, where the
    primary metric has it; else the outcome is plain, and `groups` are those of its metric. levels: the two groups of a
    gap, as far as `per_group` has them. others: further groups (cultures).
    """
    found = []
    for (model, domain, task, dataset), rows in scores.groupby(["model", "domain", "task", "dataset"], sort=False):
        spec, place = tasks[task], domains[domain]
        primary = spec["primary"]
        own = rows[rows["metric"] == primary["metric"]]
        if own.empty:
            continue
        groups = list(own["group"].unique())
        named = [f"{place.get('reference')}-{place.get('compared')}", primary.get("gap")]
        gap = next((group for group in named if group in groups), None)
        pair = gap.split("-") if gap else []
        per_group = primary.get("per_group", primary["metric"])
        there = set(rows[rows["metric"] == per_group]["group"])
        found.append(
            {
                "model": model,
                "domain": domain,
                "task": task,
                "dataset": dataset,
                "relation": own["relation"].iloc[0],
                "kind": spec["kind"],
                "title": spec["title"],
                "scoring": own["scoring"].iloc[0],
                "metric": primary["metric"],
                "harm": primary.get("harm"),
                "gap": gap,
                "groups": [gap] if gap else ["all"] if "all" in groups else groups,
                "per_group": per_group,
                "levels": [group for group in pair if group in there],
                "graded": primary["metric"] in GRADES,
                "others": [group for group in groups if group not in (gap, "all", *pair)] if gap else [],
            }
        )
    return found


def of_outcome(table, outcome, metric=None, groups=None):
    """The rows of one outcome, of its primary metric unless another one is named."""
    keep = (
        (table["model"] == outcome["model"])
        & (table["domain"] == outcome["domain"])
        & (table["task"] == outcome["task"])
        & (table["dataset"] == outcome["dataset"])
        & (table["scoring"] == outcome["scoring"])
        & (table["metric"] == (metric or outcome["metric"]))
        & table["group"].isin(groups or outcome["groups"])
    )
    return table[keep]
