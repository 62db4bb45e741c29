"""Charts, drawn with altair: a metric by an axis in panels (`by_axis`), and two measures of one thing (`scatter`).

A chart is two SVG pictures, one for wide pages and paper, one for phones; page.css shows one of them. Colours are those of
Okabe and Ito (2008), which colour-blind readers can distinguish; shape or dash encodes the same information. Every
mark has a tooltip; one with an `id` links to its row in the page's tables.
"""

import io
import math
import re
import textwrap
from functools import partial

from bias_inheritance.report import words

BLACK, RULE, SOFT = "#1a1a1a", "#9a9a9a", "#555"
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", BLACK]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
DASHES = [[1, 0], [5, 3], [2, 2], [7, 2, 2, 2], [1, 0], [5, 3], [2, 2]]
WIDTHS = {"wide": 1136, "narrow": 358}  # pixels of the page on a desktop and on a phone
GAP = 16
LETTER = 5.6  # pixels per letter in a row's name
TITLE_LETTER = 7  # the same in the title of a panel
LISTED = 8  # marks in the text alternative of a chart; its table has all of them
THEME = {
    "background": "transparent",
    "font": "Arial, Helvetica, 'Liberation Sans', sans-serif",  # of equal widths, so that the layout holds everywhere
    "view": {"stroke": None},
    "axis": {
        "labelColor": SOFT, "titleColor": SOFT, "labelFontSize": 11, "titleFontSize": 11, "titleFontWeight": "normal",
        "gridColor": "#ececec", "domainColor": RULE, "tickColor": RULE, "labelLimit": 300, "tickSize": 4,
    },
    "header": {"labelFontSize": 12, "labelColor": BLACK, "labelFontWeight": 600, "labelAnchor": "start", "title": None},
    "legend": {
        "orient": "top", "direction": "horizontal", "title": None, "labelFontSize": 12, "labelColor": BLACK,
        "labelLimit": 340, "offset": 4,
    },
    "facet": {"spacing": GAP},
    "point": {"filled": True, "size": 46, "opacity": 1},
    "rule": {"strokeWidth": 1.5},
    "line": {"strokeWidth": 1.6},
    "text": {"fontSize": 11, "color": BLACK},
}  # fmt: skip
COLUMNS = ["panel", "series", "place", "value", "ci_low", "ci_high", "id"]
LINKED = {"href": "href:N", "description": "tip:N"}  # channels of marks
# a mark with a link as vl-convert writes it, with an address of its own before the fragment
MARK = re.compile(r'<a xlink:href="[^"#]*(#[^"]*)"><path aria-label="([^"]*)"(.*?)/></a>')


def by_axis(title, caption, data, unit, axis=None, reference=0.0, free=False, cell=200):
    """A metric by an axis (None without data): one panel per `panel`, one colour and shape per `series`, with intervals.

    data: COLUMNS. `place` is the name of a row (axis None: values from left to right) or a number on `axis` (values from
    bottom to top, each series joined by lines). reference: value of a rule, or None. free: each panel has its own scale.
    """
    import altair as alt

    if data.empty:
        return None
    data = data[COLUMNS].copy()
    data["tip"] = [
        tip(row, row["place"], f"{words.number(row['value'])} ({words.interval(row['ci_low'], row['ci_high'])})")
        for row in data.to_dict("records")
    ]
    for end in ("ci_low", "ci_high"):  # without an interval, a whisker of zero length
        data[end] = data[end].astype(float).fillna(data["value"])
    series, places = list(dict.fromkeys(data["series"])), list(dict.fromkeys(data["place"]))
    colour, shape = by_series(alt.Color, PALETTE, series), by_series(alt.Shape, SHAPES, series)
    channel, side, opposite = (alt.X, "x", "x2") if axis is None else (alt.Y, "y", "y2")
    ticks = alt.Axis(tickCount=4, grid=axis is not None, domain=axis is None, ticks=axis is None)
    value = partial(channel, title=unit, scale=alt.Scale(zero=False, padding=8), axis=ticks)
    lines = []
    if axis is None:
        place = {"y": alt.Y("place:N", sort=places, title=None, axis=alt.Axis(grid=True, domain=False, ticks=False))}
        place |= {"yOffset": alt.YOffset("series:N", sort=series)} if len(series) > 1 else {}
        height = alt.Step(max(20, 11 * len(series)), **({"for": "position"} if len(series) > 1 else {}))
        left = 16 + LETTER * min(44, max(len(str(name)) for name in places))
    else:
        apart = 0.02 * (max(places) - min(places) or 1.0)
        data["x"] = data["place"] + apart * (data["series"].map(series.index) - (len(series) - 1) / 2)
        ticks = alt.Axis(values=sorted(places), grid=False, format="~f")
        place = {"x": alt.X("x:Q", title=axis, scale=alt.Scale(zero=False, padding=10), axis=ticks)}
        data["line"] = data["series"].map(series.index)  # a separate field, otherwise the colour legend disappears
        dashes = [DASHES[place % len(DASHES)] for place in range(len(series))]
        dash = alt.StrokeDash("line:O", scale=alt.Scale(domain=list(range(len(series))), range=dashes), legend=None)
        lines = [alt.Chart().mark_line().encode(y=value("value:Q"), **place, color=colour, strokeDash=dash)]
        height, left = 130, 56
    if reference is not None:
        rule = alt.Chart().transform_aggregate(groupby=["panel"]).mark_rule(color=RULE, strokeWidth=1)
        lines.insert(0, rule.encode(**{side: alt.datum(reference, type="quantitative")}))
    whisker = alt.Chart().mark_rule().encode(**{side: value("ci_low:Q"), opposite: "ci_high:Q"}, **place, color=colour)
    marks = alt.Chart().mark_point().encode(**{side: value("value:Q")}, **place, color=colour, shape=shape, **LINKED)
    layers = alt.layer(*lines, whisker, marks).properties(height=height)
    return figure(title, caption, layers, data, left, cell, side if free else None)


