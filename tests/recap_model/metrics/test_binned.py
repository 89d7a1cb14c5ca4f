"""Metrics of a histogram of logits against the exact ones, as near as is documented."""

import numpy as np
import pytest

from recap_model import metrics
from recap_model.metrics import LogitHistogram, PredictionGroups, bin_numbers, logits_of

ROWS, BINS = 200_000, 1 << 14
TOLERANCES = {
    "auc": 5e-5,
    "pr_auc": 5e-4,
    "log_loss": 3e-6,
    "relative_cross_entropy": 2e-3,  # percent
    "normalised_rce": 2e-3,
    "brier_score": 1e-6,
    "mean_prediction": 1e-6,
    "calibration_ratio": 1e-5,
    "brier_decomposition": 1e-4,
    "calibration_line": 1e-3,
    "expected_calibration_error": 1e-4,
}


def simulated(slope: float, centre: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions and weights of a model that is too sure of itself by ``slope``."""
    random = np.random.default_rng(3)
    odds = random.normal(centre, 1.0, ROWS)
    labels = (random.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    predictions = (1 / (1 + np.exp(-odds * slope))).astype(np.float32)
    return labels, predictions, random.choice([1.0, 2.0, 20.0], ROWS).astype(np.float32)


def binned(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray) -> PredictionGroups:
    histogram = LogitHistogram(["like"], 1, BINS)
    columns = (logits_of(predictions), labels, weights)
    histogram.add(*(column[:, None] for column in columns), np.zeros(len(labels), np.int64))
    return histogram.bins("like").groups()


@pytest.mark.parametrize(("slope", "centre"), [(1.0, -2.0), (1.4, -5.0), (0.2, -4.0), (3.0, 1.0)])
@pytest.mark.parametrize("weighted", [True, False])
def test_binned_metrics_are_as_near_to_the_exact_ones_as_is_documented(
    slope: float, centre: float, weighted: bool
):
    labels, predictions, weights = simulated(slope, centre)
    weights = weights if weighted else np.ones_like(weights)
    groups, exact = binned(labels, predictions, weights), metrics.grouped(labels, predictions, weights)
    for name, tolerance in TOLERANCES.items():
        metric = getattr(metrics, name)
        assert metric(groups) == pytest.approx(metric(exact), abs=tolerance), name
    area, gradient = metrics.auc_gradient(groups)
    exact_area, exact_gradient = metrics.auc_gradient(exact)
    assert area == pytest.approx(exact_area, abs=5e-5)
    rows = np.searchsorted(exact.predictions, predictions)
    held = np.unique(bin_numbers(logits_of(predictions), BINS), return_inverse=True)[1]
    assert gradient[:, held] == pytest.approx(
        exact_gradient[:, rows], abs=5e-3 * np.abs(exact_gradient).max()
    )


def test_certain_predictions_have_a_bin():
    labels = np.array([0.0, 1.0, 1.0], np.float32)
    groups = binned(labels, np.array([0.0, 1.0, 0.5], np.float32), np.ones(3, np.float32))
    assert metrics.auc(groups) == 1.0
    assert metrics.mean_prediction(groups) == pytest.approx(0.5, abs=1e-7)


def test_labels_of_one_class_have_no_auc():
    groups = binned(np.zeros(3, np.float32), np.array([0.1, 0.2, 0.3], np.float32), np.ones(3, np.float32))
    area, gradient = metrics.auc_gradient(groups)
    assert np.isnan(area)
    assert not gradient.any()
