"""Metrics of one model's predictions of one task, by their names."""

from recap_model import metrics
from recap_model.metrics import PredictionGroups

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


def metric_values(groups: PredictionGroups) -> dict[str, float]:
    """Every metric but GAUC by its name; NaN where it is not defined."""
    values: dict[str, float] = {name: metric(groups) for name, metric in _METRICS.items()}
    brier = metrics.brier_decomposition(groups)._asdict()
    line = metrics.calibration_line(groups)._asdict()
    values |= {f"brier_{term}": value for term, value in brier.items()}
    return values | {f"calibration_{term}": value for term, value in line.items()}
