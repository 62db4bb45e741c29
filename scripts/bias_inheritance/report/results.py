"""Results of augmentation: effects by task and metric, mitigations, rounds, and the underlying scores."""

from statistics import fmean

import pandas as pd
from markupsafe import Markup

from bias_inheritance.report import figures, words
from bias_inheritance.report.facts import EXTREMES, FLAGS, seed_means
from bias_inheritance.report.parts import OVER_SEEDS, fold, link, listing, section, shade, table, text

OPEN = 2  # tasks whose figure of effects is not folded
KEYS = ["model", "domain", "task", "metric", "group", "bias"]


def effects(facts):
    """The three effects (and the dose of controls): an overview of the primary outcomes, then a figure per task."""
    rows = facts.tables["effects"]
    rows = rows[~rows["metric"].isin(FLAGS)]
    if rows.empty:
        return section("effects", "Effects", nothing="The study has no cells with augmented data, so there are no effects.")  # fmt: skip
    rows, outcomes, blocks = rows[rows["round"] == rows["round"].min()], facts.outcomes(), []
    for place, outcome in enumerate(outcomes):
        drawn, full = effect_figure(facts, outcome, rows), effect_table(facts, outcome, rows)
        title = f"{outcome['title']}: all effects"
        title += f" (uninformative: {outcome['faded']})" if outcome["faded"] else ""
        opened = place < OPEN and not outcome["faded"]
        blocks += [drawn, fold(title, full)] if opened else [fold(title, drawn, full, faded=outcome["faded"])]
    intro = "Every effect is a difference between two cells of a seed. Augmentation: adding the text, relative to the originals alone. At equal γ: natural inheritance, relative to as much real text; slant, relative to texts that name groups in the same way without a stereotype; dose, a control relative to its dose 0. The shade of a mean is its distance from 0 in standard errors (darkest at four), so a large effect with a large variance is pale."
    return section("effects", "Effects", text(intro), *overviews(facts, rows, outcomes), *blocks)


def overviews(facts, rows, outcomes):
    """`overview` of each model and domain, if there is more than one outcome."""
    if len(outcomes) < 2:
        return
    means = seed_means(facts.plain(rows), [*KEYS, "scoring", "effect"], "effects")
    places = {}
    for outcome in outcomes:
        places.setdefault((outcome["model"], outcome["domain"]), []).append(outcome)
    for of_place in places.values():
        yield overview(facts, facts.placed("Primary outcomes", of_place[0]), means, of_place)


def overview(facts, title, means, outcomes):
    """Pools by primary outcomes: mean effect at the largest γ, shaded by its size in standard errors."""
    columns = []
    for outcome in outcomes:
        selected = facts.outcome_rows(means, outcome, "metric", "group")
        columns.append({(row["effect"], row["bias"]): row for row in selected.to_dict("records")})
    lines = []
    for effect in words.EFFECTS:
        for bias in [bias for bias in facts.pools if any((effect, bias) in column for column in columns)]:
            cells = [column.get((effect, bias)) for column in columns]
            shown = [link(shade(row), row["id"]) if row else "–" for row in cells]
            lines.append((None, [facts.title("bias", bias), effect, *shown]))
    forms = [Markup('<span class="faded">{}: {}</span>' if outcome["faded"] else "{}: {}") for outcome in outcomes]
    header = [form.format(each["name"], primary(facts, each)) for form, each in zip(forms, outcomes, strict=True)]
    caption = f"{title}, at the largest γ without mitigation, mean over seeds."
    return table(caption, ["Pool", "Effect", *header], lines)


def primary(facts, outcome):
    """The primary metric of a task and the first of its groups, in words."""
    group = facts.group_title(outcome["group"], outcome["domain"], outcome["task"])
    return f"{words.metric_phrase(outcome['metric'])}, {group}"


