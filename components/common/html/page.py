"""Self-contained HTML pages with small line charts: no network, no script; for light, dark, print and phones."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2733; --faint: #8a97a5; --paper: #ffffff; --rule: #dfe5eb;
  --s0: #0f62ac; --s1: #c2410c; --s2: #15803d; --s3: #7e22ce; --s4: #a16207; --s5: #be185d; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e8ee; --faint: #8593a2; --paper: #14191f;
  --rule: #2d3742; --s0: #6cb2f7; --s1: #fb923c; --s2: #4ade80; --s3: #c084fc; --s4: #facc15; --s5: #f472b6; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 80rem; margin: 0 auto; padding: 1.5rem 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 1.5rem 0 .25rem; overflow-wrap: anywhere; } .chart h2 { margin-top: 0; }
.charts { margin-top: 1rem; display: grid; gap: 1.5rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 16rem), 1fr)); }
.chart { break-inside: avoid; } svg:not(.inner) { width: 100%; height: auto; display: block; }
svg text { font: 11px system-ui, sans-serif; fill: var(--faint); }
.scroll { overflow-x: auto; } table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .5rem; text-align: right; border-bottom: 1px solid var(--rule); }
th { font-weight: 600; } th:first-child, td:first-child, .words { text-align: left; }
td:not(.sentence) { white-space: nowrap; } td.sentence { min-width: 16rem; }
.key, details { font-size: .85rem; color: var(--faint); } summary { cursor: pointer; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem .75rem; }
dt { font-weight: 600; } dd { margin: 0; }
@media (max-width: 40rem) { td.words { white-space: normal; } td.sentence { min-width: 11rem; }
  th:first-child, td:first-child { max-width: 9rem; position: sticky; left: 0; background: var(--paper); } }
@media print { .scroll { overflow: visible; } table { font-size: .65rem; } tr { break-inside: avoid; }
  th, td { padding: .15rem .3rem; } td.sentence { min-width: 0; } }
"""

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 360, 250, 68, 10, 10, 38
_LETTER = 6.5  # the width of one in a tick's text, about
_COLOURS = 6
_SENTENCE = 30  # letters; what is longer is read as one, and may take several lines
_LONG_NAME = 20  # letters, from which on one may take several lines
_FIGURE = re.compile(r"|–|[-+]?[\d.,]+(e[-+]?\d+)?[%×]?(( → |…)[-+]?[\d.,]+(e[-+]?\d+)?%?)?")


@dataclass(frozen=True)
class Series:
    """Points of a line, in the order that they are joined. ``colour`` is 0 to 5; None is a thin grey rule.

    ``spread``, if given, is half the height of a band around each point.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int | None = 0
    markers: bool = False
    spread: Sequence[float] | None = None


@dataclass(frozen=True)
class Axis:
    """An axis from ``low`` to ``high``; ``ticks`` are places and what is written there."""

    label: str
    low: float
    high: float
    ticks: list[tuple[float, str]] = field(default_factory=list)


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
    ticks = [number * step for number in range(first, last + 1)]
    return Axis(label, ticks[0], ticks[-1], [(tick, f"{tick:.6g}") for tick in map(_tidy, ticks)])


def line_chart(title: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """A chart as an HTML fragment. Points that are not finite are left out; lines are cut at the frame."""
    parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title, quote=True)}">']
    parts += _frame(x, y)
    inner = (_LEFT - 3, _TOP - 3, _WIDTH - _LEFT - _RIGHT + 6, _HEIGHT - _TOP - _BOTTOM + 6)
    view = 'x="{}" y="{}" width="{}" height="{}" viewBox="{} {} {} {}"'.format(*inner, *inner)
    parts.append(f'<svg {view} class="inner">')
    for one in series:
        points = [
            (_across(x, a), _down(y, b))
            for a, b in zip(one.x, one.y, strict=True)
            if math.isfinite(a) and math.isfinite(b)
        ]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        colour = "var(--faint)" if one.colour is None else f"var(--s{one.colour % _COLOURS})"
        width = 1 if one.colour is None else 1.75
        parts += _band(one, x, y, colour)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>')
        if one.markers:
            parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="2.5" fill="{colour}"/>' for a, b in points]
    key = " &nbsp; ".join(
        f'<span style="color:var(--s{one.colour % _COLOURS})">&#9644;</span> {escape(one.name)}'
        for one in series
        if one.colour is not None and one.name
    )
    drawing = f"{''.join(parts)}</svg></svg>"
    return f'<div class="chart"><h2>{breakable(title)}</h2>{drawing}<div class="key">{key}</div></div>'


def _band(one: Series, x: Axis, y: Axis, colour: str) -> list[str]:
    if one.spread is None:
        return []
    places = list(zip(one.x, one.y, one.spread, strict=True))
    outline = [(a, b + reach) for a, b, reach in places] + [
        (a, b - reach) for a, b, reach in reversed(places)
    ]
    points = " ".join(f"{_across(x, a):.1f},{_down(y, b):.1f}" for a, b in outline)
    return [f'<polygon points="{points}" fill="{colour}" fill-opacity="0.15" stroke="none"/>']


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table as an HTML fragment; columns that hold words align left, those of figures right."""
    marks = [_mark([str(row[place]) for row in rows]) for place in range(len(columns))]
    head = "".join(f"<th{mark}>{escape(name)}</th>" for mark, name in zip(marks, columns, strict=True))
    lines = []
    for row in rows:
        cells = "".join(f"<td{mark}>{_cell(str(cell))}</td>" for mark, cell in zip(marks, row, strict=True))
        lines.append(f"<tr>{cells}</tr>")
    return f'<div class="scroll"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


