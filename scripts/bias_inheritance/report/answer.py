"""The first screen: could the study have seen an effect, what did the model inherit, and which claims could be tested."""

import math
import re

from markupsafe import Markup

from bias_inheritance import statistics
from bias_inheritance.report import figures, parts, words
from bias_inheritance.report.facts import ALL
from bias_inheritance.report.words import interval, number

FIRST = 8  # rows of claims on the first screen; the others are in the fold below them
UNSEEN = "could not be seen"
PANELS = 6  # of the figure of β
NEGATIVE = {"supported": "stayed at zero", "contradicted": "moved", "inconclusive": "not shown to stay at zero"}


def answer(facts):
    """{sentences, controls, figure, claims, more, untested, chance} of the first screen."""
    rows = heads(facts)
    return {
        "sentences": sentences(facts),
        "controls": controls(facts),
        "figure": beta_figure(facts),
        "claims": claims_table("The claims that this study could test.", facts, rows[:FIRST]),
        "more": claims_table("Further contrasts that this study could test.", facts, rows[FIRST:]),
        "untested": untested(facts),
        "chance": chance(facts),
    }


# Assay sensitivity: a verdict of no effect counts only where a known effect was found


def positive_controls(facts):
    """The tested rows of claims.csv on known effects that must be found, the first of each claim and outcome."""
    rows = facts.claims[facts.claims["control"] & facts.claims["decides"] & (facts.claims["verdict"] != "not tested")]
    rows = rows[[spec is not None and spec["direction"] != "none" for spec in rows["spec"]]]
    return rows.drop_duplicates(["claim", "metric"])


def sensitive(facts, row):
    """Whether a known effect was found: on the row's own outcome where the study has a control of it, else on any."""
    known_effects = positive_controls(facts)
    same = known_effects[known_effects["metric"] == row["metric"]]
    return bool((same if len(same) else known_effects)["verdict"].eq("supported").any())


def unseen(facts, row):
    """Whether a row says that there is no effect, or none found, in a study that was not shown to see one."""
    return row["verdict"] in ("equivalent", "inconclusive") and not row["control"] and not sensitive(facts, row)


def needs(row, alpha, power):
    """What would let a row be decided: the seeds that detect an effect of its margin, given how much its seeds vary."""
    if not all(words.known(row[key]) for key in ("ci_low", "ci_high", "margin")) or row["n_seeds"] < 2:
        return "two seeds or more would be needed to tell" if row["n_seeds"] < 2 else ""
    from scipy.stats import t

    half = max(row["ci_high"] - row["estimate"], row["estimate"] - row["ci_low"])
    sd = half / t.isf(alpha / 2, row["n_seeds"] - 1) * math.sqrt(row["n_seeds"])
    if not sd > 0:
        return ""
    seeds = statistics.seeds_needed(lambda n: statistics.power_of(row["margin"], sd, n, alpha) >= power)
    enough = f"about {words.count(seeds)} seeds" if seeds else "more than 10 000 seeds"
    return f"{enough}, or fewer with more test items or a larger γ, would detect an effect of {row['margin']:g}"


def controls(facts):
    """[{kind, verdict, state, text, detail, row}]: each control claim that could be tested, positive ones first."""
    found = []
    for claim, rows in facts.claims[facts.claims["control"]].groupby("claim", sort=False):
        tested = rows[rows["decides"] & (rows["verdict"] != "not tested")].to_dict("records")
        if not tested:
            continue
        negative = (tested[0]["spec"] or {}).get("direction") == "none"
        met = sum(row["verdict"] == "supported" for row in tested)
        worst = next((row for row in tested if row["verdict"] != "supported"), tested[0]) if negative else tested[0]
        state = (
            NEGATIVE.get(worst["verdict"], worst["verdict"])
            if negative
            else "found"
            if worst["verdict"] == "supported"
            else "not found"
        )
        ends = interval(worst["ci_low"], worst["ci_high"], 2)
        detail = f"{words.greek(worst['contrast'])}: {number(worst['estimate'], 2, True)} ({ends})"
        detail += f"; {met} of {len(tested)} contrasts as they must be" if len(tested) > 1 else ""
        found.append(
            {
                "kind": "Negative control" if negative else "Positive control",
                "badge": parts.badge(worst["verdict"], state),
                "text": words.greek(facts.declared["claims"][claim]["text"]),
                "detail": parts.link(detail, "claims", worst["row"]),
            }
        )
    return sorted(found, key=lambda control: control["kind"], reverse=True)


# The answer in a sentence


