"""Rule of the gate on metrics that are too good to be true, as those of a model that reads its label are."""

from collections.abc import Iterator

from components.common.artifacts.decision import Rule, RuleStatus
from components.common.artifacts.evaluation import Evaluation, ModelMetrics, ValueModelMetrics
from components.common.artifacts.validation_result import ValidationResultFile
from components.evaluate.gate.rule import measured_task
from recap_model.config.steps.evaluation import GateConfig

SUSPICIOUS_AUC, SUSPICIOUS_GAIN = 0.99, 95.0  # the gain, RCE or skill, in per cent


def suspicion_rules(
    evaluation: Evaluation, judged: list[str], gate: GateConfig, validation: ValidationResultFile | None
) -> Iterator[Rule]:
    """A rule for each judged task whose metrics are too good to be true; none for the others.

    That is an RCE (or skill) over 95 %: next to nothing of the label is left to chance. An AUC over .99 alone is not:
    a task that several inputs decide together has it honestly. It is suspicious where validate found a column that
    decides the label by itself, or has values in positives only. A candidate whose champion is as good on the same
    rows passes: its like was promoted before, by a person if the gate held it.
    """
    for task in judged:
        measured = measured_task(evaluation, task)
        leaks = validation.leaks(task) if validation else []
        reasons = _too_good(measured, bool(leaks))
        if not reasons:
            continue
        known = bool(_too_good(measured.champion, bool(leaks)))
        status: RuleStatus = "pass" if known else "fail" if gate.suspicious == "hold" else "warning"
        cause = f"; validate found that it {', and that it '.join(leaks)}" if leaks else ""
        if not leaks and validation and (columns := validation.describe_columns(task)):
            cause = f"; the highest AUC of a column alone: {columns}"
        also = ", as that of the champion is" if known else ""
        words = (
            f"{task}: {' and '.join(reasons)}, too good to be true{also}{cause}; is every input known at the "
            f"impression? (gate.suspicious)"
        )
        yield Rule(name="suspicious", task=task, value=measured.gain, status=status, words=words)


def _too_good(model: ModelMetrics | ValueModelMetrics | None, has_leak: bool) -> list[str]:
    """What is too good of a model's metrics."""
    if isinstance(model, ModelMetrics):
        reasons = []
        if has_leak and model.auc is not None and model.auc > SUSPICIOUS_AUC:
            reasons.append(f"AUC is {model.auc:.4f}")
        if model.rce is not None and model.rce > SUSPICIOUS_GAIN:
            reasons.append(f"RCE is {model.rce:.1f} %")
        return reasons
    if model is None or model.skill is None or model.skill <= SUSPICIOUS_GAIN:
        return []
    return [f"skill is {model.skill:.1f} %"]