def _cell(text: str) -> str:
    return breakable(text) if len(text) > _LONG_NAME else escape(text)


def _mark(cells: Sequence[str]) -> str:
    if all(_FIGURE.fullmatch(cell) for cell in cells):
        return ""
    return (
        ' class="words sentence"'
        if any(" " in cell and len(cell) > _SENTENCE for cell in cells)
        else " class=words"
    )


def breakable(text: str) -> str:
    """Text as HTML in which a long name may go on in another line after an underscore or a dot, and not elsewhere.

    >>> breakable("is_good<1")
    'is_<wbr>good&lt;1'
    """
    return re.sub(r"(?<=[a-z])([_.])(?=[a-z])", r"\1<wbr>", escape(text), flags=re.IGNORECASE)


def page(title: str, lead: str, *fragments: str) -> str:
    """A whole page: a title, a line under it, then HTML fragments."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{escape(title)}</h1><p>{escape(lead)}</p>{''.join(fragments)}</body></html>\n"
    )


def _frame(x: Axis, y: Axis) -> list[str]:
    """Grid lines, ticks and names of the axes."""
    left, right, top, bottom = _LEFT, _WIDTH - _RIGHT, _TOP, _HEIGHT - _BOTTOM
    parts = []
    for value, text in y.ticks:
        at = _down(y, value)
        parts.append(f'<line x1="{left}" x2="{right}" y1="{at:.1f}" y2="{at:.1f}" stroke="var(--rule)"/>')
        parts.append(f'<text x="{left - 6}" y="{at + 4:.1f}" text-anchor="end">{escape(text)}</text>')
    for value, text in x.ticks:
        at = _across(x, value)
        parts.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{top}" y2="{bottom}" stroke="var(--rule)"/>')
        inside = min(at, _WIDTH - len(text) * _LETTER / 2)
        parts.append(f'<text x="{inside:.1f}" y="{bottom + 15}" text-anchor="middle">{escape(text)}</text>')
    middle = (top + bottom) / 2
    parts.append(
        f'<text x="{(left + right) / 2}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(x.label)}</text>'
    )
    parts.append(
        f'<text x="11" y="{middle}" text-anchor="middle" transform="rotate(-90 11 {middle})">'
        f"{escape(y.label)}</text>"
    )
    return parts


def _across(axis: Axis, value: float) -> float:
    return _LEFT + _share(axis, value) * (_WIDTH - _LEFT - _RIGHT)


def _down(axis: Axis, value: float) -> float:
    return _HEIGHT - _BOTTOM - _share(axis, value) * (_HEIGHT - _TOP - _BOTTOM)


def _share(axis: Axis, value: float) -> float:
    return (value - axis.low) / ((axis.high - axis.low) or 1.0)


def _tidy(value: float) -> float:
    return float(f"{value:.10g}")
