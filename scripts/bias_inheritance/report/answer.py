"""The first screen: assay sensitivity, what the model inherited, and which claims could be tested."""

import re

import pandas as pd
from markupsafe import Markup

from bias_inheritance.claims import reading
from bias_inheritance.report import figures, words
from bias_inheritance.report.parts import badge, fold, link, listing, row_id, section, table, text
from bias_inheritance.report.words import interval, number

PLACE = ["model", "domain", "bias"]
FIRST = 6  # rows of claims on the first screen; the rest are in a fold below
PANELS = 6  # of the figure of β
CONTRASTS = 6  # distinguished by colour
CERTAIN = 0.95  # ASSUME: mean probability of the right label above which a task is too easy to show an association
TOO_MANY = "more than 10 000"  # seeds: beyond the search of `statistics.seeds_needed`
NEEDED = "needs a task that asks for the labels of the training data, log-probabilities of its answers, and cells with γ above 0"
# predicate of a pool from a file for the gaps and groups in a state of `reading.safety`; placeholder: the margin
SAFETY = {
    "not safe": "is not safe",
    "safe": "is safe within ±{:g}",
    "gains": "is a gain",
    "unseen": "could not be judged by this study",
    "not tested": "was not tested",
}
VERDICTS = ["supported", "contradicted", "equivalent", "inconclusive"]
# sentence on a model and a natural pool, by the verdict on its β; placeholders as in `inherited`
SENTENCES = {
    "supported": "{0} inherited about {1} of the association between group and label in the pool {2}.",
    "contradicted": "{0} moved against the association between group and label in the pool {2}.",
    "equivalent": "{0} inherited less than {3:g}% of the association between group and label in the pool {2}.",
    "inconclusive": "It is inconclusive whether {0} inherits the association between group and label in the pool {2}.",
    "unseen": "This study could not have seen what {0} inherits from the pool {2}.",
    "not tested": "This study did not test what {0} inherits from the pool {2}.",
}
LOOKS = (
    "Looks were planned before the run, at {seeds} seeds (α spent as {spending}); this is look {look}. What a look decided "
    "stays decided. The intervals of claims, p family and p study hold over all looks so far, other intervals on this page "
    "for this look alone."
)
HOLM = (
    "Holm's correction is applied within each of {0} families, so of studies without any effect, up to {1} have a row that "
    "falsely differs from 0; p study is adjusted over all {2}."
)


def answer(facts):
    """{sentences, controls, parts} of the first screen. sentences: [(answer, details)]."""
    rows, files = heads(facts), reading.pools_from_files(facts.claims)
    claims = overview(f"The claims that this study could test. {chance(facts)}", facts, rows[:FIRST])
    more = overview("Further contrasts that this study could test.", facts, rows[FIRST:])
    parts = [safety_table(facts, pool, rows) for pool, rows in files] + [beta_figure(facts)]
    parts += [claims or text("No claim could be tested in this study.")]
    parts += [fold(f"{len(rows) - FIRST} further contrasts tested", more), untested(facts)]
    return {
        "sentences": [*((summary(facts, pool, rows), "") for pool, rows in files), *sentences(facts)],
        "controls": controls(facts),
        "parts": [part for part in parts if part],
    }


def lacking(facts, row):
    """Why the study lacks assay sensitivity for a row of claims.csv, and what would provide it."""
    known = reading.controls_of(facts.claims, row).to_dict("records")
    if not known:
        return "It has no positive control that could be tested; add one."
    if known[0]["verdict"] == "contradicted":
        return f"Its positive control was reversed: the effect of a known association was {estimate(known[0], 2)}, the opposite of the one expected. More seeds do not change that; check labels and groups of the data."
    if known[0]["verdict"] == "equivalent":
        return "Its positive control was not found: a known association had no effect beyond the margin. Use a larger γ or more training."
    scores = facts.tables["scores"]
    scores = scores[scores["model"] == row["model"]] if row["model"] else scores
    of_labels = scores[(scores["metric"] == "label_probability") & (scores["group"] == "all") & (scores["gamma"] > 0)]
    certain = of_labels["value"].mean()
    if certain > CERTAIN:
        return f"Its positive control was not found: the models are certain of the right label (mean probability {certain:.3f}), so an association cannot show. Use fewer originals, or texts whose labels are harder to tell apart."
    return f"Its positive control was not found. {needs(facts, known[0], 'On that control, with')}"


