"""Background of the effects: pools and their checks, misalignments, single items, methods and provenance."""

import pandas as pd
from markupsafe import Markup

from bias_inheritance.data import opinions
from bias_inheritance.models import export
from bias_inheritance.report import figures, words
from bias_inheritance.report.facts import ALL, seed_means
from bias_inheritance.report.parts import OVER_SEEDS, fold, listing, quote, section, table, text
from bias_inheritance.study import grid

LEAFED = 6  # embedded items per task
ANSWERS = 6  # cells whose answers are shown side by side
PANELS = 6  # pools in the projection
PLACE = ["model", "domain", "bias"]
SCORED = {"logprob": "log-probabilities of the options", "parsed": "written answers"}
FORMS = {
    "packed": "NF4, packed 4-bit",
    "dequantised": "NF4-rounded weights, dequantised",
    "plain": "bf16 weights, not quantised",
    "api": "behind a server",
}


def pools(facts):
    """Numbers of requested and kept texts, the manipulation check, and sample texts."""
    counts, checked = facts.tables["pools"], facts.ordered(facts.tables["manipulation"])
    if counts.empty:
        return section("pools", "Pools of the training data", nothing="The study has no pools.")
    summed = facts.ordered(counts.drop(columns=["seed", "fixture", "mean_words", "row"], errors="ignore"))
    summed = summed.groupby(PLACE, sort=False).sum(numeric_only=True).astype(int)
    summed = summed.loc[:, summed.any() | summed.columns.isin(["rejected", "failed"])].reset_index()
    totals = {words.sentence(name.removeprefix("reason_").replace("_", " ")): name for name in summed.columns[3:]}
    states = checked.drop_duplicates(PLACE)["passed"].map(words.TITLES["passed"]).value_counts()
    check = "Manipulation check: " + words.listed(f"{words.counted(n, 'pool')} {state}" for state, n in states.items())
    columns = {"Pool": "bias", "Measure": "measure", "Group": "group", "Value": "value", "95% interval": "interval"}
    columns |= {"Texts": "n", "Check": "passed"}
    kinds = pd.DataFrame([{"bias": bias, **facts.names["bias"][bias]} for bias in facts.pools])
    described = listing(facts, "Pools.", kinds, {"Pool": "bias", "Role": "role", "What it does": "does"})
    manipulated = listing(facts, "Whether each pool has the intended bias.", checked, columns, "manipulation")
    requested = listing(facts, "Requested texts over all seeds, and reasons.", summed, {"Pool": "bias", **totals})
    folds = [fold("Description of the pools", described), fold("Manipulation check", manipulated)]
    shown = [text(kept_texts(counts), f"{check}."), requested, *folds, fold("Sample texts", *samples(facts))]
    return section("pools", "Pools of the training data", *shown)


def kept_texts(counts):
    """How many requested texts were kept, from pools.csv."""
    whole = (counts["requested"] == counts["kept"] + counts["rejected"] + counts["failed"]).all()
    kept, requested = (words.count(counts[name].sum()) for name in ("kept", "requested"))
    every = "In every pool" if whole else "Not in every pool,"
    return f"{kept} of {requested} requested texts were kept. {every} requested = kept + rejected + failed."


def samples(facts):
    """The first kept text of each group, and the first rejected one, of one seed's pools."""
    yield text("The first kept text of each group and the first rejected one. Generated text may be offensive; it is the object of study.")  # fmt: skip
    for cell, kept, failed in sorted(facts.samples, key=lambda entry: facts.pools.index(entry[0]["bias"])):
        first = {row.get("requested_group") or row.get("group") or "no group": row for row in reversed(kept)}
        quotes = []
        for group, row in sorted(first.items()):
            label = f"{row['true_label']}, labelled {row['label']}" if "true_label" in row else row.get("label")
            quotes.append(quote(f"{group} · {label or 'no label'}", row["text"], row.get("prompt")))
        quotes += [quote(f"Rejected: {row['reason']}", row["raw_text"], row.get("prompt")) for row in failed[:1]]
        yield fold(f"{facts.cell(cell, 'bias')}, seed {cell['seed']}", *quotes)


