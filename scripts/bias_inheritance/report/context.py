"""What stands behind the effects: pools and their checks, misalignments, single items, methods and provenance."""

import pandas as pd
from markupsafe import Markup

from bias_inheritance import opinions, study
from bias_inheritance.report import figures, parts, words
from bias_inheritance.report.facts import BASELINES, over_seeds

LEAFED = 6  # items of a task that are embedded
ANSWERS = 6  # cells whose answers stand side by side


def pools(facts):
    """How many texts were asked for and kept, whether they are what they should be, and some of them."""
    counts, checked = facts.tables["pools"], facts.ordered(facts.tables["manipulation"])
    if counts.empty:
        return parts.section("pools", "Pools", nothing="The study has no pools.")
    reasons = [column for column in counts if column.startswith("reason_")]
    totals = [
        "slots",
        "slots_failed",
        "asked",
        "kept",
        "rejected",
        "failed",
        *reasons,
        "label_words_replaced",
        "tokens",
    ]
    summed = (
        counts.groupby(["model", "domain", "bias"], sort=False)[[c for c in totals if c in counts]].sum().reset_index()
    )
    header = [
        "Pool",
        "Role",
        *(words.sentence(c.removeprefix("reason_").replace("_", " ").replace("-", " ")) for c in summed.columns[3:]),
    ]
    rows = []
    for row in facts.ordered(summed).to_dict("records"):
        pool = [
            facts.placed(facts.title("bias", row["bias"]), row),
            words.ROLES[facts.names["bias"][row["bias"]]["role"]],
        ]
        rows.append((None, [*pool, *(words.count(row[column]) for column in summed.columns[3:])]))
    whole = (counts["asked"] == counts["kept"] + counts["rejected"] + counts["failed"]).all()
    said = f"{words.count(counts['kept'].sum())} of {words.count(counts['asked'].sum())} texts asked for were kept. "
    said += (
        "In every pool asked = kept + rejected + failed."
        if whole
        else "In some pool asked is not kept + rejected + failed."
    )
    lines = []
    for row in checked.to_dict("records"):
        passed = {"true": "passed", "false": "failed"}.get(str(row["passed"]).lower(), "not checked")
        value = words.number(row["value"], 0 if row["measure"] == "copied_samples" else 3)
        cells = [
            facts.placed(facts.title("bias", row["bias"]), row),
            words.MEASURES.get(row["measure"], row["measure"].replace("_", " ")),
        ]
        cells += [row["group"], value, words.interval(row["ci_low"], row["ci_high"]), words.count(row["n"]), passed]
        lines.append((parts.row_id("manipulation", row["row"]), cells))
    states = checked.drop_duplicates(["model", "domain", "bias"])["passed"].astype(str).str.lower().value_counts()
    verdicts = f"Manipulation check: {words.counted(states.get('true', 0), 'pool')} passed, {states.get('false', 0)} failed, {len(checked.drop_duplicates(['model', 'domain', 'bias'])) - states.get('true', 0) - states.get('false', 0)} not checked."
    header_of_checks = ["Pool", "Measure", "Group", "Value", "95% interval", "Texts", "Check"]
    described = [
        (None, [facts.title("bias", b), words.ROLES[facts.names["bias"][b]["role"]], facts.names["bias"][b]["does"]])
        for b in facts.pools
    ]
    return parts.section(
        "pools", "Pools of the training data", parts.text(said, verdicts),
        parts.table("Counts over all seeds, by reason where texts were turned down.", header, rows),
        parts.fold("What each pool is", parts.table("Pools.", ["Pool", "Role", "What it does"], described)),
        parts.fold("Manipulation check", parts.table("manipulation.csv: did each pool do what it says? Bootstrap intervals.", header_of_checks, lines)),
        parts.fold("Samples of the texts", *samples(facts)),
    )  # fmt: skip