def needs(facts, row, start="With"):
    """The minimum detectable effect, and the seeds needed to detect an effect as large as the estimate, if it matters."""
    if row["n_seeds"] < 2:
        return "One seed cannot show the variation between runs; more are needed."
    if not words.known(row["ci_low"]):
        return "All seeds have the same value, so the variation between runs is unknown."
    if hidden(row):
        return f"{words.sentence(hidden(row))}; more seeds do not change that."
    effect = (
        f"effects of at least {row['mde']:.2g}" if words.known(row["mde"]) else "not even the largest possible effect"
    )
    seen = f"{start} {row['n_seeds']} seeds, {effect} would be detected with {facts.declared['power']:.0%} power"
    size, margin = abs(row["estimate"]), row["margin"] if words.known(row["margin"]) else 0.0
    if {"greater": -1, "less": 1}.get(row["spec"]["direction"], 0) * row["estimate"] > 0:
        return f"{seen}; the estimate points in the other direction."
    if size <= margin:
        return f"{seen}; the estimate is within the margin of ±{margin:g}."
    seeds = reading.seeds_to_detect(row, size, facts.claims, facts.declared)
    needed = f"about {words.count(seeds)}" if seeds else TOO_MANY
    return f"{seen}; an effect as large as the estimate would need {needed} seeds."


def hidden(row):
    """Why no number of seeds makes a row equivalent to no effect: its unreadable answers could hide one; else ""."""
    if row["verdict"] != "inconclusive" or not row["unread"] > row["margin"]:
        return ""
    return f"up to {100 * row['unread']:.3g}% of a run's answers are unreadable, margin ±{row['margin']:g}"


def controls(facts):
    """[{kind, badge, detail}] of each control claim and model: those on β first, and models without a positive control."""
    entries, tested = [], facts.claims[facts.claims["control"] & facts.claims["decides"]]
    for _, rows in tested[tested["verdict"] != "not tested"].groupby(["claim", "model"], sort=False):
        rows = rows.to_dict("records")
        negative = rows[0]["spec"]["direction"] == "none"
        shown = next((row for row in rows if negative and row["verdict"] != "supported"), rows[0])
        met = sum(row["verdict"] == "supported" for row in rows)
        met = f"{met} of {words.counted(len(rows), 'contrast')} as expected"
        detail = link(f"{words.greek(shown['contrast'])}: {estimate(shown, 2)}; {met}", row_id("claims", shown["row"]))
        kind = "Negative control" if negative else "Positive control"
        state = badge(shown["verdict"], control_state(shown))
        of_beta = facts.measured_by(shown["spec"])[0] == "inheritance"
        entries.append((not of_beta, negative, {"kind": kind, "badge": state, "detail": detail}))
    with_control = set(reading.positive_controls(facts.claims)["model"])
    for model in facts.claims["model"].unique():
        if model not in with_control:
            where = f" in {facts.title('model', model)}" if model else ""
            detail = f"no known effect could be tested{where}, so the study's sensitivity is unknown"
            entry = {"kind": "Positive control", "badge": badge("not tested", "none"), "detail": detail}
            entries.append((False, False, entry))
    return [entry for *_, entry in sorted(entries, key=lambda entry: entry[:2])]


def control_state(row):
    """What became of a control: a positive one was found or not, a negative one is within its margin, not shown to be, or moved."""
    if row["spec"]["direction"] != "none":
        return {"supported": "found", "contradicted": "reversed"}.get(row["verdict"], "not found")
    within = f"within ±{row['margin']:g}"
    return {"supported": f"stayed {within}", "contradicted": "moved"}.get(row["verdict"], f"not shown to be {within}")


def of_model(model):
    """The suffix by which contrasts of claims.csv name the model, in a study of several."""
    return f" [{model}]" if model else ""


def sentences(facts):
    """(answer, details) per model and natural pool: what was inherited, or what is needed to detect it."""
    natural, betas = facts.roles("natural"), facts.betas()
    if not natural:
        return [("This study has no natural pool (synthetic data whose groups the generator chose), so it cannot say what a model inherits from such data.", "")]  # fmt: skip
    betas = betas[(betas["kind"] == "beta") & (betas["mitigation"] == "none") & (betas["round"] <= 1)]
    if not betas["bias"].isin(natural).any():
        pools = words.listed(facts.title("bias", name) for name in natural)
        return [(f"This study did not measure what the model inherits from {pools}.", f"β {NEEDED}.")]
    return [inherited(facts, pool, model, betas) for model in facts.models for pool in natural]


