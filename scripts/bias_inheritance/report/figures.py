"""The figures and tables of the report, section by section: what is drawn from which numbers, and what it says in words.

A section is {id, title, says: [sentences], figures, tables, nothing}; `nothing` is the sentence that stands where the study
has no data for it. A figure is {id, title, caption, alt, spec, table, panels, cell, left}: `cell` is the least width of a
panel and `left` what the names of an axis take, in pixels. A table is {caption, header, rows}.
"""

from bias_inheritance import study as grid
from bias_inheritance.report import charts, numbers, words
from bias_inheritance.report.words import number

EFFECTS = {
    ("bias", "neutral"): "Bias effect (minus neutral)",
    ("augmentation", "original"): "Augmentation effect (minus original)",
    ("bias", "faithful"): "Bias effect (minus faithful)",
}
NAMES = 172  # pixels that names of bias types take beside a chart
DIGITS = 48  # pixels that the numbers of an axis take


def section(name, title, says=(), figures=(), tables=(), nothing=None):
    return {
        "id": name,
        "title": title,
        "says": list(says),
        "figures": list(figures),
        "tables": list(tables),
        "nothing": nothing,
    }


def figure(name, title, caption, alt, chart, table, data, cell=150, left=DIGITS, unfolded=False):
    panels = data["panel"].nunique() if "panel" in data else 1
    return {
        "id": name,
        "title": title,
        "caption": caption,
        "alt": alt,
        "spec": charts.specification(chart),
        "table": table,
        "panels": panels,
        "cell": cell,
        "left": left,
        "unfolded": unfolded,
    }


def table(caption, header, rows):
    return {"caption": caption, "header": header, "rows": rows}


def name_of(*parts):
    """An id for the page: letters, digits and hyphens only."""
    text = "-".join(str(part) for part in parts)
    return "".join(character if character.isalnum() and character.isascii() else "-" for character in text).lower()


# What is shown of which outcome


def heading(study, outcome):
    """The task, with what tells it apart where the study has several models, domains or datasets."""
    return " · ".join([task_of(outcome), *place_of(study, outcome)])


def task_of(outcome):
    return outcome["title"] + (f", {outcome['dataset']}" if outcome["dataset"] != outcome["domain"] else "")


def place_of(study, outcome):
    found = []
    if len(study.names["domain"]) > 1:
        found.append(study.names["domain"][outcome["domain"]]["title"])
    if len(study.names["model"]) > 1:
        found.append(study.names["model"][outcome["model"]]["title"])
    return found


def quantity(outcome):
    """The primary metric in words: 'accuracy, male − female'."""
    name = words.metric_name(outcome["metric"]).lower().replace("f1", "F1")
    return f"{name}, {words.group_name(outcome['gap'], outcome['gap'])}" if outcome["gap"] else name


def gap_outcomes(study):
    return [outcome for outcome in study.outcomes if outcome["gap"]]


def plain_outcomes(study):
    """Outcomes without groups to compare, as lists that share model, domain and metric."""
    found = {}
    for outcome in study.outcomes:
        if not outcome["gap"]:
            found.setdefault((outcome["model"], outcome["domain"], outcome["metric"]), []).append(outcome)
    return list(found.values())


def effect_numbers(study, outcomes, by, **chosen):
    """Effects of some outcomes, meaned over seeds; `chosen` fixes columns. Adds the names that figures show."""
    import pandas as pd

    parts = []
    for outcome in outcomes:
        part = numbers.of_outcome(study.effects, outcome)
        groups = part["group"].map(lambda group: "" if group in ("all", outcome["gap"]) else f", {group}")
        parts.append(part.assign(what=task_of(outcome) + groups))
    values = pd.concat(parts)
    for column, value in chosen.items():
        values = values[values[column].isin(value if isinstance(value, list) else [value])]
    found = numbers.over_seeds(values, by)
    if "bias" in found:
        found = ordered(found, "bias", study.biases).assign(bias_title=lambda frame: frame["bias"].map(study.title))
    return found.sort_values("gamma", kind="stable") if "gamma" in found else found


def ordered(frame, column, order):
    """The frame with `column` in a given order; values that the order lacks come last."""
    place = {value: position for position, value in enumerate(order)}
    return frame.sort_values(column, key=lambda values: values.map(place).fillna(len(place)), kind="stable")


def say(row, sign=True):
    """'+0.180 (0.142 to 0.218)'."""
    text = number(row["value"], sign=sign)
    return f"{text} ({words.interval(row['ci_low'], row['ci_high'])})" if words.known(row["ci_low"]) else text


def in_words(data, label, most=6, sign=True):
    """The first rows of a figure's data as text, for those who cannot see it."""
    told = "; ".join(f"{label(row)} {say(row, sign)}" for row in data.head(most).to_dict("records"))
    return told + ("; the rest is in the table below" if len(data) > most else "")


def data_table(study, data, columns, caption, sign=True, file="scores.csv"):
    """The numbers behind a figure. columns: {header: column of data}."""
    has_rows = "rows" in data
    rows = []
    for row in data.to_dict("records"):
        low, high = row.get("ci_low"), row.get("ci_high")
        source = str(row["rows"]) if has_rows else ""
        cells = [row[column] for column in columns.values()]
        cells.append(study.source.brief(number(row["value"], sign=sign), file, source))
        cells.append(words.interval(low, high) if words.known(low) else "–")
        if "n_seeds" in row:
            cells.append(str(int(row["n_seeds"])))
        if has_rows:
            cells.append(words.shorter(source).replace("|", " − ").replace(",", ", "))
        rows.append(cells)
    header = [*columns, "Value", "95% interval", *(["Seeds"] if "n_seeds" in data else [])]
    return table(caption, [*header, *([f"Rows of {file}"] if has_rows else [])], rows)


def seeds_of(data):
    """'mean over 3 seeds with 95% t intervals', as far as that is true of the data."""
    most = int(data["n_seeds"].max())
    if most == 1:
        return "one seed, so without an interval"
    return f"mean over {most} seeds with 95% t intervals"


# Sections


def baseline(study):
    """The untuned model beside the tuned one without any augmented text."""
    from markupsafe import Markup

    rows, clear, weak = [], [], []
    for outcome in study.outcomes:
        wanted = [(outcome["metric"], group) for group in outcome["groups"]]
        wanted += [(outcome["per_group"], group) for group in outcome["levels"]]
        if outcome["gap"] and len(numbers.of_outcome(study.scores, outcome, groups=["all"])):
            wanted.insert(0, (outcome["metric"], "all"))
        for metric, group in wanted:
            untuned, tuned = untuned_and_tuned(study, outcome, metric, group)
            if untuned is None and tuned is None:
                continue
            cells = [
                study.source.link(say(row, sign=False), "scores.csv", str(row["rows"])) if row else "–"
                for row in (untuned, tuned)
            ]
            name = f"{words.metric_name(metric)}, {words.group_name(group, outcome['gap'])}"
            rows.append([heading(study, outcome), name, *cells])
            if group == "all" and outcome["graded"] and untuned and tuned:
                (clear if clearly_better(untuned, tuned) else weak).append((outcome, untuned, tuned))
    says = [
        Markup("{}: {} untuned, {} tuned on originals; the tuned model has something to lose.").format(
            heading(study, outcome),
            *(study.source.link(number(row["value"]), "scores.csv", str(row["rows"])) for row in both),
        )
        for outcome, *both in clear
    ]
    if weak:
        names = words.listed(heading(study, outcome) for outcome, *_ in weak)
        says.append(f"Tuning has not clearly taught {names}, so harm could hardly show there.")
    caption = "The untuned model (one run, with its interval within the run) beside the model tuned on originals alone (γ = 0, interval over seeds)."
    full = table(caption, ["Task", "Score", "Untuned", "Tuned on originals"], rows)
    return section("baseline", "Before any augmentation", says, tables=[full] if rows else [])


