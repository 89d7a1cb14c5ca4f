"""Rules of the gate on the weighted score: how far it shifts, and how much of the top changes."""

from collections.abc import Iterator

from components.common.artifacts.decision import Rule
from components.common.artifacts.evaluation import Evaluation
from components.evaluate.gate.rule import bounded_rule
from recap_model.config.steps.evaluation import GateConfig

_MIN_SUPPORT = 0.5  # Of a change of the scores; above it the candidate's squared error is the smaller one.


def score_rules(evaluation: Evaluation, gate: GateConfig) -> Iterator[Rule]:
    if gate.max_score_psi is not None:
        yield _score_shift_rule(evaluation, gate.max_score_psi, gate.confidence)
    if gate.max_top_k_change is not None:
        change = evaluation.lists.top_k_change
        what = f"fraction of the top {evaluation.lists.k} that changes"
        yield bounded_rule(
            "top_k_change", None, what, change, (None, gate.max_top_k_change), "gate.max_top_k_change"
        )


def _score_shift_rule(evaluation: Evaluation, max_psi: float, confidence: float) -> Rule:
    """Hold where the scores shift by more than is allowed, except for a shift that the labels support.

    A champion trained on data that has since changed scores differently from any model of today's data: without the
    labels this rule would hold every successor. The labels support a shift if significantly more than half of it is
    towards them (`ScoreSupport`).
    """
    rule = bounded_rule(
        "score_shift",
        None,
        "PSI of the scores",
        evaluation.score_psi,
        (None, max_psi),
        "gate.max_score_psi",
    )
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
