"""What augmentation did: effects by task and metric, mitigations, rounds, and the scores that they are changes of."""

import pandas as pd
from markupsafe import Markup

from bias_inheritance.report import figures, parts, words
from bias_inheritance.report.facts import FLAGS, over_seeds

PLACE = ["model", "domain", "task", "scoring"]


def effects(facts):
    """The three effects (and the dose of controls): all primary outcomes at a glance, then each task with its figure."""
    table = facts.tables["effects"]
    table = table[~table["metric"].isin(FLAGS)]
    if table.empty:
        return parts.section("effects", "Effects", nothing="The study has no cells with augmented data, so there is no effect to show.")  # fmt: skip
    table = table[table["round"] == table["round"].min()]
    outcomes, blocks = facts.outcomes(), []
    for place, outcome in enumerate(outcomes):
        own = facts.of(table, outcome)
        drawn = effect_figure(facts, outcome, own[own["metric"] == outcome["metric"]])
        full = effect_table(facts, outcome, own)
        if not full:
            continue
        title = f"{outcome['title']}: {words.metric_title(outcome['metric'])}"
        if outcome["faded"]:
            blocks.append(parts.fold(f"{title} (uninformative: {outcome['faded']})", drawn, full, faded=True))
        elif place < 2:
            blocks += [
                drawn,
                parts.fold(f"{outcome['title']}: all effects, {words.counted(len(full['rows']), 'row')}", full),
            ]
        else:
            blocks.append(parts.fold(f"{title}, {words.counted(len(full['rows']), 'row')}", drawn, full))
    intro = parts.text(
        "Every effect is a difference of cells of equal seed and γ. The augmentation effect is what adding the text does, "
        "natural inheritance what it does beyond as much real text, the slant effect what stereotyped content does beyond "
        "naming the groups, the dose effect what a control does beyond its own dose 0."
    )
    return parts.section("effects", "Effects", intro, glance(facts, table, outcomes), *blocks)


def glance(facts, table, outcomes):
    """Pools by primary outcomes: mean effect at the largest γ, coloured by its standard error."""
    keys = [*PLACE, "metric", "group", "bias", "effect"]
    table = facts.plain(table)
    means = over_seeds(table[table["gamma"] > 0], keys, "effects")
    columns = []
    for outcome in outcomes:
        own = facts.of(means, outcome)
        own = own[(own["metric"] == outcome["metric"]) & (own["group"] == outcome["groups"][0])]
        columns.append(own.set_index(["effect", "bias"]))
    rows = []
    for effect in words.EFFECTS:
        for bias in facts.pools:
            cells = [cell(column.loc[(effect, bias)]) if (effect, bias) in column.index else "–" for column in columns]
            if any(shown != "–" for shown in cells):
                rows.append((None, [facts.title("bias", bias), effect, *cells]))
    header = ["Pool", "Effect"]
    for outcome in outcomes:
        title = f"{outcome['title']}: {words.metric_title(outcome['metric']).lower()}, {facts.group_title(outcome['groups'][0], outcome['domain'], outcome['task'])}"
        header.append(Markup('<span class="faded">{}</span>').format(title) if outcome["faded"] else title)
    gamma = f"{facts.gammas[-1]:.2f}" if facts.gammas else "0"
    caption = f"Primary outcomes at γ {gamma} without mitigation, mean over seeds. The colour is the distance from 0 in standard errors (full at four), so that a large effect of noisy seeds stays pale."
    return parts.table(caption, header, rows)


def cell(row):
    file, _, first = row["id"].rpartition("-")
    return parts.shade(row["value"], row["se"], parts.link(words.number(row["value"], 3, True), file, first))