def untuned_and_tuned(study, outcome, metric, group):
    """One score of the untuned model and of the cells without augmented text, meaned over seeds: dicts, or None."""
    own = numbers.of_outcome(study.scores, outcome, metric, [group])
    parts = own[own["bias"] == "untuned"], numbers.over_seeds(own[own["bias"] == "original"], ["bias"])
    return [part.iloc[0].to_dict() if len(part) else None for part in parts]


def clearly_better(untuned, tuned):
    """Whether the interval of the tuned model over seeds lies above the untuned one's score."""
    return words.known(tuned["ci_low"]) and tuned["ci_low"] > untuned["value"]


def effects(study):
    figures, says = [], []
    first = study.rounds[0]
    for outcome in gap_outcomes(study):
        data = effect_numbers(study, [outcome], ["bias", "gamma", "effect", "control"], mitigation="none", round=first)
        if data.empty:
            continue
        data["series"] = [EFFECTS[pair] for pair in zip(data["effect"], data["control"], strict=True)]
        data["panel"] = data["bias_title"]
        data = ordered(data, "bias", study.biases)
        series = [name for name in EFFECTS.values() if name in set(data["series"])]
        gammas = sorted(data["gamma"].unique())
        at_most = data[(data["gamma"] == gammas[-1]) & (data["series"] == series[0])]
        types = at_most[at_most["bias"].isin(study.types)]
        if len(types):
            says.append(largest(study, outcome, types, gammas[-1]))
        figures.append(
            figure(
                name_of("effect", outcome["model"], outcome["domain"], outcome["task"], outcome["dataset"]),
                f"{heading(study, outcome)}: effect on {quantity(outcome)}",
                f"Change of {quantity(outcome)} as the share γ of generated text grows, without mitigation: {seeds_of(data)}; above 0 favours the {outcome['levels'][0] if outcome['levels'] else 'first'} group.",
                f"Small multiples, one per bias type and control, effect over γ. At γ {gammas[-1]:.2f}: "
                + in_words(at_most if len(at_most) else data, lambda row: row["panel"]),
                charts.curves(data, series, words.metric_unit(outcome["metric"]), gammas),
                data_table(
                    study,
                    data,
                    {"Bias type": "panel", "Effect": "series", "γ": "gamma"},
                    f"Effects on {quantity(outcome)}, without mitigation",
                ),
                data,
            )
        )
        figures += _heat(study, [outcome], f"{heading(study, outcome)}: bias effect on {quantity(outcome)}", outcome)
    for members in plain_outcomes(study):
        data = effect_numbers(
            study,
            members,
            ["bias", "gamma", "relation"],
            mitigation="none",
            round=first,
            effect="bias",
            control="neutral",
        )
        if data.empty:
            continue
        data["series"] = data["relation"].map(words.RELATIONS)
        data["panel"] = data["bias_title"]
        data = ordered(data, "bias", study.biases)
        series = sorted(data["series"].unique())
        gammas = sorted(data["gamma"].unique())
        sets = len({(outcome["task"], outcome["dataset"]) for outcome in members})
        name = quantity(members[0])
        place = " · ".join(place_of(study, members[0])) or "All tasks"
        figures.append(
            figure(
                name_of("effect", members[0]["model"], members[0]["domain"], members[0]["metric"]),
                f"{place}: bias effect on {name}",
                f"Bias effect (minus neutral) on {name} as γ grows, meaned over {words.counted(sets, 'data set')}, without mitigation: {seeds_of(data)}.",
                "Small multiples, one per bias type, effect over γ for directly and indirectly related tasks: "
                + in_words(data[data["gamma"] == gammas[-1]], lambda row: f"{row['panel']}, {row['relation']}"),
                charts.curves(data, series, words.metric_unit(members[0]["metric"]), gammas),
                data_table(
                    study,
                    data,
                    {"Bias type": "panel", "Tasks": "series", "γ": "gamma"},
                    f"Bias effects on {name}, without mitigation",
                ),
                data,
            )
        )
        for relation in sorted({outcome["relation"] for outcome in members}):
            own = [outcome for outcome in members if outcome["relation"] == relation]
            figures += _heat(
                study, own, f"{place}: bias effect on {name}, {words.RELATIONS[relation].lower()}", members[0]
            )
        figures += _by_dataset(study, members, place, name)
    return section(
        "effects",
        "Effect of augmentation and of bias",
        says,
        figures,
        nothing=None if figures else "The study has no cells with augmented text, so there is no effect to show.",
    )


def largest(study, outcome, types, gamma):
    from markupsafe import Markup

    row = types.loc[types["value"].abs().idxmax()]
    clear = words.known(row["ci_low"]) and row["ci_low"] * row["ci_high"] > 0
    few = "a single seed gives no interval" if row["n_seeds"] == 1 else "its interval holds 0"
    return Markup("{}: the largest bias effect on {} at γ {} is {}, of {}{}.").format(
        heading(study, outcome),
        quantity(outcome),
        f"{gamma:.2f}",
        study.source.link(say(row), "scores.csv", row["rows"]),
        study.title(row["bias"]).lower(),
        "" if clear else f"; {few}",
    )


def _heat(study, outcomes, title, outcome):
    """Bias type × γ × mitigation."""
    data = effect_numbers(
        study, outcomes, ["bias", "gamma", "mitigation"], effect="bias", control="neutral", round=study.rounds[0]
    )
    if data.empty:
        return []
    data = ordered(ordered(data, "bias", study.biases), "mitigation", study.mitigations)
    data["panel"] = data["mitigation"].map(lambda name: study.names["mitigation"][name]["title"])
    data["row"], data["column"] = data["bias_title"], data["gamma"].map("{:.2f}".format)
    data["clear"] = ((data["ci_low"] > 0) | (data["ci_high"] < 0)).tolist()
    columns = sorted(data["column"].unique())
    chart = charts.heatmap(
        data[["panel", "row", "column", "value", "ci_low", "ci_high", "n_seeds", "clear", "rows"]],
        list(dict.fromkeys(data["row"])),
        columns,
        "γ",
        words.metric_unit(outcome["metric"]),
    )
    relation = outcomes[0]["relation"] if len(outcomes) > 1 else ""
    return [
        figure(
            name_of("heat", outcome["model"], outcome["domain"], outcome["task"], outcome["dataset"], relation),
            title + ", by γ and mitigation",
            f"Bias effect (cell minus neutral cell of equal γ, mitigation and seed) for each bias type, γ and mitigation, {seeds_of(data).split(' with')[0]}; bold where the 95% t interval over seeds is clear of 0.",
            "Heat maps, one per mitigation, bias types in rows and γ in columns: "
            + in_words(data[data["column"] == columns[-1]], lambda row: f"{row['row']}, {row['panel']}"),
            chart,
            data_table(study, data, {"Mitigation": "panel", "Bias type": "row", "γ": "column"}, f"{title}, all cells"),
            data,
            cell=max(52 * len(columns), 96),
            left=NAMES,
        )
    ]


