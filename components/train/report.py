"""The training page: whether training ended as planned, losses, learning rates, throughput."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from components.common.html.charts import Axis, Chart, Rule, Series, line_chart
from components.common.html.numbers import format_number, format_rate
from components.common.html.render import render
from components.common.html.tables import Column, Table
from components.common.html.task_labels import tasks_of, within_family
from recap_model.config import RecapConfig
from recap_model.data.dataset.statistics import Collisions
from recap_model.optim.schedules import describe_unfinished_decay
from recap_model.training import Progress

_MAX_TASKS = 12  # drawn
_LOG_FROM = 5.0  # the ratio of a loss's ends from which its axis is logarithmic
_RISE = 0.01  # by which a held-out loss rises for a warning
_WAITING = 0.2


def curves_page(
    reports: Sequence[Progress],
    precision: str,
    config: RecapConfig,
    collisions: Mapping[str, Collisions] | None = None,
    facts: Mapping[str, str] | None = None,
) -> str:
    """Losses of training and held-out rows, of all tasks together and of each; learning rates, speed, collisions.

    Args:
        facts: of the run, for the header.
    """
    last = reports[-1]
    warnings = _list_warnings(reports, config)
    epochs = [one.step for before, one in itertools.pairwise(reports) if one.epoch > before.epoch]
    names = {task: within_family(task, last.losses) for task in last.losses}
    return render(
        "components.train/curves.html",
        lead=_summarize(reports, precision, config),
        facts=facts,
        warnings=warnings,
        epochs=config.training.epochs,
        has_held_out=any(report.held_out_losses for report in reports),
        total=_draw_loss("All tasks", reports, epochs, None),
        losses=[_draw_loss(names[task], reports, epochs, task) for task in list(names)[:_MAX_TASKS]],
        left_out=max(len(names) - _MAX_TASKS, 0),
        others=list(_draw_others(reports)),
        tasks=tasks_of(last.losses),
        summary=_summary_table(reports, names),
        collisions=_collisions(collisions or {}),
    )


def _summarize(reports: Sequence[Progress], precision: str, config: RecapConfig) -> str:
    last = reports[-1]
    end = "all that were planned" if last.step >= last.steps else f"of {last.steps:,} planned: stopped early"
    epochs = f"{last.epoch + 1} epoch{'s' * (last.epoch > 0)}"
    waiting = _waiting(reports)
    return (
        f"{last.step:,} steps, {end}; {last.rows:,} rows in {epochs}, {precision}; "
        f"{format_rate(waiting, 0.005)} of the time waiting for rows."
    )


def _waiting(reports: Sequence[Progress]) -> float:
    """The fraction of time spent waiting for rows, but for the first step, which waits for the reader's start."""
    return statistics.fmean(report.waiting for report in reports[1:] or reports)


def _list_warnings(reports: Sequence[Progress], config: RecapConfig) -> list[str]:
    """What a person should see first."""
    warnings = []
    last = reports[-1]
    if reason := describe_unfinished_decay(config.optimizer, last.steps):
        warnings.append(f"The schedule did not end: {reason}.")
    held_out = [(report.step, report.held_out_loss) for report in reports if report.held_out_loss is not None]
    if held_out:
        step, lowest = min(held_out, key=lambda pair: pair[1])
        rise = held_out[-1][1] / lowest - 1.0 if lowest > 0 else 0.0
        if rise > _RISE:
            warnings.append(
                f"The held-out loss was lowest at step {step:,} and rose by {format_rate(rise)} until the end, while "
                "training went on: the model overfits. The weights are those of that step."
            )
    waiting = _waiting(reports)
    if waiting > _WAITING:
        warnings.append(
            f"Training waited for rows {format_rate(waiting, 0.005)} of the time: reading is the bottleneck."
        )
    return warnings