# Why


def why(facts):
    """Misalignments of values, groups and distributions, and their relation to the effects."""
    measured = [name for name in MISALIGNMENTS if len(facts.tables.get(name, []))]
    drawn = [MISALIGNMENTS[name](facts, facts.tables[name]) for name in measured]
    missing = [name for name in ("values", "groups", "distributions") if name not in measured]
    note = text(f"Not measured in this study: misalignments of {words.listed(missing)}.") if missing else None
    return section("why", "Why: misalignments", note, *drawn)


def values(facts, measured):
    """Similarity of the model's opinions to each country's."""
    selected = facts.plain(measured)
    selected = selected[selected["metric"].str.startswith("similarity") | (selected["metric"] == "drift")]
    data = facts.ordered(seed_means(selected, [*PLACE, "metric", "group"], "values"))
    invented = selected["dataset"].eq(opinions.FIXTURE).any()
    caption = "Opinion questions answered as most people in a country would: similarity of the model's answer shares to the country's, over all countries."
    caption += " The questions are the shipped fixture, whose shares are invented." if invented else ""
    drawn = facts.named(data[data["group"] == "all"], panel="metric", place="bias", series="")
    return fold(
        "Values",
        figures.by_axis("Values", caption, drawn, "similarity", reference=None, free=True, cell=230),
        listing(facts, "misalignment/values.csv", data, {"Trained on": "bias", "Measure": "metric", "Of": "group", "Mean": "value", **OVER_SEEDS}),
    )  # fmt: skip


def groups(facts, measured):
    """The share of each group (with two groups, of the first) in the texts of each label, with labour statistics."""
    selected = measured[measured["metric"].str.fullmatch("(?!asked_).+_share") & (measured["round"] == 1)]
    data = facts.ordered(seed_means(selected, [*PLACE, "metric", "group"], "groups"))
    labour = selected.dropna(subset=["labour_share"]).drop_duplicates([*PLACE, "metric", "group"])
    labour = labour.assign(value=labour["labour_share"], ci_low=None, ci_high=None)
    labour["metric"] += ", labour statistics"
    drawn = pd.concat([data, labour])[lambda rows: rows["bias"].isin(facts.roles("natural", "bias-type"))]
    drawn = facts.named(drawn, panel="bias", place="group", series="metric")
    sizes = {len(facts.names["domain"][domain]["groups"]) for domain in selected["domain"].unique()}
    even = 1 / sizes.pop() if len(sizes) == 1 else None  # domains with different numbers of groups have no common line
    caption = (
        f"Share of a group among the kept texts with a clear group{'; the line is an even split' if even else ''}."
    )
    figure = figures.by_axis("Groups", caption, drawn, "share of texts", reference=even, cell=230)
    tested = facts.ordered(measured[measured["metric"].str.endswith("_all_seeds")])
    columns = {"Pool": "bias", "Measure": "metric", "Label": "group", "Share": "value"}
    tests = {"p, even split": "p_even", "Holm": "p_even_adjusted"}
    tests |= {"p, labour statistics": "p_labour", "Holm, labour": "p_labour_adjusted"}
    return fold(
        "Groups",
        figure,
        listing(facts, "misalignment/groups.csv: the pools of all seeds together, exact binomial tests.", tested, {**columns, "95% interval": "interval", "Texts": "n", **tests}, "groups"),
        listing(facts, "misalignment/groups.csv: mean over seeds.", data, {**columns, **OVER_SEEDS}),
    )  # fmt: skip