def sentences(facts):
    """One sentence per natural pool, model and domain: what was inherited, or what would have shown it."""
    betas, natural = facts.betas(), facts.roles("natural")
    if not natural:
        return ["This study has no natural pool (synthetic data whose groups the generator chose), so it cannot say what a model inherits from such data."]  # fmt: skip
    rows = betas[(betas["kind"] == "beta") & betas["bias"].isin(natural)] if betas is not None else None
    if rows is None or rows.empty:
        pools = words.listed(facts.title("bias", name) for name in natural)
        return [f"What the model inherited from {pools} was not measured: β needs a classification task whose answers have log-probabilities, and cells with γ above 0."]  # fmt: skip
    return [inherited(facts, row) for row in facts.plain(rows).to_dict("records")]


def inherited(facts, row):
    where = facts.place(row)
    subject = f"{where}: the model" if where else facts.title("model", row["model"])
    pool, claim = facts.title("bias", row["bias"]), facts.claim_of_beta(row["bias"])
    size = f"β = {number(row['beta'], 2)}"
    ends = interval(row["ci_low"], row["ci_high"], 2)
    size += f", 95% interval {ends}, " if ends != "–" else ", "
    size = parts.link(size + words.counted(row["n_seeds"], "seed"), "inheritance", row["row"])
    verdict = claim["verdict"] if claim else "not tested"
    alpha, power = facts.declared["alpha"], facts.declared["power"]
    shown = f"{pool} data at γ = {row['gamma']:.2f}"
    if claim and unseen(facts, claim):
        why = "its positive control was not found" if len(positive_controls(facts)) else "it has no positive control"
        hint = needs(claim, alpha, power)
        return Markup("This study could not have seen what {} inherits from {} ({}): {}{}.").format(
            subject, shown, size, why, f"; {hint}" if hint else ""
        )
    if verdict == "supported":
        share = f"{100 * row['beta']:.0f}%"
        return Markup("{} inherited about {} of the group–label association in the {} ({}): inheritance is supported.").format(subject, share, shown, size)  # fmt: skip
    if verdict == "equivalent":
        margin = f"±{claim['margin']:g}"
        return Markup("{} inherited none of the group–label association in the {}, within the margin of {} ({}).").format(subject, shown, margin, size)  # fmt: skip
    if verdict == "contradicted":
        return Markup("{} moved against the group–label association in the {} ({}): inheritance is contradicted.").format(subject, shown, size)  # fmt: skip
    hint = needs(claim, alpha, power) if claim else ""
    return Markup("It stays open whether {} inherits the group–label association in the {} ({}){}.").format(
        subject, shown, size, f"; {hint}" if hint else ""
    )


# The figure of β


def beta_figure(facts):
    """Natural pools beside the controls: a point per label and contrast of each cell, with the line of the mean β."""
    import pandas as pd

    betas, table = facts.betas(), facts.tables.get("inheritance_points")
    if betas is None or table is None or table.empty:
        return None
    chosen = facts.ordered(facts.plain(betas)).drop_duplicates(["model", "domain", "bias"])
    priority = {"natural": 0, "positive-control": 1, "negative-control": 2, "baseline": 2, "bias-type": 3}
    chosen = chosen.sort_values(
        "bias", key=lambda names: names.map(lambda n: priority[facts.names["bias"][n]["role"]]), kind="stable"
    )
    keys = ["model", "domain", "gamma", "mitigation", "round", "seed", "contrast", "label"]
    dots, lines = [], []
    for row in chosen.head(PANELS).to_dict("records"):
        own = table[(table[["model", "domain", "bias"]] == [row["model"], row["domain"], row["bias"]]).all(axis=1)]
        own = facts.plain(own)
        if row["direction"] != row["bias"]:  # projected on another pool's association
            axis = table[(table["bias"] == row["direction"])][[*keys, "data_association"]]
            own = own.drop(columns="data_association").merge(axis, on=keys)
        pool, ends = facts.placed(facts.title("bias", row["bias"]), row), interval(row["ci_low"], row["ci_high"], 2)
        what = "β" if row["kind"] == "beta" else "projection"
        panel = f"{pool} ({words.ROLES[facts.names['bias'][row['bias']]['role']]})\n{what} {number(row['beta'], 2)}"
        panel += f" ({ends})" if ends != "–" else ""
        named = {"panel": panel, "id": parts.row_id("inheritance", row["row"])}
        columns = {"data_association": "x", "model_association": "y"}
        own = own.rename(columns=columns).assign(series=own["contrast"].map(facts.contrasts(row["domain"])))
        means = own.groupby(["label", "series"], sort=False)[["x", "y"]].mean().reset_index()
        for part, mean in ((own[["label", "series", "x", "y"]], False), (means, True)):
            dots.append(part.assign(**named, mean=mean))
        ends = [own["x"].min(), own["x"].max()]
        lines.append(pd.DataFrame({"panel": panel, "x": ends, "y": [row["beta"] * x for x in ends]}))
    if not dots:
        return None
    gamma = facts.gammas[-1]
    return figures.scatter(
        "Association in the data against association in the model",
        f"Each point is a label and a contrast of groups: how much more the label goes with the first group, in the training data and in the model's answers, both minus as much real text without an association; γ {gamma:.2f}, no mitigation. Large points are means over seeds, small ones single cells; the line has the slope β. Balanced pools have no association of their own and are projected on that of another pool.",
        pd.concat(dots, ignore_index=True),
        pd.concat(lines, ignore_index=True),
        "association in the data, Δx (nats)",
        "in the model, Δy (nats)",
    )


