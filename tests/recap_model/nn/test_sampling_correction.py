"""Numeric calibration: sampling is undone."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recap_model.nn import NumericCalibration

RATE = st.floats(1e-5, 1.0)


def test_undoing_negative_downsampling_restores_the_true_rate():
    sampled = torch.tensor([0.5])  # one positive for each kept negative
    calibrate = NumericCalibration(positive_rate=1.0, negative_rate=0.01)
    assert calibrate(sampled).item() == pytest.approx(0.01 / 1.01)


@given(st.floats(0.001, 0.999), RATE, RATE)
def test_any_rate_that_was_sampled_comes_back(true, positive, negative):
    sampled = true * positive / (true * positive + (1 - true) * negative)
    calibrate = NumericCalibration(positive, negative).double()
    given_rate = torch.tensor([sampled], dtype=torch.float64)
    assert calibrate(given_rate).item() == pytest.approx(true, rel=1e-5, abs=1e-7)
    shifted = calibrate.shift(torch.logit(given_rate))
    assert torch.sigmoid(shifted).item() == pytest.approx(true, rel=1e-5, abs=1e-7)


@given(st.lists(st.floats(-20, 20), min_size=2, max_size=9), RATE)
def test_calibration_keeps_the_order(logits, rate):
    ordered = torch.tensor(sorted(logits), dtype=torch.float64)
    assert (NumericCalibration(1.0, rate)(torch.sigmoid(ordered)).diff() >= 0).all()


@pytest.mark.parametrize("rate", [0.0, -0.1, 1.5, float("nan")])
def test_a_rate_outside_its_range_is_refused(rate):
    with pytest.raises(ValueError, match="negative_rate"):
        NumericCalibration(1.0, rate)
