"""Looks that a study declares before it runs (`looks` in config.yaml): when a contrast is closed.

The test at a look is the one of a study without looks, on the seeds so far. Its p becomes the overall p (`stats/sequential`),
which is valid at whatever look the study stops; Holm's correction and the verdict use it. A look closes a row that it
decides, or that cannot be tested with further seeds either; later looks keep such a row as it is.
"""

from bias_inheritance.stats import sequential

DECIDED = ("supported", "contradicted", "equivalent")
# overall p of the t test and of TOST; look that closed the row; level that p was compared with at this look
COLUMNS = ["p_overall", "tost_overall", "look", "boundary"]


def level(declared, alpha, sides=2, look=None):
    """The level of p at a look (default: the current one) of a test of overall level alpha; alpha itself without looks."""
    design = declared.get("looks")
    if not design:
        return alpha
    return sequential.level(alpha, look or design["look"], design["seeds"], design["spending"], sides)


def overall(test, declared):
    """{p_overall, tost_overall} of a test: p and p_tost of a study without looks, else the lowest over looks so far."""
    import numpy as np

    design = declared.get("looks")
    if not design:
        return {"p_overall": test["p"], "tost_overall": test["p_tost"]}
    if "closed" in test:
        return {}
    lowest = {}
    for source, target, sides in (("p", "p_overall", 2), ("p_tost", "tost_overall", 1)):
        now = sequential.overall_p(test[source], design["look"], design["seeds"], design["spending"], sides)
        lowest[target] = float(np.fmin(now, test.get("before", {}).get(target, np.nan)))
    return lowest


def boundaries(family, declared):
    """Add to the open tests of a family the nominal levels that decide them at this look, at their step of Holm's method."""
    import numpy as np

    if not declared.get("looks"):
        return
    for source, target, sides in (("p_overall", "boundary", 2), ("tost_overall", "tost_boundary", 1)):
        tested = sorted((test for test in family if test[source] == test[source]), key=lambda test: test[source])
        for place, test in enumerate(tested):
            if "closed" not in test:
                test[target] = level(declared, declared["alpha"] / (len(tested) - place), sides)
        for test in family:
            test.setdefault(target, np.nan)


def carry_over(tests, earlier):
    """Add to tests their results at the look before: `closed`, their rows of claims.csv, or `before`, their overall p values.

    earlier: content of that look's file (`closed`), or None.
    """
    blocks = {}
    for row in earlier["rows"] if earlier else []:
        if row["verdict"] != "beside":
            block = blocks[row["claim"], row["contrast"]] = []
        block.append({key: float("nan") if value is None else value for key, value in row.items()})
    for test in tests:
        block = next(
            (blocks[test["claim"], label] for label in test["labels"] if (test["claim"], label) in blocks), None
        )
        if block and block[0]["look"] == block[0]["look"]:
            untested = block[0]["verdict"] == "not tested"
            test |= block[0] | {"closed": block, "lacks": block[0]["reason"] if untested else None}
        elif block:
            test["before"] = block[0]


def at_look(test, judgement, declared):
    """The verdict and reason of a test (`judgement`), with the look that closed it, its boundary, and a sentence on both."""
    design = declared.get("looks")
    if not design:
        return judgement
    if test["lacks"]:
        return judgement | {"look": design["look"] if test["untestable"] else float("nan")}
    by_tost = test["tost_adjusted"] < declared["alpha"]
    p, boundary = (test["p_tost"], test["tost_boundary"]) if by_tost else (test["p"], test["boundary"])
    decided = judgement["verdict"] in DECIDED
    sentence = f"Look {design['look']} of {len(design['seeds'])}"
    sentence += f": p {p:.2g} against a boundary of {boundary:.2g}." if p == p else "."
    return {
        "verdict": judgement["verdict"],
        "reason": f"{judgement['reason']} {sentence}",
        "look": design["look"] if decided else float("nan"),
        "boundary": boundary,
    }


def of_whole(parts, verdict):
    """{look} at which a whole claim was decided by its parts; {} if it was not, or the study has no looks."""
    deciding = [part for part in parts if verdict != "contradicted" or part["verdict"] == verdict]
    if verdict not in DECIDED or any("look" not in part for part in deciding):
        return {}
    return {"look": (min if verdict == "contradicted" else max)(part["look"] for part in deciding)}


def closed(declared, claims, digest):
    """The content of a look's file: {look, seeds, spending, digest, decided, rows}.

    declared: of `grid.declared`. claims: the table as joined by `reading.joined_with_declarations`. decided: [claim, name of
    the contrast as declared, look] of the contrasts of which every row is closed, also of those that have no row in this
    study. rows: the rows of claims.csv, with null for what they lack. digest: of everything that the table was made from.
    """
    design, rows = declared["looks"], {}
    for row in claims[claims["decides"] & claims["spec"].notna()].to_dict("records"):
        rows.setdefault((row["claim"], row["spec"]["name"]), []).append(row["look"])
    decided = []
    for claim, entry in declared["claims"].items():
        for name in [contrast["name"] for contrast in entry["contrasts"] if "rule" not in contrast]:
            looks = rows.get((claim, name), [design["look"]])
            if all(look == look for look in looks):
                decided.append([claim, name, int(max(looks))])
    plain = claims[[*claims.columns[: claims.columns.get_loc("spec")]]].astype(object)
    return {**design, "digest": digest, "decided": decided, "rows": plain.where(plain.notna(), None).to_dict("records")}
