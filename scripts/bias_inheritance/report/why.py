"""Why bias is inherited: misalignment of values, groups and distributions, as far as it was measured."""

from bias_inheritance import opinions
from bias_inheritance.report import charts, numbers, words
from bias_inheritance.report.parts import (
    NAMES,
    at_largest,
    data_table,
    figure,
    in_words,
    name_of,
    ordered,
    place_of,
    placed,
    section,
    seeds_of,
    table,
)
from bias_inheritance.report.words import number

# misalignments as amounts per cell, in words short enough for a small panel; the groups of a bias type's texts are set by hand
AMOUNTS = {
    "values": "1 − similarity of values",
    "mmd": "MMD², sentence embeddings",
    "auc": "AUC, sentence embeddings",
    "mean_distance": "Means, sentence embeddings",
    "hidden_mmd": "MMD², the model's own states",
    "hidden_auc": "AUC, the model's own states",
    "hidden_mean_distance": "Means, the model's own states",
}
MISALIGNMENT = {"values": "values", "groups": "groups", "distributions": "distributions"}


def misalignment(study):
    """Why: values, groups and distributions, as far as the study has measured them."""
    figures, tables = [], []
    for name, draw in (("values", _values), ("groups", _shown_groups), ("distributions", _distributions)):
        if name in study.misalignment:
            own = study.misalignment[name]
            figures += placed(study, draw, own.assign(rows=own["row"].astype(str)))
            tables += TESTS[name](study, own) if name in TESTS else []
    figures += placed(study, _projection, study.projection)
    figures += placed(study, _together, study.together)
    if len(study.correlations):
        rows = [
            [
                " · ".join([AMOUNTS[row["misalignment"]], *place_of(study, row)]),
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
                    "Do cells whose data lies farther off show more of an effect? Spearman's correlation over cells, seed by seed; its interval over seeds holds for these bias types only.",
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
    figures, by_mitigation = [], _values_by_mitigation(study, own)
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
                study,
                data,
                "values",
                title,
                caption + _invented(own),
                words.metric_unit("similarity"),
                names,
                columns,
                lines=lines,
            )
        )
    return figures + by_mitigation


def _invented(own):
    """What a caption says of the shipped questions."""
    fixture = own["dataset"].eq(opinions.FIXTURE).any()
    return " (the shipped questions: their shares are invented, so this shows no country)" if fixture else ""


def _values_by_mitigation(study, own):
    """Similarity over all countries, and its drift, under each mitigation."""
    chosen = own["group"].eq("all") & own["bias"].isin(study.biases) & own["round"].eq(study.rounds[0])
    own = own[chosen & own["gamma"].isin(study.gammas[-1:])]
    figures = []
    for metric, title, caption, lines in (
        (
            "similarity",
            "Values: similarity under each mitigation",
            "Similarity between the model's answers and those of the people of all countries (1 is equal) after tuning under each mitigation",
            (),
        ),
        (
            "drift",
            "Values: drift under each mitigation",
            "Similarity minus that of the untuned model, over all countries, after tuning under each mitigation",
            (0,),
        ),
    ):
        data = numbers.over_seeds(own[own["metric"].eq(metric)], ["bias", "mitigation"])
        if len(study.mitigations) < 2 or data.empty:
            continue
        data = _of_mitigations(study, data)
        unit, columns = words.metric_unit("similarity"), {"Mitigation": "panel", "Trained on": "row"}
        caption += _invented(own)
        figures.append(_misaligned(study, data, "values", title, caption, unit, ["value"], columns, lines=lines))
    return figures


def _of_mitigations(study, data):
    """The data with a panel per mitigation and a row per bias type, in the study's order."""
    data = ordered(ordered(data, "mitigation", study.mitigations), "bias", study.biases)
    panel = data["mitigation"].map(lambda name: study.names["mitigation"][name]["title"])
    return data.assign(panel=panel, row=data["bias"].map(study.title), series="value")


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


def _group_tests(study, own):
    """Exact tests of the pools of all seeds together, which one untuned model wrote."""
    own = own[own["metric"].str.fullmatch(r"(?!asked)[a-z]+_share_all_seeds")]
    rows = [
        [
            " · ".join([study.title(row["bias"]), *place_of(study, row)]),
            words.group_name(row["group"]).capitalize(),
            study.source.link(number(row["value"]), "misalignment/groups.csv", str(row["row"])),
            words.interval(row["ci_low"], row["ci_high"]) if words.known(row["ci_low"]) else "–",
            words.count(row["n"]),
            *(words.p_value(row[name]) for name in ("p_even", "p_even_adjusted", "p_labour", "p_labour_adjusted")),
        ]
        for row in ordered(own, "bias", ["neutral", *study.biases]).to_dict("records")
    ]
    header = [
        "Bias type",
        "Label",
        "Share",
        "95% exact interval",
        "Texts",
        "p, even split",
        "Holm",
        "p, labour statistics",
    ]
    caption = "Groups: the texts of all seeds together against an even split and against labour statistics, exact binomial tests, Holm over labels; they say nothing of other writers."
    return [table(caption, [*header, "Holm"], rows)] if rows else []


