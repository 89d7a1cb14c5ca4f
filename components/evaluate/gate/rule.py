"""What the gate's rules share: a task's metrics, and a rule that holds while a value lies within bounds."""

from components.common.artifacts.decision import Rule
from components.common.artifacts.evaluation import (
    INTERVAL,
    Evaluation,
    SliceMetrics,
    TaskMetrics,
    ValueTaskMetrics,
)
from recap_model.config.steps.evaluation import GateConfig

Measured = TaskMetrics | ValueTaskMetrics
_LEAST_P_VALUE = 1e-4  # the least that is printed: further out, the normal approximation has no correct digit


def measured_task(part: Evaluation | SliceMetrics, task: str) -> Measured:
    """The metrics of a task that was measured."""
    measured = part.measured(task)
    assert measured is not None
    return measured


def is_judged(evaluation: Evaluation, task: str, gate: GateConfig) -> bool:
    measured = evaluation.measured(task)
    return measured is not None and measured.positives >= gate.min_positives


def undefined_in_brackets(measured: Measured) -> str:
    """Why there is no difference of RCE or skill, or no error of it, in brackets; empty where both exist."""
    if why := measured.champion_undefined:
        return f" (of the champion: {why})"
    why = measured.undefined.get(INTERVAL)
    return f" ({why})" if why else ""


def describe_p_value(p_value: float) -> str:
    """``p = 0.012``, or ``p < 0.0001``."""
    return f"p < {_LEAST_P_VALUE:.4f}" if p_value < _LEAST_P_VALUE else f"p = {p_value:.2g}"


def bounded_rule(
    rule: str,
    task: str | None,
    what: str,
    value: float | None,
    bounds: tuple[float | None, float | None],
    setting: str,
    why: str = "",
) -> Rule:
    """A rule that holds while ``value`` lies between the bounds; without a value it is an error, for ``why``.

    Args:
        setting: the field of the config that has the bounds.
    """
    low, high = bounds
    limits = [f">= {low:g}"] if low is not None else []
    limits += [f"<= {high:g}"] if high is not None else []
    bound = " and ".join(limits)
    where = f"{task}: " if task else ""
    if value is None:
        words = f"{where}{what} cannot be computed on these rows{why}; it must be {bound} ({setting})"
        return Rule(name=rule, task=task, bound=bound, status="error", words=words)
    holds = (low is None or value >= low) and (high is None or value <= high)
    words = f"{where}{what} is {value:.4g}; it must be {bound} ({setting})"
    return Rule(
        name=rule, task=task, value=value, bound=bound, status="pass" if holds else "fail", words=words
    )