def scatter(title, caption, points, lines, x_title, y_title, cell=190):
    """Points of two measures in panels: small ones, large labelled ones (`mean`), and lines.

    points: panel, label, series, x, y, mean, id. lines: panel, x, y (two ends each), or None. All panels share the scales.
    """
    import altair as alt
    import pandas as pd

    series = list(dict.fromkeys(points["series"]))
    colour = by_series(alt.Color, PALETTE, series)
    points = points.reset_index(drop=True)
    points["tip"] = [
        tip(row, row["label"], f"{words.number(row['x'])}, {words.number(row['y'])}")
        for row in points.to_dict("records")
    ]
    # only the outermost means of a panel are labelled; of several at the same x, the one farthest from 0
    outermost = points[points["mean"]].sort_values("y", key=abs, ascending=False).groupby("panel")["x"]
    for end, rows in {"first": outermost.idxmin(), "last": outermost.idxmax()}.items():
        points[end] = points["label"].where(points.index.isin(rows), "")
    data = pd.concat([points.assign(part="point"), *([] if lines is None else [lines.assign(part="line")])])
    x = alt.X("x:Q", title=x_title, axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("y:Q", title=y_title, axis=alt.Axis(tickCount=4, domain=False, ticks=False))
    rule = alt.Chart().transform_aggregate(groupby=["panel"]).mark_rule(color=RULE, strokeWidth=1)
    small = alt.Chart().transform_filter("datum.part === 'point' && !datum.mean")
    large = alt.Chart().transform_filter("datum.part === 'point' && datum.mean")
    line = alt.Chart().transform_filter("datum.part === 'line'")
    layers = alt.layer(
        rule.encode(y=alt.datum(0)),
        rule.encode(x=alt.datum(0)),
        small.mark_point(size=16, opacity=0.35).encode(x=x, y=y, color=colour),
        line.mark_line(color=BLACK, strokeWidth=1.4).encode(x=x, y=y),
        large.mark_point(size=52).encode(x=x, y=y, color=colour, **LINKED),
        large.mark_text(align="left", dx=-4, dy=-10).encode(x=x, y=y, text="first:N"),
        large.mark_text(align="right", dx=4, dy=-10).encode(x=x, y=y, text="last:N"),
    ).properties(height=130)
    return figure(title, caption, layers, data, 56, cell)


def by_series(channel, marks, series):
    """A mark for each series, repeating marks if there are more series; combinations of colour and shape remain unique."""
    import altair as alt

    scale = alt.Scale(domain=series, range=[marks[place % len(marks)] for place in range(len(series))])
    return channel("series:N", scale=scale, **({} if len(series) > 1 else {"legend": None}))


def tip(row, place, numbers):
    """Panel, series and place of a mark, without empty ones, and its numbers."""
    names = [str(row["panel"]).split("\n")[0], row["series"], str(place)]
    return f"{', '.join(filter(None, names))}: {numbers}"


def wrapped(title, letters):
    """The title of a panel in lines of at most so many letters, with the domain and the model on lines of their own."""
    parts = title.replace(" · ", "\n").split("\n")
    return "\n".join(line for part in parts for line in textwrap.wrap(part, letters) or [""])


def figure(title, caption, layers, data, left, cell, free=None):
    """A figure of panels: {title, caption, alternative, pictures: {width: SVG}}.

    left: pixels for row names; cell: minimum width of a panel; free: the axis whose scale differs between panels, or None.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    data["href"] = "#" + data["id"].astype("string").fillna("")
    panels, pictures = list(dict.fromkeys(data["panel"])), {}
    header = alt.Header(labelExpr="split(datum.label, '\\n')") if any(panels) else alt.Header(labels=False)
    for kind, width in WIDTHS.items():
        margin = min(left, width / 2)
        apart = GAP + (margin if free == "y" else 0)
        columns = max(1, min(len(panels), 6, int((width - margin + apart) // (cell + apart))))
        columns = math.ceil(len(panels) / math.ceil(len(panels) / columns))  # rows of even length
        panel = min(540, int((width - margin - 12 - (columns - 1) * apart) / columns))
        titles = {name: wrapped(name, panel // TITLE_LETTER) for name in panels}
        facet = alt.Facet("panel:N", sort=list(titles.values()), header=header)
        titled = data.assign(panel=data["panel"].map(titles))
        chart = layers.properties(width=panel).facet(facet, columns=columns, data=titled)
        chart = chart.resolve_scale(**({free: "independent"} if free else {}))
        legend = THEME["legend"] | {"columns": max(1, width // 300)}
        svg = io.StringIO()
        chart.configure(**THEME | {"axisY": {"labelLimit": margin - 8}, "legend": legend}).save(svg, format="svg")
        pictures[kind] = MARK.sub(r'<a href="\1" tabindex="-1"><title>\2</title><path\3/></a>', svg.getvalue())
    texts = {"title": title, "caption": caption, "alternative": alternative(data)}
    return {"kind": "figure", **texts, "pictures": pictures}


def alternative(data):
    """Text alternative: the first marks, or the number of points."""
    tips = list(data[data["id"].notna() & data.get("mean", True)]["tip"])
    more = f"; {len(tips) - LISTED} more marks" if len(tips) > LISTED else ""
    points = f"{len(data)} points in {', '.join(dict.fromkeys(data['panel']))}"
    return "; ".join(tips[:LISTED]) + more if tips else points
