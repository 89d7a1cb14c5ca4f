"""The data docs: verdict, rules, tasks by day and columns as one page that needs no network.

Great Expectations' own page takes its style sheets and scripts from the network, so this one is drawn here from
its results.
"""

import json
import math
from html import escape
from typing import Any

from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS
from components.common.html.page import Axis, Series, line_chart, linear_axis, page, table
from components.common.html.task_labels import tasks_of, within_family
from components.validate.drift.reference import Reference
from components.validate.profile.columns import FEATURE_ROLES
from components.validate.profile.exact_sum import from_units
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.statistics import Stats, fraction, mean_of
from components.validate.report.drift import drift_parts
from components.validate.result import Kind, Result, Verdict
from recap_model.config import RecapConfig
from recap_model.data.log.schema import log_columns

_MAX_POSITIONS = 300  # of columns shown; a page of thousands is read by nobody, and the profile has them all
_MAX_FAILURES = 200


def render_docs(
    verdict: Verdict, profile: Profile, config: RecapConfig, references: dict[Kind, Reference]
) -> str:
    """The page's HTML. The verdict as JSON is in it too, in ``script#verdict``."""
    critical, warnings = verdict.failures("critical"), verdict.failures("warning")
    lead = (
        f"{verdict.rows:,} rows in {_count(len(profile.partitions), 'partition')}, "
        f"{verdict.first_day} to {verdict.last_day}. {_count(len(critical), 'critical failure')}, "
        f"{_count(len(warnings), 'warning')}. {_compared(verdict)}Snapshot {verdict.snapshot[:12]}."
    )
    window = profile.window()
    return page(
        f"The log {OUTCOMES_IN_WORDS[verdict.outcome]}",
        lead,
        *_failures(verdict),
        *drift_parts(verdict, profile, references),
        "<h2>Rules</h2>",
        table(["rule", "severity", "outcome", "checked", "failures"], _rules(verdict)),
        f"<h2>{escape(tasks_of(config.tasks))}: positive rate by partition</h2>",
        f'<div class="charts">{"".join(_charts(profile, window, config))}</div>',
        table(["task", "labels", "positives", "rate", "missing labels"], _tasks(window, config)),
        "<h2>Columns, over the window</h2>",
        *_columns(window, {column.name for column in log_columns(config) if column.any_id}),
        _embedded(verdict),
    )


def _compared(verdict: Verdict) -> str:
    """The comparisons that were not made, which is no pass."""
    missing = [drift for kind, drift in verdict.drifts.items() if verdict.drift_state(kind) == "no_baseline"]
    return "".join(f"Not compared with {drift.against}: {drift.reason}. " for drift in missing)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _failures(verdict: Verdict) -> list[str]:
    failed = verdict.failures("critical") + verdict.failures("warning")
    if not failed:
        return []
    items = [
        f"<li><strong>{item.severity}</strong> {escape(item.line)}{_examples(item)}</li>"
        for item in failed[:_MAX_FAILURES]
    ]
    more = len(failed) - _MAX_FAILURES
    rest = f"<p>and {more:,} more</p>" if more > 0 else ""
    return ["<h2>What is wrong</h2>", f'<ul style="overflow-wrap: anywhere">{"".join(items)}</ul>{rest}']


def _examples(result: Result) -> str:
    if not result.examples:
        return ""
    columns = list(result.examples[0])
    rows = [[str(example[column]) for column in columns] for example in result.examples]
    return f"<details><summary>rows such as these</summary>{table(columns, rows)}</details>"


def _rules(verdict: Verdict) -> list[list[object]]:
    by_rule: dict[str, list[Result]] = {}
    for item in verdict.results:
        by_rule.setdefault(item.rule, []).append(item)
    rows: list[list[object]] = []
    for rule, items in by_rule.items():
        failures = sum(not item.success for item in items)
        checked = max(item.checked for item in items)
        outcome = "fails" if failures else "holds"
        rows.append([rule, items[0].severity, outcome, f"{checked:,}", failures])
    return rows