def _by_dataset(study, members, place, name):
    """One heat map of data sets × bias types at the largest γ."""
    gamma = study.gammas[-1]
    data = effect_numbers(
        study,
        members,
        ["what", "bias", "relation"],
        effect="bias",
        control="neutral",
        mitigation="none",
        round=study.rounds[0],
        gamma=gamma,
    )
    if data.empty or data["what"].nunique() < 2:
        return []
    data["panel"] = data["bias_title"]
    data["row"] = data["what"]
    data["column"] = f"{gamma:.2f}"
    chart_data = data.assign(series="bias effect").sort_values(["relation", "what"], kind="stable")
    rows = list(dict.fromkeys(chart_data["row"]))
    chart_data = ordered(chart_data, "bias", study.biases)
    return [
        figure(
            name_of("datasets", members[0]["model"], members[0]["domain"], members[0]["metric"]),
            f"{place}: bias effect on {name} per data set",
            f"Bias effect on {name} at γ {gamma:.2f} for each data set, without mitigation: {seeds_of(data)}.",
            "One panel per bias type, data sets in rows: "
            + in_words(chart_data, lambda row: f"{row['panel']}, {row['row']}"),
            charts.dots(
                chart_data[["panel", "row", "series", "value", "ci_low", "ci_high", "n_seeds", "rows"]],
                rows,
                ["bias effect"],
                words.metric_unit(members[0]["metric"]),
            ),
            data_table(study, chart_data, {"Bias type": "panel", "Data set": "row"}, f"{place}: per data set"),
            chart_data,
            left=NAMES,
        )
    ]


def groups(study):
    """Levels of the two groups side by side, and of further groups (cultures) where a task has them."""
    figures = []
    for outcome in gap_outcomes(study):
        if outcome["levels"]:
            figures += _levels(study, outcome)
        if outcome["others"]:
            figures += _others(study, outcome)
        figures += _labels(study, outcome)
    return section(
        "groups",
        "Gaps between groups",
        figures=figures,
        nothing=None if figures else "No task of this study compares two groups.",
    )


def at_largest(study, table):
    """Rows of untuned, original, and of every cell at the largest γ without mitigation, first round."""
    baseline = table["bias"].isin(["untuned", "original"])
    tuned = (table["gamma"] == study.gammas[-1]) & (table["mitigation"] == "none") & (table["round"] == study.rounds[0])
    return table[baseline | tuned] if study.gammas else table[baseline]


def _levels(study, outcome):
    own = at_largest(study, numbers.of_outcome(study.scores, outcome, outcome["per_group"], outcome["levels"]))
    data = numbers.over_seeds(own, ["bias", "group"])
    if data.empty:
        return []
    data = ordered(ordered(data, "group", outcome["levels"]), "bias", ["untuned", "original", *study.biases])
    data["row"], data["series"] = data["bias"].map(study.title), data["group"]
    name = words.metric_name(outcome["per_group"]).lower()
    gamma = f" (γ {study.gammas[-1]:.2f}, no mitigation)" if study.gammas else ""
    return [
        figure(
            name_of("groups", outcome["model"], outcome["domain"], outcome["task"]),
            f"{heading(study, outcome)}: {name} per group",
            f"{name.capitalize()} of {words.listed(outcome['levels'])} after tuning on each kind of text{gamma}: {seeds_of(data)}; the untuned model is a single run.",
            "Two marks per row, one per group: "
            + in_words(data, lambda row: f"{row['row']}, {row['series']}", sign=False),
            charts.dots(
                data[["row", "series", "value", "ci_low", "ci_high", "n_seeds", "rows"]],
                list(dict.fromkeys(data["row"])),
                outcome["levels"],
                words.metric_unit(outcome["per_group"]),
                lines=(),
                step=32,
                colours=[charts.BLUE, charts.VERMILLION],
            ),
            data_table(
                study, data, {"Trained on": "row", "Group": "series"}, f"{name.capitalize()} per group", sign=False
            ),
            data,
            left=NAMES,
        )
    ]


def _others(study, outcome):
    """Shares of further groups (hiring: culture × gender) against the share that no preference would give."""
    pair = outcome["gap"].split("-")
    crossed = [group for group in outcome["others"] if group.split("-")[-1] in pair]
    shown = crossed or outcome["others"]
    own = at_largest(study, numbers.of_outcome(study.scores, outcome, groups=shown))
    data = numbers.over_seeds(own, ["bias", "group"])
    if data.empty:
        return []
    data = ordered(data, "group", sorted(shown))
    data["row"] = data["group"].map(lambda group: words.group_name(group).capitalize())
    data["series"] = data["group"].map(lambda group: group.split("-")[-1] if crossed else "share")
    data["panel"] = data["bias"].map(study.title)
    data = ordered(data, "bias", ["untuned", "original", *study.biases])
    even = 1 / len(shown)
    # one row per culture, a mark per gender
    if crossed:
        data["row"] = data["group"].map(lambda group: group.rsplit("-", 1)[0].capitalize())
    return [
        figure(
            name_of("cultures", outcome["model"], outcome["domain"], outcome["task"]),
            f"{heading(study, outcome)}: {words.metric_name(outcome['metric']).lower()} by culture",
            f"Share of choices that fall on each culture and gender after tuning on each kind of text; the dashed line is {even:.3f}, the share that no preference would give: {seeds_of(data)}.",
            "One panel per kind of training text, cultures in rows: "
            + in_words(data, lambda row: f"{row['panel']}, {row['group']}", sign=False),
            charts.dots(
                data[["panel", "row", "series", "value", "ci_low", "ci_high", "n_seeds", "rows"]],
                list(dict.fromkeys(data["row"])),
                [side for side in pair if side in set(data["series"])] or ["share"],
                words.metric_unit(outcome["metric"]),
                lines=(even,),
                step=26,
                colours=[charts.BLUE, charts.VERMILLION],
            ),
            data_table(
                study,
                data,
                {"Trained on": "panel", "Group": "group"},
                "Shares selected by culture and gender",
                sign=False,
            ),
            data,
            left=78,
        )
    ]


def _labels(study, outcome):
    """Where a gap sits: the difference between groups in how often each label is predicted."""
    own = study.scores[study.scores["metric"] == "predicted_share"]
    if own.empty:
        return []
    labels = sorted(own["group"].unique())
    own = at_largest(study, numbers.of_outcome(study.scores, outcome, "predicted_share", labels))
    data = numbers.over_seeds(own, ["bias", "group"])
    if data.empty:
        return []
    data = ordered(data, "bias", ["untuned", "original", *study.biases])
    data["panel"], data["row"] = "", data["bias"].map(study.title)
    data["column"] = data["group"].map(lambda group: group.split(":")[0])
    data["clear"] = ((data["ci_low"] > 0) | (data["ci_high"] < 0)).tolist()
    pair = outcome["gap"].split("-")
    return [
        figure(
            name_of("labels", outcome["model"], outcome["domain"], outcome["task"]),
            f"{heading(study, outcome)}: which answers the groups get",
            f"How much more often each answer is given for {pair[0]} than for {pair[1]} items after tuning on each kind of text, {seeds_of(data).split(' with')[0]}; bold where the 95% t interval is clear of 0.",
            "Heat map, kinds of training text in rows and answers in columns: "
            + in_words(data, lambda row: f"{row['row']}, {row['column']}"),
            charts.heatmap(
                data[["panel", "row", "column", "value", "ci_low", "ci_high", "n_seeds", "clear", "rows"]],
                list(dict.fromkeys(data["row"])),
                list(dict.fromkeys(data["column"])),
                None,
                "share of answers",
                slanted=True,
            ),
            data_table(
                study, data, {"Trained on": "row", "Answer": "column"}, "Difference in the share of each answer"
            ),
            data,
            cell=46 * data["column"].nunique(),
            left=NAMES,
        )
    ]


