"""The gate: from what was measured and the policy to one decision. Whatever cannot be computed says no."""

from collections.abc import Iterator
from typing import Any

from components.artifacts.decision import Outcome, Rule
from recap_model.config.evaluation import Floors, GateConfig

Measured = dict[str, Any]


def decide(
    measured: Measured, tasks: list[str], gate: GateConfig, champion: str | None, trouble: str | None = None
) -> tuple[Outcome, str, list[Rule]]:
    """Apply every rule of the policy.

    Non-inferiority must hold for each judged task: an intersection-union test (Berger, 1982), in which testing each
    at the stated confidence bounds the chance of promoting a model that is worse on any task.

    Args:
        measured: as `measure` gives it.
        tasks: those that the config declares.
        champion: the version compared with; None on a first run.
        trouble: why there is no comparison with the champion, though there is a champion.

    Returns:
        The outcome, one sentence on why, and each rule as it was applied.
    """
    rules = list(_integrity(measured, tasks, gate, trouble))
    judged = [task for task in tasks if _judged(measured, task, gate)]
    for task in judged:
        rules += _floors(task, measured["tasks"][task], gate.task_floors.get(task, gate.floors))
    if champion is not None and trouble is None:
        rules += _comparison(measured, judged, gate)
    outcome, reason = _conclude(rules, gate, champion)
    return outcome, reason, rules


def _judged(measured: Measured, task: str, gate: GateConfig) -> bool:
    return measured["tasks"].get(task, {}).get("positives", 0) >= gate.min_positives


def _integrity(measured: Measured, tasks: list[str], gate: GateConfig, trouble: str | None) -> Iterator[Rule]:
    rows = measured["rows"]
    yield Rule(
        name="rows",
        value=rows,
        bound=f">= {gate.min_rows}",
        verdict="pass" if rows >= gate.min_rows else "error",
        words=f"{rows:,} test rows; gate.min_rows is {gate.min_rows:,}",
    )
    if trouble is not None:
        yield Rule(name="champion", verdict="error", words=trouble)
    for task in tasks:
        found = measured["tasks"].get(task)
        positives = found["positives"] if found else 0
        if found is None:
            yield Rule(name="task", task=task, verdict="error", words=f"{task}: declared, but not measured")
        elif positives < gate.min_positives:
            words = f"{task}: {positives} test positives, under gate.min_positives {gate.min_positives}; not judged"
            yield Rule(name="task", task=task, value=positives, verdict="skipped", words=words)
    if not any(_judged(measured, task, gate) for task in tasks):
        words = f"no task has {gate.min_positives} test positives, so there is nothing to judge by"
        yield Rule(name="judged_tasks", value=0, bound=">= 1", verdict="error", words=words)


def _floors(task: str, found: Measured, floors: Floors) -> Iterator[Rule]:
    for name, bound in (("auc", floors.min_auc), ("rce", floors.min_rce)):
        if bound is not None:
            yield _bounded(f"floor_{name}", task, name, found[name], bound, None)
    if floors.calibration_ratio is not None:
        low, high = floors.calibration_ratio
        yield _bounded("floor_calibration", task, "predicted/observed", found["calibration_ratio"], low, high)


def _comparison(measured: Measured, judged: list[str], gate: GateConfig) -> Iterator[Rule]:
    for task in judged:
        interval = measured["tasks"][task]["difference"].get("rce_interval")
        lower = interval[0] if interval else None
        name = f"RCE difference, lower {gate.confidence:.0%} bound"
        yield _bounded("non_inferior", task, name, lower, -gate.max_rce_loss, None)
    objectives = [task for task in gate.objectives or judged if task in judged]
    changes = [measured["tasks"][task]["difference"]["rce"] for task in objectives]
    best = None if not changes or None in changes else max(changes)
    yield _bounded(
        "better_somewhere", None, "largest RCE difference of an objective", best, 0.0, None, strict=True
    )
    if gate.max_score_psi is not None:
        yield _bounded(
            "score_shift", None, "PSI of the scores", measured["score_psi"], None, gate.max_score_psi
        )


def _bounded(
    rule: str,
    task: str | None,
    what: str,
    value: float | None,
    low: float | None,
    high: float | None,
    strict: bool = False,
) -> Rule:
    """A rule that holds while ``value`` lies between the bounds; without a value it is an error."""
    sign = ">" if strict else ">="
    bounds = [f"{sign} {low:g}"] if low is not None else []
    bounds += [f"<= {high:g}"] if high is not None else []
    bound = " and ".join(bounds)
    where = f"{task}: " if task else ""
    if value is None:
        words = f"{where}{what} cannot be computed on these rows; it must be {bound}"
        return Rule(name=rule, task=task, bound=bound, verdict="error", words=words)
    low_holds = low is None or (value > low if strict else value >= low)
    holds = low_holds and (high is None or value <= high)
    words = f"{where}{what} is {value:.4g}; it must be {bound}"
    return Rule(
        name=rule, task=task, value=value, bound=bound, verdict="pass" if holds else "fail", words=words
    )


def _conclude(rules: list[Rule], gate: GateConfig, champion: str | None) -> tuple[Outcome, str]:
    errors = [rule.words for rule in rules if rule.verdict == "error"]
    fails = [rule.words for rule in rules if rule.verdict == "fail"]
    if errors:
        return "ERROR", f"{len(errors)} of {len(rules)} rules cannot be computed: {errors[0]}"
    if fails:
        return "HOLD", f"{len(fails)} of {len(rules)} rules do not hold: {fails[0]}"
    if champion is None and gate.first_run == "require_approval":
        return (
            "HOLD",
            "the floors hold; there is no champion, and gate.first_run asks for a person's approval",
        )
    if champion is None:
        return "PROMOTE", "there is no champion to compare with, and every floor holds"
    return (
        "PROMOTE",
        f"no worse than version {champion} on any judged task, better on one, and every floor holds",
    )
