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
VERDICTS = ["supported", "contradicted", "equivalent", "inconclusive"]
POSITIVE = {"supported": "found", "contradicted": "reversed"}
NEGATIVE = {"supported": "stayed at zero", "contradicted": "moved"}
# sentence on a natural pool, by the verdict on its β; placeholders as in `inherited`
SENTENCES = {
    "supported": "{0} inherited about {1} of the association between group and label in the {2} ({3}).",
    "contradicted": "{0} changed against the association between group and label in the {2} ({3}).",
    "equivalent": "{0} inherited none of the association between group and label in the {2}, within the margin of ±{4} ({3}).",
    "inconclusive": "Inconclusive whether {0} inherits the association between group and label in the {2} ({3}); {5}.",
    "unseen": "This study could not have seen what {0} inherits from the {2} ({3}): {6}.",
    "not tested": "{0} and the {2}: {3}. {5}",
}


def answer(facts):
    """{sentences, controls, pools, figure, claims, more, untested} of the first screen."""
    rows, files = heads(facts), reading.pools_from_files(facts.claims)
    return {
        "sentences": [*(summary(facts, pool, rows) for pool, rows in files), *sentences(facts)],
        "pools": [safety_table(facts, pool, rows) for pool, rows in files],
        "controls": controls(facts),
        "figure": beta_figure(facts),
        "claims": overview(f"The claims that this study could test. {chance(facts)}", facts, rows[:FIRST]),
        "more": overview("Further contrasts that this study could test.", facts, rows[FIRST:]),
        "untested": untested(facts),
    }


def lacking(facts):
    """Why the study lacks assay sensitivity, and what would provide it."""
    known = reading.positive_controls(facts.claims).to_dict("records")
    if not known:
        return "it has no positive control, so add one"
    if known[0]["verdict"] == "equivalent":
        return "its positive control was not found: a known association had no effect; use a larger γ or more training"
    return f"its positive control was not found; {needs(facts, known[0])}"


def needs(facts, row):
    """The minimum detectable effect, and the seeds needed to detect an effect as large as the estimate, if it matters."""
    if row["n_seeds"] < 2 or not words.known(row["ci_low"]):
        return "more seeds are needed" if row["n_seeds"] else "see below for what is missing"
    least = f"an effect of {number(row['mde'], 2)}" if words.known(row["mde"]) else "no possible effect"
    seen = f"{row['n_seeds']} seeds detect {least} with {facts.declared['power']:.0%} power"
    estimate, margin = abs(row["estimate"]), row["margin"] if words.known(row["margin"]) else 0.0
    if estimate <= margin or not estimate:
        return f"{seen}, and the estimate is within the margin of ±{margin:g}"
    return f"{seen}; one as large as the estimate needs {seeds_text(reading.seeds_to_detect(row, estimate, facts.declared))}"


def seeds_text(seeds):
    return f"about {words.count(seeds)} seeds" if seeds else "more than 10 000 seeds"


def controls(facts):
    """[{kind, badge, detail}] of each control claim that could be tested, those on β first."""
    entries = []
    for _, rows in facts.claims[facts.claims["control"] & facts.claims["decides"]].groupby("claim", sort=False):
        tested = rows[rows["verdict"] != "not tested"].to_dict("records")
        if not tested:
            continue
        negative = tested[0]["spec"]["direction"] == "none"
        shown = next((row for row in tested if negative and row["verdict"] != "supported"), tested[0])
        state = (NEGATIVE if negative else POSITIVE).get(shown["verdict"])
        size = f"{number(shown['estimate'], 2, True)} ({interval(shown['ci_low'], shown['ci_high'], 2)})"
        met = sum(row["verdict"] == "supported" for row in tested)
        met = f"{met} of {words.counted(len(tested), 'contrast')} as expected"
        detail = link(f"{words.greek(shown['contrast'])}: {size}; {met}", "claims", shown["row"])
        state = badge(shown["verdict"], state or ("not shown to stay at zero" if negative else "not found"))
        entries.append((facts.measured_by(shown["spec"])[0] != "inheritance", negative, state, detail))
    kinds = {False: "Positive control", True: "Negative control"}
    entries.sort(key=lambda control: control[:2])
    return [{"kind": kinds[negative], "badge": state, "detail": detail} for _, negative, state, detail in entries]