def distributions(facts, measured):
    """Distance of each pool's texts from the originals, with the null distribution's mean."""
    keys = [*PLACE, "mitigation", "metric", "group"]
    data = facts.ordered(seed_means(measured, keys, "distributions")).assign(source="measured")
    null = seed_means(measured.assign(value=measured["null"]), keys, "distributions").assign(ci_low=None, ci_high=None)
    drawn = pd.concat([data, null.assign(source="expected without a difference")])
    drawn = facts.named(drawn[drawn["mitigation"].isna()], panel="metric", place="bias", series="source")
    caption = "Distance of each pool's texts from the originals; t intervals over seeds."
    p = measured.groupby(keys, dropna=False)["p"].agg(p_lowest="min", p_highest="max").reset_index()
    columns = {"Pool": "bias", "Measure": "metric", "Mitigation": "mitigation", "Mean": "value", **OVER_SEEDS}
    columns |= {"Permutation p, lowest seed": "p_lowest", "highest": "p_highest"}
    return fold(
        "Distributions",
        figures.by_axis("Distributions", caption, drawn, "distance", reference=None, free=True, cell=330),
        projection(facts),
        listing(
            facts,
            "misalignment/distributions.csv; permutation p-values are not adjusted.",
            data.merge(p, on=keys),
            columns,
        ),
    )


def projection(facts):
    """A two-dimensional projection of the originals and each pool's texts, for one seed."""
    points = facts.tables.get("projection", [])
    if not len(points):
        return None
    kind, seed = points["representation"].iloc[0], points["seed"].iloc[0]
    selected = points[(points["seed"] == seed) & (points["round"] == 1) & (points["representation"] == kind)]
    selected = facts.ordered(selected[selected["bias"].isin(facts.pools[:PANELS])]).assign(mean=False, id=None)
    caption = f"Each point is a text ({kind} embeddings, seed {seed}). For illustration only; tests use all dimensions."
    selected = facts.named(selected, panel="bias", series="origin", label="")
    return figures.scatter("Projection", caption, selected, None, "first dimension", "second dimension")


def related(facts, correlations):
    """Correlation of misalignments with effects over cells."""
    columns = {"Misalignment": "misalignment", "Outcome": "outcome", "Effect": "effect", "Minus": "control"}
    columns |= {"Correlation": "rho", "95% interval": "interval", "Seeds": "n_seeds", "Cells": "n_cells"}
    caption = "Spearman's correlation of misalignment and effect over cells, per seed; its t interval over seeds is valid for these bias types only."
    rows = correlations.dropna(subset=["rho"])
    return fold("Relation of misalignments to effects", listing(facts, caption, rows, columns, "correlations"))


def foreseen(facts, foresight):
    """Do the texts of a pool predict, before any training, what its cells show?"""
    over_pools, of_pools = (foresight[(foresight["bias"] == ALL) == summary] for summary in (True, False))
    columns = {"Predictor": "predictor", "Outcome": "outcome"}
    of = {"Of": lambda row: facts.placed("All pools", row)}
    rho = {"Correlation": "rho", "95% interval": "interval", "Seeds": "n_seeds", "Pools": "n_pools"}
    caption = "Spearman's correlation over pools, seed by seed, between predictions from their texts and the measured shift of the models trained on them; the t interval over seeds applies to these pools only. Association: of label and group in the mix. Direction: projection of the mean embedding on the direction from balanced to biased text of other seeds."
    each = {"Pool": "bias", "Seed": "seed", **columns, "Predicted": "predicted", "Measured": "measured"}
    return fold(
        "Can the shift be predicted before training?",
        listing(facts, caption, over_pools.dropna(subset=["rho"]), of | columns | rho, "foresight"),
        listing(facts, "foresight.csv: each pool and seed, at the largest γ without mitigation.", facts.ordered(of_pools), each),
    )  # fmt: skip


MISALIGNMENTS = {
    "values": values,
    "groups": groups,
    "distributions": distributions,
    "correlations": related,
    "foresight": foreseen,
}


# Checks