def _charts(profile: Profile, window: PartitionProfile, config: RecapConfig) -> list[str]:
    names = [name.removeprefix("date=").replace("/hour=", " ") for name in profile.partitions]
    shown = sorted({0, len(names) - 1})
    axis = Axis(
        "partition", 0.0, max(len(names) - 1.0, 1.0), [(float(place), names[place]) for place in shown]
    )
    charts = []
    for task, column in config.label_columns().items():
        rates = [_rate(part, column) for part in profile.partitions.values()]
        whole = _rate(window, column)
        across = [float(place) for place in range(len(names))]
        series = [
            Series("window", [axis.low, axis.high], [whole, whole], colour=None),
            Series("rate", across, rates, markers=True),
        ]
        charts.append(
            line_chart(
                within_family(task, config.tasks), series, axis, linear_axis("rate", [*rates, whole, 0.0])
            )
        )
    return charts


def _label(part: PartitionProfile, column: str) -> tuple[Stats, int] | None:
    block = part.blocks.get("label")
    return (block.stats, block.labels.index(column)) if block else None


def _rate(part: PartitionProfile, column: str) -> float:
    found = _label(part, column)
    if found is None:
        return math.nan
    stats, place = found
    labelled = int(stats.rows[place] - stats.missing[place])
    return int(stats.ones[place]) / labelled if labelled else math.nan


def _tasks(window: PartitionProfile, config: RecapConfig) -> list[list[object]]:
    rows: list[list[object]] = []
    for task, column in config.label_columns().items():
        found = _label(window, column)
        if found is not None:
            stats, place = found
            missing = int(stats.missing[place])
            labelled = int(stats.rows[place]) - missing
            rate = _number(_rate(window, column))
            name = within_family(task, config.tasks)
            rows.append([name, f"{labelled:,}", f"{int(stats.ones[place]):,}", rate, f"{missing:,}"])
    return rows


def _columns(window: PartitionProfile, any_id: set[str]) -> list[str]:
    rows: list[list[object]] = []
    for key, block in window.blocks.items():
        role = key.partition(":")[0]
        if role in (*FEATURE_ROLES, "weight"):
            name = " (norm)" if role == "embedding" else " (length)" if role == "sparse" else ""
            for place, label in enumerate(block.labels):
                rows.append([label + name, role, *_cells(block.stats, place, label in any_id)])
    head = ["column", "role", "missing", "not finite", "zero", "least", "mean", "deviation", "greatest"]
    more = len(rows) - _MAX_POSITIONS
    rest = f"<p>and {more:,} more, in profile.parquet</p>" if more > 0 else ""
    return [table(head, rows[:_MAX_POSITIONS]), rest]


def _cells(stats: Stats, place: int, are_ids: bool) -> list[str]:
    """Shares and moments; of ids that may be hashes of text only shares."""
    rows, finite = int(stats.rows[place]), int(stats.finite[place])
    mean, squares = mean_of(stats, place), stats.squares[place]
    deviation = math.nan
    if finite and squares is not None and math.isfinite(mean):
        deviation = math.sqrt(max(from_units(squares) / finite - mean * mean, 0.0))
    not_finite = int(stats.nans[place] + stats.infinities[place])
    return [
        f"{fraction(int(stats.missing[place]), rows):.2%}",
        f"{fraction(not_finite, rows):.2%}",
        f"{fraction(int(stats.zeros[place]), rows):.1%}",
        *(
            "–" if are_ids else _number(value)
            for value in (float(stats.minimum[place]), mean, deviation, float(stats.maximum[place]))
        ),
    ]


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "–"


def _embedded(verdict: Verdict) -> str:
    content: dict[str, Any] = verdict.to_json()
    text = json.dumps(content, default=str).replace("<", "\\u003c")
    return f'<script type="application/json" id="verdict">{text}</script>'
