"""From tests to claims.csv: the verdict of each contrast, of rules over verdicts and of whole claims."""

from itertools import product

from bias_inheritance.claims import looks
from bias_inheritance.claims.beside import beside
from bias_inheritance.claims.testing import adjust, measure, plan, studies_of
from bias_inheritance.study.declarations import defaults

WHOLE = "all parts"  # the test of a whole claim
COLUMNS = [
    "claim",
    "contrast",
    "metric",
    "estimate",
    "sd",
    "ci_low",
    "ci_high",
    "p",
    "p_adjusted",
    "p_study",
    "test",
    "n_seeds",
    "n_items",
    "mde",
]
COLUMNS += ["margin", "unread", "verdict", "reason", "published", "effect"]


def evaluate(declared, scores, manipulation, predictions, earlier=None):
    """claims.csv as a frame (COLUMNS): every declared claim, for each model of the study.

    declared: the result of `grid.declared`. scores: scores.csv as read by `frames.read_scores`, with the tables of
    misalignment and of inheritance appended. manipulation: manipulation.csv. predictions: function of (model, domain, bias,
    gamma, mitigation, seed, round, task) that returns a frame with item, group and correct, or None. earlier: the closed
    look before this one (`looks.closed`), in a study with looks; the rows that it closed are kept, and the table also has
    the columns looks.COLUMNS.
    Rows of a claim: the whole claim if it has several parts, then each contrast, followed by its supplementary tests
    (verdict `beside`).
    """
    import pandas as pd

    studies = studies_of(declared, scores, manipulation)
    tests = [planned for study in studies for planned in plan(declared, study, studies)]
    looks.carry_over(tests, earlier)
    for test in tests:
        if "closed" not in test:
            test |= measure(test, declared)
    adjust(tests, declared)
    for test in tests:
        if "closed" not in test:
            test |= {"effect": test["spec"]["effect"], **looks.at_look(test, verdict_of(test, declared), declared)}
    rows = []
    for claim, study in product(declared["claims"], studies):
        of_claim = [test for test in tests if test["claim"] == claim and test["study"] is study]
        of_claim += none_universal(declared, claim, study, of_claim)
        rows += compound(claim, study, of_claim)
        for test in of_claim:
            rows += test["closed"] if "closed" in test else [test, *beside(test, predictions)]
    columns = COLUMNS + (looks.COLUMNS if declared.get("looks") else [])
    blank = dict.fromkeys(columns, float("nan")) | {"n_seeds": 0, "n_items": 0}
    table = pd.DataFrame(
        [
            blank | {"published": published(row, declared)} | {key: row[key] for key in columns if key in row}
            for row in rows
        ],
        columns=columns,
    )
    return table.astype({"look": "Int64"}) if "look" in columns else table


def published(row, declared):
    """The published result on this row's contrast, or on the whole claim, with its source; NaN without one.

    A published figure is not attached to other rows, which are of another test and often of another quantity.
    """
    entry = declared["claims"][row["claim"]]
    stated = entry["published"] if row["test"] == WHOLE else row.get("spec", {}).get("published")
    if isinstance(stated, dict):
        stated = next((stated[value] for value in row["picked"].values() if value in stated), None)
    return f"{stated} ({entry['source']})" if stated else float("nan")


def verdict_of(test, declared):
    """{verdict, reason} of one deciding test. p > alpha alone is never evidence of no effect.

    Equivalence takes precedence over a direction: an effect shown to be smaller than the margin does not support a claim
    that it matters, even if it is not 0. A claim with direction `none` is supported by equivalence.
    """
    if test["lacks"]:
        return {"verdict": "not tested", "reason": test["lacks"]}
    spec, n, alpha = test["spec"], test["n"], declared["alpha"]
    left_out = f" ({test['data']['incomplete']} excluded for a missing cell)" if test["data"]["incomplete"] else ""
    if n == 1:
        return {
            "verdict": "inconclusive",
            "reason": f"One seed{left_out} cannot show the variation between runs, so it supports no conclusion.",
        }
    if test["p"] != test["p"]:
        return {
            "verdict": "inconclusive",
            "reason": f"All {n} seeds{left_out} have the same value, so the variance cannot be estimated.",
        }
    estimate = round(test["estimate"], 9) + 0.0  # a mean of opposite values may differ from 0 by rounding, or be -0.0
    shown = f"{estimate:+.3g} relative to {spec['against']:g}" if "against" in spec else f"{estimate:+.3g}"
    size = f"{shown} (95% interval {test['ci_low']:.3g} to {test['ci_high']:.3g}, {n} seeds{left_out})"
    if "with" in spec:
        size = f"{estimate:+.3g} (mean of {n} seeds{left_out}, over {test['data']['n_types']} bias types)"
    if test["tost_adjusted"] < alpha:
        close = f"{size}: equivalent to 0 within the margin of ±{spec['margin']:g}"
        unread = test["data"].get("unread", 0)
        if unread > spec["margin"]:
            reason = f"{close} only if the unreadable answers, up to {unread:.0%} of a run, are like the others."
            return {"verdict": "inconclusive", "reason": reason}
        verdict = "supported" if spec["direction"] == "none" else "equivalent"
        return {
            "verdict": verdict,
            "reason": f"{close} (TOST, p {test['tost_adjusted']:.2g} after Holm).",
        }
    how = "permutation" if "with" in spec else "t test"
    if test["data"].get("sampled"):
        how += f" of {test['data']['sampled']} random orders"
    if test["p_adjusted"] < alpha:
        agrees = {"greater": test["estimate"] > 0, "less": test["estimate"] < 0, "different": True, "none": False}[
            spec["direction"]
        ]
        claimed = "as claimed" if agrees else "against the claim"
        return {
            "verdict": "supported" if agrees else "contradicted",
            "reason": f"{size} differs from 0, {claimed} ({how}, p {test['p_adjusted']:.2g} after Holm).",
        }
    if test["p_overall"] < alpha:
        # the interval excludes 0: the row is inconclusive only because of the correction
        doubt = f"{size} differs from 0 on its own ({how}, p {test['p_overall']:.2g}), but not after Holm's correction for the {test['tried']} tests of its family (p {test['p_adjusted']:.2g})"
    else:
        doubt = f"{size} is not significantly different from 0 ({how}, p {test['p_adjusted']:.2g} after Holm)"
    if "with" in spec:
        limit = f"with {test['data']['n_types']} types the smallest possible p is {test['data']['smallest']:.2g} before Holm"
    elif test["beyond"]:
        limit = f"with {n} seeds and this variance, not even the largest possible effect would have been detected"
    else:
        limit = f"minimum detectable effect with {n} seeds: {test['mde']:.2g} ({declared['power']:.0%} power)"
    return {"verdict": "inconclusive", "reason": f"{doubt}; {limit}."}


