"""Whether to believe it: manipulation, controls, unreadable answers, pools, training, time."""

from bias_inheritance import study as grid
from bias_inheritance.report import charts, numbers, words
from bias_inheritance.report.parts import (
    NAMES,
    data_table,
    effect_numbers,
    figure,
    gap_outcomes,
    heading,
    in_words,
    name_of,
    ordered,
    originals,
    place_of,
    quantity,
    section,
    seeds_of,
    table,
)
from bias_inheritance.report.words import number

MEASURES = {  # of the manipulation check
    "stereotype_rate": "Stereotype words per word",
    "stereotype_rate_minus_balanced": "The same, minus the baseline",
    "asked_group_share": "About the group asked for, of the kept",
    "asked_group_share_unfiltered": "The same, with those rejected for it",
    "shown_share": "Shows the group",
    "relabelled_share": "Relabelled",
    "associated_share": "Of their label's group",
    "copied_samples": "Texts copied",
}


def manipulation(study):
    """Did each pool do what its bias type says?"""
    checked = _checked(study)
    figures = [
        _manipulation_figure(
            study,
            checked,
            "stereotype_rate_minus_balanced",
            "Stereotype words beyond the baseline",
            "How much more often the words of the stereotype occur than in texts whose prompt names the group in the same way without a stereotype, by group asked for, with 95% bootstrap intervals; a type has to be clear of 0 for both groups.",
            "stereotype words per word",
        ),
        _manipulation_figure(
            study,
            checked,
            "asked_group_share_unfiltered",
            "Texts about the group that was asked for",
            "Share of the texts that show the group they were asked to be about, those rejected for another group included; a type has to reach the dashed line.",
            "share of texts",
        ),
    ]
    return section(
        "manipulation",
        "Manipulation check",
        _said_of_types(checked[checked["bias"].isin(study.types)]),
        filter(None, figures),
        [_manipulation_table(study, checked)] if len(checked) else [],
        nothing=None if len(checked) else "The study has no pools, so there was nothing to check.",
    )


def _checked(study):
    """manipulation.csv with the title of each bias type, where it was asked of several domains or models with these."""
    checked = study.manipulation
    several = [axis for axis in ("domain", "model") if checked[axis].nunique() > 1]
    checked = ordered(checked, "bias", study.biases)
    checked["title"] = [
        " · ".join([study.title(row["bias"]), *(study.names[axis][row[axis]]["title"] for axis in several)])
        for row in checked.to_dict("records")
    ]
    # empty where the study has no neutral text to compare with
    passed = checked["passed"].astype(str).str.lower()
    return checked.assign(passed=passed.map({"true": "passed", "false": "failed"}).fillna("not checked"))


def _said_of_types(types):
    """How many bias types did what they say, in sentences."""
    if types.empty:
        return []
    failed = list(dict.fromkeys(types[types["passed"] == "failed"]["title"]))
    total, passed = types["title"].nunique(), types[types["passed"] == "passed"]["title"].nunique()
    withheld = f"; {words.listed(failed)} did not, and verdicts on {'it' if len(failed) == 1 else 'them'} are withheld."
    says = [
        f"{words.counted(passed, 'bias type')} of {total} did what {'it says' if passed == 1 else 'they say'}"
        + (withheld if failed else ".")
    ]
    if passed + len(failed) < total:
        says.append("What has no neutral text to be compared with was not checked, and carries no verdict.")
    return says


