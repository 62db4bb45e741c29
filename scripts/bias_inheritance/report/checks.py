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
    # empty where the study has no neutral text to compare with
    checked["passed"] = (
        checked["passed"].astype(str).str.lower().map({"true": "passed", "false": "failed"}).fillna("not checked")
    )
    says, figures = [], []
    types = checked[checked["bias"].isin(study.types)]
    failed = list(dict.fromkeys(types[types["passed"] == "failed"]["title"]))
    if len(types):
        total, passed = types["title"].nunique(), types[types["passed"] == "passed"]["title"].nunique()
        says.append(
            f"{words.counted(passed, 'bias type')} of {total} did what "
            + ("it says" if passed == 1 else "they say")
            + (
                f"; {words.listed(failed)} did not, and verdicts on {'it' if len(failed) == 1 else 'them'} are withheld."
                if failed
                else "."
            )
        )
        if passed + len(failed) < total:
            says.append("What has no neutral text to be compared with was not checked, and carries no verdict.")
    for measure, title, caption, unit in (
        (
            "stereotype_rate_minus_neutral",
            "Stereotype words beyond neutral",
            "How much more often the words of the stereotype occur than in neutral texts of the same occupations, by group asked for, with 95% bootstrap intervals; a type has to be clear of 0 for both groups.",
            "stereotype words per word",
        ),
        (
            "asked_group_share_unfiltered",
            "Texts about the group that was asked for",
            "Share of the texts that show the group they were asked to be about, those rejected for another group included; a type has to reach the dashed line.",
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
        "asked_group_share": "About the group asked for, of the kept",
        "asked_group_share_unfiltered": "The same, with those rejected for it",
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
            row["passed"],
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
        data = own.dropna(subset=[column])  # a step without the alignment term has none
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