# Claims


def heads(facts):
    """Tested rows of claims.csv that stand for themselves: whole claims, and contrasts that are no part of a tested one."""
    rows = facts.claims[~facts.claims["control"] & (facts.claims["verdict"] != "beside")]
    tested = rows[rows["verdict"] != "not tested"]
    whole = set(tested[tested["test"] == "all parts"]["claim"])
    alone = [
        row
        for row in tested.to_dict("records")
        if row["test"] == "all parts" or not (row["claim"] in whole and row["spec"] and row["spec"].get("part"))
    ]
    order = ["supported", "contradicted", "equivalent", "inconclusive"]
    return sorted(
        alone,
        key=lambda row: (
            row["spec"] is not None and not primary(facts, row),
            unseen(facts, row),
            order.index(row["verdict"]),
        ),
    )


def primary(facts, row):
    """Whether a row is of a continuous outcome, which moves with every answer."""
    return facts.measured_by(row["spec"])[1] not in ("accuracy", "macro_f1")


def reading(facts, row):
    """(badge, reason) as the report reads a row: without a positive control found, no effect seen is no effect ruled out."""
    if not unseen(facts, row):
        return parts.badge(row["verdict"]), words.greek(row["reason"])
    why = "The positive control was not found" if len(positive_controls(facts)) else "The study has no positive control"
    hint = needs(row, facts.declared["alpha"], facts.declared["power"]) if row["test"] != "all parts" else ""
    hint = f"; {hint}" if hint else ""
    return parts.badge(
        "inconclusive", UNSEEN
    ), f"{why}, so this study could not have seen it{hint}. {words.greek(row['reason'])}"


def claims_table(caption, facts, rows, link=True):
    """Rows of claims.csv as a table; with `link` each leads to its full row, else it is that row and has its id."""
    header = ["Claim", "Effect", "Estimate (95% interval)", "p", "p study", "Verdict"]
    shown = []
    for row in rows:
        badge, reason = reading(facts, row)
        whole = row["test"] == "all parts"
        name = words.greek(facts.declared["claims"][row["claim"]]["text"] if whole and link else row["contrast"])
        size = "–"
        if words.known(row["estimate"]):
            size = f"{number(row['estimate'], 3, True)} ({interval(row['ci_low'], row['ci_high'])})"
        first = Markup("<b>{}</b> {}").format(row["claim"], name)
        verdict = Markup("{} {}").format(badge, parts.link("why", "claims", row["row"])) if link else badge
        cells = [first, row["effect"] if words.known(row["effect"]) else "–", size, words.p_value(row["p_adjusted"]), words.p_value(row["p_study"]), verdict]  # fmt: skip
        if link:
            shown.append((None, cells))
            continue
        cells += [
            reason,
            row["metric"] if words.known(row["metric"]) else "–",
            row["test"],
            words.count(row["n_seeds"]),
        ]
        cells += [words.count(row["n_items"]), number(row["mde"]), number(row["margin"], 2), words.p_value(row["p"])]
        shown.append((parts.row_id("claims", row["row"]), cells))
    extra = ["Reason", "Measured by", "Test", "Seeds", "Items", "Detectable effect", "Margin", "p, unadjusted"]
    return parts.table(caption, header if link else header + extra, shown)


def untested(facts):
    """(how many contrasts of which claims could not be tested, {reason: claims}) or None."""
    rows = facts.claims[facts.claims["decides"] & (facts.claims["verdict"] == "not tested")]
    if rows.empty:
        return None
    names = words.listed(dict.fromkeys(rows["claim"]))
    reasons = [
        f"{words.greek(reason).rstrip('.')} ({words.listed(dict.fromkeys(part['claim']))})"
        for reason, part in sorted(rows.groupby("reason", sort=False), key=lambda pair: -len(pair[1]))
    ]
    return f"{words.counted(len(rows), 'contrast')} of {names}", reasons


