"""Corrections by the values of a column, held to simulated rows whose values' shifts are known."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from recap_model.calibration import (
    ByValueCalibrator,
    HistogramByValue,
    TaskCalibration,
    build_calibrator,
    calibrated_logit,
    fit_by_value,
    fit_task,
)
from recap_model.config.calibration import CalibrationConfig
from tests.recap_model.calibration.simulated import Array, histogram_of, log_loss

SHIFTS = {3: 0.6, 5: -0.8, -1: 0.0, 9: 0.3}


def rows_by_value(
    counts: dict[int, int], shifts: dict[int, float], seed: int = 0
) -> tuple[Array, Array, NDArray[np.int64]]:
    """A model's logits that know nothing of the values, labels drawn with their shifts, and the values."""
    random = np.random.default_rng(seed)
    values = random.permutation(np.repeat(list(counts), list(counts.values())))
    logit = random.normal(-2.0, 1.0, len(values))
    truth = logit + np.array([shifts.get(int(value), 0.0) for value in values])
    return logit, (random.random(len(values)) < 1 / (1 + np.exp(-truth))).astype(float), values


def fitted(
    logit: Array, label: Array, values: NDArray[np.int64], kept: list[int], method: str = "auto"
) -> TaskCalibration:
    common = fit_task(histogram_of(logit, label), "like", CalibrationConfig(method=method))
    histogram = HistogramByValue(["like"], kept)
    folds = np.arange(len(logit)) % 5
    histogram.add(logit[:, None], label[:, None], np.ones((len(logit), 1)), folds, values)
    return fit_by_value(histogram, common, column=0)


def corrected(calibration: TaskCalibration, logit: Array, values: NDArray[np.int64]) -> Array:
    calibrator = calibration.calibrator
    if not isinstance(calibrator, ByValueCalibrator):
        return calibrated_logit(calibrator, logit)
    return calibrator(torch.from_numpy(logit), torch.from_numpy(values)[:, None]).double().numpy()


def test_values_that_the_model_does_not_know_of_are_predicted_better_on_new_rows():
    logit, label, values = rows_by_value(dict.fromkeys(SHIFTS, 20_000), SHIFTS)
    calibration = fitted(logit, label, values, list(SHIFTS))
    assert "by 4 values, drawn to the common map as by " in calibration.reason
    new, drawn, of_value = rows_by_value(dict.fromkeys(SHIFTS, 20_000), SHIFTS, seed=1)
    truth = new + np.array([SHIFTS[int(value)] for value in of_value])
    common = fit_task(histogram_of(logit, label), "like", CalibrationConfig()).calibrator
    best, before = log_loss(truth, drawn), log_loss(calibrated_logit(common, new), drawn)
    after = log_loss(corrected(calibration, new, of_value), drawn)
    assert after - best < 0.02 * (before - best)


def test_with_many_rows_a_value_keeps_what_logistic_regression_on_its_rows_says():
    logit, label, values = rows_by_value(dict.fromkeys(SHIFTS, 50_000), SHIFTS)
    calibrator = fitted(logit, label, values, list(SHIFTS), method="platt").calibrator
    assert isinstance(calibrator, ByValueCalibrator)
    for value in SHIFTS:
        held = values == value
        reference = LogisticRegression(C=np.inf).fit(logit[held][:, None], label[held])
        expected = reference.decision_function(logit[held][:, None])
        ours = corrected(TaskCalibration("like", "", "", calibrator), logit[held], values[held])
        assert log_loss(ours, label[held]) == pytest.approx(log_loss(expected, label[held]), abs=5e-5)


def test_a_value_of_few_rows_stays_near_the_common_map_whatever_they_say():
    counts = dict.fromkeys(SHIFTS, 20_000) | {77: 20}
    logit, label, values = rows_by_value(counts, SHIFTS)
    label[values == 77] = 1.0
    calibrator = fitted(logit, label, values, list(counts)).calibrator
    assert isinstance(calibrator, ByValueCalibrator)
    at = torch.tensor([-2.0])
    few, none = (calibrator(at, torch.tensor([[value]])) for value in (77, 1234))
    assert 0.0 < (few - none).item() < 2.0
    label[values == 77] = 0.0
    calibrator = fitted(logit, label, values, list(counts)).calibrator
    assert isinstance(calibrator, ByValueCalibrator)
    few, none = (calibrator(at, torch.tensor([[value]])) for value in (77, 1234))
    assert -0.4 < (few - none).item() < 0.0


