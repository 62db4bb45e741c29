"""What augmentation did: effects, gaps, mitigations and rounds, each drawn from scores and effects."""

from bias_inheritance.report import charts, numbers, words
from bias_inheritance.report.parts import (
    EFFECTS,
    NAMES,
    at_largest,
    data_table,
    effect_numbers,
    figure,
    gap_outcomes,
    heading,
    in_words,
    name_of,
    ordered,
    place_of,
    placed,
    plain_outcomes,
    quantity,
    say,
    section,
    seeds_of,
    table,
)
from bias_inheritance.report.words import number


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
        if len(weak) > NAMED:
            names = f"{len(weak)} of the {len(weak) + len(clear)} graded scores below"
        says.append(f"Tuning has not clearly taught {names}, so harm could hardly show there.")
    caption = "The untuned model (one run, with its interval within the run) beside the model tuned on originals alone (γ = 0, interval over seeds)."
    full = table(caption, ["Task", "Score", "Untuned", "Tuned on originals"], rows)
    return section("baseline", "Before any augmentation", says, tables=[full] if rows else [])


NAMED = 4  # scores that a sentence names; more are counted


def untuned_and_tuned(study, outcome, metric, group):
    """One score of the untuned model and of round 1's cells without augmented text, meaned over seeds: dicts, or None."""
    own = numbers.of_outcome(study.scores, outcome, metric, [group])
    tuned = own[(own["bias"] == "original") & (own["round"] == study.rounds[0])]
    parts = own[own["bias"] == "untuned"], numbers.over_seeds(tuned, ["bias"])
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
    """The largest bias effect among the bias types, in one sentence that says that it was picked."""
    from markupsafe import Markup

    row = types.loc[types["value"].abs().idxmax()]
    doubts = []
    if not words.known(row["ci_low"]):
        doubts.append("a single seed gives no interval" if row["n_seeds"] == 1 else "its seeds do not differ")
    elif row["ci_low"] * row["ci_high"] <= 0:
        doubts.append("its interval holds 0")
    if len(types) > 1:
        doubts.append(f"picked as the largest of {len(types)}, so the verdicts above count and not this interval")
    return Markup("{}: the largest bias effect on {} at γ {} is {}, of {}{}.").format(
        heading(study, outcome),
        quantity(outcome),
        f"{gamma:.2f}",
        study.source.link(say(row), "scores.csv", row["rows"]),
        study.title(row["bias"]).lower(),
        "".join(f"; {doubt}" for doubt in doubts),
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
    relation = outcomes[0]["relation"]
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


def rounds(study):
    """Scores over rounds of re-augmentation, and the quality of what each round wrote."""
    figures = []
    if len(study.rounds) > 1:
        for outcome in gap_outcomes(study):
            # of culture × gender there would be too many lines
            cultures = [group for group in outcome["others"] if "-" not in group]
            gap = f", {words.group_name(outcome['gap'], outcome['gap'])},"
            for kind, metric, shown in (
                (gap, outcome["metric"], outcome["groups"]),
                (" per group", outcome["per_group"], outcome["levels"]),
                (" by culture", outcome["metric"], cultures),
            ):
                if not shown:
                    continue
                own = numbers.of_outcome(study.scores, outcome, metric, shown)
                own = own.assign(series=own["group"].map(lambda name, gap=outcome["gap"]: words.group_name(name, gap)))
                name = words.metric_name(metric) + kind
                key = name_of(
                    outcome["model"], outcome["domain"], outcome["task"], outcome["dataset"], kind.strip(" ,")
                )
                figures += _over_rounds(study, own, heading(study, outcome), key, name, words.metric_unit(metric))
        for members in plain_outcomes(study):
            figures += _plain_over_rounds(study, members)
    figures += placed(study, _quality, study.quality)
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


def _plain_over_rounds(study, members):
    """Outcomes without a gap: the mean over data sets, of directly and of indirectly related tasks."""
    import pandas as pd

    # perplexity is a quality of the texts' writer, and stands there
    related = [outcome for outcome in members if outcome["relation"] != "none"]
    if not related:
        return []
    parts = [
        numbers.of_outcome(study.scores, outcome).assign(series=words.RELATIONS[outcome["relation"]])
        for outcome in related
    ]
    model, domain, metric = (members[0][key] for key in ("model", "domain", "metric"))
    place = " · ".join(place_of(study, members[0])) or "All tasks"
    key, name = name_of(model, domain, metric), f"{words.metric_name(metric)}, meaned over data sets,"
    return _over_rounds(study, pd.concat(parts), place, key, name, words.metric_unit(metric))


def _over_rounds(study, own, place, key, name, unit):
    """One figure. own: scores with `series`; place, name: what stands in its title; key: what tells its id apart."""
    own = own[(own["gamma"] == study.gammas[-1]) & (own["mitigation"] == "none")]
    data = numbers.over_seeds(own.assign(arm=own.get("arm", "")), ["bias", "arm", "series", "round"])
    iterated = data.groupby("bias")["round"].transform("nunique") > 1
    data = ordered(data[iterated], "bias", study.biases)
    if data.empty:
        return []
    arms = sorted(set(data["arm"]))
    data["panel"] = data["bias"].map(study.title) + (", " + data["arm"] if len(arms) > 1 else "")
    return [
        figure(
            name_of("rounds", key),
            f"{place}: {name.lower().replace('f1', 'F1')} over rounds",
            f"{name} after each round of re-augmentation (γ {study.gammas[-1]:.2f}, no mitigation, pools: {words.listed(arms)}): {seeds_of(data)}.",
            "Small multiples, one per bias type, over rounds: "
            + in_words(data, lambda row: f"{row['panel']}, {row['series']}, round {row['round']}", sign=False),
            charts.over_rounds(data, list(dict.fromkeys(data["series"])), unit),
            data_table(
                study,
                data,
                {"Bias type": "panel", "Of": "series", "Round": "round"},
                f"{name.rstrip(',')} over rounds",
                sign=False,
            ),
            data,
        )
    ]


QUALITY = ("distinct_2", "mean_words", "rejected_share", "duplicate_share", "perplexity")


def _quality(study, own):
    """What each round wrote, so that a collapse is not taken for bias."""
    largest = own["bias"].eq("original") | own["gamma"].isin(study.gammas[-1:]) & own["mitigation"].eq("none")
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
