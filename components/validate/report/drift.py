"""The page's part on drift and skew: each column beside the reference, the furthest first, with its histograms."""

from html import escape

import numpy as np

from components.common.artifacts.validation_result import DRIFT_IN_WORDS
from components.common.html.glossary import definitions
from components.common.html.page import breakable, table
from components.validate.drift.column import Change
from components.validate.drift.compare import WINDOW, Drift, Level
from components.validate.drift.metrics import METRICS
from components.validate.drift.reference import Reference
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.statistics import Counts, Floats
from components.validate.result import Kind, Verdict

_MAX_COLUMNS, _MAX_PICTURES = 100, 24
_BARS, _WIDTH, _HEIGHT = 24, 240, 80
_LEAST_SHARE = 0.001  # of the rows: bins with fewer are drawn with their neighbours
_TITLES: dict[Kind, str] = {"drift": "Drift from {}", "skew": "Skew between the log and {}"}


def drift_parts(verdict: Verdict, profile: Profile, references: dict[Kind, Reference]) -> list[str]:
    """Fragments of the page; for a comparison that was not made, a line with the reason."""
    parts: list[str] = []
    for kind, drift in verdict.drifts.items():
        state = verdict.drift_state(kind)
        parts.append(f"<h2>{escape(_TITLES[kind].format(drift.against))}: {DRIFT_IN_WORDS[state]}</h2>")
        if drift.found is None:
            parts.append(f"<p>{escape(_sentence(drift.reason))}</p>")
            continue
        reference = references[kind].profile
        assert reference is not None
        parts += [
            _summary(drift),
            _pictures(drift, profile, reference),
            _columns(drift),
            definitions({metric.title: metric.meaning for metric in METRICS}),
        ]
        parts += _levels("task", drift.found.rates, ".4g") + _levels("day", drift.found.rows, ",.0f")
    return parts


def _sentence(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}."


def _summary(drift: Drift) -> str:
    assert drift.found is not None
    changes = drift.worst()
    moved = sum(change.furthest > 1.0 for change in changes)
    new = drift.found.new
    more = f", and {len(new) - 5} more" if len(new) > 5 else ""
    fresh = f" It does not have: {', '.join(new[:5])}{more}." if new else ""
    said = f"{moved:,} of {len(changes):,} columns are beyond a bound.{fresh} Each is shown where it is furthest."
    return f"<p>{escape(said)}</p>"


def _columns(drift: Drift) -> str:
    head = ["column", "where", "of the bound", *(metric.title for metric in METRICS), "missing", "was"]
    rows: list[list[object]] = []
    changes = drift.worst()
    for change in changes[:_MAX_COLUMNS]:
        figures = [_number(change.found.get(metric.name), metric.unit) for metric in METRICS]
        before, now = change.missing
        excess = f"{min(change.furthest, 9999):.2f}"
        rows.append([change.column, change.where, excess, *figures, f"{now:.1%}", f"{before:.1%}"])
    more = len(changes) - _MAX_COLUMNS
    return table(head, rows) + (f"<p>and {more:,} more, nearer to it</p>" if more > 0 else "")


def _levels(subject: str, levels: list[Level], style: str) -> list[str]:
    """Those outside of their bounds, and the window's."""
    shown = [
        level for level in levels if level.where == WINDOW or not level.lowest <= level.value <= level.highest
    ]
    if not shown:
        return []
    rows = [
        [level.subject, level.where or "–", *(format(value, style) for value in _values(level))]
        for level in shown
    ]
    return [table([subject, "where", "now", "was", "at least", "at most"], rows)]


def _values(level: Level) -> tuple[float, float, float, float]:
    return level.value, level.usual, max(level.lowest, 0.0), level.highest


def _number(value: float | None, style: str) -> str:
    return "–" if value is None else format(value, style)


def _pictures(drift: Drift, profile: Profile, reference: Profile) -> str:
    parts = {WINDOW: profile.window()}
    then = reference.window()
    drawn = []
    for change in drift.worst()[:_MAX_PICTURES]:
        if change.where not in parts:
            named = [part for name, part in profile.partitions.items() if name.startswith(change.where)]
            parts[change.where] = sum(named, PartitionProfile())
        histograms = [_histogram(one, change) for one in (then, parts[change.where])]
        if all(counts.sum() for _, counts in histograms):
            drawn.append(_picture(change, histograms, drift.against))
    return f'<div class="charts">{"".join(drawn)}</div>'


def _histogram(part: PartitionProfile, change: Change) -> tuple[Counts, Counts]:
    for block in part.blocks.values():
        if change.column in block.labels and len(block.sketch.cells):
            bins, counts = block.sketch.of(block.labels.index(change.column))
            return bins, counts
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


def _picture(change: Change, histograms: list[tuple[Counts, Counts]], against: str) -> str:
    """Two histograms as lines over the same bars, which stand for as many of the bins that have rows in them."""
    every = np.concatenate([bins[counts >= _LEAST_SHARE * counts.sum()] for bins, counts in histograms])
    seen = np.unique(every)
    edges = np.linspace(0, len(seen), min(_BARS, len(seen)) + 1)
    shares = [_shares(np.searchsorted(seen, bins), counts, edges) for bins, counts in histograms]
    top = max(float(one.max()) for one in shares)
    title = f"{change.column}, {change.where}"
    lines = [
        f'<polyline points="{_steps(one / top)}" fill="none" stroke="{colour}" stroke-width="1.75"/>'
        for one, colour in zip(shares, ("var(--faint)", "var(--s1)"), strict=True)
    ]
    return (
        f'<div class="chart"><h2>{breakable(title)}</h2><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title, quote=True)}">{"".join(lines)}</svg><div class="key">'
        f'<span style="color:var(--faint)">&#9644;</span> {escape(against)} &nbsp; '
        f'<span style="color:var(--s1)">&#9644;</span> now</div></div>'
    )


def _shares(places: Counts, counts: Counts, edges: Floats) -> Floats:
    heights, _ = np.histogram(np.minimum(places, edges[-1]), bins=edges, weights=counts)
    shares: Floats = heights / heights.sum()
    return shares


def _steps(heights: Floats) -> str:
    step = _WIDTH / len(heights)
    points = []
    for place, height in enumerate(heights.tolist()):
        level = _HEIGHT - 4 - height * (_HEIGHT - 8)
        points += [f"{place * step:.1f},{level:.1f}", f"{(place + 1) * step:.1f},{level:.1f}"]
    return " ".join(points)
