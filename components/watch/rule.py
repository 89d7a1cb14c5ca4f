"""The rule of a watched version: has it decayed, is the previous one better, and what follows."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.evaluation import Evaluation, TaskMetrics, ValueTaskMetrics
from components.common.artifacts.watch_record import (
    Evidence,
    OtherVersion,
    TestedHypothesis,
    WatchOutcome,
)
from components.watch.sequential import Deviation, combine, e_process
from recap_model.config import RecapConfig
from recap_model.config.steps.watch import WatchConfig

_MIN_POSITIVES = 25  # so that a day's estimates are about normal
_LEAST_RATIO_VARIANCE = 1e-4  # of a day, for tuning alone
_SIDE_WEIGHT = 0.5  # the two sides of the ratio weigh as much as the RCE
_PREVIOUS = "previous"
_MIN_BETTER_DAYS = 2  # rows of one day may favour a version by what that day was like


@dataclass(frozen=True)
class WatchedDay:
    """What was measured on a day: of the version, and of others by their alias."""

    day: date
    evaluation: Evaluation
    others: Mapping[str, OtherVersion]


@dataclass(frozen=True)
class Conclusion:
    """The outcome with its evidence, and a sentence on why."""

    outcome: WatchOutcome
    reason: str
    decay: Evidence
    rollback: Evidence | None


def conclude(days: Sequence[WatchedDay], reference: Evaluation | None, config: RecapConfig) -> Conclusion:
    """The outcome after all watched days of a version, one at least, the newest last.

    The version has decayed if the evidence of `decay_evidence` ever reached what the false alarm rate asks for. It is
    rolled back only if the previous version is better beyond that rate too, on the same rows.

    Args:
        reference: the version's evaluation at its registration; None without one.
    """
    decay = decay_evidence(days, reference, config)
    rollback = _rollback_evidence(days, config)
    if not decay.suffices:
        return Conclusion("OK", f"nothing speaks against it: {_describe(decay)}", decay, rollback)
    worst = max(decay.hypotheses, key=lambda one: one.evidence)
    reason = f"{worst.task}: {worst.what} is beyond {worst.bound:.4g}; {_describe(decay)}"
    enough = rollback is not None and rollback.days >= _MIN_BETTER_DAYS and rollback.suffices
    if rollback is not None and enough and not _worse_somewhere(days, config):
        version = days[-1].others[_PREVIOUS].version
        words = f"version {version} is better on the same rows ({_describe(rollback)}); {reason}"
        return Conclusion("ROLL BACK", words, decay, rollback)
    return Conclusion("RETRAIN", reason, decay, rollback)


def _describe(evidence: Evidence) -> str:
    days = "1 day" if evidence.days == 1 else f"{evidence.days} days"
    return f"evidence {evidence.largest:.3g} of the needed {evidence.needed:.3g} after {days}"


def decay_evidence(days: Sequence[WatchedDay], reference: Evaluation | None, config: RecapConfig) -> Evidence:
    """The evidence that the version is no longer as good as at its promotion.

    The null: each watched task's RCE (or skill) has, but for the variation between days, a mean of at least the one
    at promotion less ``max_rce_loss``, and its predicted over observed one within ``calibration_ratio``. The value at
    promotion is an estimate itself, of another day.
    """
    tests = [test for task in watched_tasks(config) for test in _tests(days, task, reference, config)]
    return _evidence(tests, len(days), 1.0 / config.watch.false_alarm_rate)


def watched_tasks(config: RecapConfig) -> list[str]:
    """The gate's objectives that the version has; all tasks if there are none."""
    return [task for task in config.evaluation.gate.objectives or config.tasks if task in config.tasks]


@dataclass(frozen=True)
class _Test:
    """A hypothesis: a task's values by day (None where not defined), its bound, and the evidence after each day."""

    task: str
    what: str
    bound: float
    newest: float | None
    evidence: NDArray[np.float64]
    weight: float = 1.0


def _evidence(tests: list[_Test], days: int, needed: float) -> Evidence:
    weights = [test.weight for test in tests]
    course = combine([test.evidence for test in tests], weights).tolist() if tests else [1.0] * days
    return Evidence(
        days=days,
        now=course[-1] if course else 1.0,
        largest=max(course, default=1.0),
        sufficient_after=next((number for number, value in enumerate(course, 1) if value >= needed), None),
        needed=needed,
        hypotheses=[
            TestedHypothesis(
                task=test.task,
                what=test.what,
                value=test.newest,
                bound=test.bound,
                evidence=float(test.evidence[-1]),
            )
            for test in tests
        ],
    )


