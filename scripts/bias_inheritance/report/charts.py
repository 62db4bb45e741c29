"""How each kind of figure is drawn, with altair: from a frame of numbers to a Vega-Lite specification.

Colours are those of Okabe and Ito (2008), which the colour-blind can tell apart; what they say is also said by shape,
dash or position. Sizes that depend on the screen's width are set by page.js. Every mark carries its `rows`, which a click
shows.
"""

from bias_inheritance.report.words import number

BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, YELLOW, BLACK = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
    "#1a1a1a",
)
GREY, RULE = "#6b6b6b", "#9a9a9a"
PALETTE = [BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK, YELLOW]
SHAPES = ["circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "circle", "square"]
DASHES = [[1, 0], [5, 3], [2, 2], [7, 2, 2, 2], [1, 0], [5, 3], [2, 2], [7, 2, 2, 2]]

THEME = {
    "background": None,
    "font": "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', 'Liberation Sans', Arial, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "grid": False,
        "domainColor": RULE,
        "tickColor": RULE,
        "labelColor": "#333",
        "titleColor": "#333",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelLimit": 240,
        "tickSize": 4,
    },
    "axisY": {"grid": True, "gridColor": "#ececec", "domain": False, "ticks": False},
    "header": {
        "labelFontSize": 11.5,
        "labelColor": BLACK,
        "labelFontWeight": 600,
        "labelAnchor": "start",
        "title": None,
    },
    "legend": {
        "orient": "top",
        "direction": "horizontal",
        "title": None,
        "labelFontSize": 11.5,
        "labelColor": BLACK,
        "labelLimit": 320,
        "symbolStrokeWidth": 2,
        "offset": 6,
    },
    "facet": {"spacing": 18},
    "text": {"fontSize": 10.5},
    "point": {"filled": True, "size": 42, "opacity": 1},
    "rule": {"strokeWidth": 1.4},
    "line": {"strokeWidth": 1.6},
}

# a long name on two lines: broken between its parts, or at its last comma, and moved up by half a line
_LONG = "(indexof(datum.label, ' · ') > 0 || (length(datum.label) > 24 && indexof(datum.label, ', ') > 0))"
TWO_LINES = (
    f"!{_LONG} ? datum.label : indexof(datum.label, ' · ') > 0 ? split(datum.label, ' · ')"
    " : [slice(datum.label, 0, lastindexof(datum.label, ', ') + 1), slice(datum.label, lastindexof(datum.label, ', ') + 2)]"
)
# an interval's ends; where there is none, a whisker of no length, since a scale needs numbers
WHISKER = {
    "low": "isValid(datum.ci_low) ? datum.ci_low : datum.value",
    "high": "isValid(datum.ci_high) ? datum.ci_high : datum.value",
}
NAMES_AXIS = {
    "labelExpr": TWO_LINES,
    "labelOffset": {"condition": {"test": _LONG, "value": -6}, "value": 0},
    "labelPadding": 6,
}


def specification(chart):
    """The chart as a dict for vega-embed, its theme and schema left to the page, its data packed by column."""
    spec = chart.to_dict()
    for key in ("config", "$schema"):
        spec.pop(key, None)
    spec["datasets"] = {name: packed(rows) for name, rows in spec.get("datasets", {}).items()}
    return spec


def packed(rows):
    """{columns, rows} of a list of dicts; floats keep five significant digits."""
    columns = list(rows[0]) if rows else []
    return {"columns": columns, "rows": [[_short(row[column]) for column in columns] for row in rows]}


def _short(value):
    return float(f"{value:.5g}") if isinstance(value, float) else value


def _altair():
    import altair

    altair.data_transformers.disable_max_rows()
    return altair


def _series(names):
    """Colour, shape and dash of the series of a figure, in one order. Marks make the legend; dashes follow `line`."""
    alt = _altair()
    colour = alt.Color("series:N", scale=alt.Scale(domain=names, range=PALETTE[: len(names)]))
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=SHAPES[: len(names)]))
    places = list(range(len(names)))
    dash = alt.StrokeDash("line:O", scale=alt.Scale(domain=places, range=DASHES[: len(names)]), legend=None)
    return colour, shape, dash


def _lined(data, series):
    """The data with `line`, the place of its series."""
    return data.assign(line=data["series"].map({name: place for place, name in enumerate(series)}))