def _distribution_tests(study, own):
    """The permutation tests of the pools, seed by seed, and how sure each AUC is within its run."""
    own = own[own["metric"].isin(DISTANCES)]
    own = own[own["mitigation"].isna()] if "mitigation" in own else own
    rows = []
    for keys, part in ordered(own, "bias", study.biases).groupby(["model", "domain", "bias", "metric"], sort=False):
        place = dict(zip(("model", "domain", "bias", "metric"), keys, strict=True))
        least, most = part["p"].min(), part["p"].max()
        ends = (part["ci_low"].min(), part["ci_high"].max()) if "ci_low" in part else (None, None)
        rows.append(
            [
                " · ".join([study.title(place["bias"]), *place_of(study, place)]),
                words.metric_name(place["metric"]),
                study.source.link(
                    number(part["value"].mean()), "misalignment/distributions.csv", ",".join(part["row"].astype(str))
                ),
                words.interval(*ends) if words.known(ends[0]) else "–",
                words.p_value(least) + (f" to {words.p_value(most)}" if most > least else ""),
                words.count(part["seed"].nunique()),
            ]
        )
    header = ["Bias type", "Measure", "Mean over seeds", "Bootstrap intervals within the runs, widest ends", "Permutation p", "Seeds"]  # fmt: skip
    caption = "Distributions: the tests of each pool against its originals, from the lowest to the highest p of the seeds; not corrected for their number."
    return [table(caption, header, rows)] if rows else []


TESTS = {"groups": _group_tests, "distributions": _distribution_tests}
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
    for metric, distance, unit in (
        ("hidden_mmd_change", "distance (MMD²)", "change of MMD²"),
        ("hidden_mean_distance_change", "distance of the means", "change of distance"),
    ):
        data = numbers.over_seeds(own[own["metric"].eq(metric)], ["bias", "mitigation"])
        if data.empty:
            continue
        makes_small = ", which the mitigation of distributions makes small" if "mean" in metric else ""
        figures.append(
            _misaligned(
                study,
                _of_mitigations(study, data),
                "distributions",
                f"Distributions: what mitigations do to the {distance}",
                f"{distance.capitalize().replace('mmd', 'MMD')} in the tuned model's own states under each mitigation{makes_small}, minus that of the same cell without it (below 0 the gap closes)",
                unit,
                ["value"],
                {"Mitigation": "panel", "Bias type": "row"},
            )
        )
    return figures


def _projection(study, own):
    """Two dimensions for the eye: originals and generated texts of the first seed."""
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


def _together(study, own):
    """Per outcome, every cell's effect over how far its data lies off: what the correlations are taken over."""
    own = own[own["effect"].eq("bias") & own["control"].eq("neutral")]
    own = own[own["gamma"].eq(own["gamma"].max()) & own["mitigation"].eq("none")].dropna(subset=["amount", "value"])
    figures = []
    for outcome, data in own.groupby("outcome", sort=False):
        data = ordered(ordered(data, "bias", study.biases), "misalignment", AMOUNTS)
        data = data.assign(
            panel=data["misalignment"].map(AMOUNTS),
            series=data["bias"].map(study.title),
            rows=data["row"].astype(str),
        )
        name = outcome.replace("-", " ")
        measured = {"Misalignment": "panel", "Bias type": "series", "Seed": "seed", "Round": "round", "Amount": "shown"}
        caption = (
            f"Bias effect on {name} (minus neutral, harm positive) over how far the cell's data lies off, "
            f"one mark per cell and seed at γ = {data['gamma'].iloc[0]:.2f}; {words.counted(data['seed'].nunique(), 'seed')}"
        )
        figures.append(
            figure(
                name_of("together", outcome),
                f"Misalignment and effect: {name}",
                f"{caption}; a slope that all seeds share would say that misalignment goes with inheritance among these bias types, not that it causes it.",
                "Scatter plots, one per misalignment: "
                + "; ".join(
                    f"{panel}: {words.counted(len(rows), 'cell')}, effects from {number(rows['value'].min(), sign=True)} to {number(rows['value'].max(), sign=True)}"
                    for panel, rows in data.groupby("panel", sort=False)
                ),
                charts.pairs(data, list(dict.fromkeys(data["series"])), "misalignment", "bias effect"),
                data_table(
                    study,
                    data.assign(shown=data["amount"].map(number)),
                    measured,
                    caption,
                    file="misalignment/together.csv",
                ),
                data,
                cell=200,
            )
        )
    return figures