def inherited(facts, pool, model, betas):
    """The answer on a model and a natural pool, from the claim on β; betas: the cells that it is a mean of are among these."""
    no_claim = {"verdict": "not tested", "control": True, "reason": "No claim is on its β."}
    claim = facts.claim_of_beta(pool, model) or no_claim
    verdict = "unseen" if reading.unseen(facts.claims, claim) else claim["verdict"]
    sentence = SENTENCES[verdict]
    names = facts.title("model", model), facts.title("bias", pool)
    cells = betas[(betas["bias"] == pool) & (betas["model"] == model)]
    if verdict == "not tested":
        return sentence.format(names[0], "", names[1]), claim["reason"] if len(cells) else f"β {NEEDED}."
    cells = cells[cells["gamma"].between(*claim["spec"]["gamma"])]
    ends, seeds = interval(claim["ci_low"], claim["ci_high"], 2), words.counted(claim["n_seeds"], "seed")
    size = f"β = {number(claim['estimate'], 2)} ({'' if ends == '–' else f'95% interval {ends}, '}{seeds}, {facts.averaged(cells)})"
    size = link(size if verdict == "unseen" else f"{size}: {verdict}", row_id("claims", claim["row"]))
    more = lacking(facts, claim) if verdict == "unseen" else needs(facts, claim) if verdict == "inconclusive" else ""
    fields = names[0], words.percent(claim["estimate"]), names[1], 100 * claim["margin"]
    return sentence.format(*fields), Markup("{}. {}").format(size, more)


# Pools from files: is it safe to mix in?


def summary(facts, pool, rows):
    """One sentence: for which gaps and groups a pool is safe to mix in, each within its margin."""
    told = {state: {} for state in SAFETY}
    for name, effects in rows.items():
        row = reading.deciding(effects)
        state = reading.safety(facts.claims, row)
        told[state].setdefault(SAFETY[state].format(row["margin"]), []).append(name)
    parts = [f"{said} for {words.some(names)}" for of_state in told.values() for said, names in of_state.items()]
    where, subject = facts.averaged(facts.cells(pool, row["model"])), facts.title("bias", pool)
    start = words.sentence(f"{where}, ") if where else ""
    return f"{start}{facts.placed(subject, {'model': row['model']})} {words.listed(parts)}."


def safety_table(facts, pool, rows):
    """Each contrast and group: the effect relative to as much real text and to the originals alone, β, and the verdict; None
    in a study whose only γ is 0."""
    if not facts.gammas:
        return None
    lines = []
    for name, effects in rows.items():
        row = reading.deciding(effects)
        sizes = [size(effects.get(effect)) for effect in ("natural", "augmentation", "level")]
        verdict = Markup("{} {}").format(safety(facts, row), link("why", row_id("claims", row["row"])))
        lines.append((None, [name, verdict, *sizes, f"±{row['margin']:g}", row["n_seeds"]]))
    header = ["Gap or group", "Verdict", "Versus as much real text", "Versus originals alone", "β", "Margin", "Seeds"]
    where = facts.averaged(facts.cells(pool, row["model"]))
    subject = facts.placed(facts.title("bias", pool), {"model": row["model"]})
    caption = f"{subject}, mixed in: change of the label probability, and β, {where}, with 95% intervals over seeds. A gap is the first group minus the second. The verdict uses the comparison with real text if the study has it."
    return table(caption, header, lines, short=True)


def safety(facts, row):
    """The badge of a row of a pool from a file."""
    state, towards = reading.safety(facts.claims, row), "the first" if row["estimate"] > 0 else "the second"
    if state == "unseen" and hidden(row):
        return badge("inconclusive", f"could not have seen it: {hidden(row)}")
    if state == "unseen":
        if row["n_seeds"] >= 2 and reading.unseen(facts.claims, row):
            return badge("inconclusive", "could not have seen it: no positive control was found")
        return badge("inconclusive", f"could not have seen it, needs {seeds_to_judge(facts, row)} seeds")
    if state == "not safe":
        return badge("contradicted", "not safe: loses" if "group" in row["spec"] else f"not safe: favours {towards}")
    if state == "gains":
        return badge("inconclusive", f"gains, not within ±{row['margin']:g}")
    return badge("equivalent", f"safe within ±{row['margin']:g}") if state == "safe" else badge("not tested")


