"""The first screen: could the study have seen an effect, what did the model inherit, and which claims could be tested."""

import math
import re

import pandas as pd
from markupsafe import Markup

from bias_inheritance.report import figures, words
from bias_inheritance.report.parts import badge, fold, link, listing, row_id, section, table, text
from bias_inheritance.report.words import interval, number
from bias_inheritance.stats import statistics

PLACE = ["model", "domain", "bias"]
FIRST = 6  # rows of claims on the first screen; the others are in the fold below them
PANELS = 6  # of the figure of β
VERDICTS = ["supported", "contradicted", "equivalent", "inconclusive"]
POSITIVE = {"supported": "found", "contradicted": "reversed"}
NEGATIVE = {"supported": "stayed at zero", "contradicted": "moved"}
# what is said of a natural pool by the verdict on its β; subject, pool and γ, β with its interval, what would decide
SENTENCES = {
    "supported": "{0} inherited about {1} of the association between group and label in the {2} ({3}).",
    "contradicted": "{0} moved against the association between group and label in the {2} ({3}).",
    "equivalent": "{0} inherited none of the association between group and label in the {2}, within the margin of ±{4} ({3}).",
    "inconclusive": "It stays open whether {0} inherits the association between group and label in the {2} ({3}); {5}.",
    "unseen": "This study could not have seen what {0} inherits from the {2} ({3}): {6}.",
    "not tested": "{0} and the {2}: {3}. {5}",
}


def answer(facts):
    """{sentences, controls, figure, claims, more, untested} of the first screen."""
    rows = heads(facts)
    return {
        "sentences": sentences(facts),
        "controls": controls(facts),
        "figure": beta_figure(facts),
        "claims": overview(f"The claims that this study could test. {chance(facts)}", facts, rows[:FIRST]),
        "more": overview("Further contrasts that this study could test.", facts, rows[FIRST:]),
        "untested": untested(facts),
    }


# Assay sensitivity: a verdict of no effect counts only where a known effect was found


def positive_controls(facts):
    """The tested rows of claims.csv on known effects that must be found, the first of each claim and outcome."""
    rows = facts.claims[facts.claims["positive"] & (facts.claims["verdict"] != "not tested")]
    return rows.drop_duplicates(["claim", "metric"])


def unseen(facts, row):
    """Whether a row says that there is no effect, or none found, in a study that was not shown to see one.

    A known effect must have been found on the row's own outcome where the study has a control of it, else on any.
    """
    if row["control"] or row["verdict"] not in ("equivalent", "inconclusive"):
        return False
    known = positive_controls(facts)
    same = known[known["metric"] == row["metric"]]
    return not (same if len(same) else known)["verdict"].eq("supported").any()


def lacking(facts):
    """Why the study could not have seen an effect, and what would."""
    known = positive_controls(facts).to_dict("records")
    if not known:
        return "it has no positive control, so add one"
    if known[0]["verdict"] == "equivalent":
        return "its positive control was not found, since a known association left no trace; a larger γ or more training would leave one"
    return f"its positive control was not found; {needs(facts, known[0])}"


def needs(facts, row):
    """What would decide a row: the seeds that detect an effect of its margin (or estimate), as its seeds vary."""
    from scipy.stats import t

    effect = row["margin"] if words.known(row["margin"]) else abs(row["estimate"])
    if row["n_seeds"] < 2 or not words.known(row["ci_low"]) or not effect:
        return "more seeds would tell" if row["n_seeds"] else "it needs what is missing below"
    alpha, power = facts.declared["alpha"], facts.declared["power"]
    half = max(row["ci_high"] - row["estimate"], row["estimate"] - row["ci_low"])
    sd = half / t.isf(alpha / 2, row["n_seeds"] - 1) * math.sqrt(row["n_seeds"])
    seeds = statistics.seeds_needed(lambda n: statistics.power_of(effect, sd, n, alpha) >= power)
    enough = f"about {words.count(seeds)} seeds" if seeds else "more than 10 000 seeds"
    return f"{enough}, fewer with more test items or a larger γ, would detect an effect of {number(effect)}"


def controls(facts):
    """[{kind, badge, detail}]: each control claim that could be tested, those of β first."""
    found = []
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
        detail = f"{words.greek(shown['contrast'])}: {size}; {met}"
        found.append(
            {
                "kind": f"{'Negative' if negative else 'Positive'} control",
                "badge": badge(shown["verdict"], state or ("not shown to stay at zero" if negative else "not found")),
                "detail": link(detail, "claims", shown["row"]),
                "order": (facts.measured_by(shown["spec"])[0] != "inheritance", negative),
            }
        )
    return sorted(found, key=lambda control: control["order"])


