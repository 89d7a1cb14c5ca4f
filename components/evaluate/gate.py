"""The gate: from what was measured and the policy to one decision. Whatever cannot be computed says no."""

import hashlib
from collections.abc import Iterator
from statistics import NormalDist

from components.common.artifacts.decision import Outcome, Rule
from components.common.artifacts.evaluation import INTERVAL, NO_SUCH_TASK, Evaluation, TaskMetrics
from recap_model.config.steps.evaluation import Floors, GateConfig

_BORNE_OUT = 0.5  # of a change of the scores: more, and the candidate's squared error is the smaller one
_SAID = 3  # Rules that a reason names; a line in a terminal and a registry's tag holds no more of them.


def decide(
    evaluation: Evaluation,
    gate: GateConfig,
    tasks: list[str],
    champion: str | None,
    trouble: str | None = None,
    other_columns: str | None = None,
) -> tuple[Outcome, str, list[Rule]]:
    """Apply every rule of the policy.

    Non-inferiority must hold for each judged task: an intersection-union test (Berger, 1982), in which testing each
    at the stated confidence bounds the chance of promoting a model that is worse on any task. A slice is no ground
    to hold by itself, since few rows prove little; one that is worse beyond doubt is, see `_slices`. A task that the
    champion does not predict has nothing to be compared with, so that a person has to approve it.

    Args:
        evaluation: what was measured.
        tasks: those that the config declares.
        champion: the version compared with; None on a first run.
        trouble: why there is no comparison with the champion, though there is a champion.
        other_columns: why there can be none, as the champion reads columns that the config no longer has.

    Returns:
        The outcome, one sentence on why, and each rule as it was applied.
    """
    rules = list(_integrity(evaluation, tasks, gate, trouble))
    judged = [task for task in tasks if _judged(evaluation, task, gate)]
    for task in judged:
        rules += _floors(task, evaluation.tasks[task], gate.task_floors.get(task, gate.floors))
    if other_columns is not None:
        rules.append(Rule(name="champion_columns", verdict="fail", words=other_columns))
    elif champion is not None and trouble is None:
        shared = [task for task in judged if _why_none(evaluation.tasks[task]) != NO_SUCH_TASK]
        rules += [_new(task, champion) for task in judged if task not in shared]
        rules += _comparison(evaluation, judged, shared, gate)
        rules += _slices(evaluation, shared, gate)
        rules += _behaviour(evaluation, gate)
    outcome, reason = _conclude(rules, gate, champion)
    return outcome, reason, rules


def policy_digest(gate: GateConfig) -> str:
    """SHA-256 of a policy, by which a decision names it."""
    return hashlib.sha256(gate.model_dump_json().encode()).hexdigest()


def _judged(evaluation: Evaluation, task: str, gate: GateConfig) -> bool:
    found = evaluation.tasks.get(task)
    return found is not None and found.positives >= gate.min_positives


def _integrity(
    evaluation: Evaluation, tasks: list[str], gate: GateConfig, trouble: str | None
) -> Iterator[Rule]:
    rows = evaluation.rows
    yield Rule(
        name="rows",
        value=rows,
        bound=f">= {gate.min_rows}",
        verdict="pass" if rows >= gate.min_rows else "error",
        words=f"{rows:,} test rows; gate.min_rows is {gate.min_rows:,}",
    )
    if evaluation.not_finite:
        words = f"{evaluation.not_finite:,} test rows have a score or a probability that is not finite"
        yield Rule(name="finite", value=evaluation.not_finite, bound="<= 0", verdict="error", words=words)
    if trouble is not None:
        yield Rule(name="champion", verdict="error", words=trouble)
    for name, inside in evaluation.slices.items():
        if inside.rows < gate.min_slice_rows:
            words = f"slice {name}: {inside.rows} test rows, under gate.min_slice_rows {gate.min_slice_rows}"
            yield Rule(
                name="slice_rows",
                slice=name,
                value=inside.rows,
                bound=f">= {gate.min_slice_rows}",
                verdict="error",
                words=words,
            )
    for task in tasks:
        found = evaluation.tasks.get(task)
        positives = found.positives if found else 0
        if found is None:
            yield Rule(name="task", task=task, verdict="error", words=f"{task}: declared, but not measured")
        elif positives < gate.min_positives:
            words = f"{task}: {positives} test positives, under gate.min_positives {gate.min_positives}; not judged"
            yield Rule(name="task", task=task, value=positives, verdict="skipped", words=words)
    if not any(_judged(evaluation, task, gate) for task in tasks):
        words = f"no task has {gate.min_positives} test positives, so there is nothing to judge by"
        yield Rule(name="judged_tasks", value=0, bound=">= 1", verdict="error", words=words)


