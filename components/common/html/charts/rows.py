"""Charts of a row for each subject: intervals (forest plot), bars, heat strips.

A row has a line of text, the subject's name and its figure, and a drawing below it, so that a chart is as wide as its
page on a telephone too.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.common.html.charts.axis import Axis
from components.common.html.charts.chart import Chart, KeyEntry, Tone
from components.common.html.charts.vega import Spec, draw
from components.common.html.numbers import format_bounds, format_number
from components.common.html.tables import Table

_WIDTH = 440
_ROW_HEIGHT = 40
_MAX_LETTERS, _LINE_LETTERS = (
    38,
    54,
)  # of a subject's name, and with its figure; the tooltip has the whole name
_LEVELS = 5  # shades of a heat strip
_TEXT, _DRAWING = 0.24, 0.72  # heights in a row
_COLOURS: dict[Tone, str] = {
    "good": "var(--good)",
    "bad": "var(--bad)",
    "warn": "var(--warn)",
    "plain": "var(--s0)",
    "faint": "var(--faint)",
}


@dataclass(frozen=True)
class Interval:
    """An estimate with its interval; bounds that are None are not drawn."""

    name: str
    value: float | None
    low: float | None = None
    high: float | None = None
    tone: Tone = "plain"
    note: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar from 0; ``reference`` is drawn as a tick across it."""

    name: str
    value: float
    reference: float | None = None
    tone: Tone = "plain"
    note: str = ""


@dataclass(frozen=True)
class Bound:
    """A value drawn across all rows."""

    name: str
    at: float
    tone: Tone = "plain"


@dataclass(frozen=True)
class Strip:
    """A row of cells, one for each column; None is a cell without a value. ``marked`` are columns with a fault."""

    name: str
    values: Sequence[float | None]
    marked: frozenset[int] = frozenset()


def interval_chart(
    title: str,
    intervals: Sequence[Interval],
    x: Axis,
    *,
    bounds: Sequence[Bound] = (),
    description: str = "",
) -> Chart:
    """A forest plot: an estimate and its interval in each row, in the given order.

    The axis holds every estimate and bound; an interval that goes on beyond the usual width is cut.
    """
    rows = []
    for number, one in enumerate(intervals):
        shown = _interval_text(one)
        low, high = (one.value if edge is None else edge for edge in (one.low, one.high))
        rows.append(
            _row(number, one.name, shown, one.tone, one.note)
            | {"x": x.place(one.value), "low": x.place(low), "high": x.place(high)}
        )
    estimates = [row for row in rows if row["x"] is not None]
    layers = [
        _layer(estimates, {"type": "rule", "strokeWidth": 3}, x="low", x2="high"),
        _layer(estimates, {"type": "circle", "size": 75, "opacity": 1}, x="x"),
    ]
    table = Table(
        ("", x.label, "from", "to", "note"),
        [
            (
                one.name,
                *(format_number(value, _error(one), signed=True) for value in (one.value, one.low, one.high)),
                one.note or "–",
            )
            for one in intervals
        ],
    )
    channel = x.encoding("x", _drawn_values(intervals, bounds))
    return _chart(
        title, description or _describe_intervals(intervals, x), rows, channel, layers, bounds, table
    )


def bar_chart(
    title: str, bars: Sequence[Bar], x: Axis, *, bounds: Sequence[Bound] = (), description: str = ""
) -> Chart:
    """Horizontal bars in the given order."""
    x = x if x.low is not None or any(bar.value < 0 for bar in bars) else replace(x, low=0.0)
    values = [value for bar in bars for value in (bar.value, bar.reference) if value is not None]
    rows = [
        _row(number, bar.name, x.format(bar.value), bar.tone, bar.note)
        | {"x": 0.0, "high": x.place(bar.value), "reference": x.place(bar.reference)}
        for number, bar in enumerate(bars)
    ]
    marked = [row for row in rows if row["reference"] is not None]
    tick = {"type": "tick", "color": "var(--ink)", "thickness": 2, "height": 18, "aria": False}
    layers = [
        _layer(rows, {"type": "bar", "height": 11}, x="x", x2="high"),
        _layer(marked, tick, x="reference", is_coloured=False),
    ]
    with_reference = any(bar.reference is not None for bar in bars)
    columns = ("", x.label, *(("reference",) if with_reference else ()), "note")
    table = Table(
        columns,
        [
            (
                bar.name,
                x.format(bar.value),
                *(("–" if bar.reference is None else x.format(bar.reference),) if with_reference else ()),
                bar.note or "–",
            )
            for bar in bars
        ],
    )
    if not description:
        first = f"; first {bars[0].name}, {x.format(bars[0].value)}" if bars else ""
        description = f"{x.label} of {len(bars):,} rows{first}."
    channel = x.encoding("x", [0.0, *values, *(bound.at for bound in bounds)])
    return _chart(title, description, rows, channel, layers, bounds, table)


