"""Results of augmentation: effects by task and metric, mitigations, rounds, and the underlying scores."""

import pandas as pd

from bias_inheritance.report import figures, words
from bias_inheritance.report.facts import EXTREMES, FLAGS, seed_means
from bias_inheritance.report.parts import OVER_SEEDS, faded, fold, link, listing, section, shade, table, text

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
        selected = facts.outcome_rows(rows, outcome)
        drawn = effect_figure(facts, outcome, selected[selected["metric"] == outcome["metric"]])
        full = effect_table(facts, outcome, selected)
        title = f"{outcome['title']}: all effects"
        title += f" (uninformative: {outcome['faded']})" if outcome["faded"] else ""
        if place < OPEN and not outcome["faded"]:
            blocks += [drawn, fold(title, full)]
        else:
            blocks.append(fold(title, drawn, full, faded=bool(outcome["faded"])))
    intro = "Every effect is a difference between cells of the same seed and γ. Augmentation: adding the text, relative to the originals alone. Natural inheritance: relative to as much real text. Slant: stereotyped content, relative to texts that name the same groups. Dose: a control, relative to its dose 0."
    return section("effects", "Effects", text(intro), glance(facts, rows, outcomes), *blocks)


def glance(facts, rows, outcomes):
    """Pools by primary outcomes: mean effect at the largest γ, shaded by its size in standard errors."""
    means = seed_means(facts.plain(rows), [*KEYS, "scoring", "effect"], "effects")
    columns = []
    for outcome in outcomes:
        selected = facts.outcome_rows(means, outcome)
        selected = selected[(selected["metric"] == outcome["metric"]) & (selected["group"] == outcome["groups"][0])]
        columns.append({(row["effect"], row["bias"]): row for row in selected.to_dict("records")})
    lines = []
    for effect in words.EFFECTS:
        for bias in [bias for bias in facts.pools if any((effect, bias) in column for column in columns)]:
            cells = [column.get((effect, bias)) for column in columns]
            shown = [shade(row, row_link(row, words.number(row["value"], sign=True))) if row else "–" for row in cells]
            lines.append((None, [facts.title("bias", bias), effect, *shown]))
    header = [faded(f"{outcome['title']}: {primary(facts, outcome)}", outcome["faded"]) for outcome in outcomes]
    caption = "Primary outcomes at the largest γ without mitigation, mean over seeds. The shade is the distance from 0 in standard errors (darkest at four), so a large effect with a large variance is pale."
    return table(caption, ["Pool", "Effect", *header], lines) if len(outcomes) > 1 else None


def row_link(row, shown):
    file, _, first = row["id"].rpartition("-")
    return link(shown, file, first)


def primary(facts, outcome):
    """The primary metric of a task and the first of its groups, in words."""
    group = facts.group_title(outcome["groups"][0], outcome["domain"], outcome["task"])
    return f"{words.metric_title(outcome['metric']).lower()}, {group}"


def effect_figure(facts, outcome, rows):
    """Effects on the primary metric: by pool and group, or over γ if the study has several."""
    several = len(facts.gammas) > 1
    groups = outcome["groups"][:1] if several else outcome["groups"]
    rows = rows[(rows["mitigation"] == "none") & rows["group"].isin(groups)]
    data = facts.ordered(seed_means(rows, [*KEYS, "gamma", "effect"], "effects"))
    data = facts.ordered(facts.ordered(data, "group", groups), "effect", list(words.EFFECTS))
    if data.empty:
        return None
    if several:
        data = facts.named(facts.ordered(data), panel="bias", series="effect").assign(place=data["gamma"])
    else:
        data = facts.ordered(facts.named(data, panel="group", place="bias", series="effect"), "group", groups)
    which = f"{primary(facts, outcome)}, over γ" if several else f"at γ {facts.gammas[-1]:.2f}"
    metric = words.metric_title(outcome["metric"]).lower()
    title, caption = f"{outcome['title']}: effect on {metric}", f"Change of {metric} ({which}) without mitigation; t intervals over seeds."  # fmt: skip
    unit = f"change of {words.metric_unit(outcome['metric'])}"
    return figures.by_axis(title, caption, data, unit, axis="γ" if several else None, free=not several)


