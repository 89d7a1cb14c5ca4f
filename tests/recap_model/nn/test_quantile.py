"""Ranks among the training rows, and the flag of a missing value."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recap_model.config.inputs import FeaturizationConfig
from recap_model.data.statistics import FeatureStatistics
from recap_model.nn import Featurization, QuantileRank

VALUES = st.floats(-1e6, 1e6, width=32)


def ranks_of(values: list[float], quantiles: list[float], points: int | None = None) -> list[float]:
    rank = QuantileRank(1, points or len(quantiles))
    rank.set_statistics(FeatureStatistics(quantiles=[quantiles]))
    return rank(torch.tensor(values)[:, None])[:, 0].tolist()


@given(st.lists(VALUES, min_size=2, max_size=20, unique=True), st.lists(VALUES, min_size=1, max_size=9))
def test_between_different_quantiles_the_rank_is_numpys_interpolation(quantiles, values):
    quantiles = sorted(quantiles)
    shares = np.linspace(0, 1, len(quantiles))
    assert ranks_of(values, quantiles) == pytest.approx(np.interp(values, quantiles, shares), abs=1e-5)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=20), st.lists(VALUES, min_size=2, max_size=9))
def test_ranks_rise_with_the_values_and_stay_in_their_range(quantiles, values):
    ranks = ranks_of(sorted(values), sorted(map(float, quantiles)))
    assert all(0 <= low <= high <= 1 for low, high in pairwise(ranks))


def test_a_run_of_equal_quantiles_has_its_middle_rank():
    quantiles = [0.0, 0.0, 0.0, 1.0, 3.0]
    assert ranks_of([-1.0, 0.0, 0.5, 2.0, 9.0], quantiles) == pytest.approx([0, 0.25, 0.625, 0.875, 1])


def test_more_quantiles_than_are_kept_are_thinned():
    assert ranks_of([5.0], [float(n) for n in range(21)], points=5) == pytest.approx([0.25])


def test_a_missing_value_is_flagged_and_otherwise_neutral():
    widths = {"continuous": 2, "binary": 1}
    module = Featurization(FeaturizationConfig(quantile_config={"points": 3}), widths)
    statistics = FeatureStatistics(
        log_mean=[1.0, 0.0], log_std=[0.5, 1.0], quantiles=[[0.0, 10.0, 20.0], [-1.0, 0.0, 1.0]]
    )
    module.set_statistics(statistics)
    rows = torch.tensor([[20.0, float("nan")], [float("inf"), 0.0]])
    out = module({"continuous": rows, "binary": torch.ones(2, 1)})
    z_score = (np.log1p(20.0) - 1.0) / 0.5
    expected = torch.tensor([[0, 1, z_score, 0, 1, 0, 1], [1, 0, 0, 0, 0, 0, 1]], dtype=torch.float32)
    torch.testing.assert_close(out, expected)
    assert module.out_features == 7


def test_quantiles_of_another_width_are_refused():
    with pytest.raises(ValueError, match=r"statistics\.quantiles: of 1 columns, the model has 2"):
        QuantileRank(2, 3).set_statistics(FeatureStatistics(quantiles=[[0.0, 1.0]]))