def heat_strip(
    title: str,
    columns: Sequence[str],
    strips: Sequence[Strip],
    value: Axis,
    *,
    description: str = "",
) -> Chart:
    """A row of shaded cells for each strip: the darker, the larger among the strip's own values.

    Args:
        columns: what each cell stands for, as days.
        value: names and formats the values.
    """
    rows, cells, faults = [], [], []
    for row, strip in enumerate(strips):
        finite = [one for one in strip.values if one is not None and math.isfinite(one)]
        low, high = min(finite, default=0.0), max(finite, default=0.0)
        for number, (column, one) in enumerate(zip(columns, strip.values, strict=True)):
            fault = "; fault" if number in strip.marked else ""
            shown = "none" if one is None else value.format(one)
            cell = {
                "x": number,
                "end": number + 1,
                "top": row + 0.45,
                "bottom": row + 0.85,
                "hover": f"{strip.name}, {column}: {value.label} {shown}{fault}",
                "colour": "var(--raised)"
                if one is None or not math.isfinite(one)
                else f"var(--h{_level(one, low, high)})",
            }
            cells.append(cell)
            if fault:
                faults.append(cell | {"top": row + 0.87, "bottom": row + 0.96, "colour": "var(--bad)"})
        texts = dict.fromkeys(map(value.format, (low, high) if finite else ()))
        span = " to ".join(texts) or "none"
        rows.append(_row(row, strip.name, span, "plain", ""))
    table = Table(
        ("", *(strip.name for strip in strips)),
        [
            (
                column,
                *("–" if (one := strip.values[number]) is None else value.format(one) for strip in strips),
            )
            for number, column in enumerate(columns)
        ],
    )
    marked = sum(len(strip.marked) for strip in strips)
    if not description:
        description = f"{value.label}, {columns[0]} to {columns[-1]}; {marked:,} cells with a fault."
    ends = [(0.5, columns[0]), (len(columns) - 0.5, columns[-1])] if len(columns) > 1 else [(0.5, columns[0])]
    channel = Axis("", low=0.0, high=len(columns), ticks=ends).encoding("x", [])
    channel["axis"] |= {"grid": False, "labelFlush": len(columns) / 4}
    rect = {"type": "rect", "stroke": "var(--paper)"}
    layers = [_layer(some, rect, x="x", x2="end", y="top", y2="bottom") for some in (cells, faults)]
    return _chart(title, description, rows, channel, layers, [], table)


def _row(number: int, name: str, figure: str, tone: Tone, note: str) -> dict[str, Any]:
    return {
        "text": number + _TEXT,
        "drawing": number + _DRAWING,
        "name": _shorten(name, min(_MAX_LETTERS, max(_LINE_LETTERS - len(figure), 8))),
        "figure": figure,
        "colour": _COLOURS[tone],
        "is_bold": tone in ("good", "bad"),
        "hover": f"{name}: {figure}{f'; {note}' if note else ''}",
    }


def _layer(
    rows: Sequence[dict[str, Any]],
    mark: Spec,
    *,
    y: str = "drawing",
    is_coloured: bool = True,
    **channels: str,
) -> Spec:
    """Marks at fields of the rows: ``x``, ``x2``, ``y2``."""
    encoding: Spec = {"y": {"field": y}, "description": {"field": "hover"}}
    encoding |= {channel: {"field": field} for channel, field in channels.items()}
    if is_coloured:
        encoding["color"] = {"field": "colour", "type": "nominal", "scale": None}
    return {"data": {"values": rows}, "mark": mark, "encoding": encoding}


