"""The month as one HTML page: what was decided each day, and how candidate, champion and scores went."""

from components.common.html.charts import Axis, Chart, Series, line_chart
from components.common.html.render import render
from components.common.html.tables import Table
from tests.integration.month.simulate import Attempt, MonthRecord


def month_page(record: MonthRecord, violations: list[str]) -> str:
    """The whole page."""
    promoted = sum(attempt.promoted for day in record.days for attempt in day.attempts)
    state = "no violations" if not violations else f"{len(violations)} violations"
    lead = (
        f"{len(record.days)} days, {sum(len(day.attempts) for day in record.days)} runs, {promoted} promotions, "
        f"{record.polls:,} polls of the champion: {state}."
    )
    return render(
        "tests.integration.month/month.html",
        lead=lead,
        violations=Table(("violation",), [(line,) for line in violations]),
        courses=_charts(record),
        days=_days(record),
        champions=_moves(record),
    )


def _last(attempts: list[Attempt]) -> Attempt:
    """The day's run that counts: the one promoted, else the last."""
    return next((attempt for attempt in attempts if attempt.promoted), attempts[-1])


def _charts(record: MonthRecord) -> list[Chart]:
    days = [float(day.number) for day in record.days]
    runs = [_last(day.attempts) for day in record.days]
    x = Axis("day")
    nan = float("nan")
    charts = []
    for task in sorted({task for run in runs for task in run.auc}):
        candidate = [run.auc.get(task, nan) for run in runs]
        champion = [run.champion_auc.get(task, nan) for run in runs]
        lines = [
            Series("candidate", days, candidate),
            Series("champion", days, champion),
        ]
        name = task.rpartition(".")[2]
        charts.append(line_chart(f"AUC, {name}", lines, x, Axis("AUC")))
    shift = [nan if run.score_psi is None else run.score_psi for run in runs]
    drift = [Series("candidate against champion", days, shift)]
    charts.append(line_chart("shift of the scores", drift, x, Axis("PSI", low=0.0)))
    for title, label, values in (
        ("disk, runs that are kept", "MiB", [day.workspace_mib for day in record.days]),
        (
            "memory, largest process",
            "MiB",
            [max(run.peak_mib for run in day.attempts) for day in record.days],
        ),
        ("time, all runs of the day", "s", [sum(run.seconds for run in day.attempts) for day in record.days]),
    ):
        charts.append(line_chart(title, [Series(label, days, values)], x, Axis(label, low=0.0)))
    return charts


def _days(record: MonthRecord) -> Table:
    rows = [
        (
            day.number,
            day.date,
            day.event,
            _outcome(attempt),
            attempt.version or "–",
            day.champion or "–",
            attempt.reason,
        )
        for day in record.days
        for attempt in day.attempts
    ]
    columns = ("day", "date", "what happened", "outcome", "version", "champion that night", "in words")
    return Table(columns, rows)


def _outcome(attempt: Attempt) -> str:
    return "PROMOTE, too late" if attempt.outcome == "PROMOTE" and not attempt.promoted else attempt.outcome


def _moves(record: MonthRecord) -> Table:
    rows = [(move.when, move.source or "none", move.to, move.who, move.why) for move in record.promotions]
    return Table(("when", "from", "to", "who", "why"), rows)
