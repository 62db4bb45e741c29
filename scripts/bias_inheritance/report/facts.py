"""The facts of a study: its tables with titles from the catalog, and means over seeds. The only input of the sections."""

import math
from dataclasses import dataclass

import pandas as pd

from bias_inheritance.claims import reading
from bias_inheritance.data.contrasts import by_name
from bias_inheritance.plumbing import files
from bias_inheritance.report import parts, words
from bias_inheritance.stats import statistics
from bias_inheritance.study import grid
from bias_inheritance.tasks import metrics

ALL = "all"  # all seeds or all contrasts, in inheritance.csv
# metrics that describe the run itself
FLAGS = ("uninformative", "collapsed", "position_share", "macro_f1_mean", "macro_f1_mean_second_prompt")
MOST_GROUPS = 8  # panels of a figure by group; its table has all groups
EXTREMES = {"largest_gap": "largest gap", "worst_group": "worst group", "all": "all items"}
OF_POOLS = ("pools", "manipulation", "groups")  # tables about texts, which do not depend on who reads them
INHERITANCE = ["model", "domain", "bias", "gamma", "mitigation", "seed", "round", "contrast", "kind", "beta", "row"]
OF_QUALITY = ("distinct_1", "distinct_2", "distinct_3", "realised_gamma")  # shares of quality.csv by other names
BASELINES = {"untuned": "Untuned model", "original": "Originals alone"}