def effect_figure(facts, outcome, rows):
    """Effects on the primary metric: by pool and group, or over γ if the study has several."""
    several = len(facts.gammas) > 1
    groups = outcome["groups"][:1] if several else outcome["groups"]
    rows = facts.outcome_rows(rows, outcome, "metric")
    rows = rows[(rows["mitigation"] == "none") & rows["group"].isin(groups)]
    rows = facts.ordered(rows) if several else facts.ordered(rows, "group", groups)
    panel, place = ("bias", "gamma") if several else ("group", "bias")
    metric, unit = words.metric_phrase(outcome["metric"]), f"change of {words.metric_unit(outcome['metric'])}"
    which = f"{primary(facts, outcome)}, over γ" if several else f"at γ {facts.largest:.2f}"
    title, caption = f"{outcome['title']}: effect on {metric}", f"Change of {metric} ({which}) without mitigation."
    return mean_figure(facts, title, caption, unit, "effects", rows, panel, place, "effect", free=not several)


def mean_figure(facts, title, caption, unit, file, rows, panel, place, series, **options):
    """A figure of means over seeds, None without rows.

    panel, place and series are columns of the rows, whose values are displayed. rows: of the table `file`, in the order of
    the panels. Numbers as places (gamma, round) become an axis.
    """
    if rows.empty:
        return None
    rows, axis = facts.named(rows, panel=panel), {"gamma": "γ", "round": "round"}.get(place)
    by = dict.fromkeys(column for column in (*KEYS, "effect", "panel", place, series) if column in rows)
    data = facts.ordered(facts.ordered(seed_means(rows, list(by), file)), series)
    data = facts.ordered(data, "panel", list(dict.fromkeys(rows["panel"])))
    data = facts.named(data, place=place, series=series)
    data = data.assign(place=data[place]) if axis else data
    means = "Means over seeds with t intervals." if data["n_seeds"].max() > 1 else "One seed, hence no intervals."
    return figures.by_axis(title, f"{caption} {means}", data, unit, axis=axis, **options)


def effect_table(facts, outcome, rows):
    """All effects on a task: its metrics for contrasts, extremes and all items, the primary one first."""
    rows = facts.outcome_rows(rows, outcome)
    groups = {*outcome["groups"], *facts.contrasts(outcome["domain"], outcome["task"]), *EXTREMES}
    keys = ["model", "domain", "task", "bias", "gamma", "mitigation", "effect", "control", "dataset", "metric", "group"]
    data = facts.ordered(seed_means(rows[rows["group"].isin(groups)], keys, "effects"))
    data = facts.ordered(data, "metric", [outcome["metric"], *words.METRICS])
    columns = {"Pool": "bias", "Metric": "metric", "Group": "group", "Effect": "effect", "Minus": "control"}
    columns |= {"γ": "gamma", "Mitigation": "mitigation"}
    columns |= {"Dataset": "dataset"} if data["dataset"].nunique() > 1 else {}
    return listing(facts, "effects.csv, mean over seeds.", data, columns | {"Mean": shade, **OVER_SEEDS})


def mitigations(facts):
    """Each mitigation compared with none: β, then the primary outcome of each task."""
    order = facts.config["grid"]["mitigation"]
    if len(order) < 2:
        return section("mitigations", "Mitigations", nothing="The study has no mitigation.")
    largest = max(facts.config["mitigated_gamma"] or [facts.largest])
    caption = f"Each mitigation and none at γ {largest:.2f}; a control that was not mitigated serves all of them."

    def draw(title, unit, file, rows, panel):
        rows = rows[(rows["round"] <= 1) & (rows["gamma"] == largest)]
        rows = rows[rows["bias"].isin(rows[rows["mitigation"] != "none"]["bias"])]
        return mean_figure(facts, title, caption, unit, file, rows, panel, "bias", "mitigation", cell=260)

    drawn = [draw("β under each mitigation", "slope", "inheritance", facts.betas(over_seeds=False), "kind")]
    rows = facts.ordered(facts.tables["effects"], "effect")
    for outcome in facts.outcomes():
        selected = facts.outcome_rows(rows[rows["effect"] != "dose"], outcome, "metric", "group")
        title, unit = f"{outcome['title']}: {primary(facts, outcome)}", words.metric_unit(outcome["metric"])
        figure = draw(title, f"change of {unit}", "effects", selected, "effect")
        drawn.append(fold(title, figure, faded=outcome["faded"]))
    kinds = pd.DataFrame([{"mitigation": name, **facts.names["mitigation"][name]} for name in order])
    does = listing(facts, "Mitigations.", kinds, {"Mitigation": "mitigation", "What it does": "does"})
    return section("mitigations", "Mitigations", *drawn, fold("What each mitigation does", does))


