"""How figures are drawn, with altair: a metric by an axis in panels (`by_axis`), and two measures of one thing (`scatter`).

A figure is a Vega-Lite specification of panels whose width the page sets (page.js), and the same as a still picture for
readers without JavaScript. Colours are those of Okabe and Ito (2008), which colour-blind readers can distinguish; shape or
dash encodes the same information. A mark with an `id` links to its row in the page's tables.
"""

import math
from functools import cache

from bias_inheritance.report import words

BLACK, RULE, SOFT = "#1a1a1a", "#9a9a9a", "#555"
PALETTE = ["#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7", "#56B4E9", BLACK]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down"]
DASHES = [[1, 0], [5, 3], [2, 2], [7, 2, 2, 2], [1, 0], [5, 3], [2, 2]]
WIDTH = 1136  # of the still picture; the page's own width on a desktop
GAP = 16
LETTER = 6.4  # pixels per letter in a row's name
THEME = {
    "background": None,
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif",
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
# ends of an interval; without one, a whisker of zero length
WHISKER = {
    "low": "isValid(datum.ci_low) ? datum.ci_low : datum.value",
    "high": "isValid(datum.ci_high) ? datum.ci_high : datum.value",
}
COLUMNS = ["panel", "series", "place", "value", "ci_low", "ci_high", "n_seeds", "id"]


def by_axis(title, caption, data, unit, axis=None, reference=0.0, free=False, cell=200):
    """A metric by an axis: one panel per `panel`, one colour and shape per `series`, an interval at every mark.

    data: COLUMNS. `place` is the name of a row (axis None: horizontal values) or a number on `axis` (vertical values, each
    series joined by lines). reference: position of a rule, or None. free: each panel has its own scale.
    """
    import altair as alt

    data = data[COLUMNS].copy()
    series, places = list(dict.fromkeys(data["series"])), list(dict.fromkeys(data["place"]))
    ordinal = {"scale": alt.Scale(domain=series, range=cycled(PALETTE, series))}
    legend = {} if len(series) > 1 else {"legend": None}
    colour = alt.Color("series:N", **ordinal, **legend)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=series, range=cycled(SHAPES, series)), **legend)
    zero = alt.Scale(zero=False, padding=8)
    base, rule = alt.Chart(), alt.Chart().transform_aggregate(groupby=["panel"])
    whisker = base.transform_calculate(**WHISKER).mark_rule()
    tips = tooltips("panel", "series", "place", "value", "ci_low", "ci_high", "n_seeds")
    if axis is None:
        y = alt.Y("place:N", sort=places, title=None, axis=alt.Axis(grid=True, domain=False, ticks=False))
        beside = {"yOffset": alt.YOffset("series:N", sort=series)} if len(series) > 1 else {}
        x = alt.X("value:Q", title=unit, scale=zero, axis=alt.Axis(grid=False, tickCount=4))
        marks = [
            whisker.encode(x=alt.X("low:Q", title=unit, scale=zero), x2="high:Q", y=y, color=colour, **beside),
            base.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tips, **beside),
        ]
        line = rule.mark_rule(color=RULE, strokeWidth=1).encode(x=alt.datum(reference, type="quantitative"))
        height = alt.Step(max(20, 11 * len(series)), **({"for": "position"} if len(series) > 1 else {}))
        left = 16 + LETTER * min(44, max(len(str(place)) for place in places))
    else:
        apart = 0.02 * (max(places) - min(places) or 1.0)
        data["x"] = data["place"] + apart * (data["series"].map(series.index) - (len(series) - 1) / 2)
        ticks = alt.Axis(values=sorted(places), grid=False, format="~f")
        x = alt.X("x:Q", title=axis, scale=alt.Scale(zero=False, padding=10), axis=ticks)
        y = alt.Y("value:Q", title=unit, scale=zero, axis=alt.Axis(tickCount=4, domain=False, ticks=False))
        data["line"] = data["series"].map(series.index)  # a separate field, otherwise the colour legend disappears
        scale = alt.Scale(domain=list(range(len(series))), range=cycled(DASHES, series))
        dash = alt.StrokeDash("line:O", scale=scale, legend=None)
        marks = [
            base.mark_line().encode(x=x, y=y, color=colour, strokeDash=dash),
            whisker.encode(x=x, y=alt.Y("low:Q", title=unit, scale=zero), y2="high:Q", color=colour),
            base.mark_point().encode(x=x, y=y, color=colour, shape=shape, tooltip=tips),
        ]
        line = rule.mark_rule(color=RULE, strokeWidth=1).encode(y=alt.datum(reference, type="quantitative"))
        height, left = 130, 56
    layers = alt.layer(*([] if reference is None else [line]), *marks).properties(height=height)
    numbers = {"x": "independent"} if axis is None else {"y": "independent"}
    return figure(title, caption, layers, data, left, cell, numbers if free else {})