def mitigations(study):
    figures = []
    if len(study.mitigations) > 1 and study.gammas:
        gamma = study.gammas[-1]
        for outcome in gap_outcomes(study):
            figures += _beside(study, [outcome], heading(study, outcome), quantity(outcome), outcome, gamma)
        for members in plain_outcomes(study):
            place = " · ".join(place_of(study, members[0])) or "All tasks"
            figures += _beside(study, members, place, quantity(members[0]), members[0], gamma)
    return section(
        "mitigations",
        "Mitigations beside none",
        figures=figures,
        nothing=None if figures else "The study has one mitigation only, so there is nothing to hold beside it.",
    )


def _beside(study, outcomes, place, name, outcome, gamma):
    data = effect_numbers(
        study,
        outcomes,
        ["bias", "mitigation"],
        effect="bias",
        control="neutral",
        round=study.rounds[0],
        gamma=gamma,
    )
    if data.empty:
        return []
    data = ordered(ordered(data, "mitigation", study.mitigations), "bias", study.biases)
    titles = [study.names["mitigation"][mitigation]["title"] for mitigation in study.mitigations]
    data["row"] = data["mitigation"].map(lambda mitigation: study.names["mitigation"][mitigation]["title"])
    data["panel"], data["series"] = data["bias_title"], "bias effect"
    return [
        figure(
            name_of("mitigations", outcome["model"], outcome["domain"], outcome["task"], outcome["metric"]),
            f"{place}: what is left of the bias effect on {name}",
            f"Bias effect at γ {gamma:.2f} under each mitigation, held against the neutral cell of the same mitigation: {seeds_of(data)}.",
            "One panel per bias type, mitigations in rows: "
            + in_words(data, lambda row: f"{row['panel']}, {row['row']}"),
            charts.dots(
                data[["panel", "row", "series", "value", "ci_low", "ci_high", "n_seeds", "rows"]],
                titles,
                ["bias effect"],
                words.metric_unit(outcome["metric"]),
            ),
            data_table(
                study, data, {"Bias type": "panel", "Mitigation": "row"}, f"Bias effect on {name} by mitigation"
            ),
            data,
            left=126,
        )
    ]


def manipulation(study):
    """Did each pool do what its bias type says?"""
    checked = study.manipulation
    several = [
        *(["domain"] if checked["domain"].nunique() > 1 else []),
        *(["model"] if checked["model"].nunique() > 1 else []),
    ]
    checked = ordered(checked, "bias", study.biases)
    checked["title"] = [
        " · ".join([study.title(row["bias"]), *(study.names[axis][row[axis]]["title"] for axis in several)])
        for row in checked.to_dict("records")
    ]
    checked["passed"] = checked["passed"].astype(str).str.lower() == "true"
    says, figures = [], []
    types = checked[checked["bias"].isin(study.types)]
    failed = list(dict.fromkeys(types[~types["passed"]]["title"]))
    if len(types):
        total = types["title"].nunique()
        says.append(
            f"{words.counted(total - len(failed), 'bias type')} of {total} did what "
            + ("it says" if total - len(failed) == 1 else "they say")
            + (
                f"; {words.listed(failed)} did not, and verdicts on {'it' if len(failed) == 1 else 'them'} are withheld."
                if failed
                else "."
            )
        )
    for measure, title, caption, unit in (
        (
            "stereotype_rate_minus_neutral",
            "Stereotype words beyond neutral",
            "How much more often the words of the stereotype occur than in neutral texts of the same occupations, by group asked for, with 95% bootstrap intervals; a type has to be clear of 0 for both groups.",
            "stereotype words per word",
        ),
        (
            "asked_group_share",
            "Texts about the group that was asked for",
            "Share of the kept texts that show the group they were asked to be about, with 95% bootstrap intervals; a type has to reach the dashed line.",
            "share of texts",
        ),
    ):
        own = checked[(checked["measure"] == measure) & checked["value"].notna()].copy()
        if own.empty:
            continue
        own["row"], own["series"], own["rows"] = own["title"], own["group"], own["row"].astype(str)
        series = list(dict.fromkeys(own["series"]))
        figures.append(
            figure(
                name_of("manipulation", measure),
                title,
                caption,
                "Bias types in rows: " + in_words(own, lambda row: f"{row['row']}, {row['group']}"),
                charts.dots(
                    own[["row", "series", "value", "ci_low", "ci_high", "rows"]].assign(file="manipulation.csv"),
                    list(dict.fromkeys(own["row"])),
                    series,
                    unit,
                    lines=(0,) if "minus" in measure else asked_limits(study),
                    zero="minus" not in measure,
                    step=32 if len(series) > 1 else 28,
                    colours=[charts.BLUE, charts.VERMILLION] if len(series) > 1 else None,
                ),
                data_table(
                    study,
                    own,
                    {"Bias type": "row", "Group": "series"},
                    title,
                    sign="minus" in measure,
                    file="manipulation.csv",
                ),
                own,
                left=NAMES,
            )
        )
    measures = {
        "stereotype_rate": "Stereotype words per word",
        "stereotype_rate_minus_neutral": "The same, minus neutral",
        "asked_group_share": "About the group asked for",
        "shown_share": "Shows the group",
        "relabelled_share": "Relabelled",
        "copied_samples": "Texts copied",
    }
    rows = [
        [
            row["title"],
            measures.get(row["measure"], row["measure"].replace("_", " ")),
            row["group"],
            study.source.link(
                number(row["value"], 0 if row["measure"] == "copied_samples" else 3),
                "manipulation.csv",
                str(row["row"]),
            ),
            words.interval(row["ci_low"], row["ci_high"]) if words.known(row["ci_low"]) else "–",
            words.count(row["n"]),
            "passed" if row["passed"] else "failed",
        ]
        for row in checked.to_dict("records")
    ]
    full = table(
        "The manipulation check in full.",
        ["Bias type or control", "Measure", "Group", "Value", "95% interval", "Texts", "Check"],
        rows,
    )
    return section(
        "manipulation",
        "Manipulation check",
        says,
        figures,
        [full] if rows else [],
        nothing=None if rows else "The study has no pools, so there was nothing to check.",
    )


def asked_limits(study):
    """The least share of texts about the group asked for, of each domain that declares one."""
    declared = [domain.get("manipulation", {}).get("asked_group_share") for domain in study.names["domain"].values()]
    return tuple(sorted({limit for limit in declared if limit is not None}))


