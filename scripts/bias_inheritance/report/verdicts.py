"""The verdict table, and in plain words what the run cannot say."""

from bias_inheritance import opinions
from bias_inheritance import study as grid
from bias_inheritance.claims import testing
from bias_inheritance.report import numbers, outcomes, parts, words
from bias_inheritance.report.words import number

TYPES_OF_THE_PAPER = 6
CORRELATIONS = (testing.RANK_TEST, testing.RANK_OVER_SEEDS)  # on a scale of their own
FEW_SEEDS = 5
MANY_UNREADABLE = 0.10


def verdicts(study):
    """One dict per claim: {id, text, published, heads, rows, beside, reach}.

    heads: the rows that carry the claim's verdict (the whole claim, or its contrasts where it has one part only), rows:
    the deciding contrasts, beside: what stands beside them. Each row is ready to print.
    """
    found = []
    for claim, part in study.claims.groupby("claim", sort=False):
        if claim.startswith("control-"):
            continue
        rows = part.to_dict("records")
        whole = [row for row in rows if row["test"] == "all parts"]
        deciding = [row for row in rows if row["verdict"] != "beside" and row["test"] != "all parts"]
        reach = words.nice_reach(
            [
                row[end]
                for row in deciding
                for end in ("estimate", "ci_low", "ci_high")
                if row["test"] == testing.SEED_TEST
            ]
        )
        # one very wide interval must not flatten all others
        estimates = words.nice_reach([3 * row["estimate"] for row in deciding if row["test"] == testing.SEED_TEST])
        reach = min(reach, estimates) or reach
        found.append(
            {
                "id": claim,
                "text": words.greek(study.claim_texts.get(claim, claim)),
                "published": study.claim_published.get(claim, ""),
                "heads": [printed(study, row, reach) for row in whole or deciding],
                "rows": [printed(study, row, reach) for row in deciding],
                "beside": [printed(study, row, reach) for row in rows if row["verdict"] == "beside"],
                "reach": reach,
            }
        )
    return found


def printed(study, row, reach):
    """One row of claims.csv as it is shown."""
    estimate, source = number(row["estimate"], sign=True), str(row["row"])
    return {
        "row": row["row"],
        "contrast": words.greek(row["contrast"]),
        "estimate": study.source.link(estimate, "claims.csv", source),
        "interval": words.interval(row["ci_low"], row["ci_high"]) if words.known(row["ci_low"]) else "–",
        "drawing": words.forest(row["estimate"], row["ci_low"], row["ci_high"], row["margin"], reach)
        if row["test"] not in CORRELATIONS
        else "",
        "p": words.p_value(row["p"]),
        "p_adjusted": words.p_value(row["p_adjusted"]),
        "test": row["test"],
        "n_seeds": words.count(row["n_seeds"]) if row["n_seeds"] else "–",
        "n_items": words.count(row["n_items"]) if row["n_items"] else "–",
        "mde": number(row["mde"]),
        "margin": number(row["margin"], 2),
        "verdict": row["verdict"],
        "badge": study.badge(row["verdict"]),
        "reason": words.greek(row["reason"]),
        "link": study.source.link(f"row {row['row']}", "claims.csv", source),
    }


def summary(found, study):
    """What came out, in one sentence or two."""
    count = dict.fromkeys(("supported", "contradicted", "equivalent", "inconclusive", "not tested"), 0)
    heads = [head["verdict"] for claim in found for head in claim["heads"]]
    for verdict in heads:
        count[verdict] += 1
    told = [f"{n} {verdict}" for verdict, n in count.items() if n]
    unit = "claim" if len(heads) == len(found) else "verdict"
    text = f"Of {words.counted(len(heads), unit)}, {words.listed(told)}."
    meter = study.claims[study.claims["claim"].str.startswith("control-") & (study.claims["verdict"] != "beside")]
    wholes = meter[(meter["test"] == "all parts") | ~meter["claim"].isin(meter[meter["test"] == "all parts"]["claim"])]
    if len(wholes):
        good, tried = (wholes["verdict"] == "supported").sum(), (wholes["verdict"] != "not tested").sum()
        text += f" Of {words.counted(len(wholes), 'control')} of the meter itself, {words.count(tried)} could be tried and {words.count(good)} came out as it must."
    return text