def seeds_to_judge(facts, row):
    """The number of seeds with which a row would show that a pool is safe, if it is; "more" if that is unknown."""
    if row["n_seeds"] < 2:
        return "at least 2"
    seeds = reading.seeds_to_exclude(row, facts.claims, facts.declared)
    if not words.known(row["ci_low"]) or seeds and seeds <= row["n_seeds"]:
        return "more"
    return words.count(seeds) if seeds else TOO_MANY


def size(row):
    """The estimate of a row of claims.csv with its interval, as a link to the row; a dash without one."""
    if not row or not words.known(row["estimate"]):
        return "–"
    return link(estimate(row), row_id("claims", row["row"]))


def estimate(row, digits=3):
    """The estimate of a row of claims.csv, with its interval if it has one."""
    ends = interval(row["ci_low"], row["ci_high"], digits)
    return number(row["estimate"], digits, True) + (f" ({ends})" if ends != "–" else "")


def beta_figure(facts):
    """Natural pools and controls: a point per label and contrast of each cell, with a line of slope β."""
    betas, everything = facts.betas(), facts.tables.get("inheritance_points", pd.DataFrame())
    if not len(betas) or not len(everything):
        return None
    chosen = facts.plain(betas).drop_duplicates(PLACE)
    order = facts.roles("natural", "positive-control", "negative-control", "baseline", "bias-type", "probe")
    keys = ["model", "domain", "gamma", "mitigation", "round", "seed", "contrast", "label"]
    dots, lines = [], []
    baseline = words.listed(facts.title("bias", name) for name in betas["baseline"].unique())
    for row in facts.ordered(chosen, "bias", order).head(PANELS).to_dict("records"):
        of_pool = (everything[PLACE] == [row[name] for name in PLACE]).all(axis=1)
        points = facts.plain(everything[of_pool])
        if row["direction"] != row["bias"]:  # projected on another pool's association
            axis = everything[everything["bias"] == row["direction"]][[*keys, "data_association"]]
            points = points.drop(columns="data_association").merge(axis, on=keys)
        role, ends = facts.names["bias"][row["bias"]]["role"], interval(row["ci_low"], row["ci_high"], 2)
        size = f"{words.KINDS[row['kind']]} {number(row['beta'], 2)}\n{'' if ends == '–' else f'({ends})'}"
        panel = f"{facts.cell(row, 'bias')}\n{words.ROLES[role]}\n{size}"
        points = points.rename(columns={"data_association": "x", "model_association": "y"})
        several = "contrast" if points["contrast"].nunique() <= CONTRASTS else ""
        points = facts.named(points, series=several)[["series", "label", "x", "y"]]
        means = points.groupby(["series", "label"], sort=False)[["x", "y"]].mean().reset_index()
        both = pd.concat([points.assign(mean=False), means.assign(mean=True)])
        dots.append(both.assign(panel=panel, id=row_id("inheritance", row["row"])))
        ends = [points["x"].min(), points["x"].max()]
        lines.append(pd.DataFrame({"panel": panel, "x": ends, "y": [row["beta"] * x for x in ends]}))
    caption = f"β, the slope of the line, is the share of the association in the training data that the model acquired (0: none, 1: all). Each large point is one label and one contrast of groups, averaged over seeds (small points: single cells): how much more strongly the label is associated with the first group, in the training data and in the model's answers, relative to the baseline ({baseline}), at γ {facts.largest:.2f} without mitigation. A pool balanced by design has no association of its own; its line is the projection on another pool's, and is flat if nothing is inherited."
    titles = "Association in the model by association in the data", caption
    axes = "in the data, Δx (nats)", "in the model, Δy (nats)"
    return figures.scatter(*titles, pd.concat(dots), pd.concat(lines), *axes, cell=160)


# Claims


def heads(facts):
    """Tested rows of claims.csv: whole claims, and contrasts that are not part of a tested whole claim."""
    rows = facts.claims[~facts.claims["control"] & facts.claims["verdict"].isin(VERDICTS)].to_dict("records")
    rows = [row for row in rows if not row["spec"] or row["spec"].get("each", {}).get("biases") != "files"]
    whole = {(row["claim"], row["model"]) for row in rows if row["whole"]}
    alone = [
        row for row in rows if (row["claim"], row["model"]) not in whole or not (row["spec"] and row["spec"]["part"])
    ]

    def order(row):
        continuous = row["spec"] is None or facts.measured_by(row["spec"])[1] not in ("accuracy", "macro_f1")
        return not continuous, reading.unseen(facts.claims, row), VERDICTS.index(row["verdict"])

    return sorted(alone, key=order)


