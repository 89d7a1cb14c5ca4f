"""The promotion gate: from an evaluation and a policy to one decision. A rule that cannot be computed is an error."""

import hashlib
from collections.abc import Iterator
from statistics import NormalDist

from components.common.artifacts.decision import Outcome, Rule
from components.common.artifacts.evaluation import (
    INTERVAL,
    NO_SUCH_TASK,
    Evaluation,
    SliceMetrics,
    TaskMetrics,
    ValueTaskMetrics,
)
from recap_model.config.steps.evaluation import Floors, GateConfig

_MIN_SUPPORT = 0.5  # Of a change of the scores; above it the candidate's squared error is the smaller one.
_MAX_REASONS = 3  # Rules that a reason names, so that it fits a terminal's line and a registry's tag.


Measured = TaskMetrics | ValueTaskMetrics


def decide(
    evaluation: Evaluation,
    gate: GateConfig,
    tasks: list[str],
    champion: str | None,
    champion_error: str | None = None,
    column_mismatch: str | None = None,
) -> tuple[Outcome, str, list[Rule]]:
    """Apply every rule of the policy.

    Non-inferiority must hold for each judged task: an intersection-union test (Berger, 1982), in which testing each
    at the stated confidence bounds the chance of promoting a model that is worse on any task. A slice holds a
    version only where it is significantly worse, since few rows prove little (`_slice_rules`). A task that the
    champion does not predict cannot be compared, so that a person has to approve it.

    Args:
        evaluation: what was measured.
        tasks: those that the config declares.
        champion: the version compared with; None on a first run.
        champion_error: why there is no comparison with the champion, though there is a champion.
        column_mismatch: why there can be none, where the champion reads columns that the config no longer has.

    Returns:
        The outcome, one sentence on why, and each rule as it was applied.
    """
    rules = list(_integrity_rules(evaluation, tasks, gate, champion_error))
    judged = [task for task in tasks if _is_judged(evaluation, task, gate)]
    for task in judged:
        rules += _floor_rules(task, _measured(evaluation, task), gate.task_floors.get(task, gate.floors))
    if column_mismatch is not None:
        rules.append(Rule(name="champion_columns", status="fail", words=column_mismatch))
    elif champion is not None and champion_error is None:
        shared = [task for task in judged if _measured(evaluation, task).champion_undefined != NO_SUCH_TASK]
        rules += [_new_task_rule(task, champion) for task in judged if task not in shared]
        rules += _comparison_rules(evaluation, judged, shared, gate)
        rules += _slice_rules(evaluation, shared, gate)
        rules += _score_rules(evaluation, gate)
    outcome, reason = _conclude(rules, gate, champion)
    return outcome, reason, rules


def policy_digest(gate: GateConfig) -> str:
    """SHA-256 of a policy, by which a decision names it."""
    return hashlib.sha256(gate.model_dump_json().encode()).hexdigest()


def _measured(part: Evaluation | SliceMetrics, task: str) -> Measured:
    """The metrics of a task that was measured."""
    measured = part.measured(task)
    assert measured is not None
    return measured


def _is_judged(evaluation: Evaluation, task: str, gate: GateConfig) -> bool:
    measured = evaluation.measured(task)
    return measured is not None and measured.positives >= gate.min_positives


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
    if not any(_is_judged(evaluation, task, gate) for task in tasks):
        words = f"no task has {gate.min_positives} test positives, so no task can be judged"
        yield Rule(name="judged_tasks", value=0, bound=">= 1", status="error", words=words)


def _floor_rules(task: str, measured: Measured, floors: Floors) -> Iterator[Rule]:
    if isinstance(measured, ValueTaskMetrics):
        if floors.min_rce is not None:
            yield _bounded_rule("floor_skill", task, "skill", measured.skill, floors.min_rce, None)
    else:
        for name, bound in (("auc", floors.min_auc), ("rce", floors.min_rce)):
            if bound is not None:
                yield _bounded_rule(f"floor_{name}", task, name.upper(), getattr(measured, name), bound, None)
    if floors.calibration_ratio is not None:
        low, high = floors.calibration_ratio
        yield _bounded_rule(
            "floor_calibration", task, "predicted/observed", measured.calibration_ratio, low, high
        )
    if floors.max_ece is not None and isinstance(measured, TaskMetrics):
        yield _bounded_rule("floor_ece", task, "debiased ECE", measured.ece, None, floors.max_ece)


