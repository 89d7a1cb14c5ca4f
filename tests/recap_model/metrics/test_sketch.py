"""Metrics of sketched rows against the exact ones, and that sketches of parts add up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recap_model import metrics
from recap_model.metrics import ProbabilitySketch, cells_of

ROWS = 50_000
# The stated bounds; AUC's is of each sketch.
TOLERANCES = {
    "log_loss": 1e-6,
    "brier_score": 1e-6,
    "mean_prediction": 1e-6,
    "calibration_ratio": 1e-5,
    "relative_cross_entropy": 1e-2,  # percent; of a task whose entropy is .02
    "normalised_rce": 1e-2,
    "pr_auc": 1e-3,
}


def simulated(seed: int, slope: float, centre: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, predictions and weights of a model that is too sure of itself by ``slope``."""
    random = np.random.default_rng(seed)
    odds = random.normal(centre, 1.0, ROWS)
    labels = (random.random(ROWS) < 1 / (1 + np.exp(-odds))).astype(np.float32)
    predictions = (1 / (1 + np.exp(-odds * slope))).astype(np.float32)
    return labels, predictions, random.choice([1.0, 2.0, 20.0], ROWS).astype(np.float32)


def sketch_of(labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None) -> ProbabilitySketch:
    sketch = ProbabilitySketch()
    sketch.add(cells_of(labels, predictions), predictions, weights)
    return sketch


@pytest.mark.parametrize(("slope", "centre"), [(1.0, -2.0), (1.4, -5.0), (0.2, -4.0), (3.0, 1.0)])
@pytest.mark.parametrize("weighted", [True, False])
def test_metrics_are_as_near_to_the_exact_ones_as_is_stated(slope: float, centre: float, weighted: bool):
    labels, predictions, weights = simulated(3, slope, centre)
    given_weights = weights if weighted else None
    sketch = sketch_of(labels, predictions, given_weights)
    rows = sketch.rows()
    for name, tolerance in TOLERANCES.items():
        exact = getattr(metrics, name)(labels, predictions, given_weights)
        assert getattr(metrics, name)(*rows[:3]) == pytest.approx(exact, abs=tolerance), name
    exact = metrics.auc(labels, predictions, given_weights)
    assert abs(metrics.auc(*rows[:3]) - exact) <= sketch.auc_error() + 1e-12
    assert metrics.auc(*rows[:3]) == pytest.approx(exact, abs=5e-5)
    for function in (metrics.calibration_line, metrics.brier_parts):
        assert function(*rows[:3]) == pytest.approx(function(labels, predictions, given_weights), abs=2e-3)
    # A root near 0 is steep, and its sign is chance; its square is what is sketched.
    ours, whole = (
        metrics.expected_calibration_error(*columns)
        for columns in (rows, (labels, predictions, given_weights))
    )
    assert ours * abs(ours) == pytest.approx(whole * abs(whole), rel=1e-3, abs=5e-6)


def test_the_influence_on_the_auc_is_that_of_the_rows():
    labels, predictions, weights = simulated(4, 1.0, -1.0)
    sketch = sketch_of(labels, predictions, weights)
    area, by_cell = sketch.auc_influence()
    exact_area, exact = metrics.auc_influence(labels, predictions, weights)
    assert area == pytest.approx(exact_area, abs=2e-5)
    ours = by_cell[cells_of(labels, predictions)] * weights
    assert ours == pytest.approx(exact, abs=1e-3 * np.abs(exact).max())
    assert ours.sum() == pytest.approx(0.0, abs=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 1000), st.integers(1, ROWS - 1))
def test_sketches_of_parts_add_up_to_that_of_the_whole(seed: int, cut: int):
    labels, predictions, weights = simulated(seed, 1.0, -2.0)
    merged = sketch_of(labels[:cut], predictions[:cut], weights[:cut])
    merged.merge(sketch_of(labels[cut:], predictions[cut:], weights[cut:]))
    for ours, whole in zip(merged.rows(), sketch_of(labels, predictions, weights).rows(), strict=True):
        assert ours == pytest.approx(whole, rel=1e-9)


def test_certain_predictions_have_a_place():
    labels = np.array([0.0, 1.0, 1.0], np.float32)
    predictions = np.array([0.0, 1.0, 0.5], np.float32)
    rows = sketch_of(labels, predictions, None).rows()
    assert metrics.auc(*rows[:3]) == 1.0
    assert metrics.mean_prediction(*rows[:3]) == 0.5


def test_labels_of_one_class_have_no_auc():
    sketch = sketch_of(np.zeros(3, np.float32), np.array([0.1, 0.2, 0.3], np.float32), None)
    assert np.isnan(sketch.auc_influence()[0])
    assert np.isnan(sketch.auc_error())
    assert not sketch.auc_influence()[1].any()