def controls(study):
    """Known truths: the dial of planted labels (must be found in order) and real text (must change nothing)."""
    from markupsafe import Markup

    says, figures, tables = [], [], []
    rows = []
    for row in study.claims[study.claims["claim"].str.startswith("control-")].to_dict("records"):
        if row["verdict"] == "beside":
            continue
        text = study.claim_texts.get(row["claim"], row["claim"])
        estimate = number(row["estimate"], sign=True)
        if words.known(row["ci_low"]):
            estimate += f" ({words.interval(row['ci_low'], row['ci_high'])})"
        rows.append(
            [
                text,
                words.greek(row["contrast"]),
                study.source.link(estimate, "claims.csv", str(row["row"])),
                study.badge(row["verdict"]),
                row["reason"],
            ]
        )
    if rows:
        tables.append(
            table(
                "What is true by construction, and whether it was found.",
                ["Known truth", "Contrast", "Estimate (95% interval)", "Verdict", "Why"],
                rows,
            )
        )
    planted = {name: bias["plant"] for name, bias in study.names["bias"].items() if "plant" in bias}
    if planted and study.gammas:
        gamma = study.gammas[-1]
        for outcome in gap_outcomes(study):
            if not outcome["graded"]:
                continue
            own = numbers.of_outcome(study.effects, outcome)
            own = own[(own["gamma"] == gamma) & (own["mitigation"] == "none") & own["bias"].isin(planted)]
            own = own[own["effect"] == "augmentation"]
            data = numbers.over_seeds(own, ["bias"])
            if data.empty:
                continue
            data["share"] = data["bias"].map(planted)
            data = data.sort_values("share")
            data["row"] = data["share"].map(lambda share: f"{share:.0%} of the labels planted")
            data["series"] = "planted"
            figures.append(
                figure(
                    name_of("dial", outcome["model"], outcome["domain"], outcome["task"]),
                    f"{heading(study, outcome)}: positive control",
                    f"Augmentation effect on {quantity(outcome)} when a known share of one group's labels is planted (γ {gamma:.2f}, no mitigation), which has to grow down the rows: {seeds_of(data)}.",
                    "Rows by planted share: " + in_words(data, lambda row: row["row"]),
                    charts.dots(
                        data[["row", "series", "value", "ci_low", "ci_high", "n_seeds", "rows"]],
                        list(data["row"]),
                        ["planted"],
                        words.metric_unit(outcome["metric"]),
                        zero=True,
                        step=28,
                        colours=[charts.GREEN],
                    ),
                    data_table(study, data, {"Planted": "row"}, "The dial"),
                    data,
                    left=NAMES,
                )
            )
            if len(data) > 1:
                rises = data["value"].is_monotonic_increasing
                says.append(
                    Markup("{}: the planted effect {} with the dial ({}).").format(
                        heading(study, outcome),
                        "rises" if rises else "does not rise in order",
                        Markup(", ").join(
                            Markup("{} at {}").format(
                                study.source.link(number(row["value"], sign=True), "scores.csv", row["rows"]),
                                words.percent(row["share"]),
                            )
                            for row in data.to_dict("records")
                        ),
                    )
                )
    real = [name for name, bias in study.names["bias"].items() if bias["source"] == "reserve"]
    if real and study.gammas:
        for outcome in gap_outcomes(study):
            data = effect_numbers(
                study,
                [outcome],
                ["bias", "gamma"],
                effect="augmentation",
                bias=real,
                mitigation="none",
                round=study.rounds[0],
            )
            if data.empty or not outcome["graded"]:
                continue
            data["row"], data["series"] = data["gamma"].map("γ {:.2f}".format), "real text"
            figures.append(
                figure(
                    name_of("faithful", outcome["model"], outcome["domain"], outcome["task"]),
                    f"{heading(study, outcome)}: negative control",
                    f"Augmentation effect on {quantity(outcome)} when real texts are added in place of generated ones, which has to stay at 0: {seeds_of(data)}.",
                    "Rows by γ: " + in_words(data, lambda row: row["row"]),
                    charts.dots(
                        data[["row", "series", "value", "ci_low", "ci_high", "n_seeds", "rows"]],
                        list(data["row"]),
                        ["real text"],
                        words.metric_unit(outcome["metric"]),
                        zero=True,
                        step=28,
                        colours=[charts.PURPLE],
                    ),
                    data_table(study, data, {"γ": "row"}, "Real text added"),
                    data,
                    left=60,
                )
            )
    return section(
        "controls",
        "Positive and negative control",
        says,
        figures,
        tables,
        nothing=None if figures or tables else "The study has no planted and no faithful control.",
    )


def reading(study):
    """Answers that could not be read, and choices that follow the position."""
    says, figures, rows = [], [], []
    scores = study.scores[~study.scores["metric"].isin(["uninformative", "collapsed"])]
    several = [axis for axis in ("domain", "model") if len(study.names[axis]) > 1]
    for place, part in scores.groupby(["model", "domain", "task", "scoring"], sort=False):
        # rows of one run count the same answers under several metrics: each item once
        per_run = part.groupby(["bias", "gamma", "mitigation", "seed", "round", "dataset"]).agg(
            n=("n", "max"), n_unparsed=("n_unparsed", "max"), row=("row", "min")
        )
        lost, asked = per_run["n_unparsed"].sum(), per_run["n"].sum()
        share = per_run["n_unparsed"] / per_run["n"].where(per_run["n"] > 0)
        worst = per_run.loc[share.idxmax()] if share.notna().any() else per_run.iloc[0]
        task = " · ".join(
            [
                study.names["task"][place[2]]["title"],
                *(
                    study.names[axis][dict(zip(("model", "domain"), place[:2], strict=True))[axis]]["title"]
                    for axis in several
                ),
            ]
        )
        rows.append(
            [
                task,
                {"logprob": "by log-probability", "parsed": "written, then read"}.get(place[3], place[3]),
                words.count(len(per_run)),
                words.count(asked),
                words.count(lost),
                words.percent(lost / asked if asked else float("nan")),
                study.source.link(words.percent(share.max()), "scores.csv", str(int(worst["row"]))),
            ]
        )
    unread = table(
        "Answers that could not be read; they count as wrong or widen the bounds, and never move a score toward fair.",
        ["Task", "Answered", "Runs", "Answers", "Unreadable", "Share", "Worst run"],
        rows,
    )
    position = study.scores[study.scores["metric"] == "position_share"]
    for (model, domain, task), part in position.groupby(["model", "domain", "task"], sort=False):
        limit = study.names["task"][task].get("position_limit", 1.0)
        by = ["bias", "gamma", "mitigation", "round"]
        data = part.groupby(by, sort=False).agg(value=("value", "mean"), rows=("rows", numbers.joined)).reset_index()
        data = ordered(data, "bias", ["untuned", "original", *study.biases])
        data["row"] = data["bias"].map(study.title)
        led = int((part["value"] > limit).sum())
        title = " · ".join([study.names["task"][task]["title"], *place_of(study, {"model": model, "domain": domain})])
        says.append(
            f"{title}: in {led} of {words.counted(len(part), 'run')} more than {words.percent(limit)} of the choices follow the position; these are uninformative and get no verdict."
        )
        ranges = part.groupby("bias", sort=False)["value"].agg(["min", "mean", "max", "size"]).reset_index()
        ranges = ordered(ranges, "bias", ["untuned", "original", *study.biases])
        first_rows = part.groupby("bias")["rows"].agg(numbers.joined)
        figures.append(
            figure(
                name_of("position", model, domain, task),
                f"{title}: choices that follow the position",
                f"Share of choices that stay at one place while the candidates rotate, one stroke per cell (mean over its seeds); the dashed line at {words.percent(limit)} is the limit, 1/8 would be a pure choice of candidates.",
                "Strokes by kind of training text: "
                + "; ".join(
                    f"{study.title(row['bias'])} {number(row['mean'])}" for row in ranges.head(8).to_dict("records")
                ),
                charts.ticks(
                    data[["row", "gamma", "mitigation", "value", "rows"]],
                    list(dict.fromkeys(data["row"])),
                    "share of choices led by the position",
                    limit,
                ),
                table(
                    "Position-led share by kind of training text",
                    ["Trained on", "Runs", "Mean", "Lowest", "Highest", "Rows of scores.csv"],
                    [
                        [
                            study.title(row["bias"]),
                            str(row["size"]),
                            study.source.brief(number(row["mean"]), "scores.csv", first_rows[row["bias"]]),
                            number(row["min"]),
                            number(row["max"]),
                            words.shorter(first_rows[row["bias"]]).replace(",", ", "),
                        ]
                        for row in ranges.to_dict("records")
                    ],
                ),
                data,
                left=NAMES,
            )
        )
    return section("reading", "Answers that say nothing", says, figures, [unread])


