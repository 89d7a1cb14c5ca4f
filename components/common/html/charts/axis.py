"""Axes: scales (linear, log, log odds), the range that holds the values, round ticks."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from components.common.html.numbers import format_number, format_rate

Scale = Literal["linear", "log", "logit"]
Ticks = Sequence[tuple[float, str]]

_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.999)
_LEAST_RATE = 1e-9


@dataclass(frozen=True)
class Axis:
    """What an axis shows.

    Attributes:
        scale: ``logit`` is for rates, as log odds.
        low, high: ends; None fits them to the values.
        percent: values are fractions, shown as per cent.
        ticks: values and their texts; None chooses round ones.
    """

    label: str
    scale: Scale = "linear"
    low: float | None = None
    high: float | None = None
    percent: bool = False
    ticks: Ticks | None = None

    def format(self, value: float) -> str:
        """A value as tooltips and tables show it."""
        return format_rate(value) if self.percent else format_number(value)


@dataclass(frozen=True)
class FittedAxis:
    """An axis with its ends, in the scale's units, and its ticks, whose values are fractions of its length."""

    axis: Axis
    low: float
    high: float
    ticks: Ticks

    def fraction(self, value: float) -> float:
        """Where a value lies: 0 is the low end, 1 the high end; not-a-number if the scale has no such value."""
        return (_transform(self.axis.scale)(value) - self.low) / (self.high - self.low)


def fit_axis(axis: Axis, values: Iterable[float]) -> FittedAxis:
    """Fit an axis around all finite values that its scale has.

    >>> [text for _, text in fit_axis(Axis("loss"), [0.12, 0.4]).ticks]
    ['0.1', '0.2', '0.3', '0.4']
    >>> [text for _, text in fit_axis(Axis("rate", percent=True, low=0), [0.031]).ticks]
    ['0%', '1%', '2%', '3%', '4%']
    >>> [text for _, text in fit_axis(Axis("loss", scale="log"), [0.02, 3]).ticks]
    ['0.01', '0.1', '1', '10']
    """
    transform = _transform(axis.scale)
    units = [unit for unit in map(transform, values) if math.isfinite(unit)]
    low = transform(axis.low) if axis.low is not None else min(units, default=0.0)
    high = transform(axis.high) if axis.high is not None else max(units, default=low + 1.0)
    if axis.scale == "log":
        low, high, ticks = _log_ticks(axis, low, high)
    elif axis.scale == "logit":
        low, high, ticks = _logit_ticks(axis, low, high)
    else:
        low, high, ticks = _linear_ticks(axis, low, high)
    chosen = ticks if axis.ticks is None else [(transform(value), text) for value, text in axis.ticks]
    inside = [((unit - low) / (high - low), text) for unit, text in chosen]
    return FittedAxis(axis, low, high, [(at, text) for at, text in inside if -1e-9 <= at <= 1.0 + 1e-9])


def _transform(scale: Scale) -> Callable[[float], float]:
    if scale == "log":
        return lambda value: math.log10(value) if value > 0 else math.nan
    if scale == "logit":
        return logit
    return float


def logit(rate: float) -> float:
    """Log odds of a rate, kept finite at 0 and 1."""
    if math.isnan(rate):
        return math.nan
    rate = min(max(rate, _LEAST_RATE), 1.0 - _LEAST_RATE)
    return math.log(rate / (1.0 - rate))


def _linear_ticks(axis: Axis, low: float, high: float) -> tuple[float, float, Ticks]:
    """Ends at round ticks, except for an end that is given."""
    spread = (high - low) or abs(high)
    # A quarter of the least floats is 0, which has no logarithm.
    spread = spread if spread > 1e-300 else 1.0
    power = 10.0 ** math.floor(math.log10(spread / 4))
    step = next(size * power for size in (1, 2, 5, 10) if spread / (size * power) <= 5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    ticks = [float(f"{number * step:.10g}") for number in range(first, last + 1)]
    start = low if axis.low is not None else first * step
    end = high if axis.high is not None and high > start else last * step
    scale = 100.0 if axis.percent else 1.0
    decimals = max(0, -math.floor(math.log10(step * scale) + 1e-9))
    return start, end, [(tick, _tick_text(tick * scale, decimals, axis.percent)) for tick in ticks]


def _tick_text(value: float, decimals: int, percent: bool) -> str:
    if percent:
        return f"{value:,.{decimals}f}%".replace("-", "−")
    if decimals > 5 or abs(value) >= 1e9:
        return f"{value:.3g}".replace("-", "−")
    for size, letter in ((1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if letter == 'k' else size):,.6g}{letter}".replace("-", "−")
    return f"{value:,.{decimals}f}".replace("-", "−")


def _log_ticks(axis: Axis, low: float, high: float) -> tuple[float, float, Ticks]:
    """Decades, or 1, 2 and 5 of each where there are few of them."""
    sizes = (1, 2, 5) if high - low < 1.5 else (1,)
    marks = [
        math.log10(size) + decade
        for decade in range(math.floor(low) - 1, math.ceil(high) + 2)
        for size in sizes
    ]
    start = low if axis.low is not None else max(mark for mark in marks if mark <= low + 1e-9)
    end = high if axis.high is not None else min(mark for mark in marks if mark >= high - 1e-9)
    end = end if end > start else start + 1.0
    every = max(1, math.ceil((end - start) / 6)) if sizes == (1,) else 1
    shown = [mark for mark in marks if round(mark) % every == 0 or sizes != (1,)]
    format_tick = format_rate if axis.percent else _short
    return start, end, [(mark, format_tick(10.0**mark)) for mark in shown]


def _short(value: float) -> str:
    return f"{value:,.6g}" if 1e-5 < value < 1e6 else f"{value:.0e}"


def _logit_ticks(axis: Axis, low: float, high: float) -> tuple[float, float, Ticks]:
    low = low if axis.low is not None else low - 0.3
    high = high if axis.high is not None else high + 0.3
    high = high if high > low else low + 1.0
    ticks: list[tuple[float, str]] = []
    for rate in _RATES:
        at = logit(rate)
        if low <= at <= high and (not ticks or at - ticks[-1][0] >= (high - low) / 7):
            ticks.append((at, f"{100 * rate:.6g}%" if axis.percent else f"{rate:g}"))
    return low, high, ticks