def scatter(title, caption, points, lines, x_title, y_title, cell=190, height=130):
    """Points of two measures in panels: small ones, large labelled ones (`mean`), and lines.

    points: panel, label, series, x, y, mean, id. lines: panel, x, y (two ends each), or None. All panels share the scales.
    """
    import altair as alt
    import pandas as pd

    series = list(dict.fromkeys(points["series"]))
    legend = {} if len(series) > 1 else {"legend": None}
    colour = alt.Color("series:N", scale=alt.Scale(domain=series, range=cycled(PALETTE, series)), **legend)
    parts = [points.assign(part="point"), *([] if lines is None else [lines.assign(part="line")])]
    data = pd.concat(parts, ignore_index=True)
    x = alt.X("x:Q", title=x_title, axis=alt.Axis(tickCount=4, grid=False))
    y = alt.Y("y:Q", title=y_title, axis=alt.Axis(tickCount=4, domain=False, ticks=False))
    base, rule = alt.Chart(), alt.Chart().transform_aggregate(groupby=["panel"])
    small = base.transform_filter("datum.part === 'point' && !datum.mean")
    large = base.transform_filter("datum.part === 'point' && datum.mean")
    # only the outermost points of a panel are labelled; of several at the same x, the one farthest from 0
    places = large.transform_calculate(distance="abs(datum.y)")
    places = places.transform_joinaggregate(least="min(x)", most="max(x)", groupby=["panel"])

    def named(end, align, dx):
        outermost = places.transform_filter(f"datum.x === datum.{end}")
        farthest = outermost.transform_joinaggregate(farthest="max(distance)", groupby=["panel"])
        return farthest.transform_filter("datum.distance === datum.farthest").mark_text(align=align, dx=dx, dy=-10)

    tips = tooltips("panel", "series", "label", "x", "y")
    ends = [named("least", "left", -4), named("most", "right", 4)]
    layers = alt.layer(
        rule.mark_rule(color=RULE, strokeWidth=1).encode(y=alt.datum(0)),
        rule.mark_rule(color=RULE, strokeWidth=1).encode(x=alt.datum(0)),
        small.mark_point(size=16, opacity=0.35).encode(x=x, y=y, color=colour),
        base.transform_filter("datum.part === 'line'").mark_line(color=BLACK, strokeWidth=1.4).encode(x=x, y=y),
        large.mark_point(size=52).encode(x=x, y=y, color=colour, tooltip=tips),
        *(text.encode(x=x, y=y, text="label:N") for text in ends),
    ).properties(height=height)
    return figure(title, caption, layers, data, 56, cell, {})


def cycled(marks, series):
    """A mark for each series, reusing marks if there are more series; combinations of colour and shape remain unique."""
    return [marks[place % len(marks)] for place in range(len(series))]


def tooltips(*fields):
    import altair as alt

    titles = {"ci_low": "interval from", "ci_high": "interval to", "n_seeds": "seeds", "place": "at"}
    titles |= {"x": "Δx", "y": "Δy"}
    numbers = {"value", "ci_low", "ci_high", "x", "y"}
    kinds = [{"format": ".3f", "type": "quantitative"} if field in numbers else {"type": "nominal"} for field in fields]
    return [
        alt.Tooltip(field, title=titles.get(field, field), **kind) for field, kind in zip(fields, kinds, strict=True)
    ]


def figure(title, caption, layers, data, left, cell, independent):
    """A figure of panels: {title, caption, alternative, spec, panels, left, cell, still}.

    left: pixels for row names; cell: minimum width of a panel; independent: scales that panels do not share.
    """
    import altair as alt

    alt.data_transformers.disable_max_rows()
    panels = list(dict.fromkeys(data["panel"]))
    label = alt.Header(labelExpr="split(datum.label, '\\n')") if any(panels) else alt.Header(labels=False)
    chart = layers.facet(alt.Facet("panel:N", sort=panels, header=label), columns=1, data=data)
    spec = chart.resolve_scale(**independent).to_dict()
    spec = {key: value for key, value in spec.items() if key not in ("config", "$schema")}
    spec["datasets"] = {name: packed(rows) for name, rows in spec["datasets"].items()}
    columns = max(1, min(len(panels), int((WIDTH - left + GAP) // (cell + GAP)), 6))
    columns = -(-len(panels) // -(-len(panels) // columns))  # rows of even length
    width = min(540, int((WIDTH - left - 12 - (columns - 1) * GAP) / columns))
    return {
        "kind": "figure", "title": title, "caption": caption, "alternative": alternative(data), "spec": spec,
        "panels": len(panels), "left": round(left), "cell": cell, "still": still(spec, columns, width),
    }  # fmt: skip


def alternative(data, most=8):
    """Text alternative: the first marks (the others are in the table below the figure), or the number of points."""
    shown = data[data["part"].eq("point") & data["mean"].eq(True)] if "part" in data else data
    marks = []
    for row in shown.head(most).to_dict("records"):
        values = [row["value"]] if "value" in row else [row["x"], row["y"]]
        name = [str(row["panel"]).splitlines()[:1], [str(row["series"])], [str(row.get("place", row.get("label")))]]
        marks.append(" ".join(filter(None, sum(name, []))) + ": " + ", ".join(map(words.number, values)))
    more = f"; {len(shown) - most} more marks" if len(shown) > most else ""
    return "; ".join(marks) + more if marks else f"{len(data)} points in {', '.join(dict.fromkeys(data['panel']))}"


def packed(rows):
    """{columns, rows} of a list of dicts; floats are rounded to five significant digits, non-finite ones become null."""

    def short(value):
        return (float(f"{value:.5g}") if math.isfinite(value) else None) if isinstance(value, float) else value

    columns = list(rows[0]) if rows else []
    return {"columns": columns, "rows": [[short(row[column]) for column in columns] for row in rows]}


@cache
def version():
    """The Vega-Lite version that altair targets."""
    from altair import SCHEMA_VERSION

    return ".".join(SCHEMA_VERSION.lstrip("v").split(".")[:2])


def still(spec, columns, width):
    """The figure as SVG, with panels of equal width."""
    import vl_convert

    drawn = {**spec, "columns": columns, "spec": {**spec["spec"], "width": width}, "config": THEME}
    drawn["datasets"] = {
        name: [dict(zip(data["columns"], row, strict=True)) for row in data["rows"]]
        for name, data in spec["datasets"].items()
    }
    return vl_convert.vegalite_to_svg(drawn, vl_version=version())
