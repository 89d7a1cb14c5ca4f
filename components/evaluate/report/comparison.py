"""Tasks and slices against the champion, with intervals; on a first run against a constant prediction."""

from collections.abc import Sequence
from dataclasses import dataclass

from components.common.artifacts.decision import Decision
from components.common.artifacts.evaluation import Evaluation, TaskMetrics, ValueTaskMetrics
from components.common.html.charts import Axis, Bound, Chart, Interval, Tone, interval_chart
from components.common.html.task_labels import within_family
from recap_model.config import RecapConfig

MAX_TASKS, MAX_SLICES = 20, 10  # drawn at once; the others on demand
_MAX_DRAWN = 100

Measured = TaskMetrics | ValueTaskMetrics


@dataclass(frozen=True)
class Comparison:
    """A task's difference of RCE or skill to the champion, in points; without a champion, the RCE or skill itself.

    Attributes:
        bounds: at the gate's confidence, each one-sided.
        note: what the interval says.
    """

    task: str
    slice_name: str
    measured: Measured
    change: float | None
    error: float | None
    bounds: tuple[float, float] | None
    is_judged: bool
    is_objective: bool
    tone: Tone
    note: str

    @property
    def gain_name(self) -> str:
        """RCE or skill."""
        return self.measured.gain_name

    def draw(self, name: str) -> Interval:
        """A row of the forest plot."""
        low, high = self.bounds or (None, None)
        if self.is_judged:
            return Interval(name, self.change, low, high, self.tone, self.note)
        # Of a few positives an estimate says nothing, and may lie far from all others.
        known = None if self.bounds is None else self.change
        return Interval(f"{name}, not judged", known, low, high, self.tone, self.note)


def compare_tasks(
    decision: Decision, evaluation: Evaluation, config: RecapConfig, rule_name: str = "non_inferior"
) -> list[Comparison]:
    """Every task, objectives first, then by rising difference; those that are not judged come last.

    Args:
        rule_name: the gate's rule on these differences.
    """
    gate = config.evaluation.gate
    failed = {rule.task for rule in decision.rules if rule.status == "fail" and rule.name == rule_name}
    compared = []
    tasks: dict[str, Measured] = {**evaluation.tasks, **evaluation.values}
    for task, measured in tasks.items():
        is_judged = measured.positives >= gate.min_positives
        is_objective = gate.objectives is None or task in gate.objectives
        compared.append(
            _compare(task, "", measured, is_judged, is_objective, task in failed, gate.min_positives)
        )
    return sorted(compared, key=_order)


def compare_slices(decision: Decision, evaluation: Evaluation, config: RecapConfig) -> list[Comparison]:
    """Every task in every slice that has enough positives, the most certain harm first."""
    gate = config.evaluation.gate
    failed = {
        (rule.slice, rule.task)
        for rule in decision.rules
        if rule.status == "fail" and rule.name == "slice_harm"
    }
    compared = []
    for name, inside in evaluation.slices.items():
        tasks: dict[str, Measured] = {**inside.tasks, **inside.values}
        for task, measured in tasks.items():
            if measured.positives >= gate.min_positives:
                is_failed = (name, task) in failed
                compared.append(_compare(task, name, measured, True, False, is_failed, gate.min_positives))
    margin = gate.max_slice_rce_loss or 0.0

    def harm(one: Comparison) -> tuple[bool, float]:
        if one.change is None or not one.error:
            return True, one.change or 0.0
        return False, (one.change + margin) / one.error

    return sorted(compared, key=harm)


def task_forests(
    comparisons: Sequence[Comparison], version: str | None, config: RecapConfig
) -> tuple[Chart, Chart | None]:
    """The tasks' differences to a version, zero and the allowed loss: the first tasks, the others."""
    gate = config.evaluation.gate
    names = config.populations()
    rows = [one.draw(within_family(one.task, config.tasks, names)) for one in comparisons[:_MAX_DRAWN]]
    if version is None:
        title = f"{_gain_names(comparisons)} of each task"
        axis = _axis(comparisons, "over a constant prediction")
        bounds = [Bound("no better than a constant", 0.0)]
    else:
        title = f"Difference to version {version}, with its {_level(gate.confidence)} interval"
        axis = _axis(comparisons, "difference")
        bounds = [
            Bound("no difference", 0.0),
            Bound(f"allowed loss, {gate.max_rce_loss:g}", -gate.max_rce_loss, "bad"),
        ]
    first = interval_chart(title, rows[:MAX_TASKS], axis, bounds=bounds)
    rest = rows[MAX_TASKS:]
    return first, interval_chart(f"The next {len(rest)}", rest, axis, bounds=bounds) if rest else None