def none_universal(declared, claim, study, tests):
    """The row of `rule: none universal`: every tested mitigation fails for some bias type, or one works for all of them.

    Only types whose harm without mitigation is supported (family `where`) count: without harm there is none to reduce.
    """
    rows = []
    for contrast in declared["claims"][claim]["contrasts"]:
        if contrast.get("rule") != "none universal":
            continue
        spec = defaults(contrast)
        harmful = {
            test["picked"]["biases"]
            for test in tests
            if test["family"] == spec["where"] and test["verdict"] == "supported"
        }
        by_mitigation = {}
        for test in tests:
            counts = test["family"] == spec["of"] and test["picked"]["biases"] in harmful
            if counts and test["verdict"] != "not tested":
                by_mitigation.setdefault(test["picked"]["mitigation"], {})[test["picked"]["biases"]] = test["verdict"]
        works = [
            mitigation
            for mitigation, verdicts in by_mitigation.items()
            if verdicts.keys() == harmful and set(verdicts.values()) == {"supported"}
        ]
        fails = [
            mitigation
            for mitigation, verdicts in by_mitigation.items()
            if {"contradicted", "equivalent"} & set(verdicts.values())
        ]
        if len(harmful) < 2:
            verdict, reason = "not tested", "The study needs at least two bias types whose harm is supported."
        elif not any(len(verdicts) > 1 for verdicts in by_mitigation.values()):
            verdict, reason = "not tested", "The study needs at least two bias types under a mitigation."
        elif works:
            verdict, reason = "contradicted", f"{', '.join(works)} reduces harm for every harmful bias type."
        elif len(fails) == len(by_mitigation):
            verdict, reason = "supported", "Every tested mitigation fails to reduce the harm of some bias type."
        else:
            verdict, reason = (
                "inconclusive",
                "At least one mitigation neither works for all bias types nor clearly fails for one.",
            )
        rows.append(_row(claim, spec["name"] + study["label"], "rule over verdicts", verdict, reason) | {"spec": spec})
    return rows


def compound(claim, study, tests):
    """The row of a whole claim with several parts: supported only if all of them are."""
    parts = [test for test in tests if test["spec"]["part"]]
    if len(parts) < 2:
        return []
    count = {
        verdict: [part["contrast"] for part in parts if part["verdict"] == verdict]
        for verdict in ("supported", "contradicted", "equivalent", "inconclusive", "not tested")
    }
    if count["contradicted"]:
        verdict, number = "contradicted", len(count["contradicted"])
        be = "is" if number == 1 else "are"
        reason = f"{number} of {len(parts)} parts {be} contradicted: {'; '.join(count['contradicted'])}."
    elif len(count["not tested"]) == len(parts):
        verdict, reason = "not tested", parts[0]["reason"]
    elif count["not tested"]:
        verdict, reason = (
            "not tested",
            f"{len(count['not tested'])} of {len(parts)} parts could not be tested: {'; '.join(count['not tested'])}.",
        )
    elif len(count["supported"]) == len(parts):
        verdict, reason = "supported", f"All {len(parts)} parts are supported."
    elif len(count["equivalent"]) == len(parts):
        verdict, reason = "equivalent", f"In all {len(parts)} parts the effect is within the margin."
    else:
        verdict, reason = (
            "inconclusive",
            f"{len(count['supported'])} of {len(parts)} parts are supported, none is contradicted.",
        )
    effects = {part["spec"]["effect"] for part in parts if "rule" not in part["spec"]}
    whole = _row(claim, f"whole claim{study['label']}", WHOLE, verdict, reason)
    whole |= looks.of_whole(parts, verdict)
    return [whole | ({"effect": effects.pop()} if len(effects) == 1 else {})]


def _row(claim, contrast, test, verdict, reason):
    return {"claim": claim, "contrast": contrast, "metric": "", "test": test, "verdict": verdict, "reason": reason}