def sentences(facts):
    """One sentence per natural pool, model and domain: what was inherited, or what would have shown it."""
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
    size = f"β = {number(row['beta'], 2)}, {'' if ends == '–' else f'95% interval {ends}, '}{seeds}: {claim['verdict']}"
    is_unseen = unseen(facts, claim)
    size = link(size if not is_unseen else size.rpartition(":")[0], "inheritance", row["row"])
    subject = facts.placed(facts.title("model", row["model"]), {"domain": row["domain"]})
    return Markup(SENTENCES["unseen" if is_unseen else claim["verdict"]]).format(
        subject,
        words.percent(row["beta"]),
        f"{facts.title('bias', row['bias'])} data at γ = {row['gamma']:.2f}",
        size,
        f"{claim.get('margin', 0):g}",
        claim.get("reason", "") if claim["verdict"] == "not tested" else needs(facts, claim),
        lacking(facts),
    )


def beta_figure(facts):
    """Natural pools beside the controls: a point per label and contrast of each cell, with the line of the mean β."""
    betas, everything = facts.betas(), facts.tables.get("inheritance_points", pd.DataFrame())
    if not len(betas) or not len(everything):
        return None
    chosen = facts.plain(betas).drop_duplicates(PLACE)
    order = facts.roles("natural", "positive-control", "negative-control", "baseline", "bias-type")
    keys = ["model", "domain", "gamma", "mitigation", "round", "seed", "contrast", "label"]
    dots, lines = [], []
    for row in facts.ordered(chosen, "bias", order).head(PANELS).to_dict("records"):
        here = (everything[PLACE] == [row[name] for name in PLACE]).all(axis=1)
        own = facts.plain(everything[here])
        if row["direction"] != row["bias"]:  # projected on the association of another pool
            axis = everything[everything["bias"] == row["direction"]][[*keys, "data_association"]]
            own = own.drop(columns="data_association").merge(axis, on=keys)
        title, ends = facts.cell(row, "bias"), interval(row["ci_low"], row["ci_high"], 2)
        panel = f"{title}\n{words.ROLES[facts.names['bias'][row['bias']]['role']]}\n{words.KINDS[row['kind']]} {number(row['beta'], 2)}"
        panel += f" ({ends})" if ends != "–" else ""
        own = own.rename(columns={"data_association": "x", "model_association": "y"})
        own = facts.named(own, series="contrast")[["series", "label", "x", "y"]]
        means = own.groupby(["series", "label"], sort=False)[["x", "y"]].mean().reset_index()
        both = pd.concat([own.assign(mean=False), means.assign(mean=True)])
        dots.append(both.assign(panel=panel, id=row_id("inheritance", row["row"])))
        ends = [own["x"].min(), own["x"].max()]
        lines.append(pd.DataFrame({"panel": panel, "x": ends, "y": [row["beta"] * x for x in ends]}))
    caption = f"A point is a label and a contrast of groups: how much more the label goes with the first group, in the training data and in the model's answers, both minus as much real text, at γ {facts.gammas[-1]:.2f} without mitigation. Large points: means over seeds; small: single cells; line: slope β. Pools balanced by design are projected on another pool's association."
    titles = "Association in the data against association in the model", caption
    axes = "in the data, Δx (nats)", "in the model, Δy (nats)"
    return figures.scatter(*titles, pd.concat(dots), pd.concat(lines), *axes, cell=160)


# Claims


def heads(facts):
    """Tested rows of claims.csv that stand for themselves: whole claims, and contrasts that are no part of a tested one."""
    rows = facts.claims[~facts.claims["control"] & facts.claims["verdict"].isin(VERDICTS)].to_dict("records")
    whole = {row["claim"] for row in rows if row["test"] == "all parts"}
    alone = [row for row in rows if not (row["claim"] in whole and row["spec"] and row["spec"]["part"])]

    def order(row):
        continuous = row["spec"] is None or facts.measured_by(row["spec"])[1] not in ("accuracy", "macro_f1")
        return not continuous, unseen(facts, row), VERDICTS.index(row["verdict"])

    return sorted(alone, key=order)


def judged(facts, row):
    """The badge of a row as the report reads it: where no known effect was found, none could have been seen."""
    return badge("inconclusive", "could not be seen") if unseen(facts, row) else badge(row["verdict"])


def reason(facts, row):
    unable = f"This study could not have seen it: {lacking(facts)}. " if unseen(facts, row) else ""
    return unable + words.greek(row["reason"])


def overview(caption, facts, rows):
    """One line per claim or contrast, which leads to its full row."""
    lines = []
    for row in rows:
        whole = row["test"] == "all parts"
        name = words.greek(facts.declared["claims"][row["claim"]]["text"] if whole else row["contrast"])
        size = f"{number(row['estimate'], 3, True)} ({interval(row['ci_low'], row['ci_high'])})"
        size = row["reason"].split(",")[0].rstrip(".") if whole else size if words.known(row["estimate"]) else "–"
        effect = row["effect"] if words.known(row["effect"]) else "–"
        verdict = Markup("{} {}").format(judged(facts, row), link("why", "claims", row["row"]))
        p = [words.p_value(row["p_adjusted"]), words.p_value(row["p_study"])]
        lines.append((None, [Markup("<b>{}</b> {}").format(row["claim"], name), effect, size, *p, verdict]))
    return table(
        caption, ["Claim", "Effect", "Estimate (95% interval)", "p family", "p study", "Verdict"], lines, short=True
    )