def slice_forests(
    comparisons: Sequence[Comparison], decision: Decision, config: RecapConfig
) -> tuple[Chart | None, Chart | None]:
    """The worst slices, and the next ones; None where there are none."""
    if not comparisons:
        return None, None
    gate = config.evaluation.gate
    against = f"difference to version {decision.champion.version}" if decision.champion else "over a constant"
    bounds = [Bound("no difference" if decision.champion else "no better than a constant", 0.0)]
    if decision.champion and gate.max_slice_rce_loss is not None:
        bounds.append(Bound(f"allowed loss, {gate.max_slice_rce_loss:g}", -gate.max_slice_rce_loss, "bad"))
    rows = [
        one.draw(f"{one.slice_name}: {within_family(one.task, config.tasks)}")
        for one in comparisons[:_MAX_DRAWN]
    ]
    axis = _axis(comparisons, against)
    title = f"The {min(MAX_SLICES, len(rows))} worst of {len(comparisons):,} slices by task"
    first = interval_chart(
        title if len(comparisons) > MAX_SLICES else "Slices by task", rows[:MAX_SLICES], axis, bounds=bounds
    )
    rest = rows[MAX_SLICES:]
    if not rest:
        return first, None
    return first, interval_chart(f"The next {len(rest)}", rest, axis, bounds=bounds)


def _compare(
    task: str,
    slice_name: str,
    measured: Measured,
    is_judged: bool,
    is_objective: bool,
    is_failed: bool,
    min_positives: int,
) -> Comparison:
    change, error, bounds = measured.gain, _own_error(measured), _own_interval(measured)
    if measured.difference is not None:
        change, error = measured.gain_change
        bounds = measured.gain_interval
    tone, note = _judge(
        measured, bounds, is_judged, is_failed, min_positives, measured.difference is not None
    )
    return Comparison(task, slice_name, measured, change, error, bounds, is_judged, is_objective, tone, note)


def _judge(
    measured: Measured,
    bounds: tuple[float, float] | None,
    is_judged: bool,
    is_failed: bool,
    min_positives: int,
    is_compared: bool,
) -> tuple[Tone, str]:
    if not is_judged:
        return "faint", f"not judged: {measured.positives:,} positives, under {min_positives:,}"
    if bounds is None:
        return "plain", measured.undefined.get("interval", "no interval")
    low, high = bounds
    other = "the champion" if is_compared else "a constant"
    if high < 0:
        return "bad", f"worse than {other} beyond chance{', by more than is allowed' * is_failed}"
    if is_failed:
        return "warn", "may be worse by more than is allowed"
    if low > 0:
        return "good", f"better than {other} beyond chance"
    return "plain", f"no difference to {other} beyond chance"


def _own_error(measured: Measured) -> float | None:
    return measured.error.rce if isinstance(measured, TaskMetrics) else measured.error.skill


def _own_interval(measured: Measured) -> tuple[float, float] | None:
    return measured.interval.rce if isinstance(measured, TaskMetrics) else measured.interval.skill


def _order(one: Comparison) -> tuple[bool, bool, float]:
    is_known = one.change is not None and (one.is_judged or one.bounds is not None)
    return not one.is_judged, not one.is_objective, (one.change or 0.0) if is_known else float("inf")


def _gain_names(comparisons: Sequence[Comparison]) -> str:
    return " or ".join(dict.fromkeys(one.gain_name for one in comparisons)) or "RCE"


def _axis(comparisons: Sequence[Comparison], what: str) -> Axis:
    return Axis(f"{_gain_names(comparisons)}, {what}, in points")


def _level(confidence: float) -> str:
    """The two-sided level of an interval whose bounds hold with ``confidence`` each.

    >>> _level(0.95)
    '90%'
    """
    return f"{2 * confidence - 1:.0%}"
