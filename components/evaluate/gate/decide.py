"""The promotion gate: from an evaluation and a policy to one decision. A rule that cannot be computed is an error."""

import hashlib
from collections.abc import Iterator

from components.common.artifacts.decision import Outcome, Rule
from components.common.artifacts.evaluation import Evaluation, TaskMetrics, ValueTaskMetrics
from components.common.artifacts.validation_result import ValidationResultFile
from components.evaluate.gate.comparison import anchor_rules, champion_rules
from components.evaluate.gate.rule import Measured, bounded_rule, is_judged, measured_task
from components.evaluate.gate.scores import score_rules
from components.evaluate.gate.slices import slice_rules
from components.evaluate.gate.suspicion import suspicion_rules
from recap_model.config.steps.evaluation import GateConfig

_MAX_REASONS = 3  # Rules that a reason names, so that it fits a terminal's line and a registry's tag.


def decide(
    evaluation: Evaluation,
    gate: GateConfig,
    tasks: list[str],
    champion: str | None,
    champion_error: str | None = None,
    column_mismatch: str | None = None,
    anchor: str | None = None,
    anchor_mismatch: str | None = None,
    validation: ValidationResultFile | None = None,
) -> tuple[Outcome, str, list[Rule]]:
    """Apply every rule of the policy.

    Non-inferiority must hold for each judged task: an intersection-union test (Berger, 1982), in which testing each
    at the stated confidence bounds the chance of promoting a model that is worse on any task. A slice holds a
    version only where it is significantly worse, since few rows prove little (`slice_rules`). A task that the
    champion does not predict cannot be compared, so that a person has to approve it.

    Args:
        evaluation: what was measured.
        tasks: those that the config declares.
        champion: the version compared with; None on a first run.
        champion_error: why there is no comparison with the champion, though there is a champion.
        column_mismatch: why there can be none, where the champion reads columns that the config no longer has.
        anchor: the version that is the anchor; None without one.
        anchor_mismatch: why there is no comparison with the anchor, where it reads columns that the config no longer
            has.
        validation: what validate found in the run's log.

    Returns:
        The outcome, one sentence on why, and each rule as it was applied.
    """
    rules = list(_integrity_rules(evaluation, tasks, gate, champion_error))
    judged = [task for task in tasks if is_judged(evaluation, task, gate)]
    for task in judged:
        rules += _floor_rules(task, measured_task(evaluation, task), gate)
    rules += suspicion_rules(evaluation, judged, gate, validation)
    if column_mismatch is not None:
        rules.append(Rule(name="champion_columns", status="fail", words=column_mismatch))
    elif champion is not None and champion_error is None:
        rules += champion_rules(evaluation, judged, gate, champion)
        if not gate.has_anchor or anchor == champion:
            anchor = None
        elif anchor_mismatch is not None:
            rules.append(Rule(name="anchor_columns", status="skipped", words=anchor_mismatch))
            anchor = None
        elif anchor is not None:
            rules += anchor_rules(evaluation, judged, gate, anchor)
        rules += slice_rules(evaluation, judged, gate)
        rules += score_rules(evaluation, gate)
    outcome, reason = _conclude(rules, gate, champion, anchor)
    return outcome, reason, rules


def policy_digest(gate: GateConfig) -> str:
    """SHA-256 of a policy, by which a decision names it."""
    return hashlib.sha256(gate.model_dump_json().encode()).hexdigest()


