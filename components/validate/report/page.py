"""The data docs: verdict, rules, tasks by day and columns as one page that needs no network.

Great Expectations' own page takes its style sheets and scripts from the network, so this one is rendered from its
results by ``templates/page.html``.
"""

import math

from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS
from components.common.html.charts import Axis, LineChart, Series, linear_axis
from components.common.html.render import render
from components.common.html.tables import Table, figure
from components.common.html.task_labels import tasks_of, within_family
from components.validate.drift.reference import Reference
from components.validate.profile.columns import FEATURE_ROLES
from components.validate.profile.exact_sum import from_units
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.statistics import Stats, fraction, mean_of
from components.validate.report.drift import drift_meanings, drift_sections
from components.validate.result import Kind, Result, ValidationResult
from recap_model.config import RecapConfig
from recap_model.data.log.schema import log_columns

_MAX_POSITIONS = 300  # of columns shown; a page of thousands is read by nobody, and the profile has them all
_MAX_FAILURES = 200
_COLUMNS = ("column", "role", "missing", "not finite", "zero", "least", "mean", "deviation", "greatest")


def render_docs(
    verdict: ValidationResult, profile: Profile, config: RecapConfig, references: dict[Kind, Reference]
) -> str:
    """The page's HTML. The verdict as JSON is in it too, in ``script#verdict``."""
    critical, warnings = verdict.failures("critical"), verdict.failures("warning")
    lead = (
        f"{verdict.rows:,} rows in {_count(len(profile.partitions), 'partition')}, "
        f"{verdict.first_day} to {verdict.last_day}. {_count(len(critical), 'critical failure')}, "
        f"{_count(len(warnings), 'warning')}. {_compared(verdict)}Snapshot {verdict.snapshot[:12]}."
    )
    window = profile.window()
    failures = [*critical, *warnings]
    columns = _columns(window, {column.name for column in log_columns(config) if column.any_id})
    return render(
        "components.validate.report/page.html",
        title=f"The log {OUTCOMES_IN_WORDS[verdict.outcome]}",
        lead=lead,
        failures=[
            {"severity": item.severity, "line": item.line, "examples": _examples(item)}
            for item in failures[:_MAX_FAILURES]
        ],
        more_failures=len(failures) - _MAX_FAILURES,
        drifts=list(drift_sections(verdict, profile, references)),
        drift_meanings=drift_meanings(),
        rules=Table(("rule", "severity", "outcome", "checked", "failures"), _rules(verdict)),
        tasks=tasks_of(config.tasks),
        rates=_charts(profile, window, config),
        labels=Table(("task", "labels", "positives", "rate", "missing labels"), _tasks(window, config)),
        columns=Table(_COLUMNS, columns[:_MAX_POSITIONS]),
        more_columns=len(columns) - _MAX_POSITIONS,
        verdict=verdict.to_json(),
    )


def _compared(verdict: ValidationResult) -> str:
    """The comparisons that were not made."""
    missing = [drift for kind, drift in verdict.drifts.items() if verdict.drift_state(kind) == "no_baseline"]
    return "".join(f"Not compared with {drift.against}: {drift.reason}. " for drift in missing)


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _examples(result: Result) -> Table | None:
    if not result.examples:
        return None
    columns = list(result.examples[0])
    return Table(columns, [[example[column] for column in columns] for example in result.examples])


def _rules(verdict: ValidationResult) -> list[list[object]]:
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


def _charts(profile: Profile, window: PartitionProfile, config: RecapConfig) -> list[LineChart]:
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
            Series("", [axis.low, axis.high], [whole, whole], colour=None),
            Series("rate", across, rates, markers=True),
        ]
        charts.append(
            LineChart(
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
            rate = figure(_rate(window, column), ".4g")
            name = within_family(task, config.tasks)
            rows.append([name, f"{labelled:,}", f"{int(stats.ones[place]):,}", rate, f"{missing:,}"])
    return rows


def _columns(window: PartitionProfile, any_id: set[str]) -> list[list[object]]:
    rows: list[list[object]] = []
    for key, block in window.blocks.items():
        role = key.partition(":")[0]
        if role in (*FEATURE_ROLES, "weight"):
            name = " (norm)" if role == "embedding" else " (length)" if role == "sparse" else ""
            for place, label in enumerate(block.labels):
                rows.append([label + name, role, *_cells(block.stats, place, label in any_id)])
    return rows


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
            "–" if are_ids or not math.isfinite(value) else f"{value:.4g}"
            for value in (float(stats.minimum[place]), mean, deviation, float(stats.maximum[place]))
        ),
    ]