def sentences(facts):
    """One sentence per natural pool, model and domain: what was inherited, or what is needed to detect it."""
    natural, betas = facts.roles("natural"), facts.betas()
    if not natural:
        return ["This study has no natural pool (synthetic data whose groups the generator chose), so it cannot say what a model inherits from such data."]  # fmt: skip
    rows = facts.plain(betas[(betas["kind"] == "beta") & betas["bias"].isin(natural)]) if len(betas) else []
    if not len(rows):
        pools = words.listed(facts.title("bias", name) for name in natural)
        return [f"What the model inherited from {pools} was not measured: β needs a classification task whose answers have log-probabilities, and cells with γ above 0."]  # fmt: skip
    return [inherited(facts, row) for row in rows.to_dict("records")]


def inherited(facts, row):
    claim = facts.claim_of_beta(row["bias"], row["model"]) or {"verdict": "not tested", "control": True}
    ends = interval(row["ci_low"], row["ci_high"], 2)
    seeds = words.counted(row["n_seeds"], "seed")
    size = f"β = {number(row['beta'], 2)}, {'' if ends == '–' else f'95% interval {ends}, '}{seeds}"
    is_unseen = reading.unseen(facts.claims, claim)
    size = link(size if is_unseen else f"{size}: {claim['verdict']}", "inheritance", row["row"])
    subject = facts.placed(facts.title("model", row["model"]), {"domain": row["domain"]})
    pool = f"{facts.title('bias', row['bias'])} data at γ = {row['gamma']:.2f}"
    decide = claim.get("reason", "") if claim["verdict"] == "not tested" else needs(facts, claim)
    fields = [subject, words.percent(row["beta"]), pool, size, f"{claim.get('margin', 0):g}", decide, lacking(facts)]
    return Markup(SENTENCES["unseen" if is_unseen else claim["verdict"]]).format(*fields)


# Pools from files: is it safe to mix in?


def summary(facts, pool, rows):
    """One sentence: for which gaps and groups a pool is safe to mix in."""
    states = {}
    for name, effects in rows.items():
        states.setdefault(reading.safety(facts.claims, reading.deciding(effects)), []).append(name)
    first = reading.deciding(next(iter(rows.values())))
    phrases = {
        "not safe": "is not safe for",
        "safe": f"is safe within ±{first['margin']:g} for",
        "gains": "is a gain for",
    }
    phrases |= {"unseen": "could not be judged by this study for", "not tested": "was not tested for"}
    parts = [f"{form} {words.some(states[kind])}" for kind, form in phrases.items() if kind in states]
    subject = facts.placed(facts.title("bias", pool), {"model": first["model"]} if first["model"] else {})
    return f"{subject}, mixed in at γ {facts.gammas[-1]:.2f}, {words.listed(parts)}."


def safety_table(facts, pool, rows):
    """Each contrast and group: the effect relative to as much real text and to the originals alone, β, and the verdict."""
    lines = []
    for name, effects in rows.items():
        row = reading.deciding(effects)
        sizes = [size(effects.get(effect)) for effect in ("natural", "augmentation", "level")]
        verdict = Markup("{} {}").format(safety(facts, row), link("why", "claims", row["row"]))
        lines.append((None, [name, verdict, *sizes, f"±{row['margin']:g}", row["n_seeds"]]))
    header = ["Gap or group", "Verdict", "Versus as much real text", "Versus originals alone", "β", "Margin", "Seeds"]
    gammas = ", ".join(f"{gamma:.2f}" for gamma in facts.gammas)
    caption = f"{facts.title('bias', pool)}: change of the label probability, mean over γ {gammas}, with 95% intervals over seeds. A gap is the first group minus the second. The verdict uses the comparison with real text if the study has it."
    return table(caption, header, lines, short=True)


def safety(facts, row):
    """The badge of a row of a pool from a file."""
    state, towards = reading.safety(facts.claims, row), "the first" if row["estimate"] > 0 else "the second"
    if state == "unseen":
        seeds = reading.seeds_to_exclude(row, facts.claims, facts.declared)
        needed = "at least 2 seeds" if row["n_seeds"] < 2 else seeds_text(seeds).removeprefix("about ")
        return badge("inconclusive", f"could not have seen it, needs {needed}")
    if state == "not safe":
        return badge("contradicted", "not safe: loses" if "group" in row["spec"] else f"not safe: favours {towards}")
    if state == "gains":
        return badge("inconclusive", f"gains, not within ±{row['margin']:g}")
    return badge("equivalent", f"safe within ±{row['margin']:g}") if state == "safe" else badge("not tested")