def samples(facts):
    """The first kept text of each group, and the first that was turned down, of one seed's pools."""
    found = [
        parts.text(
            "The first kept text of each group and the first that was turned down, chosen by this rule. Generated text may be offensive; it is the object of the study."
        )
    ]
    order = {bias: place for place, bias in enumerate(facts.pools)}
    for cell, kept, failed in sorted(facts.samples, key=lambda entry: order[entry[0]["bias"]]):
        first, quotes = {}, []
        for row in kept:
            first.setdefault(row.get("asked_group") or row.get("group"), row)
        for group, row in list(first.items())[:3]:
            label = row.get("label", "")
            label = f"{row['true_label']}, labelled {label}" if "true_label" in row else str(label)
            quotes.append(
                quote(" · ".join(filter(None, [label, group or "no group shown"])), row["text"], row.get("prompt"))
            )
        for row in failed[:1]:
            quotes.append(quote(f"Turned down: {row['reason'].replace('-', ' ')}", row["raw_text"], row.get("prompt")))
        title = f"{facts.placed(facts.title('bias', cell['bias']), cell)}, seed {cell['seed']}"
        found.append(parts.fold(title, *quotes, name="samples"))
    return found


def quote(head, text, prompt=None, answers=None):
    return {
        "kind": "quote",
        "head": head,
        "text": words.visible(text),
        "prompt": words.visible(prompt or ""),
        "answers": answers,
    }


# Why


def why(facts):
    """Misalignments of values, groups and distributions, and how they go with the effects."""
    found = [values(facts), groups(facts), distributions(facts), *related(facts)]
    measured = facts.config["misalignment"]
    missing = [name for name in ("values", "groups", "distributions") if name not in measured]
    if not any(found):
        return parts.section(
            "why",
            "Why: misalignments",
            nothing="The study measured no misalignment of values, groups or distributions, so it does not say why an effect came about.",
        )
    told = f"Not measured in this study: {words.listed(missing)}." if missing else ""
    return parts.section("why", "Why: misalignments", parts.text(told), *found)


def values(facts):
    table = facts.tables.get("values")
    if table is None or table.empty:
        return None
    table = facts.plain(table[table["metric"].isin(["similarity", "similarity_uniform", "similarity_gain", "drift"])])
    data = facts.ordered(over_seeds(table, ["model", "domain", "bias", "metric", "group"], "values"))
    data = data.assign(
        panel=data["metric"].map(words.metric_title),
        place=[
            facts.placed(facts.title("bias", b), r) for b, r in zip(data["bias"], data.to_dict("records"), strict=True)
        ],
    )
    invented = (
        " The questions are the shipped fixture, whose shares are invented: they say nothing of any country."
        if table["dataset"].eq(opinions.FIXTURE).any()
        else ""
    )
    caption = f"Opinion questions answered in a country's name: similarity of the model's shares to the country's, over all countries.{invented}"
    drawn = figures.by_axis(
        "Values",
        caption,
        data[data["group"] == "all"].assign(series=""),
        "similarity",
        reference=None,
        free=True,
        cell=230,
    )
    full = parts.estimates(
        "Similarity by country and culture.",
        data,
        {"Trained on": "place", "Measure": "panel", "Of": "group"},
        "values",
        rows_of="misalignment/values.csv",
    )
    return parts.fold("Values", drawn, full)