def rounds(facts):
    """β, outcomes and text quality over rounds, of the pools that have later rounds and the originals."""
    if facts.rounds < 2:
        return None
    caption = f"At γ {facts.largest:.2f} without mitigation; the model of one round generates the pool of the next."

    def draw(title, unit, file, rows, panel, reference=None):
        rows = rows[(rows["mitigation"] == "none") & rows["gamma"].isin([0.0, facts.largest]) & (rows["round"] > 0)]
        rows = rows[rows["bias"].isin([*rows[rows["round"] > 1]["bias"], "original"])]
        options = {"reference": reference, "free": True}
        return mean_figure(facts, title, caption, unit, file, rows, panel, "round", "bias", **options)

    betas, scores = facts.betas(over_seeds=False), facts.tables["scores"]
    drawn = [draw("β over rounds", "β", "inheritance", betas[betas["kind"] == "beta"], "kind", 0.0)]
    for outcome in facts.outcomes():
        metric, unit = words.metric_phrase(outcome["metric"]), words.metric_unit(outcome["metric"])
        title = f"{outcome['title']}: {metric} over rounds"
        figure = draw(title, unit, "scores", facts.outcome_rows(scores, outcome, "metric"), "group")
        drawn.append(fold(title, figure, faded=outcome["faded"]))
    drawn.append(draw("Quality of the texts over rounds", "value", "quality", facts.tables["quality"], "metric"))
    return section("rounds", f"Rounds (arm: {facts.config['rounds']['arm']})", *drawn)


def levels(facts):
    """Scores before taking differences, with chance levels: whether the task is learnt at all."""
    chance, scores, means, gaps = chances(facts), facts.plain(facts.tables["scores"]), [], {"largest_gap"}
    for outcome in facts.outcomes():
        selected = facts.outcome_rows(scores, outcome)
        selected = selected[selected["metric"].isin([outcome["metric"], "accuracy", "macro_f1"])]
        means.append(facts.ordered(seed_means(selected, [*KEYS, "gamma"], "scores")).assign(title=outcome["title"]))
        gaps |= facts.contrasts(outcome["domain"], outcome["task"]).keys()
    if not means:
        return section("levels", "Absolute scores", nothing="The study has no scores.")
    data = pd.concat(means, ignore_index=True)
    source = facts.tables["scores"].set_index("row")
    runs = [source.loc[rows] for rows in data["rows"]]  # of every seed and dataset
    for end in ("ci_low", "ci_high"):  # that of a single row, such as the untuned model's, is over test clusters
        alone = [rows[end].iloc[0] if len(rows) == 1 else None for rows in runs]
        data[end] = data[end].astype(float).fillna(pd.Series(alone, data.index, dtype=float))
    shares = data["metric"].isin(["accuracy", "label_probability"]) & ~data["group"].isin(gaps)
    items = [rows.groupby("seed")["n"].sum().max() for rows in runs]
    data = data.assign(n=items, chance=data["task"].map(chance).astype(float).where(shares))
    trained_on = {"Trained on": lambda row: facts.title("bias", row["bias"])}  # the task's title names the domain
    short = {"Task": "title", "Metric": "metric", **trained_on, "Mean": "value", "95% interval": "interval"}
    short |= {"Chance level": "chance", "Items": "n"}
    columns = {**short, "Group": "group", **OVER_SEEDS}
    caption = "scores.csv at the largest γ without mitigation: means over datasets and seeds, with t intervals over seeds. The interval of a single run, such as that of the untuned model, is over test clusters; the mean of a run over several datasets has none."
    first = data[data["bias"].isin(["untuned", "original"]) & data["group"].isin(["all"])]
    note = text("If tuning on originals does not raise a score above chance, augmentation has little to change.")
    shown = listing(facts, "Without augmented data, all items.", first.assign(id=None), short)
    whole = fold("Scores of every pool", listing(facts, caption, data, columns))
    return section("levels", "Absolute scores", note, shown, whole)


def chances(facts):
    """{task: mean of 1 / number of options} for tasks with options, from the embedded items."""
    shares = {
        entry["task"]: [
            1 / len(item["options"]) for rows in entry["answers"].values() for item in rows if item.get("options")
        ]
        for entry in facts.items
    }
    return {task: fmean(of_task) for task, of_task in shares.items() if of_task}