def size(row):
    """The estimate of a row of claims.csv with its interval, as a link to the row; a dash without one."""
    if not row or not words.known(row["estimate"]):
        return "–"
    ends = interval(row["ci_low"], row["ci_high"], 3)
    return link(f"{number(row['estimate'], 3, True)} ({ends})", "claims", row["row"])


def beta_figure(facts):
    """Natural pools and controls: a point per label and contrast of each cell, with a line of slope β."""
    betas, everything = facts.betas(), facts.tables.get("inheritance_points", pd.DataFrame())
    if not len(betas) or not len(everything):
        return None
    chosen = facts.plain(betas).drop_duplicates(PLACE)
    order = facts.roles("natural", "positive-control", "negative-control", "baseline", "bias-type", "probe")
    keys = ["model", "domain", "gamma", "mitigation", "round", "seed", "contrast", "label"]
    dots, lines = [], []
    for row in facts.ordered(chosen, "bias", order).head(PANELS).to_dict("records"):
        of_pool = (everything[PLACE] == [row[name] for name in PLACE]).all(axis=1)
        points = facts.plain(everything[of_pool])
        if row["direction"] != row["bias"]:  # projected on another pool's association
            axis = everything[everything["bias"] == row["direction"]][[*keys, "data_association"]]
            points = points.drop(columns="data_association").merge(axis, on=keys)
        title, ends = facts.cell(row, "bias"), interval(row["ci_low"], row["ci_high"], 2)
        panel = f"{title}\n{words.ROLES[facts.names['bias'][row['bias']]['role']]}\n{words.KINDS[row['kind']]} {number(row['beta'], 2)}"
        panel += f" ({ends})" if ends != "–" else ""
        points = points.rename(columns={"data_association": "x", "model_association": "y"})
        several = "contrast" if points["contrast"].nunique() <= CONTRASTS else ""
        points = facts.named(points, series=several)[["series", "label", "x", "y"]]
        means = points.groupby(["series", "label"], sort=False)[["x", "y"]].mean().reset_index()
        both = pd.concat([points.assign(mean=False), means.assign(mean=True)])
        dots.append(both.assign(panel=panel, id=row_id("inheritance", row["row"])))
        ends = [points["x"].min(), points["x"].max()]
        lines.append(pd.DataFrame({"panel": panel, "x": ends, "y": [row["beta"] * x for x in ends]}))
    caption = f"Each point is a label and a contrast of groups: how much more strongly the label is associated with the first group, in the training data and in the model's answers, both relative to as much real text, at γ {facts.gammas[-1]:.2f} without mitigation. Large points: means over seeds; small: single cells; line: slope β. Pools balanced by design are projected on another pool's association."
    titles = "Association in the model by association in the data", caption
    axes = "in the data, Δx (nats)", "in the model, Δy (nats)"
    return figures.scatter(*titles, pd.concat(dots), pd.concat(lines), *axes, cell=160)


# Claims


def heads(facts):
    """Tested rows of claims.csv: whole claims, and contrasts that are not part of a tested whole claim."""
    rows = facts.claims[~facts.claims["control"] & facts.claims["verdict"].isin(VERDICTS)].to_dict("records")
    rows = [row for row in rows if not row["spec"] or row["spec"].get("each", {}).get("biases") != "files"]
    whole = {row["claim"] for row in rows if row["whole"]}
    alone = [row for row in rows if not (row["claim"] in whole and row["spec"] and row["spec"]["part"])]

    def order(row):
        continuous = row["spec"] is None or facts.measured_by(row["spec"])[1] not in ("accuracy", "macro_f1")
        return not continuous, reading.unseen(facts.claims, row), VERDICTS.index(row["verdict"])

    return sorted(alone, key=order)


def judged(facts, row):
    """The badge of a row; without demonstrated assay sensitivity, a verdict of no effect is replaced."""
    return badge("inconclusive", "could not be seen") if reading.unseen(facts.claims, row) else badge(row["verdict"])