def groups(facts):
    """The share of the reference group in the texts of each label, beside labour statistics."""
    table = facts.tables.get("groups")
    if table is None or table.empty:
        return None
    own = table[table["metric"].str.fullmatch(r"(?!asked)\w+?_share") & (table["round"] == 1)]
    data = over_seeds(own, ["model", "domain", "bias", "metric", "group"], "groups").assign(series="texts")
    labour = (
        own.dropna(subset=["labour_share"])
        .drop_duplicates(["bias", "group"])
        .assign(series="labour statistics", n_seeds=1, ci_low=None, ci_high=None)
    )
    labour = labour.assign(value=labour["labour_share"], id=[parts.row_id("groups", row) for row in labour["row"]])
    natural = facts.roles("natural", "bias-type")
    drawn_data = facts.ordered(pd.concat([data, labour])[lambda d: d["bias"].isin(natural)])
    drawn_data = drawn_data.assign(
        panel=[
            facts.placed(facts.title("bias", b), r)
            for b, r in zip(drawn_data["bias"], drawn_data.to_dict("records"), strict=True)
        ],
        place=drawn_data["group"].str.replace("-", " "),
    )
    shares = words.listed(sorted({metric.removesuffix("_share") for metric in own["metric"]}))
    drawn = (
        figures.by_axis(
            "Groups",
            f"Share of {shares} among the kept texts whose group is clear, per label; the rule is an even split.",
            drawn_data,
            "share of texts",
            reference=0.5,
            cell=230,
        )
        if len(drawn_data)
        else None
    )
    lines = []
    for row in facts.ordered(table[table["metric"].str.endswith("_all_seeds")]).to_dict("records"):
        tests = [words.p_value(row[name]) for name in ("p_even", "p_even_adjusted", "p_labour", "p_labour_adjusted")]
        cells = [
            facts.placed(facts.title("bias", row["bias"]), row),
            row["metric"].removesuffix("_all_seeds").replace("_", " "),
            row["group"].replace("-", " "),
        ]
        cells += [
            words.number(row["value"]),
            words.interval(row["ci_low"], row["ci_high"]),
            words.count(row["n"]),
            *tests,
        ]
        lines.append((parts.row_id("groups", row["row"]), cells))
    header = [
        "Pool",
        "Measure",
        "Label",
        "Share",
        "95% exact interval",
        "Texts",
        "p, even split",
        "Holm",
        "p, labour statistics",
        "Holm",
    ]
    full = parts.estimates(
        "Per seed.",
        data.assign(place=[facts.title("bias", b) for b in data["bias"]]),
        {"Pool": "place", "Label": "group", "Measure": "metric"},
        "groups",
        sign=False,
        rows_of="misalignment/groups.csv",
    )
    return parts.fold(
        "Groups", drawn, parts.table("The pools of all seeds together, exact binomial tests.", header, lines), full
    )


def distributions(facts):
    """How far the texts of each pool lie from the originals, beside what permuted origins give."""
    table = facts.tables.get("distributions")
    if table is None or table.empty:
        return None
    data = over_seeds(table, ["model", "domain", "bias", "mitigation", "metric", "group"], "distributions")
    of_pools = data["mitigation"].isna()
    shown = facts.ordered(data).assign(series="measured")
    if "null" in table:
        null = over_seeds(
            table.dropna(subset=["null"]).assign(value=table["null"]),
            ["model", "domain", "bias", "mitigation", "metric", "group"],
            "distributions",
        )
        shown = pd.concat(
            [shown, facts.ordered(null).assign(series="expected of equal texts", ci_low=None, ci_high=None)]
        )
    shown = shown[shown["mitigation"].isna()]
    shown = shown.assign(
        panel=shown["metric"].map(words.metric_title),
        place=[
            facts.placed(facts.title("bias", b), r)
            for b, r in zip(shown["bias"], shown.to_dict("records"), strict=True)
        ],
    )
    drawn = figures.by_axis(
        "Distributions",
        "Distance of each pool's texts from the originals; t intervals over seeds.",
        shown,
        "distance",
        reference=None,
        free=True,
        cell=330,
    )
    p = table.groupby(["bias", "metric"])["p"].agg(["min", "max"]) if "p" in table else None
    lines = data.assign(
        place=[
            facts.placed(facts.title("bias", b), r) for b, r in zip(data["bias"], data.to_dict("records"), strict=True)
        ],
        what=data["metric"].map(words.metric_title),
        treated=[facts.title("mitigation", m) if words.known(m) else "the pool itself" for m in data["mitigation"]],
        tested=[
            "–" if p is None or not pool else " to ".join(dict.fromkeys(words.p_value(end) for end in p.loc[(b, m)]))
            for b, m, pool in zip(data["bias"], data["metric"], of_pools, strict=True)
        ],
    )
    full = parts.estimates(
        "Tests of each pool against the originals; permutation p from the lowest to the highest of the seeds, not adjusted.",
        facts.ordered(lines),
        {"Pool": "place", "Measure": "what", "Of": "treated", "Permutation p": "tested"},
        "distributions",
        sign=False,
        rows_of="misalignment/distributions.csv",
    )
    return parts.fold("Distributions", drawn, projection(facts), full)