def _integrity_rules(
    evaluation: Evaluation, tasks: list[str], gate: GateConfig, champion_error: str | None
) -> Iterator[Rule]:
    rows = evaluation.rows
    yield Rule(
        name="rows",
        value=rows,
        bound=f">= {gate.min_rows}",
        status="pass" if rows >= gate.min_rows else "error",
        words=f"{rows:,} test rows; gate.min_rows is {gate.min_rows:,}",
    )
    if evaluation.not_finite:
        words = f"{evaluation.not_finite:,} test rows have a score or a probability that is not finite"
        yield Rule(name="finite", value=evaluation.not_finite, bound="<= 0", status="error", words=words)
    if champion_error is not None:
        yield Rule(name="champion", status="error", words=champion_error)
    for name, inside in evaluation.slices.items():
        min_rows = inside.min_rows or gate.min_slice_rows
        if inside.rows < min_rows:
            setting = "its min_rows" if inside.min_rows else "gate.min_slice_rows"
            words = f"slice {name}: {inside.rows} test rows, under {setting} {min_rows}"
            yield Rule(
                name="slice_rows",
                slice=name,
                value=inside.rows,
                bound=f">= {min_rows}",
                status="error",
                words=words,
            )
    for task in tasks:
        measured = evaluation.measured(task)
        positives = measured.positives if measured else 0
        if measured is None:
            yield Rule(name="task", task=task, status="error", words=f"{task}: declared, but not measured")
        elif positives < gate.min_positives:
            words = f"{task}: {positives} test positives, under gate.min_positives {gate.min_positives}; not judged"
            yield Rule(name="task", task=task, value=positives, status="skipped", words=words)
    if not any(is_judged(evaluation, task, gate) for task in tasks):
        words = f"no task has {gate.min_positives} test positives, so no task can be judged"
        yield Rule(name="judged_tasks", value=0, bound=">= 1", status="error", words=words)


def _floor_rules(task: str, measured: Measured, gate: GateConfig) -> Iterator[Rule]:
    floors = gate.task_floors.get(task, gate.floors)
    section = f"gate.task_floors.{task}" if task in gate.task_floors else "gate.floors"
    lowest = {"auc": "AUC", "rce": "RCE"}
    if isinstance(measured, ValueTaskMetrics):
        lowest = {"xauc": "XAUC", "skill": "skill"}
    for name, title in lowest.items():
        bound, setting = getattr(floors, f"min_{name}"), f"{section}.min_{name}"
        if bound is not None:
            yield bounded_rule(f"floor_{name}", task, title, getattr(measured, name), (bound, None), setting)
    if floors.calibration_ratio is not None:
        ratio, setting = measured.calibration_ratio, f"{section}.calibration_ratio"
        yield bounded_rule(
            "floor_calibration", task, "predicted/observed", ratio, floors.calibration_ratio, setting
        )
    if floors.max_ece is not None and isinstance(measured, TaskMetrics):
        bounds, setting = (None, floors.max_ece), f"{section}.max_ece"
        yield bounded_rule("floor_ece", task, "debiased ECE", measured.ece, bounds, setting)


def _conclude(
    rules: list[Rule], gate: GateConfig, champion: str | None, anchor: str | None
) -> tuple[Outcome, str]:
    errors = [f"{rule.name}: {rule.words}" for rule in rules if rule.status == "error"]
    fails = [f"{rule.name}: {rule.words}" for rule in rules if rule.status == "fail"]
    if errors:
        return "ERROR", f"{len(errors)} of {len(rules)} rules cannot be computed: {_join_reasons(errors)}"
    if fails:
        fail = "does not hold" if len(fails) == 1 else "do not hold"
        return "HOLD", f"{len(fails)} of {len(rules)} rules {fail}: {_join_reasons(fails)}"
    if champion is None and gate.first_run == "require_approval":
        return (
            "HOLD",
            "the floors hold; there is no champion, and gate.first_run asks for a person's approval",
        )
    if champion is None:
        return "PROMOTE", "there is no champion to compare with, and every floor holds"
    better = "better on one, " if gate.promote_if == "better" else ""
    also = f" nor than version {anchor} (the anchor)" if anchor else ""
    return (
        "PROMOTE",
        f"no worse than version {champion}{also} on any judged task, {better}and every floor holds",
    )


def _join_reasons(words: list[str]) -> str:
    more = len(words) - _MAX_REASONS
    return " | ".join(words[:_MAX_REASONS]) + (f" | {more} more in the report" if more > 0 else "")