def judged(facts, row):
    """The badge of a row; without demonstrated assay sensitivity, a verdict of no effect is replaced."""
    if reading.unseen(facts.claims, row):
        return badge("inconclusive", "could not be seen")
    return badge(row["verdict"], "supplementary" if row["verdict"] == "beside" else None)


def overview(caption, facts, rows):
    """One line per claim or contrast, with a link to its full row."""
    lines = []
    for row in rows:
        whole = facts.declared["claims"][row["claim"]]["text"] + of_model(row["model"])
        name = words.greek(whole if row["whole"] else row["contrast"])
        shown = re.split("[,:.]", row["reason"])[0] if row["whole"] else size(row)
        effect = row["effect"] if words.known(row["effect"]) else "–"
        p = [words.p_value(row["p_adjusted"]), words.p_value(row["p_study"])]
        name = Markup("<b>{}</b> {}").format(row["claim"], name)
        lines.append((None, [name, effect, shown, *p, verdict_link(facts, row)]))
    header = ["Claim", "Effect", "Estimate (95% interval)", "p family", "p study", "Verdict"]
    return table(caption, header, lines, short=True)


def untested(facts):
    """A fold of the contrasts that could not be tested, by reason."""
    rows = facts.claims[facts.claims["decides"] & (facts.claims["verdict"] == "not tested")]
    reasons = sorted(rows.groupby("reason", sort=False), key=lambda pair: -len(pair[1]))
    lines = [(None, [words.greek(why), len(part), ", ".join(dict.fromkeys(part["claim"]))]) for why, part in reasons]
    title = f"Not tested in this study: {words.counted(len(rows), 'contrast')} of {words.listed(dict.fromkeys(rows['claim']))}"
    return fold(title, table("Why contrasts could not be tested.", ["Reason", "Contrasts", "Claims"], lines))


def chance(facts):
    """The planned looks, if any, and the study-wise error rate with this many families."""
    tested, design = facts.claims[facts.claims["decides"] & facts.claims["p"].notna()], facts.declared["looks"]
    families = len({spec["family"] for spec in tested["spec"] if spec})
    share = min(1.0, facts.declared["alpha"] * families)  # the families share cells, so no smaller bound holds
    planned = design and LOOKS.format(**design | {"seeds": words.listed(map(str, design["seeds"]))})
    corrected = HOLM.format(families, f"{share:.0%}", words.counted(len(tested), "test")) if families > 1 else ""
    return f"{planned or ''} {corrected}".strip()


def published(facts):
    """Published statements, each with the verdict on it and those on slant and natural inheritance."""
    rows, beside = facts.claims[facts.claims["decides"]].to_dict("records"), {}
    for row in rows:
        if row["spec"] and "counterpart" in row["spec"]:
            place = row["claim"], row["model"], row["spec"]["counterpart"], row["spec"].get("contrast"), row["effect"]
            beside.setdefault(place, []).append(verdict_link(facts, row))
    stated = [row for row in rows if words.known(row["published"])]
    sources, lines = {name: claim["source"] for name, claim in facts.declared["claims"].items()}, []
    for row in [row for row in stated if row["verdict"] != "not tested"]:
        name = Markup("<b>{}</b> {}").format(row["claim"], words.greek(row["contrast"]))
        figure = row["published"].removesuffix(f" ({sources[row['claim']]})")
        spec = row["spec"] or {}
        place = row["claim"], row["model"], spec.get("name"), spec.get("contrast")
        others = [Markup(" ").join(beside.get((*place, effect), [])) or "–" for effect in ("slant", "natural")]
        lines.append((None, [name, figure, row["effect"], verdict_link(facts, row), *others]))
    header = ["Claim", "Published", "Effect", "Verdict on it", "On the slant", "On natural inheritance"]
    shown = "; ".join(dict.fromkeys(sources[row["claim"]] for row in stated))
    intro = (
        f"Published statements and this study's verdicts ({shown}); {len(stated) - len(lines)} others were not tested."
    )
    caption = (
        "Published p-values are from tests that the source does not name, ours are over seeds: do not compare them."
    )
    return [text(cited(intro)), table(caption, header, lines)]


def verdict_link(facts, row):
    return Markup("{} {}").format(judged(facts, row), link("why", row_id("claims", row["row"])))