def effect_figure(facts, outcome, rows):
    """Effects on the primary metric: by pool at one γ, over γ where the study has several."""
    several = len(facts.gammas) > 1
    rows = rows[(rows["mitigation"] == "none") & rows["group"].isin(outcome["groups"])]
    data = over_seeds(rows, ["bias", "gamma", "effect", "metric", "group"], "effects")
    if data.empty:
        return None
    data = facts.ordered(facts.ordered(data), "group", outcome["groups"])
    titles = [facts.group_title(group, outcome["domain"], outcome["task"]) for group in data["group"]]
    data = data.assign(series=data["effect"].map(words.EFFECTS), panel=titles)
    data = facts.ordered(data, "effect", list(words.EFFECTS))
    if several:
        data = data[data["group"] == outcome["groups"][0]]
        data = facts.ordered(
            data.assign(panel=[facts.title("bias", bias) for bias in data["bias"]], place=data["gamma"])
        )
        data = data.assign(series=data["effect"].map(words.EFFECTS))
    else:
        data = data.assign(place=[facts.title("bias", bias) for bias in data["bias"]])
        data = facts.ordered(facts.ordered(data), "group", outcome["groups"])
    metric = words.metric_title(outcome["metric"]).lower()
    which = f"{titles[0]}, over γ" if several else f"at γ {facts.gammas[-1]:.2f}"
    return figures.by_axis(
        f"{outcome['title']}: effect on {metric}",
        f"Change of {metric} ({which}), without mitigation; t intervals over seeds.",
        data, f"change of {words.metric_unit(outcome['metric'])}", axis="γ" if several else None, free=not several,
    )  # fmt: skip


def effect_table(facts, outcome, rows):
    """Every effect on a task: primary metric and accuracy-like ones, contrasts, extremes and all items."""
    groups = {
        *outcome["groups"],
        *facts.contrasts(outcome["domain"], outcome["task"]),
        "worst_group",
        "largest_gap",
        "all",
    }
    rows = rows[rows["group"].isin(groups)]
    data = over_seeds(
        rows, ["bias", "gamma", "mitigation", "effect", "control", "dataset", "metric", "group"], "effects"
    )
    if data.empty:
        return None
    data = data.sort_values("metric", key=lambda names: names.map(lambda m: (m != outcome["metric"]) * 100 + words.metric_order(m)), kind="stable")  # fmt: skip
    several = data["dataset"].nunique() > 1
    data = facts.ordered(data).assign(
        pool=lambda d: [facts.title("bias", bias) for bias in d["bias"]],
        treated=lambda d: [facts.title("mitigation", name) for name in d["mitigation"]],
        against=lambda d: [f"{effect}: minus {facts.title('bias', control)}" for effect, control in zip(d["effect"], d["control"], strict=True)],
        what=lambda d: [f"{words.metric_title(metric)}, {facts.group_title(group, outcome['domain'], outcome['task'])}" for metric, group in zip(d["metric"], d["group"], strict=True)],
    )  # fmt: skip
    data = data.sort_values("metric", key=lambda names: names.map(lambda m: m != outcome["metric"]), kind="stable")
    columns = {"Pool": "pool", "Outcome": "what", "Effect": "against", "γ": "gamma", "Mitigation": "treated"}
    columns |= {"Data set": "dataset"} if several else {}
    return parts.estimates(f"{outcome['title']}: effects, mean over seeds.", data, columns, "effects")


def mitigations(facts):
    """Each mitigation beside none: β, then the primary outcome of each informative task."""
    if len(facts.config["grid"]["mitigation"]) < 2:
        return parts.section("mitigations", "Mitigations", nothing="The study has no mitigation, so nothing can be compared.")  # fmt: skip
    drawn, betas = [], facts.betas(over_seeds=False)
    order = facts.config["grid"]["mitigation"]
    if betas is not None and len(betas):
        own = betas[(betas["gamma"] == betas["gamma"].max()) & (betas["round"] <= 1)]
        own = own.assign(value=own["beta"], panel=[facts.placed("β" if kind == "beta" else "projection", row) for kind, row in zip(own["kind"], own.to_dict("records"), strict=True)])  # fmt: skip
        drawn.append(mitigated(facts, own, "inheritance", "Inheritance coefficient under each mitigation", "β", order))
    table = facts.tables["effects"]
    preferred = ["slant", "natural", "augmentation"]
    for outcome in facts.outcomes():
        own = facts.of(table, outcome)
        own = own[(own["metric"] == outcome["metric"]) & (own["group"] == outcome["groups"][0]) & (own["gamma"] == own["gamma"].max()) & (own["round"] <= 1)]  # fmt: skip
        own = own.assign(panel=own["effect"].map(lambda effect: f"{effect} effect"))
        own = facts.ordered(own[own["effect"].isin(preferred)], "effect", preferred)
        group = facts.group_title(outcome["groups"][0], outcome["domain"], outcome["task"])
        title = f"{outcome['title']}: {words.metric_title(outcome['metric']).lower()}, {group}"
        part = mitigated(facts, own, "effects", title, f"change of {words.metric_unit(outcome['metric'])}", order)
        drawn.append(parts.fold(title, part, faded=bool(outcome["faded"])))
    does = [(None, [facts.title("mitigation", name), facts.names["mitigation"][name]["does"]]) for name in order]
    does = parts.table("What each mitigation does.", ["Mitigation", "What it does"], does)
    return parts.section("mitigations", "Mitigations", *drawn, parts.fold("What each mitigation does", does))