def _floors(task: str, found: TaskMetrics, floors: Floors) -> Iterator[Rule]:
    for name, bound in (("auc", floors.min_auc), ("rce", floors.min_rce)):
        if bound is not None:
            yield _bounded(f"floor_{name}", task, name.upper(), getattr(found, name), bound, None)
    if floors.calibration_ratio is not None:
        low, high = floors.calibration_ratio
        yield _bounded("floor_calibration", task, "predicted/observed", found.calibration_ratio, low, high)
    if floors.max_ece is not None:
        yield _bounded("floor_ece", task, "debiased ECE", found.ece, None, floors.max_ece)


def _slices(evaluation: Evaluation, judged: list[str], gate: GateConfig) -> Iterator[Rule]:
    """Hold where a slice is behind the champion by more than is allowed, beyond doubt for all slices together.

    Each task in each slice with enough positives is tested against the difference being at least
    ``-max_slice_rce_loss``; Holm's step-down procedure (Scandinavian Journal of Statistics, 1979) keeps the chance
    of any false alarm among all of them under 1 - ``confidence``.
    """
    if gate.max_slice_rce_loss is None:
        return
    bound = f">= {-gate.max_slice_rce_loss:g}"
    tested: list[tuple[float, str, str, float]] = []
    for name, found in evaluation.slices.items():
        for task in judged:
            inside = found.tasks[task]
            if found.rows < gate.min_slice_rows or inside.positives < gate.min_positives:
                continue
            difference, error = _rce_difference(inside)
            if difference is None or not error:
                same = difference == 0.0
                words = f"slice {name}, {task}: RCE difference "
                words += "is 0" if same else f"cannot be computed{_why_not(inside)}"
                verdict = "pass" if same else "error"
                yield Rule(
                    name="slice_harm", task=task, slice=name, bound=bound, verdict=verdict, words=words
                )
                continue
            chance = NormalDist().cdf((difference + gate.max_slice_rce_loss) / error)
            tested.append((chance, name, task, difference))
    tested.sort()
    certain = True
    for place, (chance, name, task, difference) in enumerate(tested):
        level = (1.0 - gate.confidence) / (len(tested) - place)
        certain = certain and chance <= level
        words = (
            f"slice {name}, {task}: RCE difference is {difference:.4g}; it may be {bound}, and is under that by "
            f"chance with p = {chance:.2g} (Holm's level here {level:.2g})"
        )
        yield Rule(
            name="slice_harm",
            task=task,
            slice=name,
            value=difference,
            bound=bound,
            verdict="fail" if certain else "pass",
            words=words,
        )


def _behaviour(evaluation: Evaluation, gate: GateConfig) -> Iterator[Rule]:
    if gate.max_score_psi is not None:
        yield _score_shift(evaluation, gate.max_score_psi, gate.confidence)
    if gate.max_top_k_change is not None:
        change = evaluation.lists.top_k_change
        what = f"share of the top {evaluation.lists.k} that changes"
        yield _bounded("top_k_change", None, what, change, None, gate.max_top_k_change)


def _score_shift(evaluation: Evaluation, most: float, confidence: float) -> Rule:
    """Hold where the scores shift by more than is allowed, but for a shift that the labels bear out.

    A champion that has fallen behind its data scores otherwise than any model that has learnt the data of today:
    without a look at the labels this rule would hold every successor. Labels are nearer to the candidate's
    predictions than to the champion's if more than half of the change is borne out, beyond doubt.
    """
    rule = _bounded("score_shift", None, "PSI of the scores", evaluation.score_psi, None, most)
    support = evaluation.score_support
    if rule.verdict != "fail":
        return rule
    if support is None:
        words = f"{rule.words}; which of the two models the labels are nearer to cannot be computed"
        return rule.model_copy(update={"words": words})
    words = (
        f"{rule.words}, or be borne out: labels bear out {support.value:.4g} of the change, lower {confidence:.0%} "
        f"bound {support.interval.low:.4g}; it must be > {_BORNE_OUT:g}"
    )
    verdict = "pass" if support.interval.low > _BORNE_OUT else "fail"
    return rule.model_copy(update={"words": words, "verdict": verdict})


def _new(task: str, champion: str) -> Rule:
    words = f"{task}: version {champion} does not predict it; a person may approve what cannot be compared"
    return Rule(name="new_task", task=task, verdict="fail", words=words)


