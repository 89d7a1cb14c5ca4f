"""Charts over two axes: lines with bands, points, histograms, reliability."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from markupsafe import Markup

from components.common.html.charts.axis import Axis, FittedAxis, fit_axis
from components.common.html.charts.chart import SERIES_COLOURS, Chart, KeyEntry
from components.common.html.render import render
from components.common.html.tables import Table

_WIDTH, _HEIGHT = 400, 250
_TOP, _RIGHT, _BOTTOM = 10, 14, 42  # margins
_LETTER = 6.2  # the approximate width of a letter of a tick's text
_MAX_POINTS = 300  # of a line; longer ones are thinned
_MAX_HOVERS = 60  # points with a tooltip, of a line without markers
_MAX_ROWS = 60  # of the table behind a chart
_MARKERS_UP_TO = 32  # points

Mark = Literal["line", "points", "steps"]


@dataclass(frozen=True)
class Series:
    """Points in the order that they are joined. Points that are not finite, or that a scale lacks, are left out.

    Attributes:
        low, high: a band around the points.
        mark: ``steps`` joins them by steps, ``points`` not at all.
        is_reference: drawn thin and grey.
        colour: 0 to 5; None takes the series' number.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
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
    bands = [value for one in series for edge in (one.low, one.high) if edge is not None for value in edge]
    horizontal = fit_axis(
        x, [*_all(one.x for one in series), *(rule.at for rule in rules if rule.axis == "x")]
    )
    vertical = fit_axis(
        y, [*_all(one.y for one in series), *bands, *(rule.at for rule in rules if rule.axis == "y")]
    )
    frame = _Frame.fit(horizontal, vertical)
    drawn = [_draw_series(one, frame) for one in coloured]
    key = [KeyEntry(one.name, _css(one)) for one in coloured if one.name]
    key += [KeyEntry(rule.name, "rule") for rule in rules if rule.name]
    return Chart(
        title=title,
        description=description or _describe(title, series, x, y),
        svg=_render(title, description or _describe(title, series, x, y), frame, drawn, rules=rules),
        table=_table(series, x, y),
        key=key,
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
            [edge for pair in zip(one.edges[:-1], one.edges[1:], strict=True) for edge in pair],
            [height for height in one.heights for _ in (0, 1)],
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


@dataclass(frozen=True)
class _Frame:
    """Where the axes lie in the drawing."""

    x: FittedAxis
    y: FittedAxis
    left: float
    width: int = _WIDTH
    height: int = _HEIGHT
    top: float = _TOP

    @classmethod
    def fit(cls, x: FittedAxis, y: FittedAxis) -> "_Frame":
        widest = max((len(text) for _, text in y.ticks), default=0)
        return cls(x, y, left=30 + widest * _LETTER)

    @property
    def right(self) -> float:
        return self.width - _RIGHT

    @property
    def bottom(self) -> float:
        return self.height - _BOTTOM

    def across(self, value: float) -> float:
        return self.left + self.x.fraction(value) * (self.right - self.left)

    def down(self, value: float) -> float:
        return self.bottom - self.y.fraction(value) * (self.bottom - self.top)

    def rows(self) -> list[tuple[str, str]]:
        """The y axis' ticks: how far down, and the text."""
        return [(f"{self.bottom - at * (self.bottom - self.top):.1f}", text) for at, text in self.y.ticks]

    def columns(self) -> list[tuple[str, str, str]]:
        """The x axis' ticks: how far across, the same for a text that stays within the chart, and the text."""
        ticks = [(self.left + at * (self.right - self.left), text) for at, text in self.x.ticks]
        ends = [self.width - len(text) * _LETTER / 2 for _, text in ticks]
        return [
            (f"{at:.1f}", f"{min(at, end):.1f}", text) for (at, text), end in zip(ticks, ends, strict=True)
        ]

    def rule(self, rule: Rule) -> tuple[str, str, str, str]:
        """A rule's ends: x1, y1, x2, y2."""
        if rule.axis == "diagonal":
            low = max(self.x.low, self.y.low)
            high = min(self.x.high, self.y.high)
            ends = [
                (low - self.x.low) / (self.x.high - self.x.low),
                (high - self.x.low) / (self.x.high - self.x.low),
            ]
            downs = [
                (low - self.y.low) / (self.y.high - self.y.low),
                (high - self.y.low) / (self.y.high - self.y.low),
            ]
            x1, x2 = (self.left + end * (self.right - self.left) for end in ends)
            y1, y2 = (self.bottom - end * (self.bottom - self.top) for end in downs)
        elif rule.axis == "x":
            x1 = x2 = self.across(rule.at)
            y1, y2 = self.top, self.bottom
        else:
            y1 = y2 = self.down(rule.at)
            x1, x2 = self.left, self.right
        return f"{x1:.1f}", f"{y1:.1f}", f"{x2:.1f}", f"{y2:.1f}"


@dataclass(frozen=True)
class _Point:
    x: str
    y: str
    text: str


@dataclass(frozen=True)
class _Drawn:
    """A series as the template draws it."""

    css: str
    line: str
    area: str
    points: list[_Point]
    has_markers: bool


def _draw_series(one: Series, frame: _Frame) -> _Drawn:
    keep = _thin(len(one.x), _MAX_POINTS)
    x, y = [one.x[place] for place in keep], [one.y[place] for place in keep]
    line = _points(frame, zip(x, y, strict=True))
    area: list[str] = []
    if one.low is not None and one.high is not None:
        upper = _points(frame, zip(x, (one.high[place] for place in keep), strict=True))
        lower = _points(frame, zip(x, (one.low[place] for place in keep), strict=True))
        area = upper + lower[::-1]
    elif one.mark == "steps" and line:
        area = [
            f"{line[0].split(',')[0]},{frame.bottom:.1f}",
            *line,
            f"{line[-1].split(',')[0]},{frame.bottom:.1f}",
        ]
    has_markers = one.mark == "points" or (one.mark == "line" and len(x) <= _MARKERS_UP_TO)
    hovers = keep if has_markers else [keep[place] for place in _thin(len(keep), _MAX_HOVERS)]
    return _Drawn(
        css=_css(one),
        line="" if one.mark == "points" else " ".join(line),
        area=" ".join(area),
        points=[] if one.is_reference and one.mark != "points" else list(_hover(one, frame, hovers)),
        has_markers=has_markers,
    )


def _hover(one: Series, frame: _Frame, places: Sequence[int]) -> Iterable[_Point]:
    horizontal, vertical = frame.x.axis, frame.y.axis
    for place in places:
        x, y = one.x[place], one.y[place]
        across, down = frame.across(x), frame.down(y)
        if math.isfinite(across) and math.isfinite(down):
            text = f"{one.name}: {horizontal.label} {horizontal.format(x)}, {vertical.label} {vertical.format(y)}"
            if one.low is not None and one.high is not None:
                text += f" ({vertical.format(one.low[place])} to {vertical.format(one.high[place])})"
            yield _Point(f"{across:.1f}", f"{down:.1f}", text)


def _points(frame: _Frame, values: Iterable[tuple[float, float]]) -> list[str]:
    drawn = [(frame.across(x), frame.down(y)) for x, y in values]
    return [f"{x:.1f},{y:.1f}" for x, y in drawn if math.isfinite(x) and math.isfinite(y)]


def _thin(count: int, most: int) -> list[int]:
    """Numbers of at most ``most`` of ``count`` things, evenly spread, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(number * (count - 1) / (most - 1)) for number in range(most)})


def _css(one: Series) -> str:
    return "reference" if one.is_reference else f"s{one.colour or 0}"


def _render(
    title: str, description: str, frame: _Frame, drawn: Sequence[_Drawn], rules: Sequence[Rule]
) -> Markup:
    return Markup(
        render(
            "components.common.html/cartesian.svg",
            description=f"{title}. {description}",
            frame=frame,
            series=drawn,
            rules=[(rule.name, *frame.rule(rule)) for rule in rules],
        )
    )


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
    columns = ("series", x.label, y.label, *(("from", "to") if has_bands else ()))
    rows: list[tuple[str, ...]] = []
    for one in series:
        for place in _thin(len(one.x), _MAX_ROWS):
            row: tuple[str, ...] = (one.name, x.format(one.x[place]), y.format(one.y[place]))
            if has_bands:
                edges = (one.low, one.high)
                row += tuple("–" if edge is None else y.format(edge[place]) for edge in edges)
            rows.append(row)
    return Table(columns, rows)


def _all(columns: Iterable[Sequence[float]]) -> list[float]:
    return [value for column in columns for value in column]