def projection(facts):
    """A two-dimensional projection of originals and texts of each pool, of one seed."""
    table = facts.tables.get("projection")
    if table is None or table.empty:
        return None
    own = facts.ordered(
        table[
            (table["seed"] == table["seed"].iloc[0])
            & (table["round"] == 1)
            & (table["representation"] == table["representation"].iloc[0])
        ]
    )
    own = own[own["bias"].isin(facts.pools[:PANELS])]
    points = own.assign(
        panel=[
            facts.placed(facts.title("bias", b), r) for b, r in zip(own["bias"], own.to_dict("records"), strict=True)
        ],
        series=own["origin"],
        label="",
        mean=False,
        id=None,
    )
    caption = f"Each point is a text, {own['representation'].iloc[0]} embeddings, seed {own['seed'].iloc[0]}: two dimensions for the eye, in which nothing is tested."
    return figures.scatter(
        "Projection",
        caption,
        points[["panel", "series", "label", "x", "y", "mean", "id"]],
        None,
        "first dimension",
        "second",
    )


PANELS = 6


def related(facts):
    """Do cells whose data lies farther off show more of an effect?"""
    table = facts.tables.get("correlations")
    if table is None or table.empty:
        return []
    lines = []
    for row in table.to_dict("records"):
        if words.known(row["rho"]):
            cells = [
                facts.placed(words.metric_title(row["misalignment"]), row),
                row["outcome"].replace("-", " "),
                f"{row['effect']}: minus {facts.title('bias', row['control'])}",
            ]
            cells += [
                words.number(row["rho"], 2, True),
                words.interval(row["ci_low"], row["ci_high"], 2),
                words.count(row["n_seeds"]),
                words.count(row["n_cells"]),
            ]
            lines.append((parts.row_id("correlations", row["row"]), cells))
    caption = "Spearman's correlation over cells of the misalignment with the effect, seed by seed; its t interval over seeds holds for these bias types only."
    full = parts.table(
        caption, ["Misalignment", "Outcome", "Effect", "Correlation", "95% interval", "Seeds", "Cells"], lines
    )
    return [parts.fold("Relation of misalignment to effects", full)]


# Whether to believe it


def checks(facts):
    """What the results were held against, choices led by position, and answers that could not be read."""
    scores, held = facts.tables["scores"], facts.tables["checks"]
    held = [
        (parts.row_id("checks", row["row"]), [row["check"], row["looked_at"], row["found"]])
        for row in held.to_dict("records")
    ]
    led = []
    for (model, domain, task), own in scores[scores["metric"] == "position_share"].groupby(
        ["model", "domain", "task"], sort=False
    ):
        flags = scores[
            (scores["metric"] == "uninformative")
            & (scores["task"] == task)
            & (scores["model"] == model)
            & (scores["domain"] == domain)
        ]
        limit = facts.names["task"].get(task, {}).get("position_limit")
        place = facts.placed(facts.title("task", task), {"model": model, "domain": domain})
        led.append(
            (
                parts.row_id("scores", own["row"].iloc[0]),
                [
                    place,
                    words.number(own["value"].mean(), 2),
                    words.number(own["value"].max(), 2),
                    words.number(limit, 2),
                    f"{int((flags['value'] == 1).sum())} of {len(flags)}",
                ],
            )
        )
    unread = []
    for (task, scoring), own in scores.groupby(["task", "scoring"], sort=False):
        if scoring == "none" or not own["n"].sum():
            continue
        runs = own.groupby(["model", "domain", "dataset", "bias", "gamma", "mitigation", "seed", "round"])[
            ["n", "n_unparsed"]
        ].max()
        worst = (runs["n_unparsed"] / runs["n"].clip(lower=1)).max()
        unread.append(
            (
                None,
                [
                    facts.title("task", task),
                    scoring,
                    words.count(runs["n"].sum()),
                    words.count(runs["n_unparsed"].sum()),
                    words.percent(runs["n_unparsed"].sum() / runs["n"].sum()),
                    words.percent(worst),
                ],
            )
        )
    return parts.section(
        "checks", "Checks",
        parts.table("What the results were held against before they were reported (checks.csv).", ["Check", "Looked at", "Result"], held),
        parts.table("Position bias: share of choices that the position alone explains. Above the limit a run is uninformative and has no verdict.", ["Task", "Mean", "Worst run", "Limit", "Runs above it"], led),
        parts.table("Unreadable answers, which are never counted as unbiased.", ["Task", "Scoring", "Answers", "Unreadable", "Share", "Worst run"], unread),
    )  # fmt: skip