def _manipulation_figure(study, checked, measure, title, caption, unit):
    """One measure of all bias types as dots, by group; None where the study has no value of it."""
    own = checked[(checked["measure"] == measure) & checked["value"].notna()].copy()
    if own.empty:
        return None
    own["row"], own["series"], own["rows"] = own["title"], own["group"], own["row"].astype(str)
    series = list(dict.fromkeys(own["series"]))
    beyond = "minus" in measure
    return figure(
        name_of("manipulation", measure),
        title,
        caption,
        "Bias types in rows: " + in_words(own, lambda row: f"{row['row']}, {row['group']}"),
        charts.dots(
            own[["row", "series", "value", "ci_low", "ci_high", "rows"]].assign(file="manipulation.csv"),
            list(dict.fromkeys(own["row"])),
            series,
            unit,
            lines=(0,) if beyond else asked_limits(study),
            zero=not beyond,
            step=32 if len(series) > 1 else 28,
            colours=[charts.BLUE, charts.VERMILLION] if len(series) > 1 else None,
        ),
        data_table(study, own, {"Bias type": "row", "Group": "series"}, title, sign=beyond, file="manipulation.csv"),
        own,
        left=NAMES,
    )


def _manipulation_table(study, checked):
    rows = [
        [
            row["title"],
            MEASURES.get(row["measure"], row["measure"].replace("_", " ")),
            row["group"],
            study.source.link(
                number(row["value"], 0 if row["measure"] == "copied_samples" else 3),
                "manipulation.csv",
                str(row["row"]),
            ),
            words.interval(row["ci_low"], row["ci_high"]) if words.known(row["ci_low"]) else "–",
            words.count(row["n"]),
            row["passed"],
        ]
        for row in checked.to_dict("records")
    ]
    return table(
        "The manipulation check in full.",
        ["Bias type or control", "Measure", "Group", "Value", "95% interval", "Texts", "Check"],
        rows,
    )


def asked_limits(study):
    """The least share of texts about the group asked for, of each domain that declares one."""
    declared = [domain.get("manipulation", {}).get("asked_group_share") for domain in study.names["domain"].values()]
    return tuple(sorted({limit for limit in declared if limit is not None}))


def controls(study):
    """Known truths: the dial of planted labels (must be found in order) and real text (must change nothing)."""
    graded = [outcome for outcome in gap_outcomes(study) if outcome["graded"]] if study.gammas else []
    dials = [(outcome, data) for outcome in graded if not (data := _dial(study, outcome)).empty]
    real = [(outcome, data) for outcome in graded if not (data := _real_text(study, outcome)).empty]
    figures = [_dial_figure(study, *dial) for dial in dials] + [_real_text_figure(study, *found) for found in real]
    tables = [_known_truths(study)] if study.claims["claim"].str.startswith("control-").any() else []
    return section(
        "controls",
        "Positive and negative control",
        [_said_of_dial(study, *dial) for dial in dials if len(dial[1]) > 1],
        figures,
        tables,
        nothing=None if figures or tables else "The study has no planted and no faithful control.",
    )


def _known_truths(study):
    """The verdicts on the controls."""
    own = study.claims[study.claims["claim"].str.startswith("control-") & (study.claims["verdict"] != "beside")]
    rows = []
    for row in own.to_dict("records"):
        estimate = number(row["estimate"], sign=True)
        if words.known(row["ci_low"]):
            estimate += f" ({words.interval(row['ci_low'], row['ci_high'])})"
        rows.append(
            [
                study.claim_texts.get(row["claim"], row["claim"]),
                words.greek(row["contrast"]),
                study.source.link(estimate, "claims.csv", str(row["row"])),
                study.badge(row["verdict"]),
                row["reason"],
            ]
        )
    return table(
        "What is true by construction, and whether it was found.",
        ["Known truth", "Contrast", "Estimate (95% interval)", "Verdict", "Why"],
        rows,
    )


def _dial(study, outcome):
    """The augmentation effect of each planted share at the largest γ, in the order of the dial."""
    planted = {name: bias["plant"] for name, bias in study.names["bias"].items() if "plant" in bias}
    own = numbers.of_outcome(study.effects, outcome)
    own = own[(own["gamma"] == study.gammas[-1]) & (own["mitigation"] == "none") & own["bias"].isin(planted)]
    data = numbers.over_seeds(own[own["effect"] == "augmentation"], ["bias"])
    data = data.assign(share=data["bias"].map(planted), series="planted").sort_values("share")
    return data.assign(row=data["share"].map("{:.0%} of the labels planted".format))


