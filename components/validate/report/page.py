"""The data docs: outcome, rules, tasks by day and columns on one page that needs no network.

Great Expectations' own page takes its style sheets and scripts from the network, so this one is rendered from its
results by ``templates/page.html``.
"""

import math

from components.common.artifacts.validation_result import OUTCOMES_IN_WORDS
from components.common.html.charts import Axis, Chart, Rule, Series, line_chart
from components.common.html.render import render
from components.common.html.tables import Table, figure
from components.common.html.task_labels import tasks_of, within_family
from components.validate.drift.reference import Reference
from components.validate.profile.columns import FEATURE_ROLES, locate_label
from components.validate.profile.exact_sum import from_units
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.statistics import Stats, compute_mean, fraction
from components.validate.report.drift import drift_meanings, drift_sections
from components.validate.result import ComparisonKind, Result, ValidationResult
from recap_model.config import RecapConfig
from recap_model.data.log.schema import log_columns

_MAX_POSITIONS = 300  # of columns shown; the profile has all
_MAX_FAILURES = 200
_RULE_COLUMNS = ("rule", "severity", "outcome", "checked", "on", "failures")
_COLUMNS = ("column", "role", "missing", "not finite", "zero", "least", "mean", "deviation", "greatest")


def render_docs(
    verdict: ValidationResult,
    profile: Profile,
    config: RecapConfig,
    references: dict[ComparisonKind, Reference],
) -> str:
    """The page's HTML. The verdict as JSON is in it too, in ``script#verdict``."""
    critical, warnings = verdict.failures("critical"), verdict.failures("warning")
    lead = (
        f"{verdict.rows:,} rows in {_count_noun(len(profile.partitions), 'partition')}, "
        f"{verdict.first_day} to {verdict.last_day}. {_count_noun(len(critical), 'critical failure')}, "
        f"{_count_noun(len(warnings), 'warning')}. {_describe_missing(verdict)}Snapshot {verdict.snapshot[:12]}."
    )
    window = profile.window()
    failures = [*critical, *warnings]
    columns = _list_columns(window, {column.name for column in log_columns(config) if column.any_id})
    return render(
        "components.validate.report/page.html",
        title=f"The log {OUTCOMES_IN_WORDS[verdict.outcome]}",
        lead=lead,
        failures=[
            {"severity": item.severity, "line": item.line, "examples": _build_example_table(item)}
            for item in failures[:_MAX_FAILURES]
        ],
        more_failures=len(failures) - _MAX_FAILURES,
        drifts=list(drift_sections(verdict, profile, references)),
        drift_meanings=drift_meanings(),
        rules=Table(_RULE_COLUMNS, _list_rules(verdict)),
        tasks=tasks_of(config.tasks),
        rates=_chart_rates(profile, window, config),
        labels=Table(
            ("task", "labels", "positives", "rate or mean", "missing labels"), _list_tasks(window, config)
        ),
        columns=Table(_COLUMNS, columns[:_MAX_POSITIONS]),
        more_columns=len(columns) - _MAX_POSITIONS,
        verdict=verdict.to_json(),
    )


def _describe_missing(verdict: ValidationResult) -> str:
    """Describe the comparisons that were not made."""
    not_compared = [
        drift for kind, drift in verdict.drifts.items() if verdict.drift_state(kind) == "no_baseline"
    ]
    return "".join(f"Not compared with {drift.against}: {drift.reason}. " for drift in not_compared)


def _count_noun(number: int, word: str) -> str:
    return f"{number:,} {word}{'s' * (number != 1)}"


def _build_example_table(result: Result) -> Table | None:
    if not result.examples:
        return None
    columns = list(result.examples[0])
    return Table(columns, [[example[column] for column in columns] for example in result.examples])


def _list_rules(verdict: ValidationResult) -> list[list[object]]:
    by_rule: dict[str, list[Result]] = {}
    for item in verdict.results:
        by_rule.setdefault(item.rule, []).append(item)
    rows: list[list[object]] = []
    for rule, items in by_rule.items():
        failures = sum(not item.success for item in items)
        checked = max(item.checked for item in items)
        outcome = "fails" if failures else "holds"
        populations = ", ".join(dict.fromkeys(item.population or "all rows" for item in items))
        rows.append([rule, items[0].severity, outcome, f"{checked:,}", populations, failures])
    return rows