def _slice_rules(evaluation: Evaluation, judged: list[str], gate: GateConfig) -> Iterator[Rule]:
    """Hold where a slice is behind the champion by significantly more than is allowed, over all slices together.

    Each task in each slice with enough positives is tested against the difference being at least
    ``-max_slice_rce_loss``; Holm's step-down procedure (Scandinavian Journal of Statistics, 1979) keeps the chance
    of any false alarm among all of them under 1 - ``confidence``.
    """
    if gate.max_slice_rce_loss is None:
        return
    bound = f">= {-gate.max_slice_rce_loss:g}"
    tested: list[tuple[float, str, str, float, str]] = []
    for name, inside in evaluation.slices.items():
        for task in judged:
            measured = _measured(inside, task)
            if (
                inside.rows < (inside.min_rows or gate.min_slice_rows)
                or measured.positives < gate.min_positives
            ):
                continue
            difference, error = measured.gain_change
            if difference is None or not error:
                same = difference == 0.0
                words = f"slice {name}, {task}: {measured.gain_name} difference "
                words += "is 0" if same else f"cannot be computed{_undefined_in_brackets(measured)}"
                status = "pass" if same else "error"
                yield Rule(name="slice_harm", task=task, slice=name, bound=bound, status=status, words=words)
                continue
            p_value = NormalDist().cdf((difference + gate.max_slice_rce_loss) / error)
            tested.append((p_value, name, task, difference, measured.gain_name))
    tested.sort()
    significant = True
    for rank, (p_value, name, task, difference, gain) in enumerate(tested):
        level = (1.0 - gate.confidence) / (len(tested) - rank)
        significant = significant and p_value <= level
        words = (
            f"slice {name}, {task}: {gain} difference is {difference:.4g}; allowed is {bound}; p = "
            f"{p_value:.2g} for a loss beyond that, significant at {level:.2g} (Holm)"
        )
        yield Rule(
            name="slice_harm",
            task=task,
            slice=name,
            value=difference,
            bound=bound,
            status="fail" if significant else "pass",
            words=words,
        )


def _score_rules(evaluation: Evaluation, gate: GateConfig) -> Iterator[Rule]:
    if gate.max_score_psi is not None:
        yield _score_shift_rule(evaluation, gate.max_score_psi, gate.confidence)
    if gate.max_top_k_change is not None:
        change = evaluation.lists.top_k_change
        what = f"fraction of the top {evaluation.lists.k} that changes"
        yield _bounded_rule("top_k_change", None, what, change, None, gate.max_top_k_change)


def _score_shift_rule(evaluation: Evaluation, max_psi: float, confidence: float) -> Rule:
    """Hold where the scores shift by more than is allowed, except for a shift that the labels support.

    A champion trained on data that has since changed scores differently from any model of today's data: without the
    labels this rule would hold every successor. The labels support a shift if significantly more than half of it is
    towards them (`ScoreSupport`).
    """
    rule = _bounded_rule("score_shift", None, "PSI of the scores", evaluation.score_psi, None, max_psi)
    support = evaluation.score_support
    if rule.status != "fail":
        return rule
    if support is None:
        words = f"{rule.words}; whether the labels support the change cannot be computed"
        return rule.model_copy(update={"words": words})
    words = (
        f"{rule.words}, or the labels must support the change: they support {support.value:.4g} of it, lower "
        f"{confidence:.0%} bound {support.interval.low:.4g}; it must be > {_MIN_SUPPORT:g}"
    )
    status = "pass" if support.interval.low > _MIN_SUPPORT else "fail"
    return rule.model_copy(update={"words": words, "status": status})


def _new_task_rule(task: str, champion: str) -> Rule:
    words = f"{task}: version {champion} does not predict it; a person may approve what cannot be compared"
    return Rule(name="new_task", task=task, status="fail", words=words)


