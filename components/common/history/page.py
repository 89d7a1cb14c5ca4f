"""The history of a model as one self-contained page."""

import math
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.artifacts.evaluation import Evaluation, Interval, TaskMetrics, ValueTaskMetrics
from components.common.artifacts.watch_record import WatchRecord
from components.common.history.read import History, VersionHistory, read_history
from components.common.html.charts import Axis, Chart, Rule, Series, line_chart
from components.common.html.render import render
from components.common.html.tables import Cell, Column, Table, figure
from components.common.html.task_labels import within_family
from components.common.runtime.atomic_output import atomic_file
from components.common.runtime.cost import describe

if TYPE_CHECKING:
    from mlflow import MlflowClient

_TONES = {
    "PROMOTE": "good",
    "HOLD": "warn",
    "ERROR": "bad",
    "OK": "good",
    "RETRAIN": "warn",
    "ROLL BACK": "bad",
}
_TICKS = 5
_SHORTEST_CHART = 2  # points; fewer are in the tables
_LARGEST_EVIDENCE = 1e9  # that is drawn

Measured = TaskMetrics | ValueTaskMetrics
Point = tuple[date, float, Interval | None]
Pick = Callable[[Measured], tuple[float | None, Interval | None]]


def write_history(client: "MlflowClient", name: str, out: str | Path) -> None:
    """Write the page of a registered model. Raises as `read_history`."""
    page = history_page(read_history(client, name))
    with atomic_file(out) as partial:
        partial.write_text(page, encoding="utf-8")


def history_page(history: History) -> str:
    """The whole page; the newest of everything is on top of its table, and at the right of its chart."""
    watched = history.watched
    return render(
        "components.common.history/history.html",
        title=f"History of {history.name}",
        lead=_lead(history),
        facts=_facts(history),
        problem=history.problem,
        versions=_version_table(history),
        moves=_move_table(history),
        watch=_watch_table(watched),
        watch_charts=_watch_charts(watched),
        tasks=_task_charts(history),
        others=_other_charts(history),
        costs=_cost_table(history),
        cost_charts=_cost_charts(history),
    )


def _lead(history: History) -> str:
    champion = history.aliases.get("champion")
    if not history.versions:
        return "No version has been registered yet."
    promoted = sum(not move.is_rollback for move in history.moves)
    back = sum(move.is_rollback for move in history.moves)
    now = f"version {champion} is champion" if champion else "there is no champion"
    return (
        f"{_count(len(history.versions), 'version')}, {_count(promoted, 'promotion')}, {_count(back, 'rollback')}, "
        f"{_count(len(history.watched), 'watched day')}; {now}."
    )


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _facts(history: History) -> dict[str, str]:
    days = [one.last_day for one in history.versions if one.last_day]
    facts = {alias: f"version {version}" for alias, version in sorted(history.aliases.items())}
    if days:
        facts["data up to"] = f"{min(days)} to {max(days)}"
    if watched := history.watched:
        facts["last watched day"] = f"{watched[-1].day}: {watched[-1].outcome}"
        reported = [str(one.day) for one in watched if one.outcome != "OK"]
        facts["watched days not OK"] = f"{len(reported)}, the last {reported[-1]}" if reported else "none"
    return facts


def _version_table(history: History) -> Table:
    champions = {move.to: move for move in history.moves}
    columns: list[str | Column] = [
        "version",
        "alias",
        Column("data up to", help="the newest day that it was trained or tested on"),
        "decision",
        Column("compared with", help="the champion of then"),
        Column("promoted by", help="who made it champion last"),
        "run",
        "why",
    ]
    rows = []
    for one in reversed(history.versions):
        aliases = [alias for alias, version in sorted(history.aliases.items()) if version == one.number]
        move = champions.get(one.number)
        rows.append(
            (
                one.number,
                ", ".join(aliases),
                str(one.last_day or ""),
                Cell(one.outcome, tone=_TONES.get(one.outcome, "")),
                one.compared_with,
                "" if move is None else "the gate" if move.who.startswith("pipeline run ") else move.who,
                _total_s(one),
                one.problem or one.reason,
            )
        )
    return Table(columns, rows)