def mitigated(facts, rows, file, title, unit, order):
    """Pools that were mitigated, each mitigation a mark."""
    treated = set(rows[rows["mitigation"] != "none"]["bias"])
    data = over_seeds(rows[rows["bias"].isin(treated)], ["panel", "bias", "mitigation"], file)
    if data.empty:
        return None
    data = facts.ordered(facts.ordered(data), "mitigation", order)
    data = data.assign(series=[facts.title("mitigation", name) for name in data["mitigation"]], place=[facts.title("bias", name) for name in data["bias"]])  # fmt: skip
    data = facts.ordered(data, "panel", list(dict.fromkeys(rows["panel"])))
    caption = f"Each mitigation beside none at γ {facts.gammas[-1]:.2f}; a control that has no mitigated cell is the one without mitigation; t intervals over seeds."
    return figures.by_axis(title, caption, data, unit, cell=260)


def rounds(facts):
    """Outcomes, β and quality of the texts over rounds."""
    if facts.rounds < 2:
        return None
    drawn, betas = [], facts.betas(over_seeds=False)
    arm = facts.config["rounds"]["arm"]
    if betas is not None and len(betas):
        own = betas[betas["kind"] == "beta"].assign(value=betas["beta"], panel="β")
        drawn.append(over_rounds(facts, own, "inheritance", "Inheritance coefficient over rounds", "β", 0.0))
    scores = facts.tables["scores"]
    for outcome in facts.outcomes():
        own = facts.of(scores, outcome)
        own = own[(own["metric"] == outcome["metric"]) & (own["round"] > 0)]
        own = own[own["group"].isin([*outcome["groups"], *own["group"].unique()][:6])]
        own = own.assign(panel=[facts.group_title(group, outcome["domain"], outcome["task"]) for group in own["group"]])
        title = f"{outcome['title']}: {words.metric_title(outcome['metric']).lower()} over rounds"
        drawn.append(
            parts.fold(title, over_rounds(facts, own, "scores", title, words.metric_unit(outcome["metric"]), None))
        )
    quality = facts.tables.get("quality")
    if quality is not None and len(quality):
        own = quality[quality["round"] > 0].assign(panel=quality["metric"].map(words.metric_title))
        drawn.append(over_rounds(facts, own, "quality", "Quality of the texts over rounds", "value", None))
    return parts.section("rounds", f"Rounds (arm: {arm})", *drawn)


def over_rounds(facts, rows, file, title, unit, reference):
    rows = rows[(rows["mitigation"] == "none") & rows["gamma"].isin([0.0, rows["gamma"].max()])]
    data = over_seeds(rows, ["panel", "bias", "round"], file)
    several = set(data[data["round"] > 1]["bias"]) | {"original"}
    data = facts.ordered(data[data["bias"].isin(several)])
    if data.empty:
        return None
    data = data.assign(series=[facts.title("bias", name) for name in data["bias"]], place=data["round"])
    caption = f"Means over seeds with t intervals, at γ {facts.gammas[-1]:.2f} without mitigation; in round r > 1 the model of round r − 1 wrote the pool."
    return figures.by_axis(title, caption, data, unit, axis="round", reference=reference, free=True)