def test_without_differences_between_values_there_is_seldom_a_correction_and_never_harm():
    taken = 0
    for seed in range(10):
        counts = dict.fromkeys(range(20), 2_000)
        logit, label, values = rows_by_value(counts, {}, seed)
        calibration = fitted(logit, label, values, list(counts))
        if isinstance(calibration.calibrator, ByValueCalibrator):
            taken += 1
        else:
            assert "; not by value: cross-validated log loss " in calibration.reason
        assert log_loss(corrected(calibration, logit, values), 1 / (1 + np.exp(-logit))) - log_loss(
            logit, 1 / (1 + np.exp(-logit))
        ) == pytest.approx(0.0, abs=4e-4)
    assert taken <= 2


def test_all_rows_in_one_fold_keep_the_common_map():
    logit, label, values = rows_by_value({1: 500}, {})
    common = TaskCalibration("like", "none", "configured", None)
    histogram = HistogramByValue(["like"], [1])
    histogram.add(logit[:, None], label[:, None], np.ones((500, 1)), np.full(500, 2, dtype=np.int64), values)
    calibration = fit_by_value(histogram, common, column=0)
    assert calibration.calibrator is None
    assert calibration.reason == "configured; not by value: its rows are all in one fold"


def test_histograms_of_parts_add_up_and_rows_of_other_values_count_as_others():
    logit, label, values = rows_by_value({3: 400, 5: 300, 8: 200}, {})
    folds, weight = np.arange(900) % 5, np.random.default_rng(0).random((900, 1))
    whole, halves = HistogramByValue(["like"], [5, 3]), HistogramByValue(["like"], [3, 5])
    whole.add(logit[:, None], label[:, None], weight, folds, values)
    for part in (slice(0, 450), slice(450, 900)):
        other = HistogramByValue(["like"], [3, 5])
        other.add(logit[part, None], label[part, None], weight[part], folds[part], values[part])
        halves.merge(other)
    for value, rows in ((3, 400), (5, 300), (None, 200)):
        ours, theirs = whole.bins("like", value), halves.bins("like", value)
        assert ours.rows == theirs.rows == rows
        np.testing.assert_allclose(ours.weight, theirs.weight)
        held = values == value if value is not None else values == 8
        assert ours.positives == label[held].sum()
        assert ours.label.sum() == pytest.approx((weight[held, 0] * label[held]).sum())
    with pytest.raises(ValueError, match="different values or folds"):
        whole.merge(HistogramByValue(["like"], [3, 6]))


def test_a_map_by_value_is_rebuilt_from_its_numbers():
    calibrator = ByValueCalibrator(
        column=1,
        values=[-1, 2**40],
        scales=[0.5, 2.0],
        biases=[1.0, -1.0],
        base=build_calibrator({"kind": "beta", "left": 0.5, "right": 2.0, "bias": 0.25}),  # type: ignore[arg-type]
    )
    again = build_calibrator(calibrator.spec())
    logits = torch.linspace(-5, 5, 30)
    discrete = torch.stack([torch.zeros(30, dtype=torch.int64), torch.tensor([-1, 2**40, 7] * 10)], dim=1)
    assert torch.equal(calibrator(logits, discrete), again(logits, discrete))
    assert again.spec() == calibrator.spec()


@pytest.mark.parametrize(
    ("numbers", "message"),
    [
        ({"values": [1], "scales": [0.001], "biases": [0.0]}, "scales: 0.001: a calibrator's slope"),
        ({"values": [1, 1], "scales": [1.0, 1.0], "biases": [0.0, 0.0]}, "values: 2 for 2 scales"),
        ({"values": [1, 2], "scales": [1.0], "biases": [0.0]}, "values: 2 for 1 scales and 1 biases"),
        ({"values": [1], "scales": [1.0], "biases": [float("nan")]}, "biases: .*not finite"),
        ({"values": [1], "scales": [1.0], "biases": [0.0], "column": -1}, "column: -1"),
        ({"values": [1], "scales": [1.0]}, "calibrator of kind by_value: .*biases"),
    ],
)
def test_numbers_that_are_no_map_by_value_are_refused(numbers: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        build_calibrator({"kind": "by_value", "column": 0, "base": None} | numbers)
    with pytest.raises(ValueError, match="calibrator of kind by_value: 'base'"):
        build_calibrator({"kind": "by_value"})