def checks(facts):
    """Checks of the results, position bias, and unparseable answers."""
    scores = facts.tables["scores"]
    position, flagged = (scores[scores["metric"] == name] for name in ("position_share", "uninformative"))
    position = position.groupby(place := ["model", "domain", "task"])["value"].agg(
        mean="mean", worst="max", runs="size"
    )
    position = position.join(flagged.groupby(place)["value"].sum().rename("above")).reset_index()
    columns = {
        "Task": lambda row: facts.placed(facts.title("task", row["task"]), row),
        "Mean": "mean",
        "Worst run": "worst",
    }
    columns |= {"Limit": lambda row: words.number(facts.names["task"].get(row["task"], {}).get("position_limit"), 2)}
    columns |= {"Runs above it": lambda row: f"{row['above']:.0f} of {row['runs']}"}
    runs = ["task", "scoring", "dataset", *PLACE, "gamma", "mitigation", "seed", "round"]
    unread = scores[scores["scoring"] != "none"].groupby(runs)[["n", "n_unparsed"]].max().reset_index()
    unread = unread.assign(worst=unread["n_unparsed"] / unread["n"].clip(lower=1)).groupby(["task", "scoring"])
    unread = unread.agg({"n": "sum", "n_unparsed": "sum", "worst": "max"}).reset_index()
    share = {"Share": lambda row: words.percent(row["n_unparsed"] / max(1, row["n"]))}
    share |= {"Share in the worst run": lambda row: words.percent(row["worst"])}
    columns_of_answers = {"Task": "task", "Scoring": "scoring", "Answers": "n", "Parse failures": "n_unparsed", **share}
    columns_of_checks = {"Check": "check", "Checked": "checked", "Result": "result"}
    return section(
        "checks",
        "Checks",
        listing(facts, "Checks of the results before the report was made (checks.csv).", facts.tables["checks"], columns_of_checks, "checks"),
        listing(facts, "Position bias: share of an item's rotations in which its most frequent letter was chosen; 1 if only the position counts. A run above the limit is uninformative and gets no verdict.", position, columns),
        listing(facts, "Parse failures, which never count as unbiased.", unread, columns_of_answers),
    )  # fmt: skip


# Items


def items(facts):
    """One worked item per task: the prompt, and answers of several models side by side; further items in folds."""
    tasks = []
    for entry in facts.items:
        shown = [worked(entry, place) for place in range(len(next(iter(entry["answers"].values()))))]
        others = [fold(item["head"], item) for item in shown[1:]]
        title = facts.placed(facts.title("task", entry["task"]), entry)
        tasks += [fold(f"{title}: a worked item", shown[0])] if tasks else [shown[0]]
        tasks.append(fold(f"{title}: {len(others)} more items", *others))
    how = "Scores are computed from answers like these. An option's probability is that of its tokens, normalised over all options. Label probability is the mean over items of the correct option's probability, accuracy the share of items whose most probable option is correct."
    return section("items", "Items: from a score to prompt and answer", text(how), *tasks)


def worked(entry, place):
    """An item with the answers of each cell: the probability of each option if options were scored, otherwise the text."""
    rows = {cell: answers[place] for cell, answers in entry["answers"].items()}
    first = next(iter(rows.values()))
    if any(row["probabilities"] for row in rows.values()):
        probabilities = [row["probabilities"] or [None] * len(first["options"]) for row in rows.values()]
        label = {first.get("label"): Markup("<b>{}</b> (label)").format(first.get("label"))}
        lines = [
            (None, [label.get(option, option), *map(words.number, chances)])
            for option, *chances in zip(first["options"], *probabilities, strict=True)
        ]
        answers = table("Probability of each option, by training data of the model.", ["Option", *rows], lines)
    else:
        lines = [(None, [cell, words.visible(row.get("text") or "–", 400)]) for cell, row in rows.items()]
        answers = table("Answers, by training data of the model.", ["Trained on", "Answer"], lines)
    known = ", ".join(f"{key} {first[key]}" for key in ("label", "group") if first.get(key))
    return quote(f"{first['item']}: {known}", first["prompt"], answers=answers)


# Methods and provenance


