"""Calibrated probabilities against the true ones, where rows are simulated and the truth is known."""

import numpy as np
import pytest

from recap_model.calibration import LogitHistogram, calibrated_logit, fit_task, sigmoid
from recap_model.config.steps.calibration import CalibrationConfig
from tests.recap_model.calibration.simulated import Array, rows

_GROUPS = 15
_FRESH_ROWS = 200_000
_ONE_IN_A_HUNDRED = 2.33
_MODELS = {
    "right": lambda truth: truth,
    "shifted": lambda truth: truth + 1.5,
    "overconfident": lambda truth: 1.8 * truth + 1.0,
    "bent": lambda truth: truth + 0.8 * np.sin(truth),
}


def _drawn(count: int, base: float, negative_rate: float, seed: int) -> tuple[Array, Array, Array]:
    """True logits, labels and weights; a share of the negatives is kept, and weighted to restore their sum."""
    truth, label = rows(count, seed, base)
    kept = (label > 0) | (np.random.default_rng(seed + 1).random(count) < negative_rate)
    weight = np.where(label > 0, 1.0, 1.0 / negative_rate)
    return truth[kept], label[kept], weight[kept]


def _group_of(logit: Array) -> Array:
    """Groups of about equally many rows, by rising logit."""
    return np.searchsorted(np.quantile(logit, np.arange(1, _GROUPS) / _GROUPS), logit)


def _error(probability: Array, truth: Array, group: Array) -> float:
    """ECE with the true probabilities in place of labels, on rows that are not weighted."""
    gap = np.bincount(group, probability - sigmoid(truth), minlength=_GROUPS)
    return float(np.abs(gap).sum() / len(truth))


def _noise(truth: Array, label: Array, weight: Array, group: Array) -> float:
    """An ECE that the true probabilities themselves exceed on the calibration rows about once in a hundred draws.

    Groups' gaps are about normal: the absolute value of each has a mean of sqrt(2 / pi) and a variance of
    1 - 2 / pi, in units of its own spread.
    """
    squares = (weight * (label - sigmoid(truth))) ** 2
    variance = np.bincount(group, squares, minlength=_GROUPS) / weight.sum() ** 2
    mean = np.sqrt(2 / np.pi) * np.sqrt(variance).sum()
    return float(mean + _ONE_IN_A_HUNDRED * np.sqrt((1 - 2 / np.pi) * variance.sum()))


@pytest.mark.parametrize("model", _MODELS)
@pytest.mark.parametrize(
    ("count", "base", "negative_rate"), [(60_000, -3.0, 1.0), (60_000, -3.0, 0.2), (1_000_000, -6.5, 0.1)]
)
def test_the_error_against_the_truth_is_within_sampling_noise_and_never_worse_than_before(
    model: str, count: int, base: float, negative_rate: float
):
    truth, label, weight = _drawn(count, base, negative_rate, seed=10)
    assert label.sum() >= 2_000
    logit = _MODELS[model](truth)
    histogram = LogitHistogram(["like"])
    histogram.add(logit[:, None], label[:, None], weight[:, None], np.arange(len(logit)) % 5)
    calibrator = fit_task(histogram, "like", CalibrationConfig()).calibrator
    fresh, _ = rows(_FRESH_ROWS, seed=20, base=base)
    group, shown = _group_of(fresh), _MODELS[model](fresh)
    before = _error(sigmoid(shown), fresh, group)
    after = _error(sigmoid(calibrated_logit(calibrator, shown)), fresh, group)
    noise = _noise(truth, label, weight, _group_of(truth))
    assert after <= noise
    assert after <= before + noise