def _chart(
    title: str,
    description: str,
    rows: Sequence[dict[str, Any]],
    channel: Spec,
    layers: Sequence[Spec],
    bounds: Sequence[Bound],
    table: Table,
) -> Chart:
    texts = [
        _text([row for row in rows if row["is_bold"] is is_bold], field, align, place, is_bold)
        for is_bold in (False, True)
        for field, align, place in (("name", "left", 0), ("figure", "right", _WIDTH))
    ]
    height = _ROW_HEIGHT * max(len(rows), 1)
    spec = {
        "width": _WIDTH,
        "height": height,
        "encoding": {
            "x": channel,
            "y": {
                "type": "quantitative",
                "axis": None,
                "scale": {"domain": [0, max(len(rows), 1)], "reverse": True, "nice": False},
            },
        },
        "layer": [*(_draw_bound(bound, height) for bound in bounds), *layers, *texts],
    }
    key = [KeyEntry(bound.name, f"bound {bound.tone}") for bound in bounds if bound.name]
    return Chart(title, description, draw(spec, f"{title}. {description}"), table, key)


def _text(rows: Sequence[dict[str, Any]], field: str, align: str, place: int, is_bold: bool) -> Spec:
    mark: Spec = {"type": "text", "align": align, "fontWeight": "bold" if is_bold else "normal"}
    layer = _layer(rows, mark, y="text", is_coloured=is_bold)
    layer["encoding"] |= {"x": {"value": place}, "text": {"field": field}}
    return layer


def _draw_bound(bound: Bound, height: int) -> Spec:
    colour = "var(--ink)" if bound.tone == "plain" else _COLOURS[bound.tone]
    dash = [1, 0] if bound.tone == "plain" else [4, 3]
    return {
        "data": {"values": [{"at": bound.at, "hover": bound.name}]},
        "mark": {"type": "rule", "color": colour, "strokeWidth": 1.25, "strokeDash": dash},
        "encoding": {
            "x": {"field": "at"},
            "y": {"value": 0},
            "y2": {"value": height},
            "description": {"field": "hover"},
        },
    }


def _drawn_values(intervals: Sequence[Interval], bounds: Sequence[Bound]) -> list[float]:
    """What the axis is to hold: estimates, bounds, and of the intervals no more than nine in ten reach."""
    centres = [one.value for one in intervals if one.value is not None and math.isfinite(one.value)]
    centres += [bound.at for bound in bounds]
    reaches = sorted(
        (abs(edge - one.value), edge)
        for one in intervals
        if one.value is not None
        for edge in (one.low, one.high)
        if edge is not None and math.isfinite(edge)
    )
    if not centres or not reaches:
        return centres
    room = 1.2 * max(reaches[int(0.9 * (len(reaches) - 1))][0], (max(centres) - min(centres)) / 2)
    low, high = min(centres) - room, max(centres) + room
    return [*centres, *(min(max(edge, low), high) for _, edge in reaches)]


def _error(one: Interval) -> float | None:
    return None if one.low is None or one.high is None else (one.high - one.low) / 4


def _interval_text(one: Interval) -> str:
    if one.value is None:
        return "–"
    text = format_number(one.value, _error(one), signed=True)
    if one.low is None or one.high is None:
        return text
    return f"{text} ({format_bounds(one.low, one.high, _error(one), signed=True)})"


def _describe_intervals(intervals: Sequence[Interval], x: Axis) -> str:
    worse = [one.name for one in intervals if one.tone == "bad"]
    better = [one.name for one in intervals if one.tone == "good"]
    parts = [
        f"{len(names)} {word} ({', '.join(names[:3])})"
        for names, word in ((worse, "worse"), (better, "better"))
        if names
    ]
    return f"{x.label} of {len(intervals):,} rows: {'; '.join(parts) or 'none clearly better or worse'}."


def _shorten(name: str, letters: int) -> str:
    """A long name without its middle: names of one family differ at their ends."""
    half = letters // 2
    return name if len(name) <= letters else f"{name[: half - 1]}…{name[-half:]}"


def _level(value: float, low: float, high: float) -> int:
    return _LEVELS - 1 if high <= low else min(int(_LEVELS * (value - low) / (high - low)), _LEVELS - 1)
