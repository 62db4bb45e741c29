"""What sections are made of: paragraphs, figures, tables and folds, as plain dictionaries that the page template prints."""

from markupsafe import Markup

from bias_inheritance.report import words


def section(name, title, *parts, nothing=None):
    """A section of the page; parts that are None are left out. nothing: what it says where no part is left."""
    parts = [part for part in parts if part]
    return {"id": name, "title": title, "parts": parts or [text(nothing)]} if parts or nothing else None


def text(*sentences):
    said = [sentence for sentence in sentences if sentence]
    return {"kind": "text", "content": Markup(" ").join(said)} if said else None


def table(caption, header, rows, note=None):
    """A table. header: column titles, the first column being row headers; rows: [(id or None, [cells])]."""
    return {"kind": "table", "caption": caption, "header": header, "rows": rows, "note": note} if rows else None


def fold(title, *parts, name=None, faded=False):
    """Parts behind a title that opens them. name: folds of one name close each other (leafing through)."""
    parts = [part for part in parts if part]
    return {"kind": "fold", "title": title, "parts": parts, "name": name, "faded": faded} if parts else None


def row_id(file, row):
    return f"{file}-{int(row)}"


def link(shown, file, row):
    """A link from a number to the row of the page's tables that holds it."""
    return Markup('<a href="#{}">{}</a>').format(row_id(file, row), shown)


def badge(verdict, label=None):
    return Markup('<span class="badge {}"><span aria-hidden="true">{}</span> {}</span>').format(
        verdict.replace(" ", "-"), words.MARKS[verdict], label or verdict
    )


def shade(value, error, text):
    """A number on a background that says how many standard errors it lies from 0: full colour at four."""
    if not words.known(value) or not words.known(error) or not error:
        return text
    strength = min(abs(value / error), 4) / 4
    colour = "213, 94, 0" if value > 0 else "0, 114, 178"
    return Markup('<span class="shade" style="background: rgba({}, {:.2f})">{}</span>').format(
        colour, 0.45 * strength, text
    )


def estimates(caption, data, columns, file, sign=True, rows_of=None):
    """The table of `over_seeds` data: its own columns {header: column}, then estimate, interval, value per seed, rows.

    file: stem of the table that the data come from; each row of the page has the id of its first row there.
    """
    header = [*columns, "Mean", "95% interval", "Each seed", "Seeds", f"Rows of {rows_of or file + '.csv'}"]
    rows = []
    for row in data.to_dict("records"):
        size = words.number(row["value"], sign=sign)
        cells = [
            row[column] if isinstance(row[column], str) else words.number(row[column], 2) for column in columns.values()
        ]
        cells += [shade(row["value"], row["se"], size) if sign else size, words.interval(row["ci_low"], row["ci_high"])]
        cells += [", ".join(words.number(value, 2, sign) for value in row["values"]), words.count(row["n_seeds"])]
        rows.append((row["id"], [*cells, words.rows_named(row["rows"])]))
    return table(caption, header, rows)