def _tooltip(fields):
    alt = _altair()
    kinds = {"value": ".3f", "amount": ".3f", "ci_low": ".3f", "ci_high": ".3f", "gamma": ".2f"}
    titles = {
        "value": "value",
        "ci_low": "interval from",
        "ci_high": "interval to",
        "n_seeds": "seeds",
        "gamma": "γ",
        "rows": "rows",
    }
    return [
        alt.Tooltip(
            f"{field}:{'Q' if field in kinds or field == 'n_seeds' else 'N'}",
            title=titles.get(field, field),
            **({"format": kinds[field]} if field in kinds else {}),
        )
        for field in fields
    ]


def curves(data, series, unit, gammas, height=118):
    """Value over γ per panel, one line per series with t intervals, all panels on one scale.

    data: panel, series, gamma, value, ci_low, ci_high, n_seeds, rows. Lines start at 0, where an effect is 0 by definition.
    """
    import pandas as pd

    alt = _altair()
    colour, shape, dash = _series(series)
    # intervals of two series at one γ stand side by side
    apart = 0.024 * max(gammas)
    shift = {name: apart * (place - (len(series) - 1) / 2) for place, name in enumerate(series)}
    data = _lined(data, series)
    starts = data[["panel", "series", "line"]].drop_duplicates().assign(gamma=0.0, value=0.0, n_seeds=0)
    data = pd.concat([data, starts], ignore_index=True)
    data["x"] = data["gamma"] + data["series"].map(shift).where(data["gamma"] > 0, 0.0)
    x = alt.X(
        "x:Q",
        axis=alt.Axis(values=[0, *gammas], format=".2~f", title="γ", labelOverlap=True),
        scale=alt.Scale(domain=[-apart, max(gammas) + 2 * apart], nice=False),
    )
    y = alt.Y("value:Q", title=unit, axis=alt.Axis(tickCount=4))
    base = alt.Chart()
    layers = alt.layer(
        base.transform_filter("datum.n_seeds == 0").mark_rule(color=RULE, strokeWidth=1).encode(y=y),
        base.mark_line().encode(x=x, y=y, color=colour, strokeDash=dash),
        base.transform_calculate(**WHISKER)
        .mark_rule()
        .encode(x=x, y=alt.Y("low:Q", title=unit), y2="high:Q", color=colour),
        base.transform_filter("datum.n_seeds > 0")
        .mark_point()
        .encode(
            x=x,
            y=y,
            color=colour,
            shape=shape,
            tooltip=_tooltip(["panel", "series", "gamma", "value", "ci_low", "ci_high", "n_seeds", "rows"]),
        ),
    ).properties(height=height)
    return _panels(layers, data, "independent")


def heatmap(data, rows, columns, column_title, unit, step=28, slanted=False):
    """Value per row and column, one panel after another; bold where the t interval is clear of 0.

    data: panel, row, column, value, clear, rows. One scale, symmetric around 0: blue below, vermillion above.
    """
    alt = _altair()
    data = data.assign(text=[number(value, 2, sign=True) for value in data["value"]])
    reach = max(float(data["value"].abs().max()), 1e-9)
    x = alt.X(
        "column:N",
        sort=columns,
        title=column_title,
        axis=alt.Axis(labelAngle=-40 if slanted else 0, ticks=False, domain=False),
    )
    y = alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(grid=False, **NAMES_AXIS))
    colour = alt.Color(
        "value:Q",
        scale=alt.Scale(domain=[-reach, 0, reach], range=[BLUE, "#f7f7f7", VERMILLION], interpolate="rgb"),
        legend=alt.Legend(title=unit, orient="top", gradientLength=120, format="+.2~f", titleFontWeight="normal"),
    )
    base = alt.Chart().encode(x=x, y=y)
    digits = base.encode(
        text=alt.Text("text:N"),
        color=alt.condition(f"abs(datum.value) > {0.62 * reach:.6g}", alt.value("white"), alt.value(BLACK)),
    )
    layers = alt.layer(
        base.mark_rect(stroke="white", strokeWidth=1.5).encode(
            color=colour, tooltip=_tooltip(["panel", "row", "column", "value", "ci_low", "ci_high", "n_seeds", "rows"])
        ),
        digits.transform_filter("datum.clear").mark_text(fontWeight="bold"),
        digits.transform_filter("!datum.clear").mark_text(),
    ).properties(height=alt.Step(step))
    return _panels(layers, data, "shared")


