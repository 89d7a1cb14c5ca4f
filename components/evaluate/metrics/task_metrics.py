"""What is measured on the score table: each task's metrics and their errors, over all rows and over slices."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.metrics.accumulate import EVERYTHING, ModelTally, Tally, TaskTally
from components.evaluate.metrics.bootstrap import METRICS, interval, paired, replicates_of, standard_error
from components.evaluate.metrics.ranking import ranked_lists, score_psi
from components.evaluate.scoring.score_table import ScoreTable
from recap_model import metrics
from recap_model.config import RecapConfig

NO_SUCH_TASK = "the model has no such task"
_METRICS = {
    "auc": metrics.auc,
    "pr_auc": metrics.pr_auc,
    "log_loss": metrics.log_loss,
    "rce": metrics.relative_cross_entropy,
    "nrce": metrics.normalised_rce,
    "brier": metrics.brier_score,
    "predicted_rate": metrics.mean_prediction,
    "calibration_ratio": metrics.calibration_ratio,
}
_PARTS = {
    "ece": None,
    **{f"brier_{part}": None for part in metrics.BrierParts._fields},
    **{f"calibration_{part}": None for part in metrics.CalibrationLine._fields},
    "gauc": None,
}

Measured = dict[str, Any]
Replicates = dict[tuple[str, str, str], dict[str, NDArray[np.float64]]]


def measure(table: ScoreTable, config: RecapConfig) -> tuple[Measured, Tally]:
    """All metrics as JSON holds them: a number, or null where a metric is not defined on its rows.

    ``tasks`` has each task's counts and metrics, under ``error`` and ``interval`` the bootstrap's standard errors and
    one-sided bounds at the gate's confidence, under ``undefined`` why a metric is null, and under ``champion`` and
    ``difference`` (candidate less champion, paired) the comparison. ``slices`` has the same again, ``lists`` and
    ``score_psi`` what the weighted score does.

    Two passes over the table, in memory that does not grow with it. Metrics are taken of a sketch (see
    `recap_model.metrics.sketch` for how far they can be off), those within users and lists of whole users and lists,
    sampled where their rows are more than a quarter of a million.

    Returns:
        The metrics, and the tally that they are of, for the report's curves.
    """
    settings = config.evaluation
    tally = Tally(table, config)
    replicates = replicates_of(table, tally, settings.bootstrap_replicates, settings.seed)
    confidence = settings.gate.confidence
    scores = tally.scores.columns()
    measured = {
        "rows": table.rows,
        "users": tally.users,
        "not_finite": tally.not_finite,
        "tasks": _tasks(EVERYTHING, table, tally, replicates, confidence),
        "slices": {
            name: {
                "rows": tally.part_rows[name],
                "tasks": _tasks(name, table, tally, replicates, confidence),
            }
            for name in table.slices
        },
        "lists": ranked_lists(tally, config),
        "score_psi": score_psi(scores["champion"], scores["candidate"]) if "champion" in scores else None,
    }
    return measured, tally


def _tasks(
    part: str, table: ScoreTable, tally: Tally, replicates: Replicates, confidence: float
) -> dict[str, Measured]:
    by_user = tally.by_user.columns()
    found = {}
    for task in table.tasks:
        counts = tally.tasks[part, task]
        by_model = {}
        for model in table.models:
            gauc = _gauc(by_user, part, task, model)
            by_model[model] = values_of(counts, tally.models[part, task, model], gauc)
        values, undefined = by_model["candidate"]
        ours = replicates[part, task, "candidate"]
        result = _counts(counts) | values | _spread(values, ours, confidence) | {"undefined": undefined}
        if "champion" in by_model:
            their_values, their_undefined = by_model["champion"]
            result["champion"] = their_values | {"undefined": their_undefined}
            change = {name: _less(values[name], value) for name, value in their_values.items()}
            theirs = replicates[part, task, "champion"]
            result["difference"] = change | _spread(change, paired(ours, theirs), confidence)
        found[task] = result
    return found


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _counts(counts: TaskTally) -> Measured:
    rate = counts.positive_mass / counts.mass if counts.mass else None
    return {"rows": counts.rows, "positives": counts.positives, "rate": rate}


def _gauc(by_user: Mapping[str, NDArray[Any]], part: str, task: str, model: str) -> float | None:
    """GAUC over the sampled users; None where users are not known."""
    if not len(by_user.get("group", ())):
        return None
    chosen = slice(None) if part == EVERYTHING else by_user[f"slice/{part}"].astype(bool)
    label, weight, prediction = (by_user[f"{kind}/{task}"][chosen] for kind in ("label", "weight", model))
    return metrics.grouped_auc(label, prediction, by_user["group"][chosen], weight)


def values_of(
    counts: TaskTally, tally: ModelTally, gauc: float | None
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Every metric of one task and model, and for those that are None the reason."""
    names = [*_METRICS, *_PARTS]
    if tally.not_finite:
        missing = tally.missing == tally.rows
        why = NO_SUCH_TASK if missing else "a prediction is not finite"
        return dict.fromkeys(names), dict.fromkeys(names, why)
    label, prediction, weight, squares = tally.sketch.rows()
    found: dict[str, float] = {name: metric(label, prediction, weight) for name, metric in _METRICS.items()}
    found["ece"] = metrics.expected_calibration_error(label, prediction, weight, squares)
    parts = metrics.brier_parts(label, prediction, weight)._asdict()
    line = metrics.calibration_line(label, prediction, weight)._asdict()
    found |= {f"brier_{part}": value for part, value in parts.items()}
    found |= {f"calibration_{part}": value for part, value in line.items()}
    found["gauc"] = math.nan if gauc is None else gauc
    values = {name: value if math.isfinite(value) else None for name, value in found.items()}
    why = _why_undefined(counts)
    reasons = {"gauc": "no row has a user"} if gauc is None else {}
    return values, {name: reasons.get(name, why) for name, value in values.items() if value is None}


def _why_undefined(counts: TaskTally) -> str:
    if not counts.rows:
        return "no row has a label"
    if counts.positives in (0, counts.rows):
        return f"all {counts.rows:,} labels are {int(counts.positives > 0)}"
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