# Items


def items(facts):
    """One worked item per task: prompt, answers of several models side by side; further items to leaf through."""
    found = []
    for entry in facts.items:
        title = facts.placed(facts.title("task", entry["task"]), entry)
        shown = [worked(facts, entry, place) for place in range(len(next(iter(entry["answers"].values()))))]
        if shown:
            others = [
                parts.fold(item["head"], item, name=f"items-{entry['task']}-{entry['domain']}") for item in shown[1:]
            ]
            found.append(parts.fold(f"{title}: one worked item, {len(others)} more to leaf through", shown[0], *others))
    intro = parts.text(
        "Every score comes from answers like these. An option's probability is that of its tokens among all options; label probability is the mean of the right one's over items, accuracy the share of items whose most probable option is right."
    )
    return parts.section(
        "items",
        "Items: from a score to prompt and answer",
        intro if found else None,
        *found,
        nothing="No predictions were embedded.",
    )


def worked(facts, entry, place):
    """An item with the answers of each cell: option by option where they were scored, else the text."""
    rows = {cell: answers[place] for cell, answers in entry["answers"].items()}
    first = next(iter(rows.values()))
    options = first.get("options")
    scored = options is not None and any(row.get("probabilities") for row in rows.values())
    table = []
    if scored:
        for number, option in enumerate(options):
            name = Markup("<b>{}</b> (the label)").format(option) if option == first.get("label") else option
            cells = [
                words.number(row["probabilities"][number], 3) if row.get("probabilities") else "–"
                for row in rows.values()
            ]
            table.append((None, [name, *cells]))
    else:
        table = [(None, [cell, words.visible(row.get("text") or "–", 400)]) for cell, row in rows.items()]
    header = ["Option", *rows] if scored else ["Trained on", "Answer"]
    known = [
        f"label {first['label']}" if first.get("label") else "",
        f"group {first['group']}" if first.get("group") else "",
    ]
    head = f"{first['item']}: {', '.join(filter(None, known))}"
    return quote(
        head,
        first["prompt"],
        answers=parts.table(
            "Probability of each option, by what the model was trained on." if scored else "Answers.", header, table
        ),
    )


# Methods and provenance