def dots(data, rows, series, unit, lines=(0,), step=28, zero=False, colours=None, free=False):
    """A mark with its interval per row and series, reference lines across.

    data: row, series, value, ci_low, ci_high, rows, and panel for small multiples; `free` gives each panel its own scale.
    """
    alt = _altair()
    names = colours or PALETTE[: len(series)]
    several = len(series) > 1
    legend = alt.Legend() if several else None
    of_series = alt.Color("series:N", scale=alt.Scale(domain=series, range=names), legend=legend)
    beside = {"yOffset": alt.YOffset("series:N", sort=series, scale=alt.Scale(paddingOuter=0.4))} if several else {}
    y = alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(grid=True, **NAMES_AXIS))
    x = alt.X(
        "value:Q",
        title=unit,
        scale=alt.Scale(zero=zero, padding=8),
        axis=alt.Axis(tickCount=4, labelOverlap=True, labelSeparation=6),
    )
    base = alt.Chart()
    reference = [
        base.transform_filter(f"datum.order == {order}")
        .mark_rule(color=RULE, strokeWidth=1, strokeDash=[1, 0] if line == 0 else [4, 3])
        .encode(x=alt.datum(line, type="quantitative"))
        for order, line in enumerate(lines)
    ]
    data = data.assign(order=range(len(data)))
    if "panel" in data:
        data["order"] = data.groupby("panel", sort=False).cumcount()
    fields = [*(["panel"] if "panel" in data else []), "row", *(["series"] if several else [])]
    layers = alt.layer(
        *reference,
        base.transform_calculate(**WHISKER)
        .mark_rule()
        .encode(x=alt.X("low:Q", title=unit), x2="high:Q", y=y, color=of_series, **beside),
        base.mark_point().encode(
            x=x,
            y=y,
            color=of_series,
            shape=alt.Shape("series:N", scale=alt.Scale(domain=series, range=SHAPES[: len(series)]), legend=legend),
            tooltip=_tooltip([*fields, "value", "ci_low", "ci_high", "n_seeds", "rows"]),
            **beside,
        ),
    ).properties(height=alt.Step(step, **({"for": "position"} if several else {})))
    if "panel" not in data:
        return layers.properties(data=data)
    chart = _panels(layers, data, "independent")
    return chart.resolve_scale(x="independent") if free else chart


def ticks(data, rows, unit, limit, step=28):
    """One small stroke per run and row, so that their spread is seen; a dashed line at the limit. data: row, value, rows."""
    alt = _altair()
    base = alt.Chart(data.assign(order=range(len(data))))
    x = alt.X("value:Q", title=unit, scale=alt.Scale(domain=[0, 1]), axis=alt.Axis(format="%", tickCount=5))
    return alt.layer(
        base.transform_filter("datum.order == 0")
        .mark_rule(color=VERMILLION, strokeDash=[4, 3])
        .encode(x=alt.datum(limit, type="quantitative")),
        base.mark_tick(thickness=2, size=14, opacity=0.55, color=BLUE).encode(
            x=x,
            y=alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(**NAMES_AXIS)),
            tooltip=_tooltip(["row", "gamma", "mitigation", "value", "rows"]),
        ),
    ).properties(height=alt.Step(step))


def stack(data, rows, series, unit, step=28):
    """Counts per row, stacked by series in their order. data: row, series, value."""
    alt = _altair()
    data = data.assign(order=data["series"].map({name: place for place, name in enumerate(series)}))
    return (
        alt.Chart(data)
        .mark_bar(stroke="white", strokeWidth=0.8)
        .encode(
            x=alt.X("value:Q", title=unit, axis=alt.Axis(tickCount=5)),
            y=alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(grid=False, **NAMES_AXIS)),
            color=alt.Color("series:N", scale=alt.Scale(domain=series, range=PALETTE[: len(series)])),
            order="order:Q",
            tooltip=[alt.Tooltip("row:N"), alt.Tooltip("series:N"), alt.Tooltip("value:Q", title="texts", format=",")],
        )
        .properties(height=alt.Step(step))
    )