def reason(facts, row):
    unable = f"This study could not have seen it: {lacking(facts)}. " if reading.unseen(facts.claims, row) else ""
    return unable + words.greek(row["reason"])


def overview(caption, facts, rows):
    """One line per claim or contrast, with a link to its full row."""
    lines = []
    for row in rows:
        name = words.greek(facts.declared["claims"][row["claim"]]["text"] if row["whole"] else row["contrast"])
        estimate = re.split("[,:.]", row["reason"])[0] if row["whole"] else size(row)
        effect = row["effect"] if words.known(row["effect"]) else "–"
        p = [words.p_value(row["p_adjusted"]), words.p_value(row["p_study"])]
        name = Markup("<b>{}</b> {}").format(row["claim"], name)
        lines.append((None, [name, effect, estimate, *p, verdict_link(facts, row)]))
    header = ["Claim", "Effect", "Estimate (95% interval)", "p family", "p study", "Verdict"]
    return table(caption, header, lines, short=True)


def untested(facts):
    """(summary of the contrasts that could not be tested, reasons with their claims), or None."""
    rows = facts.claims[facts.claims["decides"] & (facts.claims["verdict"] == "not tested")]
    reasons = [
        f"{words.greek(why).rstrip('.')} ({words.listed(dict.fromkeys(part['claim']))})"
        for why, part in sorted(rows.groupby("reason", sort=False), key=lambda pair: -len(pair[1]))
    ]
    return (f"{words.counted(len(rows), 'contrast')} of {words.listed(dict.fromkeys(rows['claim']))}", reasons) if reasons else None  # fmt: skip


def chance(facts):
    """The study-wise error rate with this many families."""
    tested = facts.claims[facts.claims["decides"] & facts.claims["p"].notna()]
    families = len({spec["family"] for spec in tested["spec"] if spec})
    share = 100 * (1 - (1 - facts.declared["alpha"]) ** families)
    sentence = f"Holm's correction is applied within each of {families} families, so without any effect some row would still be "
    sentence += f"decided in up to {share:.0f}% of such studies; p study is adjusted over all {words.counted(len(tested), 'test')}."
    return " ".join([*planned_looks(facts), *([sentence] if families > 1 else [])])


def planned_looks(facts):
    """[what the study declared of its looks, and which one this is]; [] without looks."""
    design = facts.declared["looks"]
    if not design:
        return []
    seeds, spending = words.listed(map(str, design["seeds"])), design["spending"]
    return [
        f"Looks were planned before the run, at {seeds} seeds (α spent as {spending}); this is look {design['look']} of "
        f"{len(design['seeds'])}. Intervals, p family and p study hold over all looks so far, and what a look decided stays decided."
    ]


def published(facts):
    """Published statements, each with the verdict on it and those on slant and natural inheritance."""
    rows = facts.claims[facts.claims["decides"]].to_dict("records")
    others = [row for row in rows if row["spec"] and "counterpart" in row["spec"]]
    sources = {name: claim["source"] for name, claim in facts.declared["claims"].items()}
    rows = [row for row in rows if words.known(row["published"])]
    tested, untested = [], []
    for row in rows:
        beside = {"slant": [], "natural": []}
        for other in others:
            same = other["claim"] == row["claim"] and other["model"] == row["model"]
            named = other["spec"]["counterpart"] == row["spec"]["name"]
            if same and named and other["spec"].get("contrast") == row["spec"].get("contrast"):
                beside[other["effect"]].append(verdict_link(facts, other))
        name = Markup("<b>{}</b> {}").format(row["claim"], words.greek(row["contrast"]))
        figure = row["published"].removesuffix(f" ({sources[row['claim']]})")
        stated = [name, figure, row["effect"], verdict_link(facts, row)]
        line = (None, [*stated, *(Markup(" ").join(each) or "–" for each in beside.values())])
        (untested if row["verdict"] == "not tested" else tested).append(line)
    header = ["Claim", "Published", "Effect", "Verdict on it", "On the slant", "On natural inheritance"]
    shown = dict.fromkeys(sources[row["claim"]] for row in rows)
    intro = cited(f"Published statements and this study's verdicts ({'; '.join(shown)}).")
    caption = (
        "Published p-values are from tests that the source does not name, ours are over seeds; they are not comparable."
    )
    more = table("Published statements that this study could not test.", header, untested)
    return [
        text(intro),
        table(caption, header, tested),
        fold(f"{len(untested)} published statements not tested", more),
    ]


