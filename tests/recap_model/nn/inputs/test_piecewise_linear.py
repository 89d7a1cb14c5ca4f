"""Values by their place among knots, and the flag of a missing value."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recap_model.config.model.inputs import FeaturizationConfig, PiecewiseLinearConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.nn import Featurization, NumericEmbeddings, PiecewiseLinearEncoding

VALUES = st.floats(-1e6, 1e6, width=32)
KNOTS = st.lists(st.integers(-1000, 1000), min_size=2, max_size=20, unique=True).map(sorted)


def encoded(values: list[float], knots: list[float], bins: int | None = None) -> np.ndarray:
    """The encoding of one column's values, (values, bins)."""
    module = PiecewiseLinearEncoding([bins or len(knots) - 1])
    module.set_statistics(FeatureStatistics(knots=[knots]))
    return module(torch.tensor(values)[:, None])[:, 0].numpy()


@given(KNOTS, st.lists(VALUES, min_size=1, max_size=9))
def test_the_bins_sum_to_the_place_that_numpy_interpolates(knots, values):
    places = np.interp(values, knots, np.arange(len(knots)))
    assert encoded(values, knots).sum(axis=1) == pytest.approx(places, abs=1e-4)


@given(KNOTS, st.lists(VALUES, min_size=2, max_size=9))
def test_every_bin_rises_with_the_values_and_stays_in_its_range(knots, values):
    rows = encoded(sorted(values), knots)
    assert all((low >= 0).all() and (low <= high).all() and (high <= 1).all() for low, high in pairwise(rows))


def test_bins_before_the_value_are_full_and_bins_behind_it_empty():
    np.testing.assert_allclose(encoded([25.0, -5.0, 99.0], [0, 10, 20, 40]), [[1, 1, 0.25], [0] * 3, [1] * 3])


def test_knots_beyond_the_bins_are_thinned_and_missing_ones_leave_bins_empty():
    np.testing.assert_allclose(encoded([5.0], [float(n) for n in range(21)], bins=4), [[1, 0, 0, 0]])
    np.testing.assert_allclose(encoded([7.5, 1e9], [0.0, 10.0], bins=3), [[0.75, 0, 0], [1, 0, 0]])
    for none in ([], [3.0]):
        np.testing.assert_allclose(encoded([-3.0, 3.0], none, bins=2), np.zeros((2, 2)))


def test_a_column_may_have_bins_of_its_own():
    config = PiecewiseLinearConfig(bins=2, bins_by_column={"gain": 4}, embedding_dim=1)
    torch.manual_seed(0)
    module = NumericEmbeddings(config, 2, ["age", "gain"])
    knots = [0.0, 1.0, 2.0, 3.0, 4.0]
    module.encoding.set_statistics(FeatureStatistics(knots=[knots, knots]))
    rows = module.encoding(torch.tensor([[3.0, 3.0]]))[0]
    np.testing.assert_allclose(rows, [[1, 0.5, 0, 0], [1, 1, 1, 0]])
    bounds = module.weight.detach().abs().amax(dim=(1, 2))
    assert bounds[0] <= 2**-0.5
    assert bounds[1] <= 4**-0.5


def test_the_greatest_floats_stay_finite():
    greatest = float(np.finfo(np.float32).max)
    rows = encoded([greatest, -greatest], [-greatest, 0.0, greatest], bins=5)
    np.testing.assert_allclose(rows, [[1, 1, 0, 0, 0], [0, 0, 0, 0, 0]])


def test_a_missing_value_is_flagged_and_otherwise_neutral():
    config = FeaturizationConfig(piecewise_linear_config={"bins": 2, "embedding_dim": 3})
    module = Featurization(config, {"continuous": 2, "binary": 1})
    module.set_statistics(
        FeatureStatistics(
            log_mean=[1.0, 0.0], log_std=[0.5, 1.0], knots=[[0.0, 10.0, 20.0], [-1.0, 0.0, 1.0]]
        )
    )
    assert isinstance(module.continuous, NumericEmbeddings)
    weight, bias = module.continuous.weight, torch.nn.init.normal_(module.continuous.bias)
    rows = torch.tensor([[15.0, float("nan")], [float("inf"), 0.0]])
    out = module({"continuous": rows, "binary": torch.ones(2, 1)})
    log = float(np.log1p(15.0) - 1.0) / 0.5
    embedding = weight[0, 0] + 0.5 * weight[0, 1] + bias[0]
    zero_of_second = weight[1, 0] + bias[1]
    nothing, binary = torch.zeros(3), torch.ones(1)
    expected = torch.stack(
        [
            torch.cat([torch.tensor([0.0, 1.0, log, 0.0]), embedding, nothing, binary]),
            torch.cat([torch.tensor([1.0, 0.0, 0.0, 0.0]), nothing, zero_of_second, binary]),
        ]
    )
    torch.testing.assert_close(out, expected)
    assert module.out_features == expected.shape[1]


def test_a_column_moves_only_its_own_embedding():
    module = NumericEmbeddings(PiecewiseLinearConfig(bins=4, embedding_dim=2), 3)
    out = module(torch.rand(5, 3))
    out[:, 6 + 2 : 6 + 4].sum().backward()
    assert module.weight.grad is not None
    touched = module.weight.grad.abs().sum(dim=(1, 2)) > 0
    assert touched.tolist() == [False, True, False]


def test_knots_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"statistics\.knots: of 1 columns, the model has 2"):
        PiecewiseLinearEncoding([3, 3]).set_statistics(FeatureStatistics(knots=[[0.0, 1.0]]))
