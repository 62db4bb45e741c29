"""Parts of sections: paragraphs, figures, tables and folds, as plain dictionaries for the page template."""

from markupsafe import Markup

from bias_inheritance.report import words


def section(name, title, *parts, nothing=None):
    """A section of the page; parts that are None are omitted. nothing: text to show if no part is left."""
    parts = [part for part in parts if part] or ([text(nothing)] if nothing else [])
    return {"id": name, "title": title, "parts": parts} if parts else None


def text(*sentences):
    present = [sentence for sentence in sentences if sentence]
    return {"kind": "text", "content": Markup(" ").join(present)} if present else None


def fold(title, *parts, faded=False):
    """Parts behind a title that opens them."""
    parts = [part for part in parts if part]
    return {"kind": "fold", "title": title, "parts": parts, "faded": faded} if parts else None


def quote(head, content, prompt=None, answers=None):
    """A text by a model or a user, with its prompt or a table of answers to it."""
    shown = {"text": words.visible(content), "prompt": words.visible(prompt or "")}
    return {"kind": "quote", "head": head, "answers": answers, **shown}


def table(caption, header, rows, short=False):
    """A table whose first column contains row headers. rows: [(id or None, [cells])]. short: numbers do not wrap."""
    return {"kind": "table", "caption": caption, "header": list(header), "rows": rows, "short": short} if rows else None


def listing(facts, caption, data, columns, file=None):
    """A table of the rows of a CSV file or of `seed_means`. columns: {title: column or function of a row}.

    file: stem of the CSV file, used for the id of a row in the page.
    """
    rows = []
    for row in data.to_dict("records") if data is not None and len(data) else []:
        cells = [column(row) if callable(column) else facts.cell(row, column) for column in columns.values()]
        rows.append((row.get("id") or (file and row_id(file, row["row"])), cells))
    return table(caption, columns, rows)


OVER_SEEDS = {"95% interval": "interval", "By seed": "values", "Seeds": "n_seeds", "Rows of the file": "rows"}


def row_id(file, row):
    return f"{file}-{int(row)}"


def link(shown, row):
    """A link from a number to the row of the page's tables with this id."""
    return Markup('<a href="#{}">{}</a>').format(row, shown)


def badge(verdict, label=None):
    return Markup('<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>').format(
        verdict.replace(" ", "-"), words.MARKS[verdict], label or verdict
    )


def shade(row):
    """A mean on a background shaded by its distance from 0 in standard errors, darkest at four."""
    shown = words.number(row["value"], sign=True)
    if not words.known(row["se"]) or not row["se"]:
        return shown
    strength = 0.45 * min(abs(row["value"] / row["se"]), 4) / 4
    colour = "213, 94, 0" if row["value"] > 0 else "0, 114, 178"
    return Markup('<span class="shade" style="background: rgba({}, {:.2f})">{}</span>').format(colour, strength, shown)
