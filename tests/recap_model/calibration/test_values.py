"""Calibration of values: the mean is preserved, order is kept, parts add up, and the simplest map that fits wins."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.isotonic import IsotonicRegression

from recap_model.calibration.modules import build_calibrator
from recap_model.calibration.values import (
    ValueHistogram,
    calibrated_values,
    fit_factor,
    fit_monotone,
    fit_value_task,
)
from recap_model.config.steps.calibration import CalibrationConfig
from recap_model.metrics.values import decile_means

CONFIG = CalibrationConfig(min_positives=200)
Numbers = NDArray[np.float64]


def rows(true_mean: str, count: int = 20_000, seed: int = 0) -> tuple[Numbers, Numbers]:
    """Predictions, and labels whose mean is a known function of them."""
    random = np.random.default_rng(seed)
    prediction = random.gamma(1.5, 20.0, count)
    means = {
        "right": prediction,
        "scaled": 1.7 * prediction,
        "bent": 300.0 * (1.0 - np.exp(-prediction / 60.0)),
    }
    return prediction, random.gamma(1.0, means[true_mean])


def histogram(prediction: Numbers, label: Numbers, weight: Numbers | None = None) -> ValueHistogram:
    filled = ValueHistogram(["dwell"], [30.0])
    weights = np.ones(len(label)) if weight is None else weight
    filled.add(prediction[:, None], label[:, None], weights[:, None], np.arange(len(label)) % 5)
    return filled


@pytest.mark.parametrize(
    ("true_mean", "method"), [("right", "factor"), ("scaled", "factor"), ("bent", "isotonic")]
)
def test_the_simplest_map_that_fits_is_chosen_and_every_decile_is_right(true_mean: str, method: str):
    fitted = fit_value_task(histogram(*rows(true_mean)), "dwell", CONFIG)
    assert fitted.method == method
    prediction, label = rows(true_mean, seed=1)
    predicted, observed, weight = decile_means(label, calibrated_values(fitted.calibrator, prediction))
    noise = observed / np.sqrt(weight)  # of exponential labels
    assert (np.abs(predicted - observed) < 4.0 * noise + 0.03 * observed).all()


def test_a_median_of_a_long_tail_becomes_a_mean_though_squared_errors_hardly_fall():
    random = np.random.default_rng(0)
    median = random.gamma(1.5, 10.0, 2000)
    label = median * random.lognormal(0.0, 1.2, 2000)
    fitted = fit_value_task(histogram(median, label), "dwell", CONFIG)
    assert median.mean() < 0.6 * label.mean()
    assert calibrated_values(fitted.calibrator, median).mean() == pytest.approx(label.mean(), rel=1e-3)


def test_the_map_preserves_the_weighted_mean_and_order():
    prediction, label = rows("bent")
    weight = np.random.default_rng(2).integers(1, 5, len(label)).astype(float)
    filled = histogram(prediction, label, weight)
    bins = filled.bins("dwell")
    for fit in (fit_factor, fit_monotone):
        calibrator = fit(bins)
        values = calibrated_values(calibrator, prediction)
        assert np.average(values, weights=weight) == pytest.approx(
            np.average(label, weights=weight), rel=1e-3
        )
        grid = torch.linspace(0.0, 500.0, 2001)
        assert (calibrator(grid).diff() > 0).all()
        assert calibrator(torch.tensor([-1.0, 0.0])).tolist() == [0.0, 0.0]
        again = build_calibrator(calibrator.spec())
        assert torch.equal(again(grid), calibrator(grid))


def test_the_map_is_near_isotonic_regression_of_the_rows():
    prediction, label = rows("bent")
    expected = IsotonicRegression().fit(prediction, label)
    inner = np.quantile(prediction, np.linspace(0.05, 0.95, 50))
    found = calibrated_values(fit_monotone(histogram(prediction, label).bins("dwell")), inner)
    assert np.sqrt(np.mean((found / expected.predict(inner) - 1.0) ** 2)) < 0.05


def test_histograms_of_parts_add_up_and_missing_labels_count_nowhere():
    prediction, label = rows("bent", 2000)
    whole, parts = histogram(prediction, label), histogram(prediction[:700], label[:700])
    other = ValueHistogram(["dwell"], [30.0])
    rest = np.append(label[700:], np.nan)
    folds = np.append(np.arange(700, 2000) % 5, 0)
    other.add(np.append(prediction[700:], 5.0)[:, None], rest[:, None], np.ones((1301, 1)), folds)
    parts.merge(other)
    np.testing.assert_allclose(parts.sums, whole.sums, rtol=1e-12)
    assert (parts.rows == whole.rows).all()
    with pytest.raises(ValueError, match="do not add up"):
        parts.merge(ValueHistogram(["dwell"], [10.0]))


def test_few_rows_have_a_factor_and_none_are_an_error():
    prediction, label = rows("bent", 50)
    assert fit_value_task(histogram(prediction, label), "dwell", CONFIG).method == "factor"
    with pytest.raises(ValueError, match="task dwell: no row of the calibration set has a label"):
        fit_value_task(ValueHistogram(["dwell"], [30.0]), "dwell", CONFIG)
    keep = CalibrationConfig(on_one_class="keep")
    assert fit_value_task(ValueHistogram(["dwell"], [30.0]), "dwell", keep).calibrator is None
    with pytest.raises(ValueError, match="task dwell: the model gives a value that is not finite"):
        histogram(np.array([np.inf]), np.array([1.0]))
