"""The decision in a heading, a sentence and a few facts for a person who did not train the model."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from components.common.artifacts.decision import Decision, Rule
from components.common.artifacts.evaluation import Evaluation
from components.common.html.charts import Tone
from components.common.html.numbers import format_bounds, format_number
from components.common.html.task_labels import within_family
from components.evaluate.report.comparison import Comparison, compare_tasks
from recap_model.config import RecapConfig

_MAX_FACTS = 4
_TONES: dict[str, Tone] = {"PROMOTE": "good", "HOLD": "warn", "ERROR": "bad"}

# What to do, by the rule that does not hold.
_ADVICE = {
    "better_somewhere": "Nothing is wrong: the candidate is as good as the champion, and the next run tries again. "
    "To prefer the newer of two equal models, set gate.promote_if: no_worse; to see smaller gains, test more rows.",
    "champion_columns": "If the change of columns is intended, check the floors and metrics below, then approve the "
    "version.",
    "new_task": "Check the new task's metrics below, then approve the version; from then on the task is compared.",
    "non_inferior": "Look at the task's interval below: if it lies below zero, find out what changed in its labels "
    "or features; if it is only wide, test on more days, or allow a larger gate.max_rce_loss.",
    "non_inferior_to_anchor": "Losses of several promotions add up: look at the differences to the anchor below, and "
    "approve the version only if the loss is intended.",
    "anchor_columns": "If the change of columns is intended, check the floors and metrics below, then approve the "
    "version.",
    "suspicious": "Check that the named columns are known before the impression; remove those that are not from "
    "features and run again, or approve the version if they are.",
    "slice_harm": "Look at the slice's rows and positives below, and at what its users see, before approving.",
    "floor_calibration": "Look at the calibration page: the level of the task's probabilities is off.",
    "floor_ece": "Look at the calibration page: the task's probabilities are off.",
    "score_shift": "Compare predicted with observed rates of both models below; expected after a change of score "
    "weights: then approve the version.",
    "top_k_change": "Look at the example lists below; expected after a change of model or weights: then approve the "
    "version.",
    "rows": "Test on more days, or lower gate.min_rows.",
    "slice_rows": "Test on more days, lower the slice's min_rows, or remove the slice.",
    "judged_tasks": "Test on more days, or lower gate.min_positives.",
    "champion": "Run again once the registry and the champion are as they should be.",
}
_MISSING_INPUTS = ("rows", "slice_rows", "judged_tasks", "champion")  # their advice is of errors too
_UNDEFINED_ADVICE = (
    "Find out why the metric has no value: look at the rows and labels of the test set. Then run again."
)
_FLOOR_ADVICE = "Look at the data page and at the training page: the model is not good enough by itself."


@dataclass(frozen=True)
class Summary:
    """What a page begins with: a heading, a sentence, facts, and what to do."""

    tone: Tone
    heading: str
    sentence: str
    facts: list[str]
    advice: list[str]


def summarize(decision: Decision, evaluation: Evaluation, config: RecapConfig) -> Summary:
    """The decision, why, and what to do."""
    comparisons = compare_tasks(decision, evaluation, config)
    failed = [rule for rule in decision.rules if rule.status in ("error", "fail")]
    worst = [rule for rule in failed if rule.status == "error"] or failed
    suspicious = [
        rule for rule in decision.rules if rule.name == "suspicious" and rule.status in ("fail", "warning")
    ]
    changes = {one.task: one.change for one in comparisons if one.change is not None}
    order = list(dict.fromkeys(rule.name for rule in worst))
    # Kinds in the gate's order; of a kind, the task that loses most.
    worst = sorted(
        worst,
        key=lambda rule: (rule not in suspicious, order.index(rule.name), changes.get(rule.task or "", 0.0)),
    )
    return Summary(
        tone="bad" if suspicious else _TONES[decision.outcome],
        heading=_head(decision),
        sentence=_explain(decision, comparisons, worst, config),
        facts=[
            *(f"{rule.words}." for rule in suspicious if rule.status == "warning"),
            *_facts(decision, evaluation, comparisons, worst, config),
        ][:_MAX_FACTS],
        advice=_advise(decision, worst),
    )


def _head(decision: Decision) -> str:
    champion = f"version {decision.champion.version}" if decision.champion else None
    if decision.outcome == "PROMOTE":
        return f"Promote: replaces {champion}" if champion else "Promote: the first champion"
    stays = f"{champion} stays champion" if champion else "there is no champion yet"
    return f"{decision.outcome.capitalize()}: {stays}"


def _explain(
    decision: Decision, comparisons: list[Comparison], worst: list[Rule], config: RecapConfig
) -> str:
    names = _Names(config.tasks)
    if decision.outcome == "PROMOTE":
        better = [one for one in comparisons if one.tone == "good"]
        if decision.champion is None:
            return f"{decision.reason[:1].upper()}{decision.reason[1:]}."
        judged = sum(one.is_judged for one in comparisons)
        gain = (
            f"Better than the champion on {names.join([one.task for one in better])}, and"
            if better
            else "It is"
        )
        return f"{gain} worse on none of the {judged} judged tasks by more than the gate allows."
    if decision.outcome == "ERROR":
        return f"{_count(worst, 'rule')} cannot be computed, so the candidate is not promoted, whatever its quality."
    if not worst:
        return f"{decision.reason[:1].upper()}{decision.reason[1:]}."
    kinds = list(dict.fromkeys(rule.name for rule in worst))
    clauses = [_say(kind, worst, comparisons, names) for kind in kinds[:3]]
    return f"Registered, but not promoted: {'; '.join(clauses)}."


def _say(kind: str, worst: list[Rule], comparisons: list[Comparison], names: "_Names") -> str:
    """What it means that rules of a kind do not hold."""
    rules = [rule for rule in worst if rule.name == kind]
    tasks = names.join([rule.task for rule in rules if rule.task])
    are = "are" if len({rule.task for rule in rules}) > 1 else "is"
    slices = ", ".join(dict.fromkeys(rule.slice for rule in rules if rule.slice))
    sentences = {
        "better_somewhere": "it is not clearly better than the champion on any objective",
        "non_inferior": _say_inferior([rule.task for rule in rules], comparisons, names),
        "non_inferior_to_anchor": f"{tasks} may have lost more since the anchor than the gate allows",
        "suspicious": f"{tasks} {are} predicted too well to be true",
        "anchor_columns": "the anchor reads columns that have changed",
        "slice_harm": f"{tasks} {are} clearly worse for {slices}",
        "new_task": f"the champion does not predict {tasks}, so that there is nothing to compare with",
        "champion_columns": "the champion reads columns that have changed",
        "score_shift": "the scores differ from the champion's, and the labels do not support it",
        "top_k_change": "more of each list's top changes than the gate allows",
        "floor_calibration": f"the predicted level of {tasks} is off",
        "floor_ece": f"the probabilities of {tasks} are off",
    }
    default = f"{tasks or 'the model'} {are} below a floor" if kind.startswith("floor_") else rules[0].words
    return sentences.get(kind, default)


def _facts(
    decision: Decision,
    evaluation: Evaluation,
    comparisons: list[Comparison],
    worst: list[Rule],
    config: RecapConfig,
) -> Iterator[str]:
    names = _Names(config.tasks)
    by_task = {one.task: one for one in comparisons}
    for rule in worst[:2]:
        one = by_task.get(rule.task or "")
        is_compared = rule.name == "non_inferior" and rule.status == "fail"
        if is_compared and one is not None and one.bounds is not None:
            yield f"{_describe_change(one, names)}; a loss of {config.evaluation.gate.max_rce_loss:g} is allowed."
        else:
            yield f"{rule.words}."
    more = len(worst) - 2
    if more > 0:
        yield f"{more:,} more rule{'s do' if more > 1 else ' does'} not hold; all are under Rules."
    compared = [
        one for one in comparisons if one.is_judged and one.measured.difference is not None and one.bounds
    ]
    clear = [one for one in compared if one.tone in ("good", "bad")]
    best = max(clear, key=lambda one: one.change or 0.0, default=None)
    if best is not None and best.tone == "good" and best.bounds:
        yield f"{_describe_change(best, names)}: the largest gain."
    bad = min(clear, key=lambda one: one.change or 0.0, default=None)
    if bad is not None and bad.tone == "bad" and bad.task not in {rule.task for rule in worst[:2]}:
        yield f"{_describe_change(bad, names)}: the largest loss."
    if compared and not clear:
        yield f"On none of the {len(compared)} judged tasks is the difference to the champion beyond chance."
    if not decision.champion and decision.outcome != "ERROR":
        judged = [one for one in comparisons if one.is_judged]
        yield f"{len(judged)} of {len(comparisons)} tasks have enough positives to be judged."
    if (ndcg := _describe_lists(evaluation)) is not None:
        yield ndcg


def _say_inferior(tasks: list[str | None], comparisons: list[Comparison], names: "_Names") -> str:
    """Tasks that are worse beyond chance, and tasks of which too little is known."""
    worse = [one.task for one in comparisons if one.task in tasks and one.tone == "bad"]
    unsure = [one.task for one in comparisons if one.task in tasks and one.tone != "bad"]
    clauses = []
    if worse:
        clauses.append(f"worse than the champion on {names.join(worse)}")
    if unsure:
        clauses.append(f"perhaps worse on {names.join(unsure)} by more than the gate allows")
    return ", and ".join(clauses)


def _describe_change(one: Comparison, names: "_Names") -> str:
    assert one.bounds is not None
    bounds = format_bounds(*one.bounds, one.error, signed=True)
    change = format_number(one.change, one.error, signed=True)
    return f"{names.name(one.task)}: {one.gain_name} {change} points against the champion ({bounds})"


def _describe_lists(evaluation: Evaluation) -> str | None:
    lists = evaluation.lists
    if lists.undefined or lists.champion is None or lists.top_k_change is None:
        return None
    if lists.mean_gain is None or lists.champion.mean_gain is None:
        return None
    return (
        f"{lists.top_k_change:.1%} of the top {lists.k} of each {lists.by} changes; its mean engagement goes from "
        f"{format_number(lists.champion.mean_gain)} to {format_number(lists.mean_gain)}."
    )


def _advise(decision: Decision, worst: list[Rule]) -> list[str]:
    if decision.outcome == "PROMOTE":
        return [
            "Nothing: the step promote makes this version the champion. recap promote returns to an earlier one."
        ]
    kinds = dict.fromkeys(rule.name for rule in worst)
    advice = [
        _UNDEFINED_ADVICE
        if decision.outcome == "ERROR" and kind not in _MISSING_INPUTS
        else _ADVICE.get(kind, _FLOOR_ADVICE if kind.startswith("floor_") else "")
        for kind in kinds
    ]
    known = [one for one in dict.fromkeys(advice) if one]
    if not worst:
        known = ["Check the metrics below, then approve the version with recap promote."]
    return known[:2]


class _Names:
    """Tasks by their short names."""

    def __init__(self, tasks: Collection[str] | Mapping[str, object]) -> None:
        self._tasks = list(tasks)

    def name(self, task: str) -> str:
        return within_family(task, self._tasks)

    def join(self, tasks: list[str]) -> str:
        """The first three, and how many more."""
        named = [self.name(task) for task in dict.fromkeys(tasks)]
        more = f" and {len(named) - 3} more" if len(named) > 3 else ""
        return ", ".join(named[:3]) + more


def _count(items: Collection[object], noun: str) -> str:
    return f"{len(items):,} {noun}{'s' * (len(items) != 1)}"
