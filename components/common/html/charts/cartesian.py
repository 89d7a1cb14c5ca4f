"""Charts over two axes: lines with bands, points, histograms, reliability."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from components.common.html.charts.axis import Axis
from components.common.html.charts.chart import SERIES_COLOURS, Chart, KeyEntry
from components.common.html.charts.vega import Spec, draw
from components.common.html.numbers import format_rate
from components.common.html.tables import Table

_WIDTH, _HEIGHT = 330, 200  # of the plot, without its axes' texts
_STRIP = 34  # height of the bars of weights
_MAX_POINTS = 300  # of a line; longer ones are thinned
_MAX_HOVERS = 40  # points with a tooltip, of a line without markers
_MAX_ROWS = 40  # of a series in the table behind a chart
_MARKERS_UP_TO = 32  # points
_DASHES = ([1, 0], [7, 3], [2, 3])

Mark = Literal["line", "points", "steps"]


@dataclass(frozen=True)
class Series:
    """Points in the order that they are joined. Points that are not finite, or that a scale lacks, are left out.

    Attributes:
        low, high: a band around the points.
        weights: fractions of the rows in the points, drawn as bars below the axes.
        mark: ``steps`` joins them by steps, ``points`` not at all.
        is_reference: drawn thin and grey.
        colour: 0 to 5; None takes the series' number.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    weights: Sequence[float] | None = None
    mark: Mark = "line"
    is_reference: bool = False
    colour: int | None = None


@dataclass(frozen=True)
class Rule:
    """A straight line at a value of an axis, or the diagonal; ``name`` is in the key."""

    name: str
    at: float = 0.0
    axis: Literal["x", "y", "diagonal"] = "y"


@dataclass(frozen=True)
class Histogram:
    """Heights over ``edges``, one more than there are heights."""

    name: str
    edges: Sequence[float]
    heights: Sequence[float]
    is_reference: bool = False


def line_chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    rules: Sequence[Rule] = (),
    description: str = "",
) -> Chart:
    """Lines, with bands where a series has one. The axes fit series, bands and rules, unless their ends are given."""
    colours = itertools.count()
    coloured = [
        one
        if one.is_reference or one.colour is not None
        else replace(one, colour=next(colours) % SERIES_COLOURS)
        for one in series
    ]
    bands = [edge for one in series for edge in (one.low, one.high) if edge is not None]
    across = [*_all(one.x for one in series), *(rule.at for rule in rules if rule.axis == "x")]
    down = [
        *_all(one.y for one in series),
        *_all(bands),
        *(rule.at for rule in rules if rule.axis == "y"),
    ]
    channels = {"x": x.encoding("x", across), "y": y.encoding("y", down)}
    layers = [_draw_rule(rule, x, y, channels) for rule in rules]
    layers += [layer for one in coloured for layer in _draw_series(one, x, y)]
    # An empty chart still has its axes.
    layers = layers or [{"data": {"values": []}, "mark": "point"}]
    spec: Spec = {"width": _WIDTH, "height": _HEIGHT, "encoding": channels, "layer": layers}
    if weighted := [one for one in coloured if one.weights is not None]:
        spec = {"vconcat": [spec, _draw_weights(weighted, x, channels["x"])], "spacing": 4}
    description = description or _describe(title, series, x, y)
    key = [KeyEntry(one.name, _css(one)) for one in coloured if one.name]
    key += [KeyEntry(rule.name, "rule") for rule in rules if rule.name]
    return Chart(
        title,
        description,
        draw(spec, f"{title}. {description}"),
        _table(series, x, y),
        key if len(key) > 1 else (),
    )


def scatter_chart(
    title: str,
    series: Sequence[Series],
    x: Axis,
    y: Axis,
    *,
    rules: Sequence[Rule] = (),
    description: str = "",
) -> Chart:
    """Points that no line joins."""
    points = [replace(one, mark="points") for one in series]
    return line_chart(title, points, x, y, rules=rules, description=description)