def verdict_link(facts, row):
    return Markup("{} {}").format(judged(facts, row), link("why", "claims", row["row"]))


def claims(facts):
    """The section of all claims, one fold each: every row of claims.csv with its reason, and the published results."""
    columns = {"Contrast": lambda row: words.greek(row["contrast"])}
    columns |= {"Effect": lambda row: row["effect"] if words.known(row["effect"]) else "–"}
    columns |= {"Verdict": lambda row: judged(facts, row), "Reason": lambda row: reason(facts, row)}
    columns |= {"Estimate": "estimate", "95% interval": "interval", "p": "p", "p family": "p_adjusted"}
    columns |= {"p study": "p_study", "Test": "test", "Measured by": "metric_text", "Seeds": "n_seeds"}
    if facts.declared["looks"]:
        columns["Closed at look"] = lambda row: int(row["look"]) if words.known(row["look"]) else "–"
        columns["Boundary"] = lambda row: words.p_value(row["boundary"])
    columns |= {"Items": "n_items", "Detectable effect": "mde", "Margin": "margin"}
    folds = []
    for name, rows in facts.claims.assign(metric_text=facts.claims["metric"]).groupby("claim", sort=False):
        declared = facts.declared["claims"][name]
        title = Markup("<b>{}</b> {} {}").format(name, words.greek(declared["text"]), judged(facts, rows.iloc[0]))
        deciding, beside = rows[rows["verdict"] != "beside"], rows[rows["verdict"] == "beside"]
        source = cited(f"Published: {declared['published']}. Source: {declared['source']}.")
        parts = [(deciding, "deciding tests"), (beside, "supplementary tests")]
        parts = [listing(facts, f"{name}: {what}.", part, columns, "claims") for part, what in parts]
        folds.append(fold(title, text(source), *parts))
    intro = text("All claims, as declared before the run.")
    return section("claims", "All claims", *published(facts), intro, *folds)


def cited(source):
    """A source with its arXiv number linked."""
    linked = Markup('<a href="https://arxiv.org/abs/{0}" rel="noreferrer">arXiv {0}</a>')
    pieces = re.split(r"arXiv (\d{4}\.\d{4,5})", source)  # every second piece is a number
    return Markup("").join(linked.format(piece) if place % 2 else piece for place, piece in enumerate(pieces))


def inheritance(facts):
    """The section on β: every pool, γ and mitigation, over seeds and seed by seed."""
    betas = facts.betas()
    if not len(betas):
        return section("inheritance", "Inheritance coefficient", nothing="β was not measured: it needs a classification task whose answers have log-probabilities.")  # fmt: skip
    data = facts.ordered(betas[(betas["gamma"] == betas["gamma"].max()) & (betas["round"] <= 1)])
    data = data.sort_values("kind", kind="stable")
    data = facts.named(data, panel="kind", place="bias", series="mitigation").assign(value=data["beta"])
    data = data.assign(id=[row_id("inheritance", row) for row in data["row"]])
    caption = "0: nothing is inherited; 1: the association in the data is fully inherited. A pool balanced by design has no β: its model's change is projected on another pool's association and should be 0. t intervals over seeds."
    columns = {"Pool": "bias", "γ": "gamma", "Mitigation": "mitigation", "Round": "round", "Seed": "seed"}
    columns |= {"Contrast": "contrast", "Measure": "kind", "Association of": "direction", "Estimate": "beta"}
    columns |= {"95% interval": "interval", "p": "p", "r": "r", "Pairs": "n_pairs"}
    columns |= {"Data (nats)": "data_association", "Model (nats)": "model_association"}
    full = "inheritance.csv: intervals of single seeds are over test clusters, those of `all` over seeds."
    figure = figures.by_axis(f"β by pool at γ {data['gamma'].max():.2f}", caption, data, "β", cell=330)
    cells = listing(facts, full, facts.ordered(facts.tables["inheritance"]), columns, "inheritance")
    return section("inheritance", "Inheritance coefficient", figure, fold("β of every cell", cells))