def untested(facts):
    """(which contrasts could not be tested, their reasons with the claims), or None."""
    rows = facts.claims[facts.claims["decides"] & (facts.claims["verdict"] == "not tested")]
    reasons = [
        f"{words.greek(why).rstrip('.')} ({words.listed(dict.fromkeys(part['claim']))})"
        for why, part in sorted(rows.groupby("reason", sort=False), key=lambda pair: -len(pair[1]))
    ]
    return (f"{words.counted(len(rows), 'contrast')} of {words.listed(dict.fromkeys(rows['claim']))}", reasons) if reasons else None  # fmt: skip


def chance(facts):
    """What is expected of this many families where nothing has an effect."""
    tested = facts.claims[facts.claims["decides"] & facts.claims["p"].notna()]
    families = len({spec["family"] for spec in tested["spec"] if spec})
    share = 100 * (1 - (1 - facts.declared["alpha"]) ** families)
    return (
        f"Holm's correction is applied within each of {families} families, so without any effect some row would still be "
        f"decided in up to {share:.0f}% of such studies; p study is adjusted over all {words.counted(len(tested), 'test')}."
        if families > 1
        else ""
    )


def claims(facts):
    """The section of all claims, one fold each: every row of claims.csv with its reason, and what was published."""
    columns = {"Contrast": lambda row: words.greek(row["contrast"]), "Effect": lambda row: row["effect"] if words.known(row["effect"]) else "–"}  # fmt: skip
    columns |= {"Verdict": lambda row: judged(facts, row), "Reason": lambda row: reason(facts, row)}
    columns |= {
        "Estimate": "estimate",
        "95% interval": "interval",
        "p": "p",
        "p family": "p_adjusted",
        "p study": "p_study",
    }
    columns |= {"Test": "test", "Measured by": "metric_text", "Seeds": "n_seeds", "Items": "n_items"}
    columns |= {"Detectable effect": "mde", "Margin": "margin"}
    folds = []
    for name, rows in facts.claims.assign(metric_text=facts.claims["metric"]).groupby("claim", sort=False):
        declared = facts.declared["claims"][name]
        title = Markup("<b>{}</b> {} {}").format(name, words.greek(declared["text"]), judged(facts, rows.iloc[0]))
        deciding, beside = rows[rows["verdict"] != "beside"], rows[rows["verdict"] == "beside"]
        published = cited(f"Published: {declared['published']}. Source: {declared['source']}.")
        folds.append(
            fold(
                title,
                text(published),
                listing(facts, f"{name}: what decides.", deciding, columns, "claims"),
                listing(facts, f"{name}: what stands beside and decides nothing.", beside, columns, "claims"),
            )
        )
    return section(
        "claims", "All claims", text("Every claim as declared before the run, with what was published."), *folds
    )


def cited(said):
    """A source with its arXiv number as a link."""
    linked = Markup('<a href="https://arxiv.org/abs/{0}" rel="noreferrer">arXiv {0}</a>')
    pieces = re.split(r"arXiv (\d{4}\.\d{4,5})", said)  # every second piece is a number
    return Markup("").join(linked.format(piece) if place % 2 else piece for place, piece in enumerate(pieces))


def inheritance(facts):
    """The section on β: every pool, γ and mitigation, over seeds and seed by seed."""
    betas = facts.betas()
    if not len(betas):
        return section("inheritance", "Inheritance coefficient", nothing="β was not measured: it needs a classification task whose answers have log-probabilities.")  # fmt: skip
    data = facts.ordered(betas[(betas["gamma"] == betas["gamma"].max()) & (betas["round"] <= 1)]).sort_values(
        "kind", kind="stable"
    )
    data = facts.named(data, panel="kind", place="bias", series="mitigation").assign(value=data["beta"])
    data = data.assign(id=[row_id("inheritance", row) for row in data["row"]])
    caption = "0: nothing is inherited; 1: the association in the data is taken over whole. A pool that is balanced by design has no β: the change of its model is projected on the association of another pool and must stay at 0. t intervals over seeds."
    columns = {
        "Pool": "bias",
        "γ": "gamma",
        "Mitigation": "mitigation",
        "Round": "round",
        "Seed": "seed",
        "Contrast": "contrast",
    }
    columns |= {
        "Measure": "kind",
        "Association of": "direction",
        "Estimate": "beta",
        "95% interval": "interval",
        "p": "p",
    }
    columns |= {"r": "r", "Pairs": "n_pairs", "Data (nats)": "data_association", "Model (nats)": "model_association"}
    full = "inheritance.csv: the interval of one seed is over test clusters, that of `all` over seeds."
    return section(
        "inheritance",
        "Inheritance coefficient",
        figures.by_axis(f"β by pool at γ {data['gamma'].max():.2f}", caption, data, "β", cell=330),
        fold(
            "β of every cell", listing(facts, full, facts.ordered(facts.tables["inheritance"]), columns, "inheritance")
        ),
    )