def histogram_chart(
    title: str, histograms: Sequence[Histogram], x: Axis, y: Axis | None = None, *, description: str = ""
) -> Chart:
    """Histograms over common axes; the y axis begins at 0."""
    y = y or Axis("fraction of rows", low=0.0, percent=True)
    series = [
        Series(
            one.name,
            one.edges,
            [*one.heights, one.heights[-1]] if len(one.heights) else [],
            mark="steps",
            is_reference=one.is_reference,
        )
        for one in histograms
    ]
    chart = line_chart(title, series, x, y, description=description)
    rows = [
        (one.name, f"{x.format(low)} to {x.format(high)}", y.format(height))
        for one in histograms
        for low, high, height in zip(one.edges[:-1], one.edges[1:], one.heights, strict=True)
    ]
    return replace(chart, table=Table(("series", x.label, y.label), rows[: _MAX_ROWS * 2]))


def reliability_chart(
    title: str,
    series: Sequence[Series],
    *,
    scale: Literal["linear", "logit"] = "logit",
    description: str = "",
    percent: bool = True,
) -> Chart:
    """Observed against predicted means on one scale; on the diagonal, what was predicted is what happened."""
    values = [value for one in series for value in (*one.x, *one.y)]
    finite = [value for value in values if math.isfinite(value) and (scale == "linear" or 0 < value < 1)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    if scale == "linear":
        low = 0.0
    elif low == high:
        low, high = low / 2, (1.0 + high) / 2
    margin = 1.15 if scale == "linear" else 1.0
    x = Axis("predicted", scale, low or None, high * margin, percent)
    if scale == "linear":
        x = replace(x, low=0.0)
    y = replace(x, label="observed")
    rule = Rule("predicted = observed", axis="diagonal")
    return line_chart(title, series, x, y, rules=[rule], description=description)


def _draw_rule(rule: Rule, x: Axis, y: Axis, channels: Spec) -> Spec:
    mark: Spec = {"color": "var(--faint)", "strokeWidth": 1.25, "strokeDash": [4, 3], "aria": False}
    if rule.axis == "diagonal":
        (left, right), (bottom, top) = (channels[name]["scale"]["domain"] for name in ("x", "y"))
        points = [{"x": end, "y": end} for end in (max(left, bottom), min(right, top))]
        return {"data": {"values": points}, "mark": {"type": "line", **mark}}
    if rule.axis == "x":
        points = [{"x": x.place(rule.at)}]
        across = {"y": {"value": 0}, "y2": {"value": _HEIGHT}}
    else:
        points = [{"y": y.place(rule.at)}]
        across = {"x": {"value": 0}, "x2": {"value": _WIDTH}}
    return {"data": {"values": points}, "mark": {"type": "rule", **mark}, "encoding": across}


def _draw_series(one: Series, x: Axis, y: Axis) -> Iterator[Spec]:
    """The layers of a series: its band, its line, and the points that have tooltips."""
    colour = "var(--faint)" if one.is_reference else f"var(--s{one.colour or 0})"
    keep = _thin(len(one.x), _MAX_POINTS)
    rows = [row for place in keep if (row := _row(one, place, x, y)) is not None]
    if one.low is not None and one.high is not None:
        band = {"type": "area", "color": colour, "opacity": 0.16, "aria": False}
        yield {
            "data": {"values": rows},
            "mark": band,
            "encoding": {"y": {"field": "low"}, "y2": {"field": "high"}},
        }
    if one.mark != "points":
        line: Spec = {"type": "line", "color": colour, "aria": False}
        line |= (
            {"strokeWidth": 1.25}
            if one.is_reference
            else {"strokeDash": _DASHES[(one.colour or 0) % len(_DASHES)]}
        )
        if one.mark == "steps":
            line = {
                "type": "area",
                "interpolate": "step-after",
                "color": colour,
                "fillOpacity": 0.2,
                "line": line | {"interpolate": "step-after"},
                "aria": False,
            }
        yield {"data": {"values": rows}, "mark": line}
    if one.is_reference and one.mark != "points":
        return
    has_markers = one.mark == "points" or (one.mark == "line" and len(one.x) <= _MARKERS_UP_TO)
    hovers = rows if has_markers else [rows[place] for place in _thin(len(rows), _MAX_HOVERS)]
    point = {
        "type": "circle",
        "color": colour,
        "size": 40 if has_markers else 110,
        "opacity": 1 if has_markers else 0,
    }
    yield {"data": {"values": hovers}, "mark": point, "encoding": {"description": {"field": "hover"}}}


def _draw_weights(series: Sequence[Series], x: Axis, channel: Spec) -> Spec:
    """Bars under the axes, of several series, grouped; the axis above has the texts."""
    layers: list[Spec] = []
    for number, one in enumerate(series):
        rows = [
            {
                "x": place,
                "y": weight,
                "hover": f"{one.name}: {x.label} {x.format(value)}, {format_rate(weight)} of rows",
            }
            for value, weight in zip(one.x, one.weights or (), strict=True)
            if (place := x.place(value)) is not None
        ]
        bar = {"type": "bar", "width": 3, "color": f"var(--s{one.colour or 0})", "xOffset": 4 * number}
        layers.append({"data": {"values": rows}, "mark": bar})
    count = {"field": "y", "type": "quantitative", "axis": {"title": "rows", "labels": False, "grid": False}}
    encoding = {"x": channel | {"axis": None}, "y": count, "description": {"field": "hover"}}
    return {"width": _WIDTH, "height": _STRIP, "encoding": encoding, "layer": layers}


def _row(one: Series, place: int, x: Axis, y: Axis) -> dict[str, Any] | None:
    across, down = x.place(one.x[place]), y.place(one.y[place])
    if across is None or down is None:
        return None
    text = f"{one.name}: {x.label} {x.format(one.x[place])}, {y.label} {y.format(one.y[place])}"
    row: dict[str, Any] = {"x": across, "y": down}
    if one.low is not None and one.high is not None:
        low, high = one.low[place], one.high[place]
        text += f" ({y.format(low)} to {y.format(high)})"
        row |= {"low": y.place(low), "high": y.place(high)}
    return {**row, "hover": text}


def _thin(count: int, most: int) -> list[int]:
    """Numbers of at most ``most`` of ``count`` things, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(number * (count - 1) / (most - 1)) for number in range(most)})


def _css(one: Series) -> str:
    return "reference" if one.is_reference else f"s{one.colour or 0}"


def _describe(title: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """The text alternative: the axes, and each series' range and last value."""
    parts = []
    for one in series:
        finite = [value for value in one.y if math.isfinite(value)]
        if finite and not one.is_reference:
            low, high, last = y.format(min(finite)), y.format(max(finite)), y.format(finite[-1])
            parts.append(f"{one.name or y.label}: {low} to {high}, last {last}")
    return f"{y.label} by {x.label}. {'; '.join(parts)}."


def _table(series: Sequence[Series], x: Axis, y: Axis) -> Table:
    has_bands = any(one.low is not None for one in series)
    has_weights = any(one.weights is not None for one in series)
    extra = (*(("from", "to") if has_bands else ()), *(("fraction of rows",) if has_weights else ()))
    rows: list[tuple[str, ...]] = []
    for one in series:
        for place in _thin(len(one.x), _MAX_ROWS):
            row = [one.name, x.format(one.x[place]), y.format(one.y[place])]
            if has_bands:
                edges = (one.low, one.high)
                row += ["–" if edge is None else y.format(edge[place]) for edge in edges]
            if has_weights:
                row.append("–" if one.weights is None else format_rate(one.weights[place]))
            rows.append(tuple(row))
    return Table(("series", x.label, y.label, *extra), rows)


def _all(columns: Iterable[Sequence[float]]) -> list[float]:
    return [value for column in columns for value in column]