def limits(study):
    """Sentences on what this run cannot say, each derived from the study; the gravest first. [(heading, text)]"""
    found = []
    config, seeds = study.config, len(study.config["grid"]["seed"])
    for model in study.names["model"].values():
        if model.get("source", {}).get("random"):
            found.append(
                (
                    "The model knows nothing.",
                    f"{model['title']}: its weights are random. The study shows that every stage runs; no number in it says anything about language models or bias.",
                )
            )
    tested = study.claims[study.claims["verdict"] != "beside"]
    # a correlation has no margin, and its scale is another one
    seen = tested[(tested["verdict"] == "inconclusive") & tested["mde"].notna() & tested["margin"].notna()]
    if seeds == 1:
        found.append(
            (
                "One seed.",
                "With one seed nothing can be said about chance: every difference may be an accident of this one draw, and no verdict is more than inconclusive.",
            )
        )
    elif len(seen):
        found.append(
            (
                f"{words.counted(seeds, 'seed').capitalize()}.",
                f"{words.counted(len(seen), 'contrast')} stayed open: with {words.counted(seeds, 'seed')} only an effect above {number(seen['mde'].min(), 2)} (in the contrast that varies least) to {number(seen['mde'].max(), 2)} (in the one that varies most) would have been seen with 80% probability. That an effect was not seen does not mean that there is none.",
            )
        )
    elif seeds < FEW_SEEDS:
        found.append(
            (
                f"{words.counted(seeds, 'seed').capitalize()}.",
                f"Intervals rest on {words.counted(seeds, 'replication')} and are wide; small effects cannot be seen.",
            )
        )
    missing = tested[(tested["verdict"] == "not tested") & ~tested["claim"].str.startswith("control-")]
    if len(missing):
        reasons = missing[missing["test"] != "all parts"]["reason"].value_counts()
        claims = list(dict.fromkeys(missing["claim"]))
        found.append(
            (
                "Not tested.",
                f"{words.counted(len(missing[missing['test'] != 'all parts']), 'contrast')} of {words.listed(claims)} could not be tested. What is missing, most often: {'; '.join(words.greek(reason).rstrip('.') for reason in reasons.index[:3])}.",
            )
        )
    found += _data_limits(study)
    real = [model["title"] for model in study.names["model"].values() if not model.get("source", {}).get("random")]
    if real:
        found.append(
            (
                "One model." if len(real) == 1 else f"{len(real)} models.",
                f"All results are of {words.listed(real)}; that another model, above all a larger one, behaves alike is not shown.",
            )
        )
    found += _grid_limits(study)
    changed = [job for job in study.jobs if job.get("git") and not job["git"]["clean"]]
    if changed:
        found.append(
            (
                "Uncommitted code.",
                f"{words.counted(len(changed), 'job')} ran from a working tree with changes that no commit holds; the records keep the digests of the code itself.",
            )
        )
    if config["rounds"]["count"] == 1:
        found.append(("One round.", "Whether bias grows when the tuned model writes the next pool was not tried."))
    return found