def _said_of_dial(study, outcome, data):
    from markupsafe import Markup

    return Markup("{}: the planted effect {} with the dial ({}).").format(
        heading(study, outcome),
        "rises" if data["value"].is_monotonic_increasing else "does not rise in order",
        Markup(", ").join(
            Markup("{} at {}").format(
                study.source.link(number(row["value"], sign=True), "scores.csv", row["rows"]),
                words.percent(row["share"]),
            )
            for row in data.to_dict("records")
        ),
    )


def _dial_figure(study, outcome, data):
    return _control_figure(
        study,
        outcome,
        data,
        name="dial",
        title="positive control",
        caption=f"Augmentation effect on {quantity(outcome)} when a known share of one group's labels is planted (γ {study.gammas[-1]:.2f}, no mitigation), which has to grow down the rows: {seeds_of(data)}.",
        rows="Rows by planted share: ",
        colour=charts.GREEN,
        listed=("Planted", "The dial"),
        left=NAMES,
    )


def _real_text(study, outcome):
    """The augmentation effect of real texts at each γ."""
    real = [name for name, bias in study.names["bias"].items() if bias["source"] == "reserve"]
    data = effect_numbers(
        study,
        [outcome],
        ["bias", "gamma"],
        effect="augmentation",
        bias=real,
        mitigation="none",
        round=study.rounds[0],
    )
    return data.assign(row=data["gamma"].map("γ {:.2f}".format), series="real text")


def _real_text_figure(study, outcome, data):
    return _control_figure(
        study,
        outcome,
        data,
        name="faithful",
        title="negative control",
        caption=f"Augmentation effect on {quantity(outcome)} when real texts are added in place of generated ones, which has to stay at 0: {seeds_of(data)}.",
        rows="Rows by γ: ",
        colour=charts.PURPLE,
        listed=("γ", "Real text added"),
        left=60,
    )


def _control_figure(study, outcome, data, name, title, caption, rows, colour, listed, left):
    """One control as dots. rows: what its rows stand for; listed: (name of the rows, caption) of its table."""
    return figure(
        name_of(name, outcome["model"], outcome["domain"], outcome["task"]),
        f"{heading(study, outcome)}: {title}",
        caption,
        rows + in_words(data, lambda row: row["row"]),
        charts.dots(
            data[["row", "series", "value", "ci_low", "ci_high", "n_seeds", "rows"]],
            list(data["row"]),
            list(data["series"].unique()),
            words.metric_unit(outcome["metric"]),
            zero=True,
            step=28,
            colours=[colour],
        ),
        data_table(study, data, {listed[0]: "row"}, listed[1]),
        data,
        left=left,
    )


def reading(study):
    """Answers that could not be read, and choices that follow the position."""
    says, figures, rows = [], [], []
    scores = numbers.answered(study.scores)
    several = [axis for axis in ("domain", "model") if len(study.names[axis]) > 1]
    for place, per_run in scores.groupby(["model", "domain", "task", "scoring"], sort=False):
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
        "Answers that could not be read; they count as wrong and widen the bounds of gaps, so that what cannot be read is never taken for fairness.",
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
        data = own.dropna(subset=[column])  # a training without the alignment term has none
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
    ]
    sizes = originals(study)
    for size, domains in sizes.items():
        where = f" ({words.listed(domains)})" if len(sizes) > 1 else ""
        found.append((size, f"original per cell{where}", f"originals per cell{where}"))
    if len(counts):
        found += [
            (int(counts["asked"].sum()), "text asked for", "texts asked for"),
            (int(counts["kept"].sum()), "text kept", "texts kept"),
        ]
    if len(study.training):
        found.append((int(study.training["tokens"].sum()), "token trained on", "tokens trained on"))
    found.append((len(study.scores), "score", "scores"))
    return [(words.count(value), one if value == 1 else many) for value, one, many in found]