def _tests(
    days: Sequence[WatchedDay], task: str, reference: Evaluation | None, config: RecapConfig
) -> Iterator[_Test]:
    watch = config.watch
    measured = [day.evaluation.measured(task) for day in days]
    judged = [one if one is not None and one.positives >= _MIN_POSITIVES else None for one in measured]
    then = reference.measured(task) if reference is not None else None
    if then is not None and then.gain is not None and (error := gain_error(then)) is not None:
        bound = then.gain - watch.max_rce_loss
        values = [(one.gain, gain_error(one)) if one else (None, None) for one in judged]
        usual = error**2 + watch.rce_variation**2
        name = f"{then.gain_name} below"
        yield _test(task, name, values, bound, -1, watch.rce_variation, usual, watch, bound_variance=usual)
    ratios = [_log_ratio(one) for one in judged]
    usual = (_log_ratio(then)[1] or 0.0) ** 2 + watch.ratio_variation**2 if then else watch.ratio_variation**2
    low, high = watch.calibration_ratio
    for what, bound, side in (("above", high, 1), ("below", low, -1)):
        name, variance = f"predicted/observed {what}", max(usual, _LEAST_RATIO_VARIANCE)
        tested = _test(task, name, ratios, math.log(bound), side, watch.ratio_variation, variance, watch)
        newest = judged[-1].calibration_ratio if judged[-1] else None
        yield replace(tested, bound=bound, newest=newest, weight=_SIDE_WEIGHT)


def _test(
    task: str,
    what: str,
    values: Sequence[tuple[float | None, float | None]],
    bound: float,
    side: int,
    variation: float,
    usual_variance: float,
    watch: WatchConfig,
    bound_variance: float = 0.0,
) -> _Test:
    """The hypothesis that values are not beyond a bound, on that side; a day without a value adds nothing."""
    deviations = [
        Deviation(side * (value - bound), error**2 + variation**2)
        for value, error in values
        if value is not None and error is not None
    ]
    evidence = e_process(deviations, usual_variance, watch.false_alarm_rate, bound_variance)
    so_far = np.cumsum([value is not None and error is not None for value, error in values])
    course = np.concatenate([[1.0], evidence])[so_far]
    return _Test(task, what, bound, values[-1][0] if values else None, course)


def gain_error(measured: TaskMetrics | ValueTaskMetrics) -> float | None:
    """The standard error of the RCE, or of the skill."""
    return measured.error.rce if isinstance(measured, TaskMetrics) else measured.error.skill


def _log_ratio(measured: TaskMetrics | ValueTaskMetrics | None) -> tuple[float | None, float | None]:
    """The logarithm of predicted over observed, and its standard error (delta method)."""
    if measured is None or not measured.calibration_ratio or measured.error.calibration_ratio is None:
        return None, None
    ratio = measured.calibration_ratio
    return math.log(ratio), measured.error.calibration_ratio / ratio


def _rollback_evidence(days: Sequence[WatchedDay], config: RecapConfig) -> Evidence | None:
    """The evidence that the version with the alias ``previous`` is better on the same rows; None without one.

    Differences on the same rows are free of what makes a day easy or hard, so only their errors count.
    """
    newest = days[-1].others.get(_PREVIOUS) if days else None
    if newest is None or newest.missing:
        return None
    watch, tests = config.watch, []
    for task in watched_tasks(config):
        values = list(_differences(days, task, newest.version))
        errors = [error for _, error in values if error]
        if errors:
            usual = errors[0] ** 2
            tests.append(_test(task, "RCE difference above", values, 0.0, 1, 0.0, usual, watch))
    compared = [
        day for day in days if _PREVIOUS in day.others and day.others[_PREVIOUS].version == newest.version
    ]
    evidence = _evidence(tests, len(days), 1.0 / watch.false_alarm_rate)
    return evidence.model_copy(update={"days": len(compared)})


def _differences(
    days: Sequence[WatchedDay], task: str, version: str
) -> Iterator[tuple[float | None, float | None]]:
    for day in days:
        other = day.others.get(_PREVIOUS)
        compared = other.tasks.get(task) if other is not None and other.version == version else None
        yield (compared.difference, compared.error or None) if compared else (None, None)


def _worse_somewhere(days: Sequence[WatchedDay], config: RecapConfig) -> bool:
    """Whether the previous version is behind on a watched task by more than ``max_rce_loss``, over all days."""
    version = days[-1].others[_PREVIOUS].version
    for task in watched_tasks(config):
        known = [
            (difference, error)
            for difference, error in _differences(days, task, version)
            if difference is not None and error
        ]
        weight = sum(1.0 / error**2 for _, error in known)
        if known and sum(value / error**2 for value, error in known) / weight < -config.watch.max_rce_loss:
            return True
    return False
