"""What is measured on the score table: each task's metrics and their errors, over all rows and over slices."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.bootstrap import (
    METRICS,
    Resampling,
    interval,
    replicates_of,
    resampling,
    standard_error,
)
from components.evaluate.lists import ranked_lists, score_psi
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
    "predicted_rate": metrics.mean_prediction,
    "calibration_ratio": metrics.calibration_ratio,
    "ece": metrics.expected_calibration_error,
}
_PARTS = {
    **{f"brier_{part}": None for part in metrics.BrierParts._fields},
    **{f"calibration_{part}": None for part in metrics.CalibrationLine._fields},
    "gauc": None,
}

Measured = dict[str, Any]
Column = NDArray[np.float32]


def measure(scores: Scores, config: RecapConfig) -> Measured:
    """All metrics as JSON holds them: a number, or null where a metric is not defined on its rows.

    ``tasks`` has each task's counts and metrics, under ``error`` and ``interval`` the bootstrap's standard errors and
    one-sided bounds at the gate's confidence, under ``undefined`` why a metric is null, and under ``champion`` and
    ``difference`` (candidate less champion, paired) the comparison. ``slices`` has the same again, ``lists`` and
    ``score_psi`` what the weighted score does.
    """
    settings = config.evaluation
    rows = len(scores.labels)
    resampled = resampling(scores.users, rows, settings.bootstrap_replicates, settings.seed)
    everything = np.ones(rows, dtype=bool)
    confidence = settings.gate.confidence
    return {
        "rows": rows,
        "users": None if scores.users is None else int(scores.users.max(initial=-1)) + 1,
        "not_finite": _rows_not_finite(scores),
        "tasks": _tasks(scores, everything, resampled, confidence),
        "slices": {
            name: {"rows": int(chosen.sum()), "tasks": _tasks(scores, chosen, resampled, confidence)}
            for name, chosen in scores.slices.items()
        },
        "lists": ranked_lists(scores, config),
        "score_psi": None
        if scores.champion_score is None
        else score_psi(scores.champion_score, scores.candidate_score),
    }


def _rows_not_finite(scores: Scores) -> int:
    """Rows of which the candidate's score, or a probability, is no finite number."""
    return int((~(np.isfinite(scores.candidate).all(axis=1) & np.isfinite(scores.candidate_score))).sum())


def _tasks(
    scores: Scores, chosen: NDArray[np.bool_], resampled: Resampling, confidence: float
) -> dict[str, Measured]:
    found = {}
    for number, task in enumerate(scores.tasks):
        label, weight = scores.labels[:, number], scores.weights[:, number]
        ours = scores.candidate[:, number]
        result = _counts(label[chosen], weight[chosen])
        values, undefined = _values(label, ours, weight, scores.users, chosen)
        replicates = replicates_of(resampled, label, ours, weight, chosen)
        result |= values | _spread(values, replicates, confidence) | {"undefined": undefined}
        if scores.champion is not None:
            theirs = scores.champion[:, number]
            their_values, their_undefined = _values(label, theirs, weight, scores.users, chosen)
            result["champion"] = their_values | {"undefined": their_undefined}
            change = {name: _less(values[name], value) for name, value in their_values.items()}
            their_replicates = replicates_of(resampled, label, theirs, weight, chosen)
            paired = {name: replicates[name] - their_replicates[name] for name in METRICS}
            result["difference"] = change | _spread(change, paired, confidence)
        found[task] = result
    return found


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _counts(label: Column, weight: Column) -> Measured:
    known = ~np.isnan(label)
    mass = float(weight[known].sum(dtype=np.float64))
    return {
        "rows": int(known.sum()),
        "positives": int((label > 0.5).sum()),
        "rate": float(weight[known] @ label[known].astype(np.float64)) / mass if mass else None,
    }


def _values(
    labels: Column,
    predictions: Column,
    weights: Column,
    users: NDArray[np.int64] | None,
    chosen: NDArray[np.bool_],
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Every metric of one task and model, and for those that are None the reason."""
    label, prediction, weight = labels[chosen], predictions[chosen], weights[chosen]
    names = [*_METRICS, *_PARTS]
    if not np.isfinite(prediction).all():
        why = "the model has no such task" if np.isnan(prediction).all() else "a prediction is not finite"
        return dict.fromkeys(names), dict.fromkeys(names, why)
    found: dict[str, float] = {name: metric(label, prediction, weight) for name, metric in _METRICS.items()}
    parts = metrics.brier_parts(label, prediction, weight)._asdict()
    line = metrics.calibration_line(label, prediction, weight)._asdict()
    found |= {f"brier_{part}": value for part, value in parts.items()}
    found |= {f"calibration_{part}": value for part, value in line.items()}
    found["gauc"] = (
        math.nan if users is None else metrics.grouped_auc(label, prediction, users[chosen], weight)
    )
    values = {name: value if math.isfinite(value) else None for name, value in found.items()}
    why = _why_undefined(label)
    reasons = {"gauc": "features.ids.user is not given"} if users is None else {}
    return values, {name: reasons.get(name, why) for name, value in values.items() if value is None}


def _why_undefined(label: Column) -> str:
    known = label[~np.isnan(label)]
    if not len(known):
        return "no row has a label"
    if known.min() == known.max():
        return f"all {len(known):,} labels are {known[0]:g}"
    return "not defined on these rows"


def _spread(
    values: Mapping[str, float | None], replicates: dict[str, NDArray[np.float64]], confidence: float
) -> Measured:
    errors = {name: standard_error(replicates[name]) for name in METRICS}
    intervals = {}
    for name, error in errors.items():
        value = values[name]
        intervals[name] = None if value is None or error is None else interval(value, error, confidence)
    return {"error": errors, "interval": intervals}