def bars(data, rows, unit, step=24, colour=BLUE):
    """One bar per row with its text at the end. data: row, value, text."""
    alt = _altair()
    base = alt.Chart(data).encode(
        # room for the text behind the longest bar
        x=alt.X(
            "value:Q",
            title=unit,
            axis=alt.Axis(tickCount=4),
            scale=alt.Scale(domainMax=1.2 * float(data["value"].max())),
        ),
        y=alt.Y("row:N", sort=rows, title=None, axis=alt.Axis(grid=False)),
    )
    return alt.layer(
        base.mark_bar(color=colour).encode(tooltip=[alt.Tooltip("row:N"), alt.Tooltip("text:N", title=unit)]),
        base.mark_text(align="left", dx=4).encode(text="text:N"),
    ).properties(height=alt.Step(step))


def steps(data, series, unit, height=110, log=False):
    """Value over training steps per panel, one line per series: mean over seeds. data: panel, series, step, value."""
    alt = _altair()
    colour, _, dash = _series(series)
    data = _lined(data, series)
    scale = alt.Scale(type="log") if log else alt.Scale(zero=False)
    layers = alt.layer(
        alt.Chart()
        .mark_line()
        .encode(
            x=alt.X("step:Q", title="optimiser step", axis=alt.Axis(tickCount=4)),
            y=alt.Y("value:Q", title=unit, scale=scale, axis=alt.Axis(tickCount=4)),
            color=colour,
            strokeDash=dash,
        )
    ).properties(height=height)
    return _panels(layers, data, "independent")


def over_rounds(data, series, unit, height=130, free=False):
    """Value over rounds per panel with t intervals; `free` gives each panel its own scale.

    data: panel, series, round, value, ci_low, ci_high, n_seeds, rows.
    """
    alt = _altair()
    colour, shape, dash = _series(series)
    data = _lined(data, series)
    x = alt.X("round:O", title="round", axis=alt.Axis(labelAngle=0))
    y = alt.Y("value:Q", title=unit, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=4))
    base = alt.Chart()
    layers = alt.layer(
        base.mark_line().encode(x=x, y=y, color=colour, strokeDash=dash),
        base.transform_calculate(**WHISKER)
        .mark_rule()
        .encode(x=x, y=alt.Y("low:Q", title=unit), y2="high:Q", color=colour),
        base.mark_point().encode(
            x=x,
            y=y,
            color=colour,
            shape=shape,
            tooltip=_tooltip(["panel", "series", "round", "value", "ci_low", "ci_high", "n_seeds", "rows"]),
        ),
    ).properties(height=height)
    chart = _panels(layers, data, "independent")
    return chart.resolve_scale(y="independent") if free else chart


def scatter(data, series, height=190):
    """Points of a projection per panel, coloured by where they are from. data: panel, series, x, y."""
    alt = _altair()
    colour, shape, _ = _series(series)
    layers = alt.layer(
        alt.Chart()
        .mark_point(size=18, opacity=0.65)
        .encode(x=alt.X("x:Q", axis=None), y=alt.Y("y:Q", axis=None), color=colour, shape=shape)
    ).properties(height=height, view=alt.ViewBackground(stroke="#dcdcdc"))
    return _panels(layers, data, "shared")


def pairs(data, series, across, unit, height=130):
    """One mark per run and panel: value over amount, each panel on its own scale of amounts.

    data: panel, series, seed, amount, value, rows.
    """
    alt = _altair()
    colour, shape, _ = _series(series)
    x = alt.X("amount:Q", title=across, scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(tickCount=3))
    y = alt.Y("value:Q", title=unit, scale=alt.Scale(padding=8), axis=alt.Axis(tickCount=4))
    base = alt.Chart()
    layers = alt.layer(
        base.mark_rule(color=RULE, strokeWidth=1).encode(y=alt.datum(0, type="quantitative")),
        base.mark_point().encode(
            x=x,
            y=y,
            color=colour,
            shape=shape,
            tooltip=_tooltip(["panel", "series", "seed", "amount", "value", "rows"]),
        ),
    ).properties(height=height)
    data = data[["panel", "series", "seed", "amount", "value", "rows"]]
    return _panels(layers, data, "independent").resolve_scale(x="independent")


def _panels(layers, data, axis):
    """Small multiples by `panel`, in the order of the data, on one scale."""
    alt = _altair()
    facet = alt.Facet(
        "panel:N",
        sort=list(dict.fromkeys(data["panel"])),
        title=None,
        header=alt.Header(labelExpr=TWO_LINES, title=None),
    )
    return layers.facet(facet=facet, columns=4, data=data).resolve_axis(x=axis)
