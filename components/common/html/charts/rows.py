"""Charts of a row for each subject: intervals (forest plot), bars, heat strips.

A row has a line of text and a drawing below it whose places are per cent of the width, so that letters keep their
size on a telephone and on a wide window.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from components.common.html.charts.axis import Axis, FittedAxis, fit_axis
from components.common.html.charts.chart import Chart, KeyEntry, Tone
from components.common.html.numbers import format_bounds, format_number
from components.common.html.render import render
from components.common.html.tables import Table

_MAX_LETTERS = 30  # of a subject's name; its tooltip and the table have the whole
_LEVELS = 5  # shades of a heat strip


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

    The axis holds every estimate and bound; an interval that goes on beyond three times their range is cut.
    """
    fitted = _fit(x, intervals, bounds)
    rows = []
    for one in intervals:
        shown = _interval_text(one)
        low, high = (one.value if edge is None else edge for edge in (one.low, one.high))
        rows.append(
            _Row(
                name=_shorten(one.name),
                full_name=one.name,
                figure=shown,
                tone=one.tone,
                hover=f"{one.name}: {shown}{f'; {one.note}' if one.note else ''}",
                low=_percent(fitted, low),
                high=_percent(fitted, high),
                at=_percent(fitted, one.value),
            )
        )
    table = Table(
        ("", x.label, "from", "to", "note"),
        [
            (
                one.name,
                format_number(one.value, _error(one), signed=True),
                format_number(one.low, _error(one), signed=True),
                format_number(one.high, _error(one), signed=True),
                one.note or "–",
            )
            for one in intervals
        ],
    )
    return _chart(
        "intervals", title, description or _describe_intervals(intervals, x), rows, fitted, bounds, table
    )


def bar_chart(
    title: str, bars: Sequence[Bar], x: Axis, *, bounds: Sequence[Bound] = (), description: str = ""
) -> Chart:
    """Horizontal bars in the given order."""
    x = x if x.low is not None or any(bar.value < 0 for bar in bars) else replace(x, low=0.0)
    values = [value for bar in bars for value in (bar.value, bar.reference) if value is not None]
    fitted = fit_axis(x, [0.0, *values, *(bound.at for bound in bounds)])
    rows = [
        _Row(
            name=_shorten(bar.name),
            full_name=bar.name,
            figure=x.format(bar.value),
            tone=bar.tone,
            hover=f"{bar.name}: {x.format(bar.value)}{f'; {bar.note}' if bar.note else ''}",
            low=_percent(fitted, min(bar.value, 0.0)),
            high=_percent(fitted, max(bar.value, 0.0)),
            at=_percent(fitted, bar.reference),
        )
        for bar in bars
    ]
    has_reference = any(bar.reference is not None for bar in bars)
    columns = ("", x.label, *(("reference",) if has_reference else ()), "note")
    table = Table(
        columns,
        [
            (
                bar.name,
                x.format(bar.value),
                *(
                    ((x.format(bar.reference) if bar.reference is not None else "–"),)
                    if has_reference
                    else ()
                ),
                bar.note or "–",
            )
            for bar in bars
        ],
    )
    if not description:
        first = f"; first {bars[0].name}, {x.format(bars[0].value)}" if bars else ""
        description = f"{x.label} of {len(bars):,} rows{first}."
    return _chart("bars", title, description, rows, fitted, bounds, table)


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
    rows = []
    for strip in strips:
        finite = [one for one in strip.values if one is not None and math.isfinite(one)]
        low, high = min(finite, default=0.0), max(finite, default=0.0)
        cells = []
        for number, (column, one) in enumerate(zip(columns, strip.values, strict=True)):
            level = None if one is None or not math.isfinite(one) else _level(one, low, high)
            shown = "none" if one is None else value.format(one)
            fault = "; fault" if number in strip.marked else ""
            cells.append(
                _Cell(
                    x=f"{100 * number / len(columns):.3f}%",
                    width=f"{100 / len(columns):.3f}%",
                    css="none" if level is None else f"h{level}",
                    is_marked=number in strip.marked,
                    hover=f"{strip.name}, {column}: {value.label} {shown}{fault}",
                )
            )
        span = f"{value.format(low)} to {value.format(high)}" if finite else "no value"
        rows.append(_Row(_shorten(strip.name), strip.name, span, "plain", "", None, None, None, cells))
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
    faults = sum(len(strip.marked) for strip in strips)
    if not description:
        description = f"{value.label}, {columns[0]} to {columns[-1]}; {faults:,} cells with a fault."
    ends = [(0.0, columns[0]), (1.0, columns[-1])] if len(columns) > 1 else [(0.0, columns[0])]
    fitted = FittedAxis(Axis(""), 0.0, 1.0, ends)
    return _chart("strips", title, description, rows, fitted, [], table)


@dataclass(frozen=True)
class _Cell:
    x: str
    width: str
    css: str
    is_marked: bool
    hover: str


@dataclass(frozen=True)
class _Row:
    """A row as the template draws it; places are per cent."""

    name: str
    full_name: str
    figure: str
    tone: Tone
    hover: str
    low: float | None
    high: float | None
    at: float | None
    cells: Sequence[_Cell] = ()

    @property
    def width(self) -> float:
        return 0.0 if self.low is None or self.high is None else round(self.high - self.low, 2)


def _chart(
    kind: str,
    title: str,
    description: str,
    rows: Sequence[_Row],
    fitted: FittedAxis,
    bounds: Sequence[Bound],
    table: Table,
) -> Chart:
    ticks = [(f"{100 * at:.2f}", text) for at, text in fitted.ticks]
    svg = render(
        "components.common.html/rows.svg",
        kind=kind,
        description=f"{title}. {description}",
        rows=rows,
        ticks=ticks,
        label=fitted.axis.label,
        bounds=[(_percent(fitted, bound.at), bound.tone, bound.name) for bound in bounds],
    )
    key = [KeyEntry(bound.name, f"bound {bound.tone}") for bound in bounds if bound.name]
    return Chart(title, description, Markup(svg), table, key, is_wide=True)


def _fit(x: Axis, intervals: Sequence[Interval], bounds: Sequence[Bound]) -> FittedAxis:
    centres = [one.value for one in intervals if one.value is not None and math.isfinite(one.value)]
    centres += [bound.at for bound in bounds]
    edges = [edge for one in intervals for edge in (one.low, one.high) if edge is not None]
    if not centres or x.scale != "linear":
        return fit_axis(x, [*centres, *edges])
    low, high = min(centres), max(centres)
    spread = sorted(
        abs(edge - one.value)
        for one in intervals
        if one.value is not None
        for edge in (one.low, one.high)
        if edge is not None
    )
    usual = spread[int(0.9 * (len(spread) - 1))] if spread else 0.0
    room = 1.2 * max(usual, (high - low) / 2)
    return fit_axis(x, [*centres, *(min(max(edge, low - room), high + room) for edge in edges)])


def _percent(fitted: FittedAxis, value: float | None) -> float | None:
    if value is None or not math.isfinite(place := fitted.fraction(value)):
        return None
    return round(100.0 * min(max(place, 0.0), 1.0), 2)


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


def _shorten(name: str) -> str:
    """A long name without its middle: names of one family differ at their ends."""
    half = _MAX_LETTERS // 2
    return name if len(name) <= _MAX_LETTERS else f"{name[: half - 1]}…{name[-half:]}"


def _level(value: float, low: float, high: float) -> int:
    return _LEVELS - 1 if high <= low else min(int(_LEVELS * (value - low) / (high - low)), _LEVELS - 1)