def _comparison_rules(
    evaluation: Evaluation, judged: list[str], shared: list[str], gate: GateConfig
) -> Iterator[Rule]:
    for task in shared:
        measured = _measured(evaluation, task)
        lower = measured.gain_interval.low if measured.gain_interval else None
        name = f"{measured.gain_name} difference, lower {gate.confidence:.0%} bound"
        yield _bounded_rule(
            "non_inferior", task, name, lower, -gate.max_rce_loss, None, _undefined_in_brackets(measured)
        )
    objectives = [task for task in gate.objectives or judged if task in judged]
    compared = [task for task in objectives if task in shared]
    if gate.promote_if == "better" and (compared or not objectives):
        yield _superiority_rule(evaluation, compared, gate)


def _superiority_rule(evaluation: Evaluation, objectives: list[str], gate: GateConfig) -> Rule:
    """One objective must be significantly better: Holm's first step over all objectives, at ``confidence``.

    Of two equal models the newer one is promoted with a probability of at most 1 - ``confidence``, however many
    tasks there are.
    """
    name, level = "better_somewhere", (1.0 - gate.confidence) / max(len(objectives), 1)
    p_values: dict[str, float] = {}
    for task in objectives:
        measured = _measured(evaluation, task)
        change, error = measured.gain_change
        if change is None or error is None:
            why = _undefined_in_brackets(measured)
            words = f"{task}: {measured.gain_name} difference, or its error, cannot be computed on these rows{why}"
            return Rule(name=name, task=task, status="error", words=words)
        p_values[task] = 1.0 - NormalDist().cdf(change / error) if error else float(change <= 0)
    if not p_values:
        return Rule(name=name, status="error", words="none of gate.objectives is judged on these rows")
    best = min(p_values, key=lambda task: p_values[task])
    measured = _measured(evaluation, best)
    change, _ = measured.gain_change
    words = (
        f"most significant gain, {best}: {measured.gain_name} difference {change:.4g}, p = {p_values[best]:.2g}; "
        f"p must be <= {level:.3g} ({1 - gate.confidence:.2g} over {len(p_values)} "
        f"objective{'s' * (len(p_values) > 1)})"
    )
    status = "pass" if p_values[best] <= level else "fail"
    return Rule(
        name=name, task=best, value=p_values[best], bound=f"<= {level:.2g}", status=status, words=words
    )


def _undefined_in_brackets(measured: Measured) -> str:
    """Why there is no difference of RCE or skill, or no error of it, in brackets; empty where both exist."""
    if why := measured.champion_undefined:
        return f" (of the champion: {why})"
    why = measured.undefined.get(INTERVAL)
    return f" ({why})" if why else ""


def _bounded_rule(
    rule: str,
    task: str | None,
    what: str,
    value: float | None,
    low: float | None,
    high: float | None,
    why: str = "",
) -> Rule:
    """A rule that holds while ``value`` lies between the bounds; without a value it is an error, for ``why``."""
    bounds = [f">= {low:g}"] if low is not None else []
    bounds += [f"<= {high:g}"] if high is not None else []
    bound = " and ".join(bounds)
    where = f"{task}: " if task else ""
    if value is None:
        words = f"{where}{what} cannot be computed on these rows{why}; it must be {bound}"
        return Rule(name=rule, task=task, bound=bound, status="error", words=words)
    holds = (low is None or value >= low) and (high is None or value <= high)
    words = f"{where}{what} is {value:.4g}; it must be {bound}"
    return Rule(
        name=rule, task=task, value=value, bound=bound, status="pass" if holds else "fail", words=words
    )


def _conclude(rules: list[Rule], gate: GateConfig, champion: str | None) -> tuple[Outcome, str]:
    errors = [rule.words for rule in rules if rule.status == "error"]
    fails = [rule.words for rule in rules if rule.status == "fail"]
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
    return (
        "PROMOTE",
        f"no worse than version {champion} on any judged task, {better}and every floor holds",
    )


def _join_reasons(words: list[str]) -> str:
    more = len(words) - _MAX_REASONS
    return " | ".join(words[:_MAX_REASONS]) + (f" | {more} more in the report" if more > 0 else "")