def _total_s(version: VersionHistory) -> str:
    seconds = sum(figures.get("wall_s", 0.0) for figures in version.costs.values())
    return f"{seconds:,.0f} s" if seconds else ""


def _move_table(history: History) -> Table:
    rows = [
        (
            move.when.replace("T", " ").removesuffix("+00:00"),
            Cell("rollback" if move.is_rollback else "promotion", tone="warn" if move.is_rollback else ""),
            move.source or "none",
            move.to,
            move.who,
            move.why,
        )
        for move in reversed(history.moves)
    ]
    return Table((Column("when", "UTC"), "what", "from", "to", "who", "why"), rows)


def _watch_table(watched: Sequence[WatchRecord]) -> Table:
    rows = [
        (
            str(one.day),
            one.version,
            Cell(one.outcome, tone=_TONES[one.outcome]),
            f"{one.rows:,}",
            figure(one.decay.now, ".3g"),
            f"{one.drift.beyond} of {one.drift.compared}" if one.drift.compared else "–",
            f"{one.reason}{f'. Done: {one.action}' if one.action else ''}",
        )
        for one in reversed(watched)
    ]
    columns: list[str | Column] = [
        "day",
        "version",
        "outcome",
        "rows",
        Column(
            "evidence", help="that the version has decayed; it is reported from 1 / watch.false_alarm_rate on"
        ),
        Column("drift", help="columns beyond a bound, against the version's profile"),
        "why",
    ]
    return Table(columns, rows)


def _watch_charts(watched: Sequence[WatchRecord]) -> list[Chart]:
    if len(watched) < _SHORTEST_CHART:
        return []
    days = [one.day for one in watched]
    evidence = Series(
        "evidence of decay",
        _ordinals(days),
        [min(max(one.decay.now, 1e-3), _LARGEST_EVIDENCE) for one in watched],
        mark="points",
    )
    drift = Series("columns beyond a bound", _ordinals(days), [float(one.drift.beyond) for one in watched])
    rule = Rule("reported from here on", watched[-1].decay.needed)
    return [
        line_chart(
            "Evidence that the champion decayed",
            [evidence],
            _days(days),
            Axis("e-value", "log"),
            rules=[rule],
        ),
        line_chart("Drift of watched days", [drift], _days(days), Axis("columns", low=0)),
    ]


def _task_charts(history: History) -> dict[str, list[Chart]]:
    """By task: its RCE (or skill) and its calibration, of candidates, their champions, and on watched days."""
    names = list(
        dict.fromkeys(
            task
            for one in reversed(history.versions)
            if one.evaluation
            for task in (*one.evaluation.tasks, *one.evaluation.values)
        )
    )
    charts = {within_family(task, names): _charts_of_task(history, task) for task in names}
    return {label: drawn for label, drawn in charts.items() if drawn}


def _charts_of_task(history: History, task: str) -> list[Chart]:
    evaluated = [
        (one.last_day, one.evaluation) for one in history.versions if one.last_day and one.evaluation
    ]
    watched = [(one.day, one.evaluation) for one in history.watched]
    gain_name = next(
        (measured.gain_name for _, one in evaluated if (measured := one.measured(task)) is not None), "RCE"
    )
    charts = []
    for what, pick, rules in (
        (gain_name, _gain, []),
        ("predicted / observed", _ratio, [Rule("as many as observed", 1.0)]),
    ):
        candidates = _series("candidate", _points(evaluated, task, pick))
        champions = _series("champion, same rows", _points(evaluated, task, _of_champion(pick)))
        days = _series("champion", _points(watched, task, pick))
        for title, series in (
            (f"{what} at registration", [candidates, champions]),
            (f"{what} on watched days", [days]),
        ):
            shown = [one for one in series if len(one.x) >= _SHORTEST_CHART]
            if shown:
                axis = _days([date.fromordinal(int(x)) for one in shown for x in one.x])
                charts.append(line_chart(title, shown, axis, Axis(what), rules=rules))
    return charts


