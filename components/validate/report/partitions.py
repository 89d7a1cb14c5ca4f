"""The page's calendar: rows, failures and each task's positive rate by day, and the table of tasks."""

import math
from collections import Counter
from datetime import date, timedelta

from components.common.html.charts import Axis, Chart, Strip, heat_strip
from components.common.html.numbers import format_number, format_rate, rate_error
from components.common.html.tables import Column, Table
from components.common.html.task_labels import within_family
from components.validate.profile.columns import locate_label
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.sketches.exact_sum import from_units
from components.validate.profile.statistics import Stats
from components.validate.result import Result, ValidationResult
from recap_model.config import RecapConfig

_Label = tuple[Stats, int]


def draw_calendar(result: ValidationResult, profile: Profile, config: RecapConfig) -> list[Chart]:
    """Strips of the window's days: rows and failures; each task's positive rate; each value task's mean."""
    days = _list_days(result)
    failures = [item for item in result.results if not item.success]
    by_day = _split_days(profile)
    rows = {day: sum(partition.rows for partition in by_day.get(day, [])) for day in days}
    counted = Counter(day for failure in failures for day in failure.days)
    strips = [
        Strip("rows", [rows[day] if day in by_day else None for day in days], _mark(days, failures)),
        Strip("failures", [counted[day] or None for day in days]),
    ]
    charts = [heat_strip("Rows and failures by day", days, strips, Axis("count"))]
    for kind, title, axis in (
        ("binary", "Positive rate by day", Axis("positive rate", percent=True)),
        ("value", "Mean by day", Axis("mean")),
    ):
        tasks = [task for task, settings in config.tasks.items() if settings.kind == kind]
        strips = [
            Strip(
                within_family(task, config.tasks),
                [_rate_of_days(by_day.get(day, []), config, task) for day in days],
                _mark(days, [item for item in failures if item.subject == f"task {task}"]),
            )
            for task in tasks
        ]
        if strips:
            charts.append(heat_strip(title, days, strips, axis))
    return charts


def build_task_table(profile: Profile, config: RecapConfig) -> Table:
    """Labels, positives and rates of the window."""
    rows: list[list[object]] = []
    rules = config.derived_labels()
    partitions = list(profile.partitions.values())
    for task in config.tasks:
        label = _sum_label(partitions, config, task)
        if label is None:
            continue
        stats, position = label
        missing = int(stats.missing[position])
        labelled = int(stats.rows[position]) - missing
        rate = _rate(label, config, task)
        name = within_family(task, config.tasks) + (f": {rules[task]}" if task in rules else "")
        if task in config.binary_tasks:
            error = rate_error(rate, labelled) if labelled else None
            cells = [f"{int(stats.ones[position]):,}", format_rate(rate, error)]
        else:
            cells = ["–", format_number(rate)]
        rows.append([name, f"{labelled:,}", *cells, f"{missing:,}"])
    return Table(
        (
            "task",
            Column("labels", help="rows with a label"),
            "positives",
            Column(
                "rate or mean", help="positives among the labels; the mean of a task that predicts an amount"
            ),
            "missing labels",
        ),
        rows,
    )


def _list_days(result: ValidationResult) -> list[str]:
    first, last = date.fromisoformat(result.first_day), date.fromisoformat(result.last_day)
    return [(first + timedelta(days=offset)).isoformat() for offset in range((last - first).days + 1)]


def _split_days(profile: Profile) -> dict[str, list[PartitionProfile]]:
    days: dict[str, list[PartitionProfile]] = {}
    for name, partition in profile.partitions.items():
        days.setdefault(name.partition("/")[0].removeprefix("date="), []).append(partition)
    return days


def _mark(days: list[str], failures: list[Result]) -> frozenset[int]:
    """Which days some failures are of."""
    failed = {day for failure in failures for day in failure.days}
    return frozenset(number for number, day in enumerate(days) if day in failed)


def _rate_of_days(partitions: list[PartitionProfile], config: RecapConfig, task: str) -> float | None:
    label = _sum_label(partitions, config, task)
    rate = math.nan if label is None else _rate(label, config, task)
    return rate if math.isfinite(rate) else None


def _sum_label(partitions: list[PartitionProfile], config: RecapConfig, task: str) -> _Label | None:
    """Stats of a task's label over some partitions, and its position in them."""
    key, name = locate_label(config, task)
    blocks = [partition.blocks[key] for partition in partitions if key in partition.blocks]
    if not blocks or name not in blocks[0].labels:
        return None
    stats = [block.stats for block in blocks]
    return sum(stats[1:], stats[0]), blocks[0].labels.index(name)


def _rate(label: _Label, config: RecapConfig, task: str) -> float:
    """The fraction of positives among a binary task's labels, the mean of a value task's."""
    stats, position = label
    if config.tasks[task].kind == "value":
        total, count = stats.total[position], int(stats.finite[position])
        return from_units(total) / count if count and total is not None else math.nan
    labelled = int(stats.rows[position] - stats.missing[position])
    return int(stats.ones[position]) / labelled if labelled else math.nan
