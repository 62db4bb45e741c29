"""Declared contrasts of catalog/claims.yaml, independent of a study: defaults, outcomes, parts and placeholders."""

INHERITANCE = "inheritance"  # β's table, which claims address as a task
OF_POOLS = ("groups", "distributions")  # tables measured on pools, not on cells
MISALIGNMENT = ("values", *OF_POOLS)  # tables of misalignment/, which claims address as tasks too
ABOVE_ZERO = [0.01, 0.99]  # γ are written with two decimals
LEVEL = "level"  # the score itself, with nothing subtracted
# contrasts over rounds and the rounds that they need: the slope; the change in the last round; that change minus the first
ROUNDS_NEEDED = {"round": 2, "last-step": 3, "step-change": 3}
# placeholders in names of contrasts and groups of outcomes, with the text used if a study does not fill them
PLACEHOLDERS = {
    "reference": "reference group",
    "compared": "compared group",
    "contrast": "reference-compared",
    "group": "group",
}


def defaults(contrast):
    """A contrast with defaults for all missing keys."""
    return {
        "biases": "types",
        "mitigation": "none",
        "over": "mean",
        "gamma": ABOVE_ZERO,
        "at": 1.0,
        "part": False,
    } | contrast


def with_values(spec, values):
    """A contrast for one combination of values of its `each`, {key: value}."""
    return spec | {key: [value] if key in ("biases", "groups") else value for key, value in values.items()}


def outcomes_of(spec):
    """[(outcome, sign)] measured in each cell of a contrast: its outcome, and the one subtracted by `minus`."""
    outcomes = [(spec["outcome"], 1.0)]
    return outcomes + ([(spec["minus"]["outcome"], -1.0)] if "outcome" in spec.get("minus", {}) else [])


def parts_of(spec):
    """[(spec, sign)] summed by a contrast: itself, minus the contrast given by `minus`, minus the same for `than`."""
    minus = {key: value for key, value in spec.get("minus", {}).items() if key != "outcome"}
    parts = [(spec, 1.0), *([(spec | minus, -1.0)] if minus else [])]
    return parts + [(part | spec["than"], -sign) for part, sign in parts if "than" in spec]