def chance(facts):
    """What is expected of this many families where nothing has an effect."""
    tested = facts.claims[facts.claims["decides"] & facts.claims["p"].notna()]
    families = len({spec["family"] for spec in tested["spec"] if spec})
    if families < 2:
        return ""
    alpha = facts.declared["alpha"]
    return (
        f"p is adjusted (Holm) within each of {families} families of tests by itself. If nothing had an effect, some row would "
        f"still be decided by chance in up to {100 * (1 - (1 - alpha) ** families):.0f}% of studies with so many families; "
        f"p study is adjusted over all {words.counted(len(tested), 'test')} of the study."
    )


def claims(facts):
    """The section of all claims, one fold each: every row of claims.csv with its reason, and what was published."""
    folds = []
    for name, rows in facts.claims.groupby("claim", sort=False):
        declared, records = facts.declared["claims"][name], rows.to_dict("records")
        head = next((row for row in records if row["test"] == "all parts"), records[0])
        deciding = [row for row in records if row["verdict"] != "beside"]
        beside = [row for row in records if row["verdict"] == "beside"]
        source = cited(f"Published: {declared['published']}. Source: {declared['source']}.")
        title = Markup("<b>{}</b> {} {}").format(name, words.greek(declared["text"]), reading(facts, head)[0])
        folds.append(
            parts.fold(
                title,
                parts.text(source),
                claims_table(f"{name}: what decides.", facts, deciding, link=False),
                claims_table(f"{name}: what stands beside and decides nothing.", facts, beside, link=False),
            )
        )
    return parts.section(
        "claims",
        "All claims",
        parts.text("Every claim as it was declared before the run, with what was published."),
        *folds,
    )


def cited(text):
    """A source with its arXiv number as a link."""
    pieces = re.split(r"(arXiv \d{4}\.\d{4,5})", text)
    linked = [
        Markup('<a href="https://arxiv.org/abs/{}" rel="noreferrer">{}</a>').format(piece.split()[1], piece) if piece.startswith("arXiv ") else Markup.escape(piece)
        for piece in pieces
    ]  # fmt: skip
    return Markup("").join(linked)


def inheritance(facts):
    """The section on β: every pool, γ and mitigation, over seeds and seed by seed."""
    betas = facts.betas()
    if betas is None or betas.empty:
        return parts.section("inheritance", "Inheritance coefficient", nothing="β was not measured: it needs a classification task whose answers have log-probabilities.")  # fmt: skip
    data = betas.rename(columns={"beta": "value"})
    data = facts.ordered(data[data["round"] <= 1])
    data = data.assign(
        panel=[facts.placed("Inheritance coefficient β" if row["kind"] == "beta" else "Projection on another pool's association", row) for row in data.to_dict("records")],
        series=[facts.title("mitigation", name) for name in data["mitigation"]],
        place=[facts.title("bias", name) for name in data["bias"]],
        id=[parts.row_id("inheritance", row) for row in data["row"]],
    )  # fmt: skip
    largest = data[data["gamma"] == data["gamma"].max()]
    drawn = figures.by_axis(
        f"β by pool at γ {data['gamma'].max():.2f}",
        "0: nothing is inherited; 1: the association in the data is taken over whole. Pools that are balanced by design have no β; the change of their model is projected on the association of another pool and must stay at 0. t intervals over seeds.",
        largest.sort_values("kind", kind="stable"), "β", cell=330,
    )  # fmt: skip
    rows = []
    everything = facts.tables["inheritance"]
    for row in facts.ordered(everything).to_dict("records"):
        seed = "mean of seeds" if row["seed"] == ALL else f"seed {row['seed']}"
        place = [facts.placed(facts.title("bias", row["bias"]), row), f"{row['gamma']:.2f}", facts.title("mitigation", row["mitigation"]), words.count(row["round"]), seed]  # fmt: skip
        measured = [row["contrast"].replace("-", " − "), f"{row['kind']} on {facts.title('bias', row['direction'])}" if row["direction"] != row["bias"] else "β"]  # fmt: skip
        size = [number(row["beta"], 3, True), interval(row["ci_low"], row["ci_high"]), words.p_value(row.get("p")), number(row["r"], 2), words.count(row["n_pairs"])]  # fmt: skip
        amounts = [number(row["data_association"]), number(row["model_association"])]
        rows.append((parts.row_id("inheritance", row["row"]), [*place, *measured, *size, *amounts]))
    header = ["Pool", "γ", "Mitigation", "Round", "Seed", "Contrast", "Measure", "Estimate", "95% interval", "p", "r", "Pairs", "Data (nats)", "Model (nats)"]  # fmt: skip
    full = parts.table(
        "inheritance.csv: intervals of one seed are over test clusters, of the mean over seeds.", header, rows
    )
    return parts.section("inheritance", "Inheritance coefficient", drawn, parts.fold("β of every cell", full))