def effect_table(facts, outcome, rows):
    """All effects on a task: its metrics for contrasts, extremes and all items, the primary one first."""
    groups = {*outcome["groups"], *facts.contrasts(outcome["domain"], outcome["task"]), *EXTREMES}
    keys = ["model", "domain", "task", "bias", "gamma", "mitigation", "effect", "control", "dataset", "metric", "group"]
    data = facts.ordered(seed_means(rows[rows["group"].isin(groups)], keys, "effects"))
    data = facts.ordered(data, "metric", [outcome["metric"], *words.METRICS])
    columns = {"Pool": "bias", "Metric": "metric", "Group": "group", "Effect": "effect", "Minus": "control"}
    columns |= {"γ": "gamma", "Mitigation": "mitigation"}
    columns |= {"Data set": "dataset"} if data["dataset"].nunique() > 1 else {}
    return listing(facts, "effects.csv, mean over seeds.", data, columns | {"Mean": shade, **OVER_SEEDS})


def mitigations(facts):
    """Each mitigation compared with none: β, then the primary outcome of each task."""
    order = facts.config["grid"]["mitigation"]
    if len(order) < 2:
        nothing = "The study has no mitigation."
        return section("mitigations", "Mitigations", nothing=nothing)
    betas, drawn = facts.betas(over_seeds=False), []
    if len(betas):
        selected = facts.named(betas[betas["round"] <= 1].assign(value=betas["beta"]), panel="kind")
        drawn.append(
            mitigation_figure(facts, selected, "inheritance", "Inheritance coefficient under each mitigation", "β")
        )
    rows = facts.tables["effects"][facts.tables["effects"]["round"] <= 1]
    for outcome in facts.outcomes():
        selected = facts.outcome_rows(rows, outcome)
        selected = selected[(selected["metric"] == outcome["metric"]) & (selected["group"] == outcome["groups"][0])]
        selected = facts.named(
            facts.ordered(selected[selected["effect"] != "dose"], "effect", list(words.EFFECTS)), panel="effect"
        )
        title = f"{outcome['title']}: {primary(facts, outcome)}"
        figure = mitigation_figure(
            facts, selected, "effects", title, f"change of {words.metric_unit(outcome['metric'])}"
        )
        drawn.append(fold(title, figure, faded=bool(outcome["faded"])))
    kinds = pd.DataFrame([{"mitigation": name, **facts.names["mitigation"][name]} for name in order])
    does = listing(facts, "Mitigations.", kinds, {"Mitigation": "mitigation", "What it does": "does"})
    return section("mitigations", "Mitigations", *drawn, fold("What each mitigation does", does))


def mitigation_figure(facts, rows, file, title, unit):
    """Mitigated pools at the largest γ, with a mark for each mitigation."""
    rows = rows[rows["gamma"] == rows["gamma"].max()]
    treated = set(rows[rows["mitigation"] != "none"]["bias"])
    data = seed_means(rows[rows["bias"].isin(treated)], ["model", "domain", "panel", "bias", "mitigation"], file)
    if data.empty:
        return None
    data = facts.ordered(facts.ordered(data), "mitigation", facts.config["grid"]["mitigation"])
    data = facts.ordered(data, "panel", list(dict.fromkeys(rows["panel"])))
    caption = f"Each mitigation and none at γ {facts.gammas[-1]:.2f}; a control without mitigated cells is used for all; t intervals over seeds."
    return figures.by_axis(title, caption, facts.named(data, place="bias", series="mitigation"), unit, cell=260)