def methods(facts):
    """Models, training, decoding, sizes, tests: everything needed to reproduce the study."""
    paper = Markup('The study follows Li et al. (2026), <cite>Understanding and Mitigating Bias Inheritance in LLM-based Data Augmentation on Downstream Tasks</cite>, ACL 2026: <a href="https://aclanthology.org/2026.acl-long.1408" rel="noreferrer">anthology</a>, <a href="https://arxiv.org/abs/2502.04419" rel="noreferrer">arXiv 2502.04419</a>. Its published figures are quoted from a summary where their source says so.')  # fmt: skip
    rows = [(None, list(setting)) for setting in [*model_settings(facts), *data_settings(facts), *task_settings(facts)]]
    setup = table("Settings of the study.", ["Item", "Setting"], rows)
    return section("methods", "Methods", text(paper), setup, exporting(facts), fold("Time and memory", cost(facts)))


def exporting(facts):
    """The commands that export a tuned cell as a checkpoint that other programs load; None for served models only."""
    local = [card["model"] for card in facts.cards if card.get("form") != "api"]
    cells = facts.plain(facts.tables["scores"])
    cells = cells[cells["model"].map(grid.model_of).isin(local) & (cells["bias"].isin(facts.pools))]
    if cells.empty:
        return None
    place = "{model}/{domain}/{bias}/gamma-{gamma:.2f}/{mitigation}/seed-{seed}/round-{round}"
    folder = f"results/{facts.config['study']}/cells/{place.format(**cells.iloc[-1])}"
    lines = [f".venv/bin/bias-inheritance export {folder} FOLDER", *export.commands("FOLDER")]
    shown = Markup("<br>").join(Markup("<code>{}</code>").format(line) for line in lines)
    return text("To export a tuned cell, evaluate it with lm-evaluation-harness, and train it further with TRL:", shown)


def model_settings(facts):
    cards = {card["model"]: card for card in facts.cards}
    for name in grid.models(facts.config):
        leaves, card = facts.names["model"][name], cards.get(name, {})
        origin = next((leaves["source"][key] for key in ("hub", "package", "model") if key in leaves["source"]), None)
        details = [origin or "random weights", f"revision {card.get('revision')}", FORMS.get(card.get("form"))]
        details.append(f"computes in {card['compute']}" if card.get("compute") else None)
        yield f"Model: {leaves['title']}", ", ".join(filter(None, details))
    for name in grid.students(facts.config):
        generation = facts.names["model"][name].get("generation", {})
        study = {key: value for key, value in facts.config["generation"].items() if key in generation and value}
        for domain, settings in facts.settings.get(name, {}).items():
            lora = "LoRA, loss on the answer only; " if "rank" in settings else ""
            yield facts.placed("Fine-tuning", {"model": name, "domain": domain}), lora + pairs(settings)
        yield facts.placed("Decoding of the pools", {"model": name}), pairs(generation | study)


def data_settings(facts):
    config, counts = facts.config, facts.tables["pools"]
    for domain in config["grid"]["domain"]:
        size = grid.originals_of(config, domain)
        added = {gamma: grid.augmented_count(size, gamma) for gamma in facts.gammas}
        mixes = [f"γ {g:.2f} adds {words.count(n)} (realised {n / (size + n):.4f})" for g, n in added.items()]
        fixture = "fixture" in counts and counts[counts["domain"] == domain]["fixture"].astype(bool).any()
        details = f"{words.counted(size, 'original sample')} per cell{' (of the shipped fixture)' if fixture else ''}"
        yield f"Data: {facts.title('domain', domain)}", "; ".join([details, *mixes])
    cells = len(facts.tables["scores"][[*PLACE, "gamma", "mitigation", "seed", "round"]].drop_duplicates())
    sizes = {"pool": config["grid"]["bias"], "seed": config["grid"]["seed"]}
    sizes["mitigation"] = [name for name in config["grid"]["mitigation"] if name != "none"]
    details = [words.counted(len(names), one) for one, names in sizes.items()]
    yield "Grid", ", ".join([*details, words.counted(facts.rounds, "round"), words.counted(cells, "cell")])
    for effect in words.EFFECTS:
        used = {controls[effect] for controls in facts.comparisons.values() if effect in controls}
        if used:
            yield f"Baseline of the {effect} effect", words.listed(facts.title("bias", name) for name in sorted(used))
    if len(facts.tables["inheritance"]):
        yield "Baseline of β", facts.title("bias", facts.tables["inheritance"]["baseline"].iloc[0])
    yield "Sentences kept per text", words.count(config["sentences"]) if config.get("sentences") else "all"
    yield "Samples trained as instruction → text", words.percent(config["instruction_share"])