def methods(facts):
    """Models, training, decoding, sizes, tests: everything needed to run it again."""
    config, lines = facts.config, []
    grid, cards = config["grid"], {card["model"]: card for card in facts.cards}
    for name in grid["model"]:
        leaves, card = facts.names["model"][name], cards.get(name, {})
        form = {
            "packed": "NF4, packed 4-bit",
            "dequantised": "NF4-rounded weights, dequantised",
            "plain": "not quantised",
            "api": "behind a server",
        }
        source = leaves["source"]
        origin = next(
            (str(source[key]) for key in ("hub", "package", "model") if key in source),
            "random weights" if source.get("random") else "",
        )
        told = [
            origin,
            f"revision {card.get('revision', '–')}",
            form.get(card.get("form"), str(card.get("form"))),
            f"computes in {card['compute']}" if card.get("compute") else "",
        ]
        lines.append((None, [f"Model: {leaves['title']}", ", ".join(filter(None, told))]))
        for domain, settings in facts.settings.get(name, {}).items():
            title = f"Fine-tuning: {leaves['title']}" + (
                f", {facts.title('domain', domain)}" if len(grid["domain"]) > 1 else ""
            )
            lines.append(
                (
                    None,
                    [title, "LoRA, loss on the answer; " + pairs(settings) if "rank" in settings else pairs(settings)],
                )
            )
        lines.append((None, [f"Decoding of the pools: {leaves['title']}", pairs(leaves.get("generation", {}))]))
    for domain in grid["domain"]:
        size = study.originals_of(config, domain)
        mixes = [
            f"γ {gamma:.2f}: {words.count(study.augmented_count(size, gamma))} added (realised {study.augmented_count(size, gamma) / (size + study.augmented_count(size, gamma)):.4f})"
            for gamma in facts.gammas
        ]
        fixture = facts.tables["pools"]
        small = "fixture" in fixture and fixture[fixture["domain"] == domain]["fixture"].astype(bool).any()
        lines.append(
            (
                None,
                [
                    f"Data: {facts.title('domain', domain)}",
                    f"{words.counted(size, 'original sample')} per cell"
                    + (" (the project's own fixture)" if small else "")
                    + "; "
                    + "; ".join(mixes),
                ],
            )
        )
    cells = facts.tables["scores"][
        ["model", "domain", "bias", "gamma", "mitigation", "seed", "round"]
    ].drop_duplicates()
    lines.append(
        (
            None,
            [
                "Grid",
                f"{words.counted(len(grid['bias']), 'pool')}, {words.counted(len(grid['mitigation']), 'mitigation')} (none included), {words.counted(len(grid['seed']), 'seed')}, {words.counted(facts.rounds, 'round')}: {words.counted(len(cells), 'cell')}",
            ],
        )
    )
    real = {
        control
        for controls in facts.comparisons.values()
        for effect, control in controls.items()
        if effect == "natural"
    }
    lines.append(
        (
            None,
            [
                "Baselines",
                "; ".join(
                    [
                        *(
                            f"{effect}: {words.listed(sorted({facts.title('bias', c[effect]) for c in facts.comparisons.values() if effect in c}))}"
                            for effect in words.EFFECTS
                            if any(effect in c for c in facts.comparisons.values())
                        ),
                        f"β: {words.listed(facts.title('bias', c) for c in sorted(real)) or BASELINES['original']}",
                    ]
                ),
            ],
        )
    )
    lines.append((None, ["Samples trained as instruction → text", words.percent(config["instruction_share"])]))
    for task in grid["task"]:
        own = facts.tables["scores"][facts.tables["scores"]["task"] == task]
        leaves = facts.names["task"][task]
        ways = words.listed(sorted(set(own["scoring"]) - {"none"}))
        lines.append(
            (
                None,
                [
                    f"Task: {leaves['title']}",
                    f"{leaves['kind'].replace('_', ' ')}, {leaves['relation']} relation to the bias, scored by {ways or '–'}, {words.counted(own['n'].max() if len(own) else 0, 'item')} at most per run",
                ],
            )
        )
    lines.append(
        (
            None,
            [
                "Statistics",
                f"paired t over seeds decides; Holm within a family; α {facts.declared['alpha']:g}, power {facts.declared['power']:g}; intervals within a run from {words.counted(config['evaluation']['bootstrap'], 'bootstrap draw')} clustered by source item",
            ],
        )
    )
    paper = Markup(
        'Li et al. (2026), <cite>Understanding and Mitigating Bias Inheritance in LLM-based Data Augmentation on Downstream Tasks</cite>, ACL 2026: <a href="https://aclanthology.org/2026.acl-long.1408" rel="noreferrer">anthology</a>, <a href="https://arxiv.org/abs/2502.04419" rel="noreferrer">arXiv 2502.04419</a>. Published figures in this report come from a summary of it where their source says so.'
    )
    return parts.section(
        "methods",
        "Methods",
        parts.text("The study follows", paper),
        parts.table("How the study was run.", ["What", "How"], lines),
        parts.fold("Training loss", training(facts)),
        parts.fold("Time and memory", cost(facts)),
    )


def pairs(settings):
    return ", ".join(
        f"{key.replace('_', ' ')} {value:g}" if isinstance(value, float) else f"{key.replace('_', ' ')} {value}"
        for key, value in settings.items()
    )