@dataclass
class Facts:
    """All inputs of the sections. tables: {stem of the file: frame with `row`, 1 for the first below the header}.

    config: the study's, resolved. declared: catalog/claims.yaml. names: {axis: {name: leaves of its catalog file}}.
    settings: {model: {domain: training settings}}. comparisons: {pool: {effect: control}}. looks: the planned looks with the
    current one, or None. cards, jobs: model cards and records. items: [{model, domain, task, answers: {cell's title: rows of
    its predictions}}]. samples: [(pool's wildcards, rows kept, rows failed)].
    """

    tables: dict
    config: dict
    declared: dict
    names: dict
    settings: dict
    comparisons: dict
    looks: dict | None
    cards: list
    jobs: list
    items: list
    samples: list
    digest: str = ""

    def __post_init__(self):
        self.declared = self.declared | {"looks": self.looks, "types": self.roles("bias-type")}
        self.claims = reading.joined_with_declarations(self.tables["claims"], self.declared)
        self.tables.setdefault("inheritance", pd.DataFrame(columns=INHERITANCE))
        self.tables |= {name: of_writers(self.tables[name]) for name in OF_POOLS if name in self.tables}
        self.rounds = self.config["rounds"]["count"]
        self.gammas = sorted(gamma for gamma in self.config["grid"]["gamma"] if gamma > 0)
        self.largest = max(self.config["grid"]["gamma"])  # 0 in a study without augmented cells
        scores = self.tables["scores"]
        self.models = sorted(scores[scores["bias"] != "untuned"]["model"].unique())  # tuned, as in claims.csv

    # names

    def title(self, axis, name):
        if axis == "bias" and name in BASELINES:
            return BASELINES[name]
        return self.names[axis][name]["title"] if name in self.names[axis] else words.sentence(name.replace("-", " "))

    def placed(self, title, row):
        """A title with the row's domain and model, if the study has several of them."""
        values = {"domain": self.config["grid"]["domain"], "model": grid.students(self.config)}
        several = [axis for axis in values if row.get(axis) and len(values[axis]) > 1]
        return " · ".join([title, *(self.title(axis, row[axis]) for axis in several)])

    def roles(self, *roles):
        """The study's pools of these roles: bias types by number, controls by dose, others in the grid's order."""
        pools = self.names["bias"]

        def order(name):
            dose = pools[name].get("associate", pools[name].get("plant", 0))
            return roles.index(pools[name]["role"]), pools[name].get("number", 99), dose

        return sorted((name for name in pools if pools[name]["role"] in roles), key=order)

    @property
    def pools(self):
        return self.roles("natural", "bias-type", "positive-control", "baseline", "negative-control", "probe")

    def contrasts(self, domain, task=None):
        """{contrast name in the tables: displayed form} for a domain and a task, which may have its own groups."""
        declared = [self.names["domain"].get(domain, {}), self.names["task"].get(task, {})]
        pairs = {name: pair for leaves in declared if "contrasts" in leaves for name, pair in by_name(leaves).items()}
        pairs["congruent-incongruent"] = ("congruent", "incongruent")
        return {name: f"{first} − {second}" for name, (first, second) in pairs.items()}

    def group_title(self, group, domain, task=None):
        label, _, contrast = group.rpartition(":")
        shown = self.contrasts(domain, task).get(contrast) or EXTREMES.get(group) or contrast.replace("-", " ")
        return f"{label}, {shown}" if label else shown

    def cell(self, row, column):
        """The displayed value of one column of a row: a title, a formatted number, or a text."""
        value = row.get(column)
        if column == "interval":
            return words.interval(row.get("ci_low"), row.get("ci_high"))
        if column == "values":
            return ", ".join(words.number(each, 2) for each in value)
        if column == "rows":
            return words.rows_named(value)
        if not words.known(value):
            return "–"
        if column in ("bias", "control", "direction"):
            return self.placed(self.title("bias", value), row if column == "bias" else {})
        if column in ("mitigation", "task"):
            return self.title(column, value)
        if column == "group":
            return self.group_title(str(value), row.get("domain"), row.get("task"))
        if column in words.TITLES:
            return words.TITLES[column](value)
        if isinstance(value, float) and not (column.startswith("n_") or column == "n"):
            return words.p_value(value) if column.startswith("p_") or column == "p" else words.number(value)
        return words.count(value) if not isinstance(value, str) and column != "seed" else str(value)

    def named(self, data, **columns):
        """The data with additional columns (panel, place, series, …): displayed values of the given columns; "" for none."""
        rows = data.to_dict("records")
        return data.assign(
            **{name: [self.cell(row, column) if column else "" for row in rows] for name, column in columns.items()}
        )

    # choices of rows

    def plain(self, table):
        """The rows of round 1 without mitigation at the largest γ, and at γ 0."""
        selected = table[(table["mitigation"] == "none") & (table["round"] <= 1)]
        return selected[selected["gamma"].isin([0.0, self.largest])]

    def ordered(self, table, column="bias", order=None):
        """The rows in the study's order of pools, effects or mitigations (or in `order`), other values last."""
        orders = {
            "bias": [*BASELINES, *self.pools],
            "effect": words.EFFECTS,
            "mitigation": self.config["grid"]["mitigation"],
        }
        places = {name: place for place, name in enumerate(order or orders[column])}
        return table.sort_values(column, key=lambda names: names.map(places).fillna(len(places)), kind="stable")

    def outcomes(self):
        """One dict per model, domain, task and scoring; the informative ones first.

        name: the task. title: the same with the domain and model, if the study has several. metric: congruence or label
        probability if available, otherwise the primary one. groups: its contrasts, the extremes over groups, and all items;
        if there are none of these, every group; at most MOST_GROUPS. group: the first of them. faded: why the task is
        uninformative in this study, or "".
        """
        scores = self.tables["scores"]
        scores = scores[~scores["metric"].isin(FLAGS)]
        outcomes = []
        for keys, rows in scores.groupby(["model", "domain", "task", "scoring"], sort=False):
            place = dict(zip(("model", "domain", "task", "scoring"), keys, strict=True))
            metrics_present = set(rows["metric"])
            named = self.names["task"].get(place["task"], {}).get("primary", {}).get("metric")
            choices = ["congruence", "label_probability", named, *words.METRICS, *sorted(metrics_present)]
            metric = next(choice for choice in choices if choice in metrics_present)
            contrasts = self.contrasts(place["domain"], place["task"])
            groups = list(dict.fromkeys(rows[rows["metric"] == metric]["group"]))
            chosen = [group for group in [*contrasts, *EXTREMES] if group in groups]
            name = self.title("task", place["task"])
            written = ", written answers" if place["scoring"] == "parsed" else ""
            groups = (chosen or groups)[:MOST_GROUPS]
            place |= {"metric": metric, "groups": groups, "group": groups[0]}
            place |= {"name": f"{name}{written}", "title": f"{self.placed(name, place)}{written}"}
            outcomes.append(place | {"faded": self.faded(rows, place)})
        return sorted(outcomes, key=lambda outcome: bool(outcome["faded"]))

    def faded(self, rows, place):
        """Why the scores of a task, `rows`, are uninformative in this study, or ""."""
        scores = self.tables["scores"]
        keys = ["model", "domain", "task"]
        of_task = (scores[keys] == [place[key] for key in keys]).all(axis=1)
        led = scores[of_task & (scores["metric"] == "uninformative")]["value"].eq(1)
        if led.mean() > 0.5:
            return f"position bias in {led.sum()} of {words.counted(len(led), 'run')}"
        unread = rows["n_unparsed"].sum() / max(1, rows["n"].sum())
        return f"{words.percent(unread)} of answers unreadable" if unread > self.declared["unreadable_limit"] else ""

    @staticmethod
    def outcome_rows(table, outcome, *also):
        """The rows of an outcome's model, domain, task and scoring, and of its values of the columns in `also`."""
        keys = ["model", "domain", "task", "scoring", *also]
        return table[(table[keys] == [outcome[key] for key in keys]).all(axis=1)]

    # inheritance

    def betas(self, over_seeds=True):
        """Rows of inheritance.csv, over seeds or per seed, for all contrasts combined if a domain has several."""
        table = self.tables["inheritance"]
        together = table["domain"].isin(table[table["contrast"] == ALL]["domain"])
        rows = table[((table["seed"] == ALL) == over_seeds) & ((table["contrast"] == ALL) | ~together)]
        return rows.assign(value=rows["beta"])

    def claim_of_beta(self, pool, model):
        """The deciding row of claims.csv on a pool's β, as a dict, or None."""
        rows = self.claims[self.claims["decides"] & self.claims["model"].isin(["", model])]
        for row in rows.to_dict("records"):
            spec = row["spec"] or {}
            level = spec.get("effect") in ("level", "natural") and "minus" not in spec and "contrast" not in spec
            plain = level and spec["biases"] == [pool] and (spec["over"], spec["mitigation"]) == ("mean", "none")
            if plain and self.measured_by(spec) == ("inheritance", "beta"):
                return row
        return None

    def cells(self, pool, model):
        """The scores of a pool's cells, of one model if it is named."""
        scores = self.tables["scores"]
        return scores[(scores["bias"] == pool) & (scores["model"].eq(model) | (not model))]

    @staticmethod
    def averaged(rows):
        """'at γ 0.50', or 'on average over γ 0.05 to 0.50 and domains': what a contrast over these cells is a mean of."""
        gammas = [f"{gamma:.2f}" for gamma in sorted(rows["gamma"].unique())]
        over = [f"γ {gammas[0]} to {gammas[-1]}"] if len(gammas) > 1 else []
        over += ["domains"] if rows["domain"].nunique() > 1 else []
        at = [f"at γ {gammas[0]}"] if len(gammas) == 1 else []
        return ", ".join([*at, *([f"on average over {words.listed(over)}"] if over else [])])

    def measured_by(self, spec):
        """(task, metric) of the first selector of a declared contrast's outcome."""
        selector = self.declared["outcomes"][spec["outcome"]][0]
        return selector.get("task", [""])[0], selector["metric"]