def _draw_loss(title: str, reports: Sequence[Progress], epochs: Sequence[int], task: str | None) -> Chart:
    """The loss of training rows and, where they are known, of held-out rows, in one frame.

    The frame is as high as what comes after the first fifth of the reports: those begin from random weights, and are
    drawn from where they enter it.
    """
    trained = [report.loss if task is None else report.losses[task] for report in reports]
    series = [Series("training rows", [report.step for report in reports], trained)]
    looked = [report for report in reports if report.held_out_losses]
    if looked:
        held_out = [
            (report.held_out_loss or 0.0) if task is None else (report.held_out_losses or {})[task]
            for report in looked
        ]
        series.append(Series("held-out rows", [report.step for report in looked], held_out))
    settled = [value for one in series for value in one.y[len(one.y) // 5 :]]
    low, high = min(settled), max(settled)
    is_log = low > 0 and high / low > _LOG_FROM
    top = high + 0.05 * (high - low)
    if high > low:
        series = [_crop(one, top) for one in series]
    rules = [Rule("a new epoch" if number == 0 else "", step, "x") for number, step in enumerate(epochs)]
    axis = Axis("loss", "log" if is_log else "linear", high=top if high > low else None)
    return line_chart(title, series, Axis("step", low=0, high=reports[-1].step), axis, rules=rules)


def _crop(series: Series, top: float) -> Series:
    """A series without its first points above the frame, which would be drawn as a line along its top."""
    start = next(place for place, value in enumerate(series.y) if value <= top)
    return replace(series, x=series.x[start:], y=series.y[start:])


def _draw_others(reports: Sequence[Progress]) -> list[Chart]:
    steps = [report.step for report in reports]
    x = Axis("step", low=0, high=steps[-1])
    rates = {name: [report.learning_rates[name] for report in reports] for name in reports[-1].learning_rates}
    # The first step's speed is that of a start.
    later = reports[1:] or reports
    later_steps = [report.step for report in later]
    charts = [
        line_chart("Learning rates", _distinct(rates, steps), x, Axis("learning rate", low=0.0)),
        line_chart(
            "Throughput",
            [Series("rows/s", later_steps, [report.rows_per_s for report in later])],
            x,
            Axis("rows/s", low=0.0),
        ),
        line_chart(
            "Waiting for rows",
            [Series("waiting", later_steps, [report.waiting for report in later])],
            x,
            Axis("of the time", low=0.0, percent=True),
        ),
    ]
    measured = [report for report in reports if report.gradient_norm is not None]
    if measured:
        norms = [report.gradient_norm or 0.0 for report in measured]
        series = [Series("mean norm", [report.step for report in measured], norms)]
        charts.append(line_chart("Gradient norm, before clipping", series, x, Axis("norm", "log")))
    return charts


def _distinct(rates: Mapping[str, Sequence[float]], steps: Sequence[int]) -> list[Series]:
    """A series for each course of learning rates, named after those that follow it."""
    names: dict[tuple[float, ...], list[str]] = {}
    for name, values in rates.items():
        names.setdefault(tuple(values), []).append(within_family(name, rates))
    return [
        Series("learning rate" if len(names) == 1 else _join(group), steps, values)
        for values, group in names.items()
    ]


def _join(names: Sequence[str]) -> str:
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + more


def _summary_table(reports: Sequence[Progress], names: Mapping[str, str]) -> Table:
    first, last = reports[0], reports[-1]
    has_held_out = last.held_out_losses is not None
    columns = [
        Column("task"),
        Column("first loss", help="of the first step's rows"),
        Column("last loss", help="mean since the report before the last"),
        *([Column("held-out loss", help="of the last evaluation")] if has_held_out else []),
        Column("last learning rate", help="of the task's tower"),
    ]
    rows = []
    for task, name in names.items():
        row = [name, format_number(first.losses[task]), format_number(last.losses[task])]
        if has_held_out:
            row.append(format_number((last.held_out_losses or {})[task]))
        rows.append([*row, format_number(last.learning_rates.get(task))])
    return Table(columns, rows)


def _collisions(collisions: Mapping[str, Collisions]) -> Table:
    columns = (
        Column("hashed ids"),
        Column("buckets"),
        Column("ids", help="distinct ids of the training rows"),
        Column("ids that collide", help="with another id in the same bucket"),
        Column("expected", help="of as many ids hashed at random"),
        Column("impressions that collide", help="rows whose id shares its bucket"),
        Column("counted"),
    )
    rows = [
        (
            path,
            f"{found.buckets:,}",
            f"{found.ids:,}",
            f"{found.collision_rate:.2%}",
            f"{found.expected:.2%}",
            f"{found.impression_collision_rate:.2%}",
            "exactly" if found.exact else "by samples",
        )
        for path, found in collisions.items()
    ]
    return Table(columns, rows)
