"""What a contrast of catalog/claims.yaml says before any study is looked at: its defaults, what it adds up, its words."""

INHERITANCE = "inheritance"  # β's table, which claims address as a task
OF_POOLS = ("groups", "distributions")  # tables measured on pools, not on cells
MISALIGNMENT = ("values", *OF_POOLS)  # tables of misalignment/, which claims address as tasks too
ABOVE_ZERO = [0.01, 0.99]  # γ are written with two decimals
LEVEL = "level"  # the score itself, with nothing subtracted
# what the names of contrasts and the groups of outcomes may leave open, and how it reads where a study does not fill it
PLACEHOLDERS = {
    "reference": "reference group",
    "compared": "compared group",
    "contrast": "reference-compared",
    "group": "group",
}


def defaults(contrast):
    """A contrast with the value of every key that it leaves out."""
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
    """[(outcome, sign)] of what a contrast measures in each of its cells: its outcome, and the one that `minus` subtracts."""
    outcomes = [(spec["outcome"], 1.0)]
    return outcomes + ([(spec["minus"]["outcome"], -1.0)] if "outcome" in spec.get("minus", {}) else [])


def parts_of(spec):
    """[(spec, sign)] of what a contrast adds up: itself, what `minus` says, and both once more, subtracted, as `than` says."""
    minus = {key: value for key, value in spec.get("minus", {}).items() if key != "outcome"}
    parts = [(spec, 1.0), *([(spec | minus, -1.0)] if minus else [])]
    return parts + [(part | spec["than"], -sign) for part, sign in parts if "than" in spec]


# ---- values of the axis `model`: MODEL, or MODEL@WRITER for one that reads the pools of another model ----------------


def model_of(student):
    """The model of the catalog that a student is."""
    return student.partition("@")[0]


def writer_of(student):
    """The model of the catalog that writes a student's pools."""
    return student.rpartition("@")[2]