def _comparison(
    evaluation: Evaluation, judged: list[str], shared: list[str], gate: GateConfig
) -> Iterator[Rule]:
    for task in shared:
        found = evaluation.tasks[task]
        interval = found.difference.interval.rce if found.difference else None
        lower = interval.low if interval else None
        name = f"RCE difference, lower {gate.confidence:.0%} bound"
        yield _bounded("non_inferior", task, name, lower, -gate.max_rce_loss, None, _why_not(found))
    objectives = [task for task in gate.objectives or judged if task in judged]
    compared = [task for task in objectives if task in shared]
    if gate.promote_if == "better" and (compared or not objectives):
        yield _better(evaluation, compared, gate)


def _better(evaluation: Evaluation, objectives: list[str], gate: GateConfig) -> Rule:
    """One objective must be better beyond doubt: by Holm's first step, over all objectives at ``confidence``.

    Of two equal models the newer one is promoted by luck no more often than 1 - ``confidence``, however many tasks
    there are.
    """
    name, level = "better_somewhere", (1.0 - gate.confidence) / max(len(objectives), 1)
    chances: dict[str, float] = {}
    for task in objectives:
        change, error = _rce_difference(evaluation.tasks[task])
        if change is None or error is None:
            why = _why_not(evaluation.tasks[task])
            words = f"{task}: RCE difference, or its error, cannot be computed on these rows{why}"
            return Rule(name=name, task=task, verdict="error", words=words)
        chances[task] = 1.0 - NormalDist().cdf(change / error) if error else float(change <= 0)
    if not chances:
        return Rule(name=name, verdict="error", words="none of gate.objectives is judged on these rows")
    best = min(chances, key=lambda task: chances[task])
    change, _ = _rce_difference(evaluation.tasks[best])
    words = (
        f"surest gain, {best}: RCE difference {change:.4g}, p = {chances[best]:.2g}; p must be <= {level:.3g} "
        f"({1 - gate.confidence:.2g} over {len(chances)} objective{'s' * (len(chances) > 1)})"
    )
    verdict = "pass" if chances[best] <= level else "fail"
    return Rule(
        name=name, task=best, value=chances[best], bound=f"<= {level:.2g}", verdict=verdict, words=words
    )


def _rce_difference(found: TaskMetrics) -> tuple[float | None, float | None]:
    """The RCE difference and its standard error."""
    return (found.difference.rce, found.difference.error.rce) if found.difference else (None, None)


def _why_not(found: TaskMetrics) -> str:
    """In brackets, why there is no RCE difference, or no error of it; nothing if there is, or none is measured."""
    if why := _why_none(found):
        return f" (of the champion: {why})"
    why = found.undefined.get(INTERVAL)
    return f" ({why})" if why else ""


def _why_none(found: TaskMetrics) -> str | None:
    return found.champion.undefined.get("rce") if found.champion else None


def _bounded(
    rule: str,
    task: str | None,
    what: str,
    value: float | None,
    low: float | None,
    high: float | None,
    why: str = "",
) -> Rule:
    """A rule that holds while ``value`` lies between the bounds; without a value it is an error, ``why`` told."""
    bounds = [f">= {low:g}"] if low is not None else []
    bounds += [f"<= {high:g}"] if high is not None else []
    bound = " and ".join(bounds)
    where = f"{task}: " if task else ""
    if value is None:
        words = f"{where}{what} cannot be computed on these rows{why}; it must be {bound}"
        return Rule(name=rule, task=task, bound=bound, verdict="error", words=words)
    holds = (low is None or value >= low) and (high is None or value <= high)
    words = f"{where}{what} is {value:.4g}; it must be {bound}"
    return Rule(
        name=rule, task=task, value=value, bound=bound, verdict="pass" if holds else "fail", words=words
    )


def _conclude(rules: list[Rule], gate: GateConfig, champion: str | None) -> tuple[Outcome, str]:
    errors = [rule.words for rule in rules if rule.verdict == "error"]
    fails = [rule.words for rule in rules if rule.verdict == "fail"]
    if errors:
        return "ERROR", f"{len(errors)} of {len(rules)} rules cannot be computed: {_first(errors)}"
    if fails:
        fail = "does not hold" if len(fails) == 1 else "do not hold"
        return "HOLD", f"{len(fails)} of {len(rules)} rules {fail}: {_first(fails)}"
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


def _first(words: list[str]) -> str:
    more = len(words) - _SAID
    return " | ".join(words[:_SAID]) + (f" | {more} more in the report" if more > 0 else "")