def _gain(measured: Measured) -> tuple[float | None, Interval | None]:
    bounds = measured.interval.rce if isinstance(measured, TaskMetrics) else measured.interval.skill
    return measured.gain, bounds


def _ratio(measured: Measured) -> tuple[float | None, Interval | None]:
    return measured.calibration_ratio, measured.interval.calibration_ratio


def _of_champion(pick: Pick) -> Pick:
    """The same of the version that was champion then, without bounds."""

    def of_champion(measured: Measured) -> tuple[float | None, Interval | None]:
        if measured.champion is None:
            return None, None
        if pick is _ratio:
            return measured.champion.calibration_ratio, None
        change, _ = measured.gain_change
        return (None if change is None or measured.gain is None else measured.gain - change), None

    return of_champion


def _points(
    evaluations: Iterable[tuple[date, Evaluation]],
    task: str,
    pick: Pick,
) -> list[Point]:
    points = []
    for day, evaluation in evaluations:
        measured = evaluation.measured(task)
        value, bounds = pick(measured) if measured is not None else (None, None)
        if value is not None:
            points.append((day, value, bounds))
    return sorted(points, key=lambda point: point[0])


def _series(name: str, points: list[Point]) -> Series:
    bounds = [bound for _, _, bound in points]
    return Series(
        name,
        _ordinals([day for day, _, _ in points]),
        [value for _, value, _ in points],
        low=[bound.low if bound else math.nan for bound in bounds] if any(bounds) else None,
        high=[bound.high if bound else math.nan for bound in bounds] if any(bounds) else None,
    )


def _other_charts(history: History) -> list[Chart]:
    charts = []
    shifts = [
        (one.last_day, one.evaluation.score_psi)
        for one in history.versions
        if one.last_day and one.evaluation and one.evaluation.score_psi is not None
    ]
    drifts = [
        (one.last_day, float(one.drift.beyond))
        for one in history.versions
        if one.last_day and one.drift and one.drift.compared
    ]
    for title, label, points in (
        ("Shift of the scores against the champion's", "PSI", shifts),
        ("Drift of the window against the champion's data", "columns beyond a bound", drifts),
    ):
        if len(points) >= _SHORTEST_CHART:
            days = [day for day, _ in points]
            series = Series("", _ordinals(days), [value for _, value in points])
            charts.append(line_chart(title, [series], _days(days), Axis(label, low=0)))
    return charts


def _cost_table(history: History) -> Table:
    newest = next((one for one in reversed(history.versions) if one.costs), None)
    rows = [] if newest is None else [(step, describe(figures)) for step, figures in newest.costs.items()]
    return Table(("step", "" if newest is None else f"run of version {newest.number}"), rows)


def _cost_charts(history: History) -> list[Chart]:
    runs = [one for one in history.versions if one.costs and one.last_day]
    if len(runs) < _SHORTEST_CHART:
        return []
    days = [one.last_day for one in runs if one.last_day]
    charts = []
    for title, label, name, combine in (
        ("Duration of a run", "seconds", "wall_s", sum),
        ("CPU time of a run", "seconds", "cpu_s", sum),
        ("Peak memory of a run's largest process", "MiB", "peak_memory_mib", max),
    ):
        values = [float(combine(figures.get(name, 0.0) for figures in one.costs.values())) for one in runs]
        charts.append(
            line_chart(title, [Series("", _ordinals(days), values)], _days(days), Axis(label, low=0))
        )
    return charts


def _ordinals(days: Iterable[date]) -> list[float]:
    return [float(day.toordinal()) for day in days]


def _days(days: Sequence[date]) -> Axis:
    """An axis of days, with a few of them as ticks."""
    first, last = min(days), max(days)
    step = max(1, math.ceil(((last - first).days or 1) / _TICKS))
    ticks = [
        (float(number), f"{date.fromordinal(number):%m-%d}")
        for number in range(first.toordinal(), last.toordinal() + 1, step)
    ]
    return Axis("day", ticks=ticks)