def read_table(path):
    """A CSV as a frame with `row`; γ rounded to two decimals, seed as text. A table without rows may have no columns."""
    table = files.read_table(path, dtype={"seed": str}) if path.stat().st_size > 1 else pd.DataFrame()
    if "gamma" in table:
        table["gamma"] = table["gamma"].round(2)
    return table.assign(row=range(1, len(table) + 1))


def of_writers(table):
    """A table of pools with one row per pool: that of its writer, whichever students read it."""
    if not len(table):
        return table
    table = table.assign(model=table["model"].map(grid.writer_of))
    return table.drop_duplicates([column for column in table if column != "row"])


def seed_means(table, by, file):
    """One row per group of `by`: mean over seeds (`value`) with its 95% t interval and its source rows.

    table: frame with seed, value, row and `by`. A seed with several values (datasets) is averaged first, since the seed is
    the unit of replication. Returns by + value, ci_low, ci_high (NaN for one seed, or if all are equal), se, n_seeds,
    values (one per seed), rows, id. Intervals are clipped to the metric's scale.
    """
    import numpy as np

    blank = [*by, "value", "ci_low", "ci_high", "se", "n_seeds", "values", "rows", "id"]
    table = table.dropna(subset=["value"])
    if table.empty:
        return pd.DataFrame(columns=blank)
    per_seed = table.groupby([*by, "seed"], sort=False, dropna=False)["value"].mean().reset_index()
    grouped = per_seed.groupby(by, sort=False, dropna=False)["value"].agg(list).reset_index(name="values")
    rows = table.groupby(by, sort=False, dropna=False)["row"].agg(list).reset_index(name="rows")
    grouped = grouped.merge(rows, on=by)
    grouped["n_seeds"] = grouped["values"].map(len)
    grouped[["value", "ci_low", "ci_high", "se"]] = np.nan
    for n, chosen in grouped.groupby("n_seeds").groups.items():
        test = statistics.seed_test(np.array(grouped.loc[chosen, "values"].tolist()).T)
        columns = [test["estimate"], test["ci_low"], test["ci_high"], test["sd"] / np.sqrt(n)]
        grouped.loc[chosen, ["value", "ci_low", "ci_high", "se"]] = np.column_stack(columns)
    if "metric" in by:
        groups = grouped["group"] if "group" in by else ["all"] * len(grouped)
        ends = [scale(metric, group) for metric, group in zip(grouped["metric"], groups, strict=True)]
        low, high = (np.array(side, dtype=float) for side in zip(*ends, strict=True))
        if "effect" in by:  # a difference of two values of the scale
            low, high = low - high, high - low
        grouped["ci_low"], grouped["ci_high"] = np.maximum(grouped["ci_low"], low), np.minimum(grouped["ci_high"], high)
    grouped["id"] = [parts.row_id(file, rows[0]) for rows in grouped["rows"]]
    return grouped[blank]


def scale(metric, group):
    """(lowest, highest) possible value of a metric, including those of misalignments and of the quality of texts."""
    if metric in ("mean_words", "perplexity"):
        return 0.0, math.inf
    within_one = metric.removeprefix("hidden_") in ("similarity", "similarity_uniform", "auc", *OF_QUALITY)
    return (0.0, 1.0) if within_one else metrics.scale(metric, group)