def _data_limits(study):
    """What the originals, the pools and the answers leave in doubt."""
    found = []
    counts = study.pools_table
    small = set(counts[counts["fixture"].astype(bool)]["domain"]) if "fixture" in counts else set()
    for name, domain in study.names["domain"].items():
        if name in small:
            found.append(
                (
                    "A fixture.",
                    f"{domain['title']}: originals and test texts are a small fixture written for the project; results show that the method runs, not what happens to real data.",
                )
            )
        elif domain.get("originals", {}).get("loader") == "twins":
            found.append(
                (
                    "Fictional texts.",
                    f"{domain['title']}: the originals are fictional biographies written for the project, {words.counted(grid.originals_of(study.config, name), 'original')} per cell; they are cleaner than real ones, and results need not hold for texts of real people.",
                )
            )
    values = study.misalignment.get("values")
    if values is not None and values["dataset"].eq(opinions.FIXTURE).any():
        found.append(
            (
                "Invented opinions.",
                "The opinion questions are the shipped fixture, whose shares are invented: similarity of values says nothing about any country, and no verdict rests on it.",
            )
        )
    checked = study.manipulation[study.manipulation["bias"].isin(study.types)]
    failed = [
        study.title(bias)
        for bias in dict.fromkeys(checked[checked["passed"].astype(str).str.lower() == "false"]["bias"])
    ]
    if failed:
        found.append(
            (
                "Failed manipulation.",
                f"{words.listed(failed)}: the generated texts do not hold the slant they were asked for, so what follows from them is not evidence about that kind of bias.",
            )
        )
    flags = study.scores[study.scores["metric"] == "uninformative"]
    for task, part in flags.groupby("task", sort=False):
        led = int((part["value"] == 1).sum())
        if led:
            found.append(
                (
                    "Uninformative answers.",
                    f"{study.names['task'][task]['title']}: in {led} of {words.counted(len(part), 'run')} the choice follows the position of an option, not the option.",
                )
            )
    scores = numbers.answered(study.scores)
    for (task, scoring), part in scores[scores["n_unparsed"] > 0].groupby(["task", "scoring"], sort=False):
        share = part["n_unparsed"].sum() / part["n"].sum()
        if share > MANY_UNREADABLE:
            told = f"of the {'written answers' if scoring == 'parsed' else 'answers'} could not be read"
            if study.names["task"][task]["kind"] == "stories":
                told = "of the stories hold no trait word"
            found.append(
                (
                    "Unreadable answers.",
                    f"{study.names['task'][task]['title']}: {words.percent(share)} {told} where any were lost.",
                )
            )
    if len(counts) and counts["slots_failed"].sum():
        found.append(
            (
                "Pools with holes.",
                f"{words.counted(counts['slots_failed'].sum(), 'slot')} of {words.count(counts['slots'].sum())} stayed empty, so the balance of labels and groups is not perfect.",
            )
        )
    weak = []
    for outcome in study.outcomes:
        untuned, tuned = outcomes.untuned_and_tuned(study, outcome, outcome["metric"], "all")
        if outcome["graded"] and untuned and tuned and not outcomes.clearly_better(untuned, tuned):
            weak.append(parts.heading(study, outcome))
    if weak:
        found.append(
            (
                "A weak baseline.",
                f"{words.listed(weak)}: the model tuned on originals does not clearly beat the untuned one, so there is little that augmentation could harm.",
            )
        )
    return found


def _grid_limits(study):
    """What the grid leaves out."""
    found = []
    if len(study.types) < TYPES_OF_THE_PAPER:
        found.append(
            (
                "Part of the grid.",
                f"{words.counted(len(study.types), 'bias type')} of the {TYPES_OF_THE_PAPER} of the paper and {words.counted(len(study.gammas), 'value')} of γ above 0 were run; claims that compare types or follow a curve need more.",
            )
        )
    sources = {bias["source"] for bias in study.names["bias"].values()}
    planted = [bias for bias in study.names["bias"].values() if "plant" in bias]
    if "neutral" not in study.names["bias"]:
        found.append(("No neutral control.", "Bias effects cannot be told from the effect of more text."))
    if "reserve" not in sources:
        found.append(
            (
                "No negative control.",
                "Cells with real text in place of generated one were not run, so a false alarm of the meter would not show.",
            )
        )
    if len(planted) < 2:
        found.append(
            (
                "No full dial.",
                "Fewer than two shares of planted labels were run, so it is not shown that the meter follows the size of a known effect.",
            )
        )
    return found