def training(facts):
    """Loss in the first and the last tenth of training, per pool and mitigation at the largest γ."""
    log = facts.training
    if log.empty:
        return None
    log = log[log["gamma"].isin([0.0, log["gamma"].max()])]
    lines = []
    for (model, domain, bias, mitigation), own in facts.ordered(log).groupby(
        ["model", "domain", "bias", "mitigation"], sort=False
    ):
        ends = [own[own["tenth"] == tenth] for tenth in (0, 9)]
        losses = [words.number(end[column].mean()) for column in ("sft_loss", "alignment_loss") for end in ends]
        lines.append(
            (
                None,
                [
                    facts.placed(facts.title("bias", bias), {"model": model, "domain": domain}),
                    facts.title("mitigation", mitigation),
                    *losses,
                    words.count(own["step"].max()),
                ],
            )
        )
    header = [
        "Trained on",
        "Mitigation",
        "Loss, first tenth",
        "Loss, last tenth",
        "Alignment term, first tenth",
        "Alignment term, last tenth",
        "Steps",
    ]
    return parts.table(
        "Mean over seeds of the loss on the answers, and of the alignment term where a mitigation has one.",
        header,
        lines,
    )


def cost(facts):
    """Time and memory per stage, from the records."""
    if not facts.jobs:
        return None
    frame = pd.DataFrame(
        [{"step": job["step"], "seconds": job["seconds"], "memory": job["peak_memory_bytes"]} for job in facts.jobs]
    )
    stages = frame.groupby("step", sort=False).agg(
        jobs=("seconds", "size"), total=("seconds", "sum"), middle=("seconds", "median"), memory=("memory", "max")
    )
    lines = [
        (
            None,
            [
                words.sentence(step.replace("_", " ")),
                words.count(row["jobs"]),
                words.duration(row["total"]),
                words.duration(row["middle"]),
                words.memory(row["memory"]),
            ],
        )
        for step, row in stages.sort_values("total", ascending=False).to_dict("index").items()
    ]
    return parts.table(
        f"Time of all jobs added up: {words.duration(frame['seconds'].sum())}.",
        ["Stage", "Jobs", "Time in all", "Median job", "Peak memory"],
        lines,
    )


def provenance(facts, checksums):
    """What ran where, and the digests that the report stands on. checksums: {what: sha256 or other value}."""
    jobs = facts.jobs
    commits = {
        f"{job['git']['commit']}{'' if job['git']['clean'] else ' with uncommitted changes'}"
        for job in jobs
        if job.get("git")
    }
    environments = {
        f"Python {job['environment']['python']}; "
        + ", ".join(f"{name} {version}" for name, version in job["environment"]["packages"].items() if version)
        for job in jobs
    }
    machines = {
        f"{job['machine']['cpu']}, {words.counted(job['machine']['cores'], 'core')}, {job['machine']['gpu'] or 'no GPU'}"
        for job in jobs
    }
    lines = [
        ["Digest of everything upstream", facts.digest],
        ["Records", words.count(len(jobs))],
        *checksums.items(),
        ["Commit", "; ".join(sorted(commits)) or "not in a checkout"],
        ["Environment", "; ".join(sorted(environments)) or "–"],
        ["Lock file, sha256", "; ".join(sorted({job["environment"]["lock_sha256"] for job in jobs} - {None})) or "none"],
        ["Container, sha256", "; ".join(sorted({job["environment"]["container_sha256"] for job in jobs} - {None})) or "none: steps ran on the host"],
        ["Machine", "; ".join(sorted(machines)) or "–"],
    ]  # fmt: skip
    name = facts.config["study"]
    how = Markup(
        "Every result has a record beside it with the digests of what was read, run and written. <code>scripts/trace.py results/{0}/scores.csv --row N</code> leads from a row (1 is the first below the header) to prompts, seeds, model files, code and environment; <code>scripts/audit.py results/{0}</code> holds every file against its record."
    ).format(name)
    return parts.section(
        "provenance",
        "Provenance",
        parts.text(how),
        parts.table("What this report stands on.", ["What", "Value"], [(None, row) for row in map(list, lines)]),
    )