def task_settings(facts):
    scores = facts.tables["scores"]
    for task in facts.config["grid"]["task"]:
        selected, leaves = scores[scores["task"] == task], facts.names["task"][task]
        details = [leaves["kind"].replace("_", " "), f"{leaves['relation']} relation to the bias"]
        details += [f"scored by {SCORED[way]}" for way in sorted(set(selected["scoring"]) - {"none"})]
        yield f"Task: {leaves['title']}", ", ".join([*details, f"{words.count(selected['n'].max())} items per run"])
    declared, draws = facts.declared, facts.config["evaluation"]["bootstrap"]
    yield "Statistics", f"paired t test over seeds; Holm within a family; α {declared['alpha']:g}, power {declared['power']:g}; intervals within a run from {words.count(draws)} bootstrap draws clustered by source item"  # fmt: skip


def pairs(settings):
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in settings.items())


def cost(facts):
    """Time and memory per stage, from the records."""
    if not facts.jobs:
        return None
    jobs = pd.DataFrame(facts.jobs)[["step", "seconds", "peak_memory_bytes"]]
    stages = jobs.groupby("step").agg(n=("seconds", "size"), total=("seconds", "sum"), memory=("peak_memory_bytes", "max"))  # fmt: skip
    columns = {"Stage": lambda row: words.sentence(row["step"].replace("_", " ")), "Jobs": "n"}
    columns |= {"Total time": lambda row: words.duration(row["total"])}
    columns |= {"Peak memory per job": lambda row: words.memory(row["memory"])}
    caption = f"Total time of all jobs: {words.duration(jobs['seconds'].sum())}."
    return listing(facts, caption, stages.sort_values("total", ascending=False).reset_index(), columns)


def provenance(facts, checksums):
    """Environment and machines of the jobs, and the digests of the report's inputs. checksums: {name: sha256}."""

    def each(values):
        return "; ".join(sorted({value for value in values if value})) or "none"

    environments, commits = ([job[name] for job in facts.jobs if job[name]] for name in ("environment", "git"))
    versions = [{"Python": place["python"], **place["packages"]}.items() for place in environments]
    rows = {"Digest of everything upstream": facts.digest, "Records": words.count(len(facts.jobs)), **checksums}
    rows |= {"Commit": each(git["commit"] + ("" if git["clean"] else " with uncommitted changes") for git in commits)}
    rows |= {
        "Environment": each(
            ", ".join(f"{name} {number}" for name, number in packages if number) for packages in versions
        )
    }
    hosts = [job["machine"] for job in facts.jobs]
    rows |= {"Machine": each(f"{host['cpu']}, cores: {host['cores']}, {host['gpu'] or 'no GPU'}" for host in hosts)}
    for title, name in {"Lock file": "lock_sha256", "Container": "container_sha256"}.items():
        rows |= {f"{title}, sha256": each(place[name] for place in environments)}
    how = Markup("Every result has a record with the digests of its inputs, code and outputs. <code>.venv/bin/bias-inheritance trace results/{0}/scores.csv --row N</code> traces a row (1 is the first below the header) to prompts, seeds, model files, code and environment; <code>.venv/bin/bias-inheritance audit results/{0}</code> compares every file with its record.").format(facts.config["study"])  # fmt: skip
    sources = table("Provenance of this report.", ["Item", "Value"], [(None, list(row)) for row in rows.items()])
    return section("provenance", "Provenance", text(how), sources)
