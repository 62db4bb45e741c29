"""What sections are made of: figures and tables with the numbers and the rows behind them.

A section is {id, title, says: [sentences], figures, tables, nothing}; `nothing` is the sentence that stands where the study
has no data for it. A figure is {id, title, caption, alt, spec, table, panels, cell, left}: `cell` is the least width of a
panel and `left` what the names of an axis take, in pixels. A table is {caption, header, rows}.
"""

from bias_inheritance import study as grid
from bias_inheritance.report import charts, numbers, words
from bias_inheritance.report.words import number

EFFECTS = {
    ("bias", "neutral"): "Bias effect (minus neutral)",
    ("augmentation", "original"): "Augmentation effect (minus original)",
    ("bias", "faithful"): "Bias effect (minus faithful)",
}
NAMES = 172  # pixels that names of bias types take beside a chart
DIGITS = 48  # pixels that the numbers of an axis take


def section(name, title, says=(), figures=(), tables=(), nothing=None):
    return {
        "id": name,
        "title": title,
        "says": list(says),
        "figures": list(figures),
        "tables": list(tables),
        "nothing": nothing,
    }


def figure(name, title, caption, alt, chart, table, data, cell=150, left=DIGITS, unfolded=False):
    panels = data["panel"].nunique() if "panel" in data else 1
    return {
        "id": name,
        "title": title,
        "caption": caption,
        "alt": alt,
        "spec": charts.specification(chart),
        "table": table,
        "panels": panels,
        "cell": cell,
        "left": left,
        "unfolded": unfolded,
    }


def table(caption, header, rows):
    return {"caption": caption, "header": header, "rows": rows}


def name_of(*parts):
    """An id for the page: letters, digits and hyphens only."""
    text = "-".join(str(part) for part in parts)
    return "".join(character if character.isalnum() and character.isascii() else "-" for character in text).lower()


def heading(study, outcome):
    """The task, with what tells it apart where the study has several models, domains or datasets."""
    return " · ".join([task_of(outcome), *place_of(study, outcome)])


def task_of(outcome):
    return outcome["title"] + (f", {outcome['dataset']}" if outcome["dataset"] != outcome["domain"] else "")


def place_of(study, outcome):
    found = []
    if len(study.names["domain"]) > 1:
        found.append(study.names["domain"][outcome["domain"]]["title"])
    if len(study.names["model"]) > 1:
        found.append(study.names["model"][outcome["model"]]["title"])
    return found


def placed(study, draw, rows):
    """The figures of `draw(study, rows)` for each model and domain, which are not to be mixed."""
    found = []
    for (model, domain), own in rows.groupby(["model", "domain"], sort=False) if len(rows) else []:
        place = place_of(study, {"model": model, "domain": domain})
        for made in draw(study, own):
            title, name = " · ".join([made["title"], *place]), name_of(made["id"], *([model, domain] if place else []))
            found.append(made | {"title": title, "id": name})
    return found


def quantity(outcome):
    """The primary metric in words: 'accuracy, male − female'."""
    name = words.metric_name(outcome["metric"]).lower().replace("f1", "F1")
    return f"{name}, {words.group_name(outcome['gap'], outcome['gap'])}" if outcome["gap"] else name


def gap_outcomes(study):
    return [outcome for outcome in study.outcomes if outcome["gap"]]


def plain_outcomes(study):
    """Outcomes without groups to compare, as lists that share model, domain and metric."""
    found = {}
    for outcome in study.outcomes:
        if not outcome["gap"]:
            found.setdefault((outcome["model"], outcome["domain"], outcome["metric"]), []).append(outcome)
    return list(found.values())


def effect_numbers(study, outcomes, by, **chosen):
    """Effects of some outcomes, meaned over seeds; `chosen` fixes columns. Adds the names that figures show."""
    import pandas as pd

    parts = []
    for outcome in outcomes:
        part = numbers.of_outcome(study.effects, outcome)
        whole = part["group"].isin(["all", outcome["gap"]])
        parts.append(part.assign(what=task_of(outcome) + (", " + part["group"]).where(~whole, "")))
    values = pd.concat(parts)
    for column, value in chosen.items():
        values = values[values[column].isin(value if isinstance(value, list) else [value])]
    found = numbers.over_seeds(values, by)
    if "bias" in found:
        found = ordered(found, "bias", study.biases).assign(bias_title=lambda frame: frame["bias"].map(study.title))
    return found.sort_values("gamma", kind="stable") if "gamma" in found else found


def ordered(frame, column, order):
    """The frame with `column` in a given order; values that the order lacks come last."""
    place = {value: position for position, value in enumerate(order)}
    return frame.sort_values(column, key=lambda values: values.map(place).fillna(len(place)), kind="stable")


def at_largest(study, table):
    """Rows of untuned, original, and of every cell at the largest γ without mitigation, first round."""
    largest = table["gamma"].isin(study.gammas[-1:]) & (table["mitigation"] == "none")
    first = ((table["bias"] == "original") | largest) & (table["round"] == study.rounds[0])
    return table[(table["bias"] == "untuned") | first]


def originals(study):
    """{|D_o|: the titles of the domains that have so many originals per cell}."""
    found = {}
    for domain in study.config["grid"]["domain"]:
        found.setdefault(grid.originals_of(study.config, domain), []).append(study.names["domain"][domain]["title"])
    return found


def say(row, sign=True):
    """'+0.180 (0.142 to 0.218)'."""
    text = number(row["value"], sign=sign)
    return f"{text} ({words.interval(row['ci_low'], row['ci_high'])})" if words.known(row["ci_low"]) else text


def in_words(data, label, most=6, sign=True):
    """The first rows of a figure's data as text, for those who cannot see it."""
    told = "; ".join(f"{label(row)} {say(row, sign)}" for row in data.head(most).to_dict("records"))
    return told + ("; the rest is in the table below" if len(data) > most else "")


def data_table(study, data, columns, caption, sign=True, file="scores.csv"):
    """The numbers behind a figure. columns: {header: column of data}."""
    has_rows = "rows" in data
    rows = []
    for row in data.to_dict("records"):
        low, high = row.get("ci_low"), row.get("ci_high")
        source = str(row["rows"]) if has_rows else ""
        cells = [row[column] for column in columns.values()]
        cells.append(study.source.brief(number(row["value"], sign=sign), file, source))
        cells.append(words.interval(low, high) if words.known(low) else "–")
        if "n_seeds" in row:
            cells.append(str(int(row["n_seeds"])))
        if has_rows:
            cells.append(words.shorter(source).replace("|", " − ").replace(",", ", "))
        rows.append(cells)
    header = [*columns, "Value", "95% interval", *(["Seeds"] if "n_seeds" in data else [])]
    return table(caption, [*header, *([f"Rows of {file}"] if has_rows else [])], rows)


def seeds_of(data):
    """'mean over 3 seeds with 95% t intervals', as far as that is true of the data."""
    most = int(data["n_seeds"].max())
    if most == 1:
        return "one seed, so without an interval"
    return f"mean over {most} seeds with 95% t intervals"
