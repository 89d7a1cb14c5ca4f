"""A made-up month of a model: versions, watched days, moves and costs."""

from datetime import UTC, date, datetime, timedelta

import numpy as np

from components.common.artifacts.evaluation import (
    Comparison,
    Errors,
    Evaluation,
    Interval,
    Intervals,
    ModelMetrics,
    TaskMetrics,
)
from components.common.artifacts.validation_result import DriftSummary
from components.common.artifacts.watch_record import Evidence, TestedHypothesis, WatchRecord
from components.common.history import History, Move, VersionHistory

FIRST = date(2026, 3, 1)
TASKS = ("recap.engagement.is_favorited", "recap.engagement.is_replied")


def month(days: int = 30) -> History:
    """Every third version is promoted; on the twentieth day a person rolls back; on the 25th the watch reports."""
    random = np.random.default_rng(1)
    versions, moves, champion = [], [], None
    for number in range(1, days + 1):
        day = FIRST + timedelta(days=number)
        promoted = number % 3 == 1
        watched = ()
        if champion is not None:
            record = _record(champion, day, 30.0 if number == 25 else float(random.exponential(0.5)), random)
            earlier = versions[int(champion) - 1]
            versions[int(champion) - 1] = _with_record(earlier, record)
        costs = {
            step: {"wall_s": float(random.gamma(20, scale)), "cpu_s": 60.0, "peak_memory_mib": 900.0 + number}
            for step, scale in (("validate", 2.0), ("train", 12.0), ("register", 0.5))
        }
        versions.append(
            VersionHistory(
                number=str(number),
                first_day=day - timedelta(days=6),
                last_day=day,
                created=datetime(2026, 3, 1, 3, tzinfo=UTC) + timedelta(days=number),
                outcome="PROMOTE" if promoted else "HOLD",
                reason="no worse on any judged task"
                if promoted
                else "1 of 12 rules does not hold: is_replied …",
                compared_with=champion or "none",
                evaluation=_evaluation(random, champion is not None),
                drift=DriftSummary(
                    state="within_bounds", against="version 1", compared=42, beyond=int(random.poisson(1))
                ),
                watched=watched,
                costs=costs,
            )
        )
        if promoted:
            moves.append(
                _move(day, champion, str(number), f"pipeline run run-{number}", "better on one task")
            )
            champion = str(number)
        if number == 20:
            moves.append(_move(day, champion, "16", "ada@laptop", "complaints since Tuesday", rollback=True))
            champion = "16"
    return History("recap", tuple(versions), tuple(moves), {"champion": champion or "", "previous": "25"})


def _move(day: date, source: str | None, to: str, who: str, why: str, rollback: bool = False) -> Move:
    return Move(f"{day}T04:10:00+00:00", who, why, source, to, rollback)


def _with_record(version: VersionHistory, record: WatchRecord) -> VersionHistory:
    return VersionHistory(**{**vars(version), "watched": (*version.watched, record)})


def _evaluation(random: np.random.Generator, compared: bool) -> Evaluation:
    tasks = {}
    for number, task in enumerate(TASKS):
        rce, change = 10.0 + 5 * number + float(random.normal(0, 0.5)), float(random.normal(0.2, 0.3))
        ratio = float(random.normal(1.0, 0.04))
        tasks[task] = TaskMetrics(
            rows=5000,
            positives=500,
            rce=rce,
            calibration_ratio=ratio,
            error=Errors(rce=0.5, calibration_ratio=0.03),
            interval=Intervals(
                rce=Interval(rce - 0.8, rce + 0.8), calibration_ratio=Interval(ratio - 0.05, ratio + 0.05)
            ),
            champion=ModelMetrics(rce=rce - change, calibration_ratio=1.0) if compared else None,
            difference=Comparison(rce=change) if compared else None,
        )
    return Evaluation(rows=5000, tasks=tasks, score_psi=float(random.gamma(2, 0.02)) if compared else None)


def _record(version: str, day: date, evidence: float, random: np.random.Generator) -> WatchRecord:
    reported = evidence >= 20
    tested = TestedHypothesis(task=TASKS[0], what="RCE below", value=9.0, bound=9.0, evidence=evidence)
    return WatchRecord(
        name="recap",
        version=version,
        day=day,
        day_number=1,
        snapshot="s",
        rows=5000,
        evaluation=_evaluation(random, False),
        drift=DriftSummary(
            state="within_bounds", against="version 1", compared=42, beyond=int(random.poisson(0.5))
        ),
        decay=Evidence(
            days=1,
            now=evidence,
            largest=evidence,
            needed=20.0,
            sufficient_after=1 if reported else None,
            hypotheses=[tested],
        ),
        outcome="RETRAIN" if reported else "OK",
        reason="is_favorited: RCE below is beyond 9" if reported else "nothing speaks against it",
        action="asked for a retraining" if reported else "",
    )