def claims(facts):
    """The section of all claims, one fold each: every row of claims.csv with its reason, and the published results."""

    def reason(row):
        told = words.greek(row["reason"])
        unseen = reading.unseen(facts.claims, row)
        return f"This study could not have seen it. {lacking(facts, row)} {told}" if unseen else told

    columns = {"Contrast": lambda row: words.greek(row["contrast"])}
    columns |= {"Effect": "effect", "Verdict": lambda row: judged(facts, row), "Reason": reason}
    columns |= {
        "Measured by": "metric",
        "Estimate": "estimate",
        "95% interval": "interval",
        "p": "p",
        "p family": "p_adjusted",
    }
    columns |= {"p study": "p_study", "Test": "test", "Seeds": lambda row: row["n_seeds"] or "–"}
    if facts.declared["looks"]:
        columns["Closed at look"] = lambda row: int(row["look"]) if words.known(row["look"]) else "–"
        columns["Boundary"] = lambda row: words.p_value(row["boundary"])
    columns |= {"Items": lambda row: words.count(row["n_items"] or None)}
    columns |= {"Detectable effect": "mde", "Margin": "margin"}
    folds = []
    for name, rows in facts.claims.groupby("claim", sort=False):
        declared = facts.declared["claims"][name]
        verdicts = [
            verdict_of(facts, rows[rows["model"] == model].to_dict("records")) for model in rows["model"].unique()
        ]
        title = Markup("<b>{}</b> {} {}").format(name, words.greek(declared["text"]), Markup(" ").join(verdicts))
        deciding, beside = rows[rows["verdict"] != "beside"], rows[rows["verdict"] == "beside"]
        source = cited(f"Published: {declared['published']}. Source: {declared['source']}.")
        parts = [(deciding, "deciding tests"), (beside, "supplementary tests")]
        parts = [listing(facts, f"{name}: {what}.", part, columns, "claims") for part, what in parts]
        folds.append(fold(title, text(source), *parts))
    intro = text("All claims, as declared before the run.")
    return section("claims", "All claims", *published(facts), intro, *folds)


def verdict_of(facts, rows):
    """The badge of a claim for one model: that of the whole, or else of its contrasts, with their numbers if they differ."""
    rows = [row for row in rows if row["whole"]] or [row for row in rows if row["decides"]]
    badges, model = [judged(facts, row) for row in rows], rows[0]["model"]
    counts = [Markup("{} × {}").format(badges.count(shown), shown) for shown in dict.fromkeys(badges)]
    shown = counts if len(counts) > 1 else badges[:1]
    return Markup(" ").join([facts.title("model", model), *shown] if model else shown)


def cited(source):
    """A source with its arXiv number linked."""
    linked = Markup('<a href="https://arxiv.org/abs/{0}" rel="noreferrer">arXiv {0}</a>')
    pieces = re.split(r"arXiv (\d{4}\.\d{4,5})", source)  # every second piece is a number
    return Markup("").join(linked.format(piece) if place % 2 else piece for place, piece in enumerate(pieces))


def inheritance(facts):
    """The section on β: every pool, γ and mitigation, over seeds and seed by seed."""
    betas = facts.betas()
    data = facts.ordered(betas[(betas["gamma"] == betas["gamma"].max()) & (betas["round"] <= 1)])
    data = facts.named(data.sort_values("kind", kind="stable"), panel="kind", place="bias", series="mitigation")
    data = data.assign(id=[row_id("inheritance", row) for row in data["row"]])
    caption = "0: nothing is inherited; 1: the association in the data is fully inherited. A pool balanced by design has no β: its model's change is projected on another pool's association, and is 0 if nothing is inherited. t intervals over seeds."
    columns = {"Pool": "bias", "γ": "gamma", "Mitigation": "mitigation", "Round": "round", "Seed": "seed"}
    columns |= {"Contrast": "contrast", "Measure": "kind", "Association of": "direction", "Estimate": "beta"}
    columns |= {"95% interval": "interval", "p": "p", "r": "r", "Pairs": "n_pairs"}
    columns |= {"Data (nats)": "data_association", "Model (nats)": "model_association"}
    full = "inheritance.csv: intervals of single seeds are over test clusters, those of `all` over seeds."
    figure = figures.by_axis(f"β by pool at γ {data['gamma'].max():.2f}", caption, data, "slope", cell=330)
    cells = listing(facts, full, facts.ordered(facts.tables["inheritance"]), columns, "inheritance")
    nothing = f"β was not measured: it {NEEDED}."
    return section("inheritance", "Inheritance coefficient", figure, fold("β of every cell", cells), nothing=nothing)
