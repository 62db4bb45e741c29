"""Interpretation of claims.csv: the declared contrast of a row, assay sensitivity, and whether a pool is safe to mix in."""

import re

from bias_inheritance.stats import statistics
from bias_inheritance.study.declarations import defaults, with_values


def joined_with_declarations(claims, declared):
    """claims.csv with `spec` (the declared contrast with the values from its name, or None), `control`, `decides`, `model` (if
    the study has several), `whole`, and `positive`, whether a row is of a known effect that must be detected.

    declared: the claims of the catalog, and the study's bias types (`types`).
    """
    import pandas as pd

    # in a study of several models every contrast ends in [model]; else brackets belong to the name of a group
    model = claims["contrast"].str.extract(r".* \[([^\]]+)\]", expand=False)
    model = model if model.notna().all() else pd.Series("", claims.index)
    specs = []
    for row in claims.assign(model=model).to_dict("records"):
        contrasts = [spec for spec in declared["claims"][row["claim"]]["contrasts"] if "rule" not in spec]
        picked = [(spec, picks(spec["name"], row["contrast"], row["model"], declared["types"])) for spec in contrasts]
        named = [(spec, values) for spec, values in picked if values is not None]
        # of several matches, the one with the most literal text
        spec, values = max(named, key=lambda pair: len(re.sub(r"{\w+}", "", pair[0]["name"])), default=(None, {}))
        specs.append(spec and {"family": row["claim"]} | with_values(defaults(spec), values))
    control, whole = claims["claim"].str.startswith("control-"), claims["test"] == "all parts"
    decides = (claims["verdict"] != "beside") & ~whole
    positive = control & pd.Series([bool(spec) and spec["direction"] != "none" for spec in specs], dtype=bool)
    return claims.assign(
        spec=specs, control=control, decides=decides, positive=positive & decides, model=model, whole=whole
    )


def picks(name, contrast, model="", types=()):
    """{placeholder: value} if a contrast of the table matches the declared name, or None.

    model: the one that ends the contrasts of a study of several. types: the bias types that may follow in parentheses.
    """
    parts = re.split(r"({\w+})", name)
    pattern = "".join(f"(?P<{part[1:-1]}>.+?)" if part.startswith("{") else re.escape(part) for part in parts)
    pattern += re.escape(f" [{model}]") if model else ""
    match = re.fullmatch(rf"{pattern}(?: \((?:{'|'.join(map(re.escape, types))})\))?", contrast)
    return match and match.groupdict()


# Assay sensitivity: a verdict of no effect is valid only if a known effect was detected


def positive_controls(claims):
    """The tested rows on known effects that must be detected, the first of each claim, outcome and model."""
    rows = claims[claims["positive"] & (claims["verdict"] != "not tested")]
    return rows.drop_duplicates(["claim", "metric", "model"])


def controls_of(claims, row):
    """The positive controls of its model that a row relies on: those on its outcome, or all if there are none on it."""
    known = positive_controls(claims)
    known = known[known["model"] == row["model"]]
    same = known[known["metric"] == row["metric"]]
    return same if len(same) else known


def unseen(claims, row):
    """Whether a row finds no effect in a study that detected none of the known effects that the row relies on; a supported
    whole claim, if one of its parts is such a row."""
    if row.get("whole") and row["verdict"] == "supported":
        of_claim = claims[(claims["claim"] == row["claim"]) & (claims["model"] == row["model"]) & claims["decides"]]
        parts = [part for part in of_claim.to_dict("records") if part["spec"] and part["spec"]["part"]]
        return any(unseen(claims, part) for part in parts)
    none = row["verdict"] == "supported" and row["spec"] and row["spec"]["direction"] == "none"
    if row["control"] or not (none or row["verdict"] in ("equivalent", "inconclusive")):
        return False
    return not controls_of(claims, row)["verdict"].eq("supported").any()


def seeds_to_detect(row, effect, claims, declared):
    """Seeds needed to detect an effect with a row's variance, at Holm's first step; None if too many or unknown."""
    return _seeds_for(statistics.power_of, effect, row, claims, declared)


def seeds_to_exclude(row, claims, declared):
    """Seeds needed to show that a row's effect, if it is 0, is within its margin, at Holm's first step; None as above."""
    return _seeds_for(statistics.equivalence_power, row["margin"], row, claims, declared)


def _seeds_for(power_of, size, row, claims, declared):
    if row["sd"] != row["sd"]:
        return None
    alpha = first_step(row, claims, declared)
    return statistics.seeds_needed(lambda n: power_of(size, row["sd"], n, alpha) >= declared["power"])


def first_step(row, claims, declared):
    """The level of the first step of Holm's method in a row's family."""
    families = [spec["family"] for spec in claims[claims["decides"] & claims["p"].notna()]["spec"] if spec]
    return declared["alpha"] / max(1, families.count(row["spec"]["family"]))


# Pools from files: is it safe to mix in?


def pools_from_files(claims):
    """[(pool, {name of a contrast or group: {effect: row}})], contrasts first; an entry per pool and model."""
    pools = {}
    for row in claims[claims["decides"]].to_dict("records"):
        if (row["spec"] or {}).get("each", {}).get("biases") != "files":
            continue
        name = row["spec"].get("contrast") or row["spec"]["group"]
        pools.setdefault((row["spec"]["biases"][0], row["model"]), {}).setdefault(name, {})[row["effect"]] = row
    return [
        (pool, dict(sorted(rows.items(), key=lambda pair: "group" in deciding(pair[1])["spec"])))
        for (pool, _), rows in pools.items()
    ]


def deciding(effects):
    """The deciding row of a contrast or group: relative to as much real text, if the study has it, else to the originals.

    Without a label probability there is only the row of β, by which `safety` is not tested.
    """
    natural = effects.get("natural")
    if natural and natural["verdict"] != "not tested":
        return natural
    return effects.get("augmentation") or natural or effects["level"]


def safety(claims, row):
    """`safe`, `not safe`, `gains`, `unseen` or `not tested`: the result of a row that claims no effect.

    A gap that changes in either direction is not safe; a group whose score increases gains.
    """
    if row["effect"] == "level" or row["verdict"] == "not tested":
        return "not tested"
    if row["verdict"] == "contradicted":
        return "gains" if "group" in row["spec"] and row["estimate"] > 0 else "not safe"
    return "safe" if row["verdict"] == "supported" and not unseen(claims, row) else "unseen"
