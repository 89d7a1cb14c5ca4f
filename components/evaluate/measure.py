"""What is measured on the score table: each task's metrics, over all rows and over slices."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.bootstrap import Replicates
from components.evaluate.scores import Scores
from recap_model import metrics
from recap_model.config import RecapConfig

_METRICS = {
    "auc": metrics.auc,
    "pr_auc": metrics.pr_auc,
    "log_loss": metrics.log_loss,
    "rce": metrics.relative_cross_entropy,
    "nrce": metrics.normalised_rce,
    "brier": metrics.brier_score,
    "calibration_ratio": metrics.calibration_ratio,
    "ece": metrics.expected_calibration_error,
}
_PSI_BINS = 10

Measured = dict[str, Any]


def measure(scores: Scores, replicates: Replicates, config: RecapConfig) -> Measured:
    """All metrics as JSON holds them: a number, or null where a metric is not defined.

    ``tasks`` has each task's counts and metrics, and under ``champion`` and ``difference`` (candidate less
    champion) those of the comparison; ``slices`` the same again; ``score_psi`` the shift of the scores.
    """
    everything = np.ones(len(scores.labels), dtype=bool)
    tasks = _tasks(scores, everything)
    confidence = config.evaluation.gate.confidence
    for number, task in enumerate(scores.tasks):
        tasks[task]["rce_interval"] = _interval(replicates.candidate[:, number], confidence)
        if replicates.champion is not None:
            change = replicates.candidate[:, number] - replicates.champion[:, number]
            tasks[task]["difference"]["rce_interval"] = _interval(change, confidence)
    return {
        "rows": len(scores.labels),
        "users": int(scores.users.max(initial=-1)) + 1,
        "tasks": tasks,
        "slices": _slices(scores, config),
        "score_psi": None
        if scores.champion_score is None
        else _psi(scores.champion_score, scores.candidate_score),
    }


def _tasks(scores: Scores, chosen: NDArray[np.bool_]) -> dict[str, Measured]:
    found = {}
    for number, task in enumerate(scores.tasks):
        label, weight = scores.labels[chosen, number], scores.weights[chosen, number]
        result = _counts(label, weight) | _values(label, scores.candidate[chosen, number], weight)
        if scores.champion is not None:
            theirs = _values(label, scores.champion[chosen, number], weight)
            result["champion"] = theirs
            result["difference"] = {
                name: None if result[name] is None or value is None else result[name] - value
                for name, value in theirs.items()
            }
        found[task] = result
    return found


def _counts(label: NDArray[np.float32], weight: NDArray[np.float32]) -> Measured:
    known = ~np.isnan(label)
    mass = float(weight[known].sum(dtype=np.float64))
    return {
        "rows": int(known.sum()),
        "positives": int((label > 0.5).sum()),
        "rate": _finite(float(weight[known] @ label[known].astype(np.float64)) / mass if mass else math.nan),
    }


def _values(
    label: NDArray[np.float32], prediction: NDArray[np.float32], weight: NDArray[np.float32]
) -> dict[str, float | None]:
    if np.isnan(prediction).any():
        return dict.fromkeys(_METRICS)
    return {name: _finite(metric(label, prediction, weight)) for name, metric in _METRICS.items()}


def _slices(scores: Scores, config: RecapConfig) -> dict[str, dict[str, Measured]]:
    columns = config.features.group_columns("discrete")
    found = {}
    for wanted in config.evaluation.slices:
        if scores.discrete is not None:
            chosen = scores.discrete[:, columns.index(wanted.column)] == wanted.value
            found[wanted.name] = _tasks(scores, chosen)
    return found


def _interval(replicates: NDArray[np.float64], confidence: float) -> list[float] | None:
    """One-sided bounds below and above at ``confidence``; None unless nearly every replicate is defined."""
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < 0.9 * len(replicates):
        return None
    return np.quantile(defined, [1.0 - confidence, confidence]).tolist()


def _psi(champion: NDArray[np.float32], candidate: NDArray[np.float32]) -> float | None:
    """Population stability index over the champion's deciles; a bin's share is at least that of half a row."""
    edges = np.unique(np.quantile(champion, np.linspace(0, 1, _PSI_BINS + 1)[1:-1]))
    least = 0.5 / len(champion)
    old, new = (
        np.maximum(np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) / len(values), least)
        for values in (champion, candidate)
    )
    return _finite(float(np.sum((new - old) * np.log(new / old))))


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
