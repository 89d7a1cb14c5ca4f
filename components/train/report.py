"""Training's curves as a page."""

import statistics
from collections.abc import Mapping, Sequence

from components.common.html.charts import Axis, Chart, Series, line_chart
from components.common.html.render import render
from components.common.html.tables import Table
from components.common.html.task_labels import tasks_of, within_family
from recap_model.data.dataset.statistics import Collisions
from recap_model.training import Progress


def curves_page(
    reports: Sequence[Progress], precision: str, collisions: Mapping[str, Collisions] | None = None
) -> str:
    """Loss of all tasks together and of each, learning rates, speed, over the steps; and what hashed tables share."""
    last = reports[-1]
    waiting = statistics.fmean(report.waiting for report in reports)
    lead = (
        f"{last.step:,} steps over {last.rows:,} rows in {precision}, {waiting:.1%} of the time waiting for rows; "
        "losses are weighted means since the report before; the first ones may lie above the frame."
    )
    steps = [report.step for report in reports]
    losses = {"loss, all tasks": [report.loss for report in reports]}
    shown = {task: within_family(task, last.losses) for task in last.losses}
    losses |= {shown[task]: [report.losses[task] for report in reports] for task in last.losses}
    charts = [
        _chart(name, "loss", steps, values, shown_from=len(steps) // 10) for name, values in losses.items()
    ]
    looked = [report for report in reports if report.held_out_loss is not None]
    if looked:
        values = [report.held_out_loss or 0.0 for report in looked]
        charts.append(_chart("loss, held-out rows", "loss", [report.step for report in looked], values))
    rates = {name: [report.learning_rates[name] for report in reports] for name in last.learning_rates}
    charts += [_chart(name, "learning rate", steps, values, 1) for name, values in _distinct(rates).items()]
    charts.append(_chart("speed", "rows/s", steps, [report.rows_per_s for report in reports], 2))
    first = reports[0]
    rows = [
        (
            shown[task],
            f"{first.losses[task]:.5f}",
            f"{last.losses[task]:.5f}",
            f"{last.learning_rates[task]:.2e}" if task in last.learning_rates else "",
        )
        for task in last.losses
    ]
    return render(
        "components.train/curves.html",
        lead=lead,
        tasks=tasks_of(last.losses),
        summary=Table(("task", "first loss", "last loss", "last learning rate"), rows),
        curves=charts,
        collisions=_collisions(collisions or {}),
    )


def _collisions(collisions: Mapping[str, Collisions]) -> Table:
    columns = (
        "hashed ids",
        "buckets",
        "ids",
        "ids that collide",
        "expected",
        "impressions that collide",
        "counted",
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


def _chart(
    title: str, unit: str, steps: list[int], values: list[float], colour: int = 0, shown_from: int = 0
) -> Chart:
    """A chart of one series, high enough for its values from number ``shown_from`` on."""
    series = Series(unit, steps, values, colour=colour)
    high = max(values[shown_from:], default=None)
    return line_chart(title, [series], Axis("step", low=0), Axis(unit, high=high))


def _distinct(rates: dict[str, list[float]]) -> dict[str, list[float]]:
    """One entry for each course of learning rates, named after those that follow it."""
    names: dict[tuple[float, ...], list[str]] = {}
    for name, values in rates.items():
        names.setdefault(tuple(values), []).append(name)
    if len(names) == 1:
        return {"learning rate": list(next(iter(names)))}
    return {f"learning rate: {', '.join(group)}": list(values) for values, group in names.items()}
