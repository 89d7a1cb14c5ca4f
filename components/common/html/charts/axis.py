"""Axes: scales (linear, log, log odds), their ends and their ticks."""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from components.common.html.numbers import format_number, format_rate

Scale = Literal["linear", "log", "logit"]
Ticks = Sequence[tuple[float, str]]

_RATES = (1e-6, 1e-5, 1e-4, 1e-3, 0.003, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.999)
_LEAST_RATE = 1e-9
_TICKS = 5
# What d3's formats write in each case: 12k and 3M, 1,500, 0.25, 2e-7.
_NUMBER = (
    "abs(datum.value) >= 1e4 ? format(datum.value, '.6~s') : "
    "datum.value != 0 && abs(datum.value) < 1e-5 ? format(datum.value, '.3~e') : format(datum.value, ',.6~f')"
)
_PERCENT = "format(datum.value, ',.6~%')"
_PERCENT_OF_LOGIT = "format(1 / (1 + exp(-datum.value)), ',.6~%')"


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

    def place(self, value: float | None) -> float | None:
        """The number that is drawn for a value; None if it is not finite, or the scale has no such value."""
        if value is None or not math.isfinite(value) or (self.scale == "log" and value <= 0):
            return None
        return logit(value) if self.scale == "logit" else value

    def encoding(self, field: str, values: Iterable[float]) -> dict[str, Any]:
        """The Vega-Lite channel that reads ``field``, with ends that hold the values, unless they are given.

        >>> Axis("loss", low=0).encoding("y", [0.1, 0.4, math.nan])["scale"]["domain"]
        [0, 0.4]
        """
        places = [place for value in values if (place := self.place(value)) is not None]
        low, high = self.place(self.low), self.place(self.high)
        start = min(places, default=1.0 if self.scale == "log" else 0.0) if low is None else low
        end = max(places, default=start + 1.0) if high is None else high
        if end <= start:
            start, end = _widen(start, end, self.scale, low is None)
        nice: bool | int = _TICKS if (low is None or high is None) and self.scale != "logit" else False
        axis: dict[str, Any] = {"title": self.label, "tickCount": _TICKS, "labelExpr": _label(self)}
        if self.ticks is None:
            axis["labelLimit"] = (
                0  # numbers are short; to hold texts to a limit, Vega measures them once more
            )
        if self.ticks is not None:
            axis["values"] = [place for value, _ in self.ticks if (place := self.place(value)) is not None]
        elif self.scale == "logit":
            room = 0.02 * (end - start)
            start, end = start - (room if low is None else 0), end + (room if high is None else 0)
            axis["values"] = _rates_within(start, end)
        elif self.scale == "log":
            axis["values"] = _decades_around(start, end)
            start = min(axis["values"]) if low is None else start
            end = max(axis["values"]) if high is None else end
            # Beyond the ends they would lie on top of each other.
            axis["values"] = [value for value in axis["values"] if start <= value <= end]
            nice = False
        scale = {
            "type": "log" if self.scale == "log" else "linear",
            "domain": [start, end],
            "nice": nice,
            "zero": False,
            "clamp": True,
        }
        return {"field": field, "type": "quantitative", "scale": scale, "axis": axis}


def logit(rate: float) -> float:
    """Log odds of a rate, kept finite at 0 and 1."""
    rate = min(max(rate, _LEAST_RATE), 1.0 - _LEAST_RATE)
    return math.log(rate / (1.0 - rate))


def _widen(start: float, end: float, scale: Scale, may_move_start: bool) -> tuple[float, float]:
    """Ends around a single value."""
    if scale == "log":
        return (start / 10, start * 10) if may_move_start else (start, start * 10)
    room = abs(start) / 2 or 1.0
    return (start - room if may_move_start and start else start), start + room


def _rates_within(low: float, high: float) -> list[float]:
    """Log odds of round rates, far enough apart for their texts."""
    chosen: list[float] = []
    for place in map(logit, _RATES):
        if low <= place <= high and (not chosen or place - chosen[-1] >= (high - low) / 7):
            chosen.append(place)
    return chosen


def _decades_around(low: float, high: float) -> list[float]:
    """Powers of 10, with 2 and 5 times each where there are few; not all of them where there are many.

    >>> _decades_around(0.3, 8.0)
    [0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    sizes = (1, 2, 5) if last - first <= 2 else (1,)
    every = max(math.ceil((last - first) / 6), 1)
    ticks = [size * 10.0**decade for decade in range(first, last + every, every) for size in sizes]
    least = max((tick for tick in ticks if tick <= low), default=ticks[0])
    greatest = min((tick for tick in ticks if tick >= high), default=ticks[-1])
    return [tick for tick in ticks if least <= tick <= greatest]


def _label(axis: Axis) -> str:
    """The expression of a tick's text."""
    if axis.ticks is not None:
        # Vega's expressions read JSON.
        texts, places = [text for _, text in axis.ticks], [axis.place(value) for value, _ in axis.ticks]
        return f"{json.dumps(texts)}[indexof({json.dumps(places)}, datum.value)]"
    if axis.scale == "logit":
        return _PERCENT_OF_LOGIT
    return _PERCENT if axis.percent else _NUMBER
