"""Rules of the gate that compare the candidate with the champion and with the anchor."""

from collections.abc import Iterator
from statistics import NormalDist

from components.common.artifacts.decision import Rule
from components.common.artifacts.evaluation import NO_SUCH_TASK, Evaluation
from components.evaluate.gate.rule import (
    bounded_rule,
    describe_p_value,
    is_judged,
    measured_task,
    undefined_in_brackets,
)
from recap_model.config.steps.evaluation import GateConfig


def champion_rules(
    evaluation: Evaluation, judged: list[str], gate: GateConfig, champion: str
) -> Iterator[Rule]:
    """Every judged task is no worse than the champion's, and with ``promote_if: better`` one is better."""
    shared = shared_tasks(evaluation, judged)
    for task in judged:
        if task not in shared:
            words = f"{task}: version {champion} does not predict it; a person may approve what cannot be compared"
            yield Rule(name="new_task", task=task, status="fail", words=words)
    yield from _non_inferiority_rules("non_inferior", evaluation, shared, gate, "difference")
    objectives, compared = _objectives(judged, shared, gate)
    if gate.promote_if == "better" and (compared or not objectives):
        yield _superiority_rule(evaluation, compared, gate)


def anchor_rules(evaluation: Evaluation, judged: list[str], gate: GateConfig, anchor: str) -> Iterator[Rule]:
    """Every judged task that the anchor predicts is no worse than the anchor's.

    Each promotion may lose up to the margin against the champion; against the anchor, all of them together may not
    lose more than that.
    """
    against = evaluation.against_anchor()
    difference = f"difference from version {anchor} (the anchor)"
    shared = shared_tasks(against, judged)
    yield from _non_inferiority_rules("non_inferior_to_anchor", against, shared, gate, difference)


def is_better_than_anchor(
    evaluation: Evaluation, tasks: list[str], gate: GateConfig, anchor_is_champion: bool
) -> bool:
    """Whether one objective is significantly better than the anchor's, by the rule of ``promote_if: better``."""
    against = evaluation if anchor_is_champion else evaluation.against_anchor()
    judged = [task for task in tasks if is_judged(evaluation, task, gate)]
    _, compared = _objectives(judged, shared_tasks(against, judged), gate)
    return bool(compared) and _superiority_rule(against, compared, gate).status == "pass"


def shared_tasks(evaluation: Evaluation, judged: list[str]) -> list[str]:
    """The judged tasks that the version compared with predicts too."""
    return [task for task in judged if measured_task(evaluation, task).champion_undefined != NO_SUCH_TASK]


def _objectives(judged: list[str], shared: list[str], gate: GateConfig) -> tuple[list[str], list[str]]:
    """The objectives that are judged, and those of them that can be compared."""
    objectives = [task for task in gate.objectives or judged if task in judged]
    return objectives, [task for task in objectives if task in shared]


def _non_inferiority_rules(
    rule: str, evaluation: Evaluation, tasks: list[str], gate: GateConfig, difference: str
) -> Iterator[Rule]:
    for task in tasks:
        measured = measured_task(evaluation, task)
        lower = measured.gain_interval.low if measured.gain_interval else None
        what = f"{measured.gain_name} {difference}, lower {gate.confidence:.0%} bound"
        yield bounded_rule(
            rule,
            task,
            what,
            lower,
            (-gate.max_rce_loss, None),
            "gate.max_rce_loss",
            undefined_in_brackets(measured),
        )


def _superiority_rule(evaluation: Evaluation, objectives: list[str], gate: GateConfig) -> Rule:
    """One objective must be significantly better: Holm's first step over all objectives, at ``confidence``.

    Of two equal models the newer one is promoted with a probability of at most 1 - ``confidence``, however many
    tasks there are.
    """
    name, level = "better_somewhere", (1.0 - gate.confidence) / max(len(objectives), 1)
    p_values: dict[str, float] = {}
    for task in objectives:
        measured = measured_task(evaluation, task)
        change, error = measured.gain_change
        if change is None or error is None:
            why = undefined_in_brackets(measured)
            words = f"{task}: {measured.gain_name} difference, or its error, cannot be computed on these rows{why}"
            return Rule(name=name, task=task, status="error", words=words)
        p_values[task] = 1.0 - NormalDist().cdf(change / error) if error else float(change <= 0)
    if not p_values:
        return Rule(name=name, status="error", words="none of gate.objectives is judged on these rows")
    best = min(p_values, key=lambda task: p_values[task])
    measured = measured_task(evaluation, best)
    change, _ = measured.gain_change
    words = (
        f"most significant gain, {best}: {measured.gain_name} difference {change:.4g}, "
        f"{describe_p_value(p_values[best])}; p must be <= {level:.3g} "
        f"({1 - gate.confidence:.2g} over {len(p_values)} "
        f"objective{'s' * (len(p_values) > 1)}; gate.promote_if: better)"
    )
    status = "pass" if p_values[best] <= level else "fail"
    return Rule(
        name=name, task=best, value=p_values[best], bound=f"<= {level:.2g}", status=status, words=words
    )