def rounds(study):
    """Scores over rounds of re-augmentation, and the quality of what each round wrote."""
    figures = []
    for outcome in gap_outcomes(study) if len(study.rounds) > 1 else []:
        metrics = [(outcome["metric"], outcome["groups"])]
        if outcome["levels"]:
            metrics.append((outcome["per_group"], outcome["levels"]))
        for metric, shown in metrics:
            figures += _over_rounds(study, outcome, metric, shown)
    figures += _quality(study)
    collapsed = study.scores[study.scores["metric"] == "collapsed"]
    cells = len(collapsed[["model", "domain", "bias", "gamma", "mitigation", "seed", "round"]].drop_duplicates())
    says = (
        [f"{words.counted(cells, 'cell')} collapsed: the model could no longer write texts to go on with."]
        if cells
        else []
    )
    return section(
        "rounds",
        "Rounds of re-augmentation",
        says,
        figures,
        nothing=None if figures else "The study has one round only, so nothing can be said of amplification.",
    )


def _over_rounds(study, outcome, metric, shown):
    own = numbers.of_outcome(study.scores, outcome, metric, shown)
    own = own[(own["gamma"] == study.gammas[-1]) & (own["mitigation"] == "none")]
    data = numbers.over_seeds(own.assign(arm=own.get("arm", "")), ["bias", "arm", "group", "round"])
    iterated = data.groupby("bias")["round"].transform("nunique") > 1
    data = ordered(data[iterated], "bias", study.biases)
    if data.empty:
        return []
    arms = sorted(set(data["arm"]))
    data["panel"] = data["bias"].map(study.title) + (", " + data["arm"] if len(arms) > 1 else "")
    data["series"] = data["group"].map(lambda group: words.group_name(group, outcome["gap"]))
    name = words.metric_name(metric)
    return [
        figure(
            name_of("rounds", outcome["model"], outcome["domain"], outcome["task"], metric, *shown),
            f"{heading(study, outcome)}: {name.lower()} over rounds",
            f"{name} after each round of re-augmentation (γ {study.gammas[-1]:.2f}, no mitigation, pools: {words.listed(arms)}): {seeds_of(data)}.",
            "Small multiples, one per bias type, over rounds: "
            + in_words(data, lambda row: f"{row['panel']}, {row['series']}, round {row['round']}", sign=False),
            charts.over_rounds(data, list(dict.fromkeys(data["series"])), words.metric_unit(metric)),
            data_table(
                study,
                data,
                {"Bias type": "panel", "Group": "series", "Round": "round"},
                f"{name} over rounds",
                sign=False,
            ),
            data,
        )
    ]


QUALITY = ("distinct_2", "mean_words", "rejected_share", "perplexity")


def _quality(study):
    """What each round wrote, so that a collapse is not taken for bias."""
    own = study.quality
    if own.empty:
        return []
    largest = own["bias"].eq("original") | own["gamma"].eq(study.gammas[-1]) & own["mitigation"].eq("none")
    own = own[largest & own["metric"].isin(QUALITY)].assign(rows=own["row"].astype(str))
    data = numbers.over_seeds(own, ["metric", "bias", "round"])
    data = ordered(ordered(data, "bias", ["original", *study.biases]), "metric", QUALITY)
    if data.empty:
        return []
    data["panel"], data["series"] = data["metric"].map(words.metric_name), data["bias"].map(study.title)
    return [
        figure(
            "quality",
            "Quality of the texts, round by round",
            f"Variety, length and rejections of each round's texts, and how well its model knows unseen originals (a rise of perplexity is a collapse, not bias): {seeds_of(data)}.",
            "Small multiples, one per measure, over rounds: "
            + in_words(data, lambda row: f"{row['panel']}, {row['series']}, round {row['round']}", sign=False),
            charts.over_rounds(
                data.assign(file="quality.csv"), list(dict.fromkeys(data["series"])), "value", free=True
            ),
            data_table(
                study,
                data,
                {"Measure": "panel", "Trained on": "series", "Round": "round"},
                "Quality over rounds",
                sign=False,
                file="quality.csv",
            ),
            data,
            cell=190,
        )
    ]


MISALIGNMENT = {"values": "values", "groups": "groups", "distributions": "distributions"}


def misalignment(study):
    """Why: values, groups and distributions, as far as the study has measured them."""
    figures, tables = [], []
    for name, draw in (("values", _values), ("groups", _shown_groups), ("distributions", _distributions)):
        if name in study.misalignment:
            own = study.misalignment[name]
            figures += draw(study, own.assign(rows=own["row"].astype(str)))
    figures += _projection(study)
    if len(study.correlations):
        rows = [
            [
                words.metric_name(row["misalignment"]),
                row["outcome"].replace("-", " "),
                f"{row['effect']} effect (minus {row['control']})",
                study.source.link(number(row["rho"], 2, sign=True), "misalignment/correlations.csv", str(row["row"])),
                words.interval(row["ci_low"], row["ci_high"], 2) if words.known(row["ci_low"]) else "–",
                words.count(row["n_seeds"]),
                words.count(row["n_cells"]),
            ]
            for row in study.correlations.to_dict("records")
            if words.known(row["rho"])
        ]
        if rows:
            tables.append(
                table(
                    "Do cells whose data lies farther off show more of an effect? Spearman's correlation over cells, seed by seed.",
                    ["Misalignment", "Outcome", "Effect", "Correlation", "95% t interval", "Seeds", "Cells"],
                    rows,
                )
            )
    missing = [name for name in MISALIGNMENT if name not in study.misalignment]
    return section(
        "misalignment",
        "Misalignment of values, groups and distributions",
        [f"Not measured in this study: {words.listed(missing)}."] if missing and figures else [],
        figures,
        tables,
        nothing=None
        if figures
        else "This study did not measure misalignment of values, groups or distributions, so it cannot say why bias is inherited.",
    )


def _misaligned(study, data, name, title, caption, unit, series, table_columns, **options):
    """A figure of one misalignment. data: panel, row, series and numbers over seeds."""
    file = f"misalignment/{name}.csv"
    return figure(
        name_of("misalignment", name, title),
        title,
        f"{caption}: {seeds_of(data)}.",
        "Values in rows: " + in_words(data, lambda row: f"{row['panel']} {row['row']}, {row['series']}", sign=False),
        charts.dots(
            data[["panel", "row", "series", "value", "ci_low", "ci_high", "n_seeds", "rows"]].assign(file=file),
            list(dict.fromkeys(data["row"])),
            series,
            unit,
            **options,
        ),
        data_table(study, data, table_columns, caption, sign=False, file=file),
        data,
        left=NAMES,
    )


def _values(study, own):
    """Similarity with a country's people per culture, and its drift from the untuned model."""
    figures = []
    own = at_largest(study, own)
    own = own[own["group"].map(str.islower)]  # cultures and `all`; countries stand in the table of the analysis
    series = {"similarity": "the model's answers", "similarity_uniform": "even answers"}
    for metrics, title, caption, lines in (
        (
            series,
            "Values: similarity with a country's people",
            "Similarity between the model's answers to opinion questions and those of the people of each culture's countries (1 is equal), beside what even answers would get",
            (),
        ),
        (
            {"drift": "drift"},
            "Values: drift from the untuned model",
            "Similarity minus that of the untuned model on the same questions",
            (0,),
        ),
    ):
        data = numbers.over_seeds(own[own["metric"].isin(metrics)], ["bias", "group", "metric"])
        if data.empty:
            continue
        data = ordered(ordered(data, "bias", ["untuned", "original", *study.biases]), "metric", list(metrics))
        data["panel"] = data["group"].map(lambda group: words.group_name(group).capitalize())
        data["row"], data["series"] = data["bias"].map(study.title), data["metric"].map(metrics)
        columns = {"Culture": "panel", "Trained on": "row", "Of": "series"}
        names = [name for name in metrics.values() if name in set(data["series"])]
        figures.append(
            _misaligned(
                study, data, "values", title, caption, words.metric_unit("similarity"), names, columns, lines=lines
            )
        )
    return figures


