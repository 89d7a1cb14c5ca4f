"""SVG charts: what ``templates/charts.html`` draws, and where."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_LETTER = 6.5  # the approximate width of a letter of a tick's text
_COLOURS = 6


@dataclass(frozen=True)
class Frame:
    """A chart's size, and the edges of the part that its axes span."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    @property
    def inner(self) -> tuple[int, int, int, int]:
        """Left, top, width and height of the part that lines are cut at: the axes' part and room for markers."""
        return self.left - 3, self.top - 3, self.right - self.left + 6, self.bottom - self.top + 6


_WITH_AXES = Frame(width=360, height=250, left=68, right=350, top=10, bottom=212)
_WITHOUT_AXES = Frame(width=240, height=80, left=0, right=240, top=4, bottom=76)


@dataclass(frozen=True)
class Series:
    """Points of a line, in the order that they are joined.

    ``name`` is in the chart's key, unless empty. ``colour`` is 0 to 5; None is grey, and thin if without a name.
    ``spread``, if given, is half the height of a band around each point.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int | None = 0
    markers: bool = False
    spread: Sequence[float] | None = None

    @property
    def stroke(self) -> str:
        """The colour as CSS."""
        return "var(--faint)" if self.colour is None else f"var(--s{self.colour % _COLOURS})"

    @property
    def width(self) -> float:
        """The line's width."""
        return 1.75 if self.name or self.colour is not None else 1.0


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``; ``ticks`` are values and their texts."""

    label: str
    low: float
    high: float
    ticks: list[tuple[float, str]] = field(default_factory=list)

    def fraction(self, value: float) -> float:
        """Where a value lies on the axis: 0 is its low end, 1 its high end."""
        return (value - self.low) / ((self.high - self.low) or 1.0)


def linear_axis(label: str, values: Sequence[float]) -> Axis:
    """An axis with three to six round ticks around all finite values.

    >>> linear_axis("loss", [0.12, 0.4]).ticks
    [(0.1, '0.1'), (0.2, '0.2'), (0.3, '0.3'), (0.4, '0.4')]
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, high = min(finite), max(finite)
    spread = (high - low) or abs(high)
    # A quarter of the least floats is 0, which has no logarithm.
    spread = spread if spread > 1e-300 else 1.0
    power = 10.0 ** math.floor(math.log10(spread / 4))
    step = next(size * power for size in (1, 2, 5, 10) if spread / (size * power) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = [float(f"{number * step:.10g}") for number in range(first, last + 1)]
    return Axis(label, first * step, last * step, [(tick, f"{tick:.6g}") for tick in ticks])


@dataclass(frozen=True)
class LineChart:
    """Lines over two axes. Points that are not finite are left out; lines are cut at the frame."""

    title: str
    series: Sequence[Series]
    x: Axis
    y: Axis
    frame: Frame = _WITH_AXES

    def points(self, one: Series) -> list[str]:
        """A line's points, ``across,down``."""
        return self._points(zip(one.x, one.y, strict=True))

    def band(self, one: Series) -> list[str]:
        """The outline of a line's band: the upper edge, then the lower one back; empty without a band."""
        if one.spread is None:
            return []
        points = list(zip(one.x, one.y, one.spread, strict=True))
        upper, lower = [(a, b + half) for a, b, half in points], [(a, b - half) for a, b, half in points]
        return self._points(upper + lower[::-1])

    def rows(self) -> list[tuple[str, str]]:
        """The y axis' ticks: how far down, and the text."""
        return [(f"{self._down(value):.1f}", text) for value, text in self.y.ticks]

    def columns(self) -> list[tuple[str, str, str]]:
        """The x axis' ticks: how far across, the same for a text that stays within the chart, and the text."""
        places = [(self._across(value), text) for value, text in self.x.ticks]
        ends = [self.frame.width - len(text) * _LETTER / 2 for _, text in places]
        return [
            (f"{at:.1f}", f"{min(at, end):.1f}", text) for (at, text), end in zip(places, ends, strict=True)
        ]

    def _points(self, values: Iterable[tuple[float, float]]) -> list[str]:
        finite = [(a, b) for a, b in values if math.isfinite(a) and math.isfinite(b)]
        return [f"{self._across(a):.1f},{self._down(b):.1f}" for a, b in finite]

    def _across(self, value: float) -> float:
        return self.frame.left + self.x.fraction(value) * (self.frame.right - self.frame.left)

    def _down(self, value: float) -> float:
        return self.frame.bottom - self.y.fraction(value) * (self.frame.bottom - self.frame.top)


def reliability_chart(
    title: str, series: Sequence[Series], low: float, high: float, ticks: list[tuple[float, str]]
) -> LineChart:
    """Observed against predicted rates on one scale; on the diagonal, what was predicted is what happened."""
    diagonal = Series("", [low, high], [low, high], colour=None)
    x, y = Axis("predicted", low, high, ticks), Axis("observed", low, high, ticks)
    return LineChart(title, [diagonal, *series], x, y)


def histogram_chart(title: str, histograms: Sequence[tuple[str, int | None, Sequence[float]]]) -> LineChart:
    """Outlines of histograms over the same bars, without axes: each its name, its colour, the heights of the bars."""
    bars = len(histograms[0][2])
    highest = max(max(heights) for _, _, heights in histograms)
    edges = [float(place + side) for place in range(bars) for side in (0, 1)]
    series = [
        Series(name, edges, [height for height in heights for _ in (0, 1)], colour)
        for name, colour, heights in histograms
    ]
    return LineChart(title, series, Axis("", 0.0, bars), Axis("", 0.0, highest), _WITHOUT_AXES)