def rounds(facts):
    """β, outcomes and text quality over rounds."""
    if facts.rounds < 2:
        return None
    betas, drawn = facts.betas(over_seeds=False), []
    if len(betas):
        selected = facts.named(betas[betas["kind"] == "beta"].assign(value=betas["beta"]), panel="kind")
        drawn.append(rounds_figure(facts, selected, "inheritance", "Inheritance coefficient over rounds", "β", 0.0))
    for outcome in facts.outcomes():
        selected = facts.outcome_rows(facts.tables["scores"], outcome)
        selected = facts.named(
            selected[(selected["metric"] == outcome["metric"]) & (selected["round"] > 0)], panel="group"
        )
        title = f"{outcome['title']}: {words.metric_title(outcome['metric']).lower()} over rounds"
        figure = rounds_figure(facts, selected, "scores", title, words.metric_unit(outcome["metric"]))
        drawn.append(fold(title, figure, faded=bool(outcome["faded"])))
    quality = facts.tables.get("quality", pd.DataFrame())
    if len(quality):
        selected = facts.named(quality[quality["round"] > 0], panel="metric")
        drawn.append(rounds_figure(facts, selected, "quality", "Quality of the texts over rounds", "value"))
    return section("rounds", f"Rounds (arm: {facts.config['rounds']['arm']})", *drawn)


def rounds_figure(facts, rows, file, title, unit, reference=None):
    """Means over seeds of the iterated pools, at the largest γ without mitigation."""
    rows = rows[(rows["mitigation"] == "none") & rows["gamma"].isin([0.0, rows["gamma"].max()])]
    data = seed_means(rows, ["model", "domain", "panel", "bias", "round"], file)
    data = facts.ordered(data[data["bias"].isin([*data[data["round"] > 1]["bias"], "original"])])
    if data.empty:
        return None
    data = facts.named(data, series="bias").assign(place=data["round"])
    caption = "Means over seeds with t intervals at the largest γ without mitigation; the model of one round generates the pool of the next."
    return figures.by_axis(title, caption, data, unit, axis="round", reference=reference, free=True)


def levels(facts):
    """Scores before taking differences, with chance levels: whether the task is learnt at all."""
    chance, scores, means = chances(facts), facts.plain(facts.tables["scores"]), []
    for outcome in facts.outcomes():
        selected = facts.outcome_rows(scores, outcome)
        selected = selected[selected["metric"].isin([outcome["metric"], "accuracy", "macro_f1"])]
        means.append(facts.ordered(seed_means(selected, [*KEYS, "gamma"], "scores")).assign(outcome=outcome["title"]))
    if not means:
        return section("levels", "Scores before any difference", nothing="The study has no scores.")
    data, gaps = pd.concat(means), {"largest_gap"}
    gaps |= {
        gap for domain in facts.names["domain"] for task in facts.names["task"] for gap in facts.contrasts(domain, task)
    }
    source = facts.tables["scores"].set_index("row").loc[[rows[0] for rows in data["rows"]]].reset_index()
    for end in ("ci_low", "ci_high"):  # the untuned model has a single run: its interval is over test clusters
        data[end] = data[end].astype(float).where(data["n_seeds"] > 1, source[end].to_numpy())
    shares = data["metric"].isin(["accuracy", "label_probability"]) & ~data["group"].isin(gaps)
    data = data.assign(n=source["n"].to_numpy(), chance=data["task"].map(chance).astype(float).where(shares))
    short = {"Task": "outcome", "Metric": "metric", "Trained on": "bias", "Mean": "value", "95% interval": "interval"}
    short |= {"Chance level": "chance", "Items": "n"}
    columns = {**short, "Group": "group", **OVER_SEEDS}
    caption = "scores.csv at the largest γ without mitigation: t intervals over seeds, for the untuned model (a single run) over test clusters."
    first = data[data["bias"].isin(["untuned", "original"]) & data["group"].isin(["all"])]
    note = text("If tuning on originals does not raise a score above chance, augmentation has little to change.")
    shown = listing(facts, "Without augmented data, all items.", first.assign(id=None), short)
    whole = fold("Scores of every pool", listing(facts, caption, data, columns))
    return section("levels", "Scores before any difference", note, shown, whole)


def chances(facts):
    """{task: mean of 1 / number of options} for tasks with options, from the embedded items."""
    by_task = {}
    for entry in facts.items:
        sizes = [len(item["options"]) for rows in entry["answers"].values() for item in rows if item["probabilities"]]
        if sizes:
            by_task[entry["task"]] = sum(1 / size for size in sizes) / len(sizes)
    return by_task