def _shown_groups(study, own):
    """The share of the reference group that the texts of each label show."""
    own = own[own["metric"].str.fullmatch(r"(?!asked)[a-z]+_share")]
    own = own[own["round"].eq(1) if "round" in own else [True] * len(own)]
    shown = numbers.over_seeds(own, ["bias", "group"]).assign(series="texts")
    if shown.empty:
        return []
    parts = [shown]
    if "labour_share" in own and own["labour_share"].notna().any():
        known = (
            own[["bias", "group", "labour_share", "rows"]]
            .dropna(subset=["labour_share"])
            .drop_duplicates(["bias", "group"])
        )
        labour = known.rename(columns={"labour_share": "value"}).assign(series="labour statistics", n_seeds=1)
        parts.append(labour)
    import pandas as pd

    data = ordered(
        ordered(pd.concat(parts), "bias", ["neutral", *study.biases]), "series", ["texts", "labour statistics"]
    )
    data = ordered(data, "bias", ["neutral", *study.biases])
    data["panel"] = data["bias"].map(study.title)
    data["row"] = data["group"].map(lambda group: words.group_name(group).capitalize())
    reference = words.listed(sorted({metric.removesuffix("_share") for metric in own["metric"]}))
    return [
        _misaligned(
            study,
            data,
            "groups",
            "Groups: whom the texts are about",
            f"Share of {reference} among the kept texts whose group is clear, per label; the dashed line is an even split",
            "share of texts",
            [name for name in ("texts", "labour statistics") if name in set(data["series"])],
            {"Bias type": "panel", "Label": "row", "Of": "series"},
            lines=(0.5,),
        )
    ]


DISTANCES = ("mmd", "auc", "hidden_mmd", "hidden_auc")


def _distributions(study, own):
    """How far the pools lie from the originals, and what mitigations do to that."""
    figures = []
    if "mitigation" in own:
        of_pools = own[own["mitigation"].isna()]
        own = own[own["round"].eq(1)]
    else:
        of_pools = own
    of_pools = of_pools[of_pools["metric"].isin(DISTANCES)]
    measured = numbers.over_seeds(of_pools, ["bias", "metric"]).assign(series="measured")
    if measured.empty:
        return []
    import pandas as pd

    parts = [measured]
    if "null" in of_pools:
        even = numbers.over_seeds(of_pools.assign(value=of_pools["null"]), ["bias", "metric"])
        parts.append(even.assign(series="where there is no gap", ci_low=float("nan"), ci_high=float("nan")))
    data = ordered(ordered(pd.concat(parts), "bias", study.biases), "metric", DISTANCES)
    data["panel"], data["row"] = data["metric"].map(words.metric_name), data["bias"].map(study.title)
    series = ["measured", "where there is no gap"][: len(parts)]
    for group, what in ((DISTANCES[:2], "sentence embeddings"), (DISTANCES[2:], "the model's own states")):
        chosen = data[data["metric"].isin(group)]
        if len(chosen):
            figures.append(
                _misaligned(
                    study,
                    chosen.assign(panel=chosen["panel"].str.removesuffix(f", {what}")),
                    "distributions",
                    f"Distributions: distance from the originals, {what}",
                    f"How far the texts of each pool lie from the originals by a kernel test (MMD²) and by a classifier that tells them apart (AUC), {what}, beside what permuted origins give",
                    "distance",
                    series,
                    {"Measure": "panel", "Bias type": "row", "Of": "series"},
                    lines=(),
                    free=True,
                )
            )
    changes = own[own["metric"].eq("hidden_mmd_change")]
    data = numbers.over_seeds(changes, ["bias", "mitigation"]) if len(changes) else changes
    if len(data):
        data = ordered(ordered(data, "mitigation", study.mitigations), "bias", study.biases)
        data["panel"] = data["mitigation"].map(lambda name: study.names["mitigation"][name]["title"])
        data["row"], data["series"] = data["bias"].map(study.title), "change"
        figures.append(
            _misaligned(
                study,
                data,
                "distributions",
                "Distributions: what mitigations do to the distance",
                "Distance (MMD²) in the tuned model's own states under each mitigation, minus that of the same cell without it; below 0 where the gap closes",
                "change of MMD²",
                ["change"],
                {"Mitigation": "panel", "Bias type": "row"},
            )
        )
    return figures


def _projection(study):
    """Two dimensions for the eye: originals and generated texts of the first seed."""
    own = study.projection
    if own.empty:
        return []
    first = own["seed"].min()
    own = own[own["seed"].eq(first) & own["round"].eq(1) & own["mitigation"].isna()]
    own = own[own["representation"].eq(own["representation"].iloc[0])] if len(own) else own
    if own.empty:
        return []
    own = ordered(own, "bias", study.biases)
    data = own.assign(panel=own["bias"].map(study.title), series=own["origin"])[["panel", "series", "x", "y"]]
    return [
        figure(
            "projection",
            "Distributions: the texts in two dimensions",
            f"Originals and the texts of each pool of seed {first}, projected to the two directions in which they vary most; nearness is meant for the eye, the tests stand above.",
            "Scatter plots, one per bias type: "
            + "; ".join(f"{panel}: {len(rows)} texts" for panel, rows in data.groupby("panel", sort=False)),
            charts.scatter(data, sorted(set(data["series"]), reverse=True)),
            None,
            data,
            left=12,
        )
    ]


def pools(study):
    """How the pools came about."""
    counts = study.pools_table
    if counts.empty:
        return section("pools", "Pools of generated text", nothing="The study has no pools.")
    reasons = [column for column in counts if column.startswith("reason_")]
    several = [axis for axis in ("domain", "model") if len(study.names[axis]) > 1]
    by = ["bias", *several]
    sums = counts.groupby(by, sort=False).agg("sum", numeric_only=True).reset_index()
    sums["rows"] = (
        counts.assign(rows=counts["row"].astype(str)).groupby(by, sort=False)["rows"].agg(numbers.joined).tolist()
    )
    means = counts.groupby(by, sort=False)["mean_words"].mean().tolist()
    sums["mean_words"] = means
    sums = ordered(sums, "bias", study.biases)
    rows, stacked = [], []
    for row in sums.to_dict("records"):
        title = " · ".join([study.title(row["bias"]), *(study.names[axis][row[axis]]["title"] for axis in several)])
        why = [
            f"{words.count(row[column])} {words.REASONS.get(column[7:], column[7:].replace('-', ' '))}"
            for column in reasons
            if words.known(row[column]) and row[column]
        ]
        rows.append(
            [
                title,
                study.source.link(words.count(row["asked"]), "pools.csv", row["rows"]),
                words.count(row["kept"]),
                words.count(row["rejected"]),
                words.count(row["failed"]),
                ", ".join(why) or "–",
                f"{words.count(row['slots_failed'])} of {words.count(row['slots'])}",
                f"{words.count(row['label_words_replaced'])} in {words.counted(row['samples_with_label_words'], 'text')}",
                f"{row['mean_words']:.0f}",
            ]
        )
        stacked.append({"row": title, "series": "kept", "value": int(row["kept"])})
        for column in reasons:
            name = words.REASONS.get(column[7:], column[7:].replace("-", " "))
            if words.known(row[column]) and row[column]:
                stacked.append({"row": title, "series": name, "value": int(row[column])})
    import pandas as pd

    data = pd.DataFrame(stacked)
    asked, kept = int(counts["asked"].sum()), int(counts["kept"].sum())
    series = ["kept", *sorted(set(data["series"]) - {"kept"})]
    drawn = figure(
        "pool-counts",
        "What was asked for, and what became of it",
        "Texts asked for, over all seeds, by bias type and control: kept, or rejected and failed by reason; a slot that fails is asked for again.",
        "Stacked bars by bias type: "
        + "; ".join(
            f"{row[0]}: {row[2]} kept of {counts_asked}"
            for row, counts_asked in zip(rows[:6], sums["asked"].head(6).astype(int), strict=False)
        ),
        charts.stack(data, list(dict.fromkeys(data["row"])), series, "texts"),
        table(
            "Texts asked for, kept, rejected and failed, over all seeds; asked = kept + rejected + failed.",
            [
                "Bias type or control",
                "Asked",
                "Kept",
                "Rejected",
                "Failed",
                "Reasons",
                "Slots left empty",
                "Label words replaced",
                "Mean words",
            ],
            rows,
        ),
        data,
        left=NAMES,
    )
    holds = (counts["asked"] == counts["kept"] + counts["rejected"] + counts["failed"]).all()
    says = [
        f"{words.count(kept)} of {words.count(asked)} texts were kept; in every pool asked = kept + rejected + failed{'' if holds else ' should hold, and does not'}."
    ]
    return section("pools", "Pools of generated text", says, [drawn])