def levels(facts):
    """Scores before any difference is taken: untuned, tuned on originals, and every pool, beside chance."""
    scores = facts.plain(facts.tables["scores"])
    rows, chance = [], chances(facts)
    for outcome in facts.outcomes():
        metrics = [metric for metric in dict.fromkeys([outcome["metric"], "accuracy", "macro_f1"]) if metric]
        own = facts.of(scores, outcome)
        own = own[own["metric"].isin(metrics)]
        for keys, part in own.groupby(["metric", "group"], sort=False):
            title = f"{words.metric_title(keys[0])}, {facts.group_title(keys[1], outcome['domain'], outcome['task'])}"
            rows.append(part.assign(what=title, outcome=outcome["title"], chance=chance.get(outcome["task"]) if keys[0] in ("accuracy", "label_probability") and keys[1] not in facts.contrasts(outcome["domain"]) and keys[1] != "largest_gap" else None))  # fmt: skip
    if not rows:
        return None
    table = pd.concat(rows)
    data = over_seeds(table, ["outcome", "what", "metric", "group", "bias", "gamma"], "scores")
    single = table.drop_duplicates("row").set_index("row")
    lines = []
    for row in data.to_dict("records"):
        source = single.loc[row["rows"][0]]
        ends = interval_of(row, source)
        cells = [row["outcome"], row["what"], facts.title("bias", row["bias"]), words.number(row["value"]), ends]
        cells += [words.number(source["chance"]), words.counted(row["n_seeds"], "seed"), words.count(source["n"])]
        lines.append((row["id"], [*cells, words.rows_named(row["rows"])]))
    header = [
        "Task",
        "Score",
        "Trained on",
        "Mean",
        "95% interval",
        "Chance level",
        "Seeds",
        "Items",
        "Rows of scores.csv",
    ]
    return parts.table("Scores at the largest γ without mitigation: t intervals over seeds; of the untuned model, which is one run, over test clusters.", header, lines)  # fmt: skip


def interval_of(row, source):
    single = row["n_seeds"] == 1 and words.known(source["ci_low"])
    return (
        words.interval(source["ci_low"], source["ci_high"]) if single else words.interval(row["ci_low"], row["ci_high"])
    )


def chances(facts):
    """{task: mean of 1 / number of options} of the tasks with options, from the embedded items."""
    found = {}
    for entry in facts.items:
        sizes = [
            len(item["options"])
            for rows in entry["answers"].values()
            for item in rows
            if item.get("options") is not None
        ]
        if sizes:
            found[entry["task"]] = sum(1 / size for size in sizes) / len(sizes)
    return found


def baseline(facts):
    """The untuned model and the one tuned on originals beside chance: is there something to lose, and can the task tell?"""
    chance, lines, scores = chances(facts), [], facts.plain(facts.tables["scores"])
    for outcome in facts.outcomes():
        own = facts.of(scores, outcome)
        metric = "accuracy" if "accuracy" in set(own["metric"]) else outcome["metric"]
        for group in [
            group for group in ("all", *outcome["groups"]) if group in set(own[own["metric"] == metric]["group"])
        ][:1]:
            cells, ids = [], []
            for bias in ("untuned", "original"):
                rows = own[(own["metric"] == metric) & (own["group"] == group) & (own["bias"] == bias)]
                data = over_seeds(rows, ["metric", "group"], "scores")
                cells.append("–")
                if len(data):
                    row = data.iloc[0]
                    size = f"{words.number(row['value'])} ({interval_of(row, rows.iloc[0])})"
                    ids.append(row["id"])
                    cells[-1] = parts.link(size, "scores", row["rows"][0])
            known = words.number(chance.get(outcome["task"])) if metric == "accuracy" else "–"
            name = f"{words.metric_title(metric)}, {facts.group_title(group, outcome['domain'], outcome['task'])}"
            state = (
                Markup('<span class="faded">{}</span>').format(outcome["title"])
                if outcome["faded"]
                else outcome["title"]
            )
            lines.append((None, [state, name, known, *cells]))
    header = ["Task", "Score", "Chance level", "Untuned (95% interval)", "Tuned on originals alone (95% interval)"]
    return parts.section(
        "levels", "Before augmentation",
        parts.text("A score that tuning on originals did not lift above chance has little to lose."),
        parts.table("Scores without augmented data.", header, lines),
        parts.fold("Scores of every pool", levels(facts)),
    )  # fmt: skip
