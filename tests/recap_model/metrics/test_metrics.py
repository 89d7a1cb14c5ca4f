"""Metrics against scikit-learn, closed forms, and the invariants of weights and missing labels."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from recap_model import metrics
from recap_model.metrics.groups import rising_order

RANDOM = np.random.default_rng(3)
PREDICTIONS = np.round(RANDOM.beta(1, 6, 3000), 2)  # rounded, so that there are ties
LABELS = (RANDOM.random(3000) < PREDICTIONS).astype(float)
WEIGHTS = RANDOM.exponential(1.0, 3000)
SINGLE_NUMBERS = [
    "auc",
    "brier_score",
    "calibration_ratio",
    "expected_calibration_error",
    "log_loss",
    "mean_prediction",
    "normalised_rce",
    "pr_auc",
    "relative_cross_entropy",
]


def test_auc_log_loss_average_precision_and_brier_are_those_of_scikit_learn():
    clipped = np.clip(PREDICTIONS, 1e-7, 1 - 1e-7)
    for weights in (None, WEIGHTS):
        given = {"sample_weight": weights}
        assert metrics.auc(LABELS, PREDICTIONS, weights) == pytest.approx(
            reference.roc_auc_score(LABELS, PREDICTIONS, **given), abs=1e-12
        )
        assert metrics.log_loss(LABELS, PREDICTIONS, weights) == pytest.approx(
            reference.log_loss(LABELS, clipped, **given), abs=1e-9
        )
        assert metrics.pr_auc(LABELS, PREDICTIONS, weights) == pytest.approx(
            reference.average_precision_score(LABELS, PREDICTIONS, **given), abs=1e-12
        )
        assert metrics.brier_score(LABELS, PREDICTIONS, weights) == pytest.approx(
            reference.brier_score_loss(LABELS, PREDICTIONS, **given), abs=1e-12
        )


def test_rce_is_0_for_the_mean_and_100_for_the_truth():
    mean = np.full_like(LABELS, np.average(LABELS, weights=WEIGHTS))
    assert metrics.relative_cross_entropy(LABELS, mean, WEIGHTS) == pytest.approx(0.0, abs=1e-9)
    assert metrics.relative_cross_entropy(LABELS, LABELS, WEIGHTS) == pytest.approx(100.0, abs=1e-3)


def test_nrce_does_not_see_a_factor():
    whole = metrics.normalised_rce(LABELS, PREDICTIONS, WEIGHTS)
    assert metrics.normalised_rce(LABELS, PREDICTIONS * 0.3, WEIGHTS) == pytest.approx(whole)
    assert metrics.relative_cross_entropy(LABELS, PREDICTIONS * 0.3, WEIGHTS) < whole


@pytest.mark.parametrize("name", SINGLE_NUMBERS)
def test_a_weight_of_two_is_a_row_twice_and_a_missing_label_no_row(name: str):
    metric = getattr(metrics, name)
    if name != "expected_calibration_error":  # its correction for chance counts rows, not weight
        twice = metric(np.tile(LABELS, 2), np.tile(PREDICTIONS, 2))
        assert metric(LABELS, PREDICTIONS, np.full(3000, 2.0)) == pytest.approx(twice)
    labels = np.append(LABELS, np.nan)
    assert metric(labels, np.append(PREDICTIONS, 0.9)) == pytest.approx(metric(LABELS, PREDICTIONS))


@given(seed=st.integers(0, 1000), scale=st.floats(0.1, 10.0))
@settings(max_examples=25)
def test_neither_the_order_of_rows_nor_the_unit_of_weights_matters(seed: int, scale: float):
    order = np.random.default_rng(seed).permutation(len(LABELS))
    for name in SINGLE_NUMBERS:
        metric = getattr(metrics, name)
        moved = metric(LABELS[order], PREDICTIONS[order], WEIGHTS[order] * scale)
        assert moved == pytest.approx(metric(LABELS, PREDICTIONS, WEIGHTS), rel=1e-9)


@pytest.mark.parametrize("name", ["auc", "pr_auc", "relative_cross_entropy", "calibration_ratio"])
def test_what_is_not_defined_is_nan(name: str):
    assert np.isnan(getattr(metrics, name)(np.zeros(4), np.full(4, 0.1)))
    assert np.isnan(getattr(metrics, name)([np.nan], [0.1]))


@pytest.mark.parametrize(
    "name", ["auc", "pr_auc", "log_loss", "normalised_rce", "brier_score", "calibration_line"]
)
def test_no_metric_is_a_number_where_a_prediction_is_none(name: str):
    assert np.isnan(getattr(metrics, name)([1, 0, 1], [0.2, np.nan, 0.5])).all()


def test_the_debiased_ece_is_small_for_the_truth_and_as_large_as_a_shift():
    truth = RANDOM.beta(2, 30, 200_000)
    labels = (RANDOM.random(200_000) < truth).astype(float)
    assert abs(metrics.expected_calibration_error(labels, truth)) < 1.5e-3
    assert metrics.expected_calibration_error(labels, truth + 0.05) == pytest.approx(0.05, abs=3e-3)


def test_reliability_bins_hold_equal_weight_and_the_stated_means():
    untied = PREDICTIONS + np.linspace(0.0, 1e-6, len(PREDICTIONS))
    bins = metrics.reliability_bins(LABELS, untied, WEIGHTS, bins=10)
    assert bins.weight == pytest.approx(np.full(10, WEIGHTS.sum() / 10), rel=0.05)
    assert bins.weight @ bins.observed == pytest.approx(WEIGHTS @ LABELS)
    assert np.all(np.diff(bins.predicted) >= 0)


def test_rows_of_one_prediction_are_in_one_bin_whatever_their_order():
    labels = np.repeat([0.0, 1.0], [70, 30])
    bins = metrics.reliability_bins(labels, np.full(100, 0.3), bins=10)
    assert (bins.observed.tolist(), bins.weight.tolist()) == ([0.3], [100.0])


def test_the_parts_of_the_brier_score_add_up_to_it():
    for weights in (None, WEIGHTS):
        parts = metrics.brier_decomposition(LABELS, PREDICTIONS, weights)
        total = parts.reliability - parts.resolution + parts.uncertainty + parts.within
        assert total == pytest.approx(metrics.brier_score(LABELS, PREDICTIONS, weights))
    three = metrics.brier_decomposition([1, 0, 0, 0, 1, 1], [0.25, 0.25, 0.25, 0.75, 0.75, 0.75], bins=2)
    assert three == pytest.approx((1 / 144, 1 / 36, 1 / 4, 0.0))  # rates 1/3 and 2/3 about the mean 1/2


def test_the_calibration_line_is_the_logistic_regression_on_log_odds():
    clipped = np.clip(PREDICTIONS, 1e-7, 1 - 1e-7)
    logits = np.log(clipped / (1 - clipped))[:, None]
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits, LABELS, WEIGHTS)
    line = metrics.calibration_line(LABELS, PREDICTIONS, WEIGHTS)
    assert line == pytest.approx((fitted.intercept_[0], fitted.coef_[0, 0]), abs=1e-4)


def test_log_odds_that_are_doubled_and_shifted_have_a_slope_of_one_half():
    logits = RANDOM.normal(-2.0, 1.0, 100_000)
    labels = RANDOM.random(100_000) < 1 / (1 + np.exp(-logits))
    intercept, slope = metrics.calibration_line(labels, 1 / (1 + np.exp(-(2 * logits + 1))))
    assert (intercept, slope) == pytest.approx((-0.5, 0.5), abs=0.02)


@pytest.mark.parametrize(
    ("labels", "predictions"),
    [([0, 0, 0], [0.1, 0.2, 0.3]), ([0, 1, 0], [0.1, 0.1, 0.1]), ([0, 0, 1], [0.1, 0.2, 0.3]), ([], [])],
)
def test_without_a_single_best_line_there_is_none(labels: list[int], predictions: list[float]):
    assert np.isnan(metrics.calibration_line(labels, predictions)).all()


def test_the_gradient_of_auc_is_its_derivative_by_a_rows_weight():
    labels, predictions, weights = LABELS[:200], PREDICTIONS[:200], WEIGHTS[:200]
    found = metrics.group_rows(labels, predictions, weights)
    area, gradient = metrics.auc_gradient(found.groups)
    assert found.sizes is not None
    by_row = np.repeat(gradient, found.sizes, axis=1)[labels[found.order].astype(int), range(200)]
    influence = np.empty(200)
    influence[found.order] = by_row * weights[found.order]
    assert area == pytest.approx(metrics.auc(labels, predictions, weights))
    assert influence.sum() == pytest.approx(0.0, abs=1e-12)
    for row in range(0, 200, 20):
        more = weights * np.where(np.arange(200) == row, 1 + 1e-6, 1.0)
        change = (metrics.auc(labels, predictions, more) - area) / 1e-6
        assert influence[row] == pytest.approx(change, abs=1e-6)


def test_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"must have one shape, got \(2,\), \(3,\)"):
        metrics.auc([0, 1], [0.1, 0.2, 0.3])


@pytest.mark.parametrize("name", [*SINGLE_NUMBERS, "brier_decomposition", "calibration_line"])
def test_a_metric_of_groups_is_that_of_the_rows(name: str):
    metric = getattr(metrics, name)
    predictions = PREDICTIONS.astype(np.float32)
    groups = metrics.grouped(LABELS, predictions, WEIGHTS)
    assert len(groups.predictions) == len(np.unique(predictions)) < len(LABELS)
    assert metric(groups) == metric(LABELS, predictions, WEIGHTS)
    assert metric(groups) == pytest.approx(metric(LABELS, predictions.astype(float), WEIGHTS), rel=1e-12)


@given(st.lists(st.floats(width=32), min_size=1))
def test_rows_are_ordered_as_by_a_stable_sort(values: list[float]):
    for predictions in (np.array(values, np.float32), np.abs(np.array(values, np.float32))):
        assert rising_order(predictions).tolist() == np.argsort(predictions, kind="stable").tolist()


def test_the_calibration_line_of_many_rows_is_that_of_few_steps_from_far():
    odds = RANDOM.normal(-2.0, 1.0, 60_000)
    labels = RANDOM.random(60_000) < 1 / (1 + np.exp(-odds))
    many = metrics.calibration_line(labels, 1 / (1 + np.exp(-(2 * odds + 1))))
    logits = (2 * odds + 1)[:, None]
    fitted = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(logits, labels)
    assert many == pytest.approx((fitted.intercept_[0], fitted.coef_[0, 0]), abs=1e-6)


def test_roc_thresholds_are_finite_and_its_ends_are_the_corners():
    false, true, thresholds = metrics.roc_curve(LABELS, PREDICTIONS)
    assert np.isfinite(thresholds).all()
    assert (false[0], true[0], false[-1], true[-1]) == (0.0, 0.0, 1.0, 1.0)