def training(study):
    """Loss over steps, per bias type and mitigation."""
    log = study.training
    if log.empty:
        return section("training", "Training curves", nothing="The study has no training logs.")
    figures = []
    last = log["gamma"].max()
    own = log[(log["gamma"] == last) | (log["bias"] == "original")]
    several = [axis for axis in ("domain", "model") if len(study.names[axis]) > 1]
    for column, title, caption, unit in (
        (
            "sft_loss",
            "Training loss",
            "Loss on the answers over optimiser steps, mean over seeds in even stretches of training",
            "loss",
        ),
        (
            "alignment_loss",
            "Alignment term",
            "The alignment term ‖mean φ of originals − mean φ of augmented‖² over optimiser steps, mean over seeds, where a mitigation has it",
            "squared distance",
        ),
    ):
        data = own.dropna(subset=[column])
        if column == "alignment_loss":
            data = data[data.groupby("mitigation")[column].transform("max") > 0]
        if data.empty:
            continue
        data = data.assign(value=data[column])
        data = (
            data.groupby(["bias", *several, "mitigation", "stretch"], sort=False)
            .agg(step=("step", "mean"), value=("value", "mean"))
            .reset_index()
        )
        data = ordered(ordered(data, "mitigation", study.mitigations), "bias", ["original", *study.biases])
        data["series"] = data["mitigation"].map(lambda name: study.names["mitigation"][name]["title"])
        data["panel"] = [
            " · ".join([study.title(row["bias"]), *(study.names[axis][row[axis]]["title"] for axis in several)])
            for row in data.to_dict("records")
        ]
        ends = (
            data.sort_values("stretch")
            .groupby(["panel", "series"], sort=False)
            .agg(first=("value", "first"), value=("value", "last"))
            .reset_index()
        )
        figures.append(
            figure(
                name_of("training", column),
                title,
                f"{caption}, for the model tuned on originals and for each bias type at γ {last:.2f}.",
                "Small multiples, one per kind of training text: "
                + "; ".join(
                    f"{row['panel']}, {row['series']}: from {number(row['first'])} to {number(row['value'])}"
                    for row in ends.head(6).to_dict("records")
                ),
                charts.steps(data[["panel", "series", "step", "value"]], list(dict.fromkeys(data["series"])), unit),
                table(
                    f"{title} in the first and last stretch of training",
                    ["Trained on", "Mitigation", "First", "Last"],
                    [
                        [row["panel"], row["series"], number(row["first"]), number(row["value"])]
                        for row in ends.to_dict("records")
                    ],
                ),
                data,
            )
        )
    return section("training", "Training curves", figures=figures)


def cost(study):
    """Time and memory per stage, from the records."""
    import pandas as pd

    if not study.jobs:
        return section("cost", "Time and memory", nothing="The study has no records.")
    frame = pd.DataFrame(
        {
            "step": [job["step"] for job in study.jobs],
            "seconds": [job["seconds"] for job in study.jobs],
            "memory": [job["peak_memory_bytes"] for job in study.jobs],
        }
    )
    stages = (
        frame.groupby("step")
        .agg(
            jobs=("seconds", "size"),
            total=("seconds", "sum"),
            middle=("seconds", "median"),
            longest=("seconds", "max"),
            memory=("memory", "max"),
        )
        .reset_index()
    )
    stages = ordered(stages, "step", list(words.STEPS))
    stages["row"] = stages["step"].map(lambda step: words.STEPS.get(step, step.replace("_", " ").capitalize()))
    whole = float(frame["seconds"].sum())
    unit, size = ("minutes", 60) if whole >= 300 else ("seconds", 1)
    data = pd.DataFrame(
        {
            "row": stages["row"],
            "value": stages["total"] / size,
            "text": [words.duration(total) for total in stages["total"]],
        }
    )
    rows = [
        [
            row["row"],
            words.count(row["jobs"]),
            words.duration(row["total"]),
            words.duration(row["middle"]),
            words.duration(row["longest"]),
            words.memory(row["memory"]),
        ]
        for row in stages.to_dict("records")
    ]
    drawn = figure(
        "cost-time",
        "Time per stage",
        f"Time spent in the jobs of each stage, {words.duration(whole)} in all; jobs that ran side by side are added up.",
        "Bars by stage: " + "; ".join(f"{row[0]} {row[2]}" for row in rows),
        charts.bars(data, list(data["row"]), unit),
        table(
            "Time and memory per stage.",
            ["Stage", "Jobs", "Time in all", "Median job", "Longest job", "Peak memory"],
            rows,
        ),
        data,
        left=150,
        unfolded=True,
    )
    first, final = min(job["started"] for job in study.jobs), max(job["ended"] for job in study.jobs)
    says = [
        f"The jobs took {words.duration(whole)} of computing between {first[:16].replace('T', ' ')} and {final[:16].replace('T', ' ')} UTC; no job took more than {words.memory(frame['memory'].max())} of memory."
    ]
    return section("cost", "Time and memory", says, [drawn])


def facts(study):
    """The study in numbers: [(number, what)]."""
    config, counts = study.config, study.pools_table
    trained = [cell for cell in grid.cells(config) if cell["bias"] != "untuned"]
    found = [
        (len(config["grid"]["seed"]), "seed", "seeds, the unit of replication"),
        (len(trained), "model tuned", "models tuned, one per cell of the grid"),
        (len(study.types), "bias type", "bias types"),
        (len([name for name in config["grid"]["bias"] if name not in study.types]), "control", "controls"),
        (config["originals"], "original per cell", "originals per cell"),
    ]
    if len(counts):
        found += [
            (int(counts["asked"].sum()), "text asked for", "texts asked for"),
            (int(counts["kept"].sum()), "text kept", "texts kept"),
        ]
    if len(study.training):
        found.append((int(study.training["tokens"].sum()), "token trained on", "tokens trained on"))
    found.append((len(study.scores), "score", "scores"))
    return [(words.count(value), one if value == 1 else many) for value, one, many in found]
