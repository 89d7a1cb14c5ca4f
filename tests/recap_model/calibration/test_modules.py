"""The maps of logits."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recap_model.calibration import (
    MIN_SLOPE,
    AffineCalibrator,
    BetaCalibrator,
    LogitCalibrator,
    PiecewiseLinearCalibrator,
    build_calibrator,
)

SLOPE = st.floats(MIN_SLOPE, 5.0)
VALUE = st.floats(-10.0, 10.0)


@st.composite
def calibrators(draw: st.DrawFn) -> LogitCalibrator:
    kind = draw(st.sampled_from(["affine", "beta", "piecewise"]))
    if kind == "affine":
        return AffineCalibrator(draw(SLOPE), draw(VALUE))
    if kind == "beta":
        return BetaCalibrator(draw(SLOPE), draw(SLOPE), draw(VALUE))
    widths = draw(st.lists(st.floats(1 / 64, 3.0), min_size=0, max_size=40))
    knots = np.cumsum([draw(VALUE), *widths]).tolist()
    slopes = draw(st.lists(SLOPE, min_size=len(knots) + 1, max_size=len(knots) + 1))
    return PiecewiseLinearCalibrator(knots, draw(VALUE), slopes)


@settings(max_examples=60)
@given(calibrator=calibrators(), count=st.integers(2, 1000), seed=st.integers(0, 100))
def test_the_order_of_logits_never_changes_and_no_ties_are_made(
    calibrator: LogitCalibrator, count: int, seed: int
):
    # A thousandth apart: MIN_SLOPE makes of it 1e-5, which float32 still tells apart at 30.
    steps = torch.rand(count, generator=torch.Generator().manual_seed(seed)) * 0.02 + 1e-3
    logits = steps.cumsum(0) - 10.0
    assert bool((calibrator(logits).diff() > 0).all())
    shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    assert bool((calibrator(logits[shuffled]).argsort() == logits[shuffled].argsort()).all())


@settings(max_examples=30)
@given(calibrator=calibrators())
def test_a_spec_builds_the_same_map(calibrator: LogitCalibrator):
    again = build_calibrator(calibrator.spec())
    logits = torch.linspace(-25, 25, 301)
    assert torch.equal(again(logits), calibrator(logits))
    assert again.spec() == calibrator.spec()


def test_beta_calibration_is_the_map_of_probabilities_that_its_paper_gives():
    probability = torch.tensor([0.01, 0.3, 0.9], dtype=torch.float64)
    a, b, c = 0.7, 1.8, -0.4
    # Kull et al. 2017, eq. 1: 1 / (1 + 1 / (e^c p^a / (1 - p)^b))
    expected = 1 / (1 + 1 / (np.exp(c) * probability**a / (1 - probability) ** b))
    result = BetaCalibrator(left=a, right=b, bias=c)(torch.logit(probability)).sigmoid()
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_straight_lines_between_knots_are_numpys_interpolation():
    knots, slopes = [-4.0, -1.0, 0.5, 2.0], [1.0, 0.3, 2.0, 0.1, 1.0]
    calibrator = PiecewiseLinearCalibrator(knots, -5.0, slopes)
    heights = -5.0 + np.cumsum([0.0, *(np.diff(knots) * slopes[1:-1])])
    logits = np.linspace(-4.0, 2.0, 101)
    result = calibrator(torch.tensor(logits, dtype=torch.float32))
    np.testing.assert_allclose(result, np.interp(logits, knots, heights), atol=1e-5)


@pytest.mark.parametrize(
    "calibrator",
    [
        AffineCalibrator(1.2, 0.1),
        BetaCalibrator(0.5, 1.5, 0.2),
        PiecewiseLinearCalibrator([-2.0, 0.0, 1.0], -1.0, [1.0, 0.5, 2.0, 1.0]),
    ],
    ids=lambda calibrator: type(calibrator).__name__,
)
def test_a_map_exports_with_any_number_of_rows(calibrator: LogitCalibrator):
    exported = torch.export.export(
        calibrator, (torch.zeros(8),), dynamic_shapes=({0: torch.export.Dim("rows", min=1)},)
    )
    logits = torch.linspace(-5, 5, 33)
    torch.testing.assert_close(exported.module()(logits), calibrator(logits))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "spline"}, "kind 'spline': unknown; kinds: affine, beta, piecewise_linear"),
        ({"kind": "affine", "scale": -1.0}, "scale: -1.0: a calibrator's slope is at least 0.01"),
        ({"kind": "affine", "scale": float("nan")}, "scale: nan"),
        ({"kind": "affine", "scale": 1.0, "bias": float("inf")}, "bias: inf: not finite"),
        ({"kind": "affine", "slope": 1.0}, "calibrator of kind affine: .*slope"),
        ({"kind": "piecewise_linear", "knots": [0.0], "value": 0.0, "slopes": [1.0]}, "1 for 1 knots"),
        (
            {"kind": "piecewise_linear", "knots": [0.0, 0.0], "value": 0.0, "slopes": [1.0] * 3},
            "each must be",
        ),
    ],
)
def test_a_spec_that_describes_no_increasing_map_is_refused(spec: dict, message: str):
    with pytest.raises(ValueError, match=message):
        build_calibrator(spec)