def _chart_rates(profile: Profile, window: PartitionProfile, config: RecapConfig) -> list[Chart]:
    names = [name.removeprefix("date=").replace("/hour=", " ") for name in profile.partitions]
    ticks = sorted({0, len(names) - 1})
    axis = Axis("partition", low=0.0, ticks=[(float(tick), names[tick]) for tick in ticks])
    charts = []
    for task in config.tasks:
        rates = [_measure_rate(partition, config, task) for partition in profile.partitions.values()]
        window_rate = _measure_rate(window, config, task)
        positions = [float(number) for number in range(len(names))]
        charts.append(
            line_chart(
                within_family(task, config.tasks),
                [Series("rate", positions, rates)],
                axis,
                Axis("rate", low=0.0, percent=config.tasks[task].kind == "binary"),
                rules=[Rule("window", window_rate)] if math.isfinite(window_rate) else [],
            )
        )
    return charts


def _find_label(profile: PartitionProfile, config: RecapConfig, task: str) -> tuple[Stats, int] | None:
    key, label = locate_label(config, task)
    block = profile.blocks.get(key)
    return (block.stats, block.labels.index(label)) if block else None


def _measure_rate(profile: PartitionProfile, config: RecapConfig, task: str) -> float:
    label = _find_label(profile, config, task)
    if label is None:
        return math.nan
    stats, position = label
    if config.tasks[task].kind == "value":
        return compute_mean(stats, position)
    labelled = int(stats.rows[position] - stats.missing[position])
    return int(stats.ones[position]) / labelled if labelled else math.nan


def _list_tasks(window: PartitionProfile, config: RecapConfig) -> list[list[object]]:
    rows: list[list[object]] = []
    rules = config.derived_labels()
    for task in config.tasks:
        label = _find_label(window, config, task)
        if label is not None:
            stats, position = label
            missing = int(stats.missing[position])
            labelled = int(stats.rows[position]) - missing
            rate = figure(_measure_rate(window, config, task), ".4g")
            name = within_family(task, config.tasks) + (f": {rules[task]}" if task in rules else "")
            positives = f"{int(stats.ones[position]):,}" if task in config.binary_tasks else "–"
            rows.append([name, f"{labelled:,}", positives, rate, f"{missing:,}"])
    return rows


_MEASURED = {
    "embedding": " (norm)",
    "sparse": " (length)",
    "sequence": " (length)",
    "sequence_id": " (newest)",
    "sequence_actions": " (newest)",
    "sequence_number": " (newest)",
}


def _list_columns(window: PartitionProfile, any_id: set[str]) -> list[list[object]]:
    rows: list[list[object]] = []
    for key, block in window.blocks.items():
        role = key.partition(":")[0]
        if role in (*FEATURE_ROLES, "weight"):
            for position, label in enumerate(block.labels):
                rows.append(
                    [
                        label + _MEASURED.get(role, ""),
                        role,
                        *_format_stats(block.stats, position, label in any_id),
                    ]
                )
    return rows


def _format_stats(stats: Stats, position: int, are_ids: bool) -> list[str]:
    """Format fractions and moments; only fractions for ids that may be hashes of text."""
    rows, finite = int(stats.rows[position]), int(stats.finite[position])
    mean, squares = compute_mean(stats, position), stats.squares[position]
    deviation = math.nan
    if finite and squares is not None and math.isfinite(mean):
        deviation = math.sqrt(max(from_units(squares) / finite - mean * mean, 0.0))
    not_finite = int(stats.nans[position] + stats.infinities[position])
    return [
        f"{fraction(int(stats.missing[position]), rows):.2%}",
        f"{fraction(not_finite, rows):.2%}",
        f"{fraction(int(stats.zeros[position]), rows):.1%}",
        *(
            "–" if are_ids or not math.isfinite(value) else f"{value:.4g}"
            for value in (float(stats.minimum[position]), mean, deviation, float(stats.maximum[position]))
        ),
    ]
