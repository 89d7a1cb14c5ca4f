"""Featurization: four kinds, and what becomes of values that are not numbers."""

import math

import pytest
import torch

from recap_model.config.model.inputs import FeaturizationConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.nn import Featurization

NAN, INF = float("nan"), float("inf")
KINDS = [
    {"log1p_abs_config": {}},
    {"clip_log1p_abs_config": {}},
    {"z_score_log_config": {"batch_norm_config": {}}},
    {"double_norm_log_config": {"batch_norm_config": {}, "layer_norm_config": {}}},
]


def featurize(widths=None, **config) -> Featurization:
    return Featurization(FeaturizationConfig(**config), widths or {"continuous": 3, "binary": 1})


def groups(continuous, binary=1.0) -> dict[str, torch.Tensor]:
    rows = torch.tensor(continuous)
    return {"continuous": rows, "binary": torch.full((len(rows), 1), binary)}


def test_the_signed_log_keeps_the_sign():
    out = featurize(log1p_abs_config={})(groups([[math.e - 1, 1 - math.e, 0.0]]))
    torch.testing.assert_close(out, torch.tensor([[1.0, -1.0, 0.0, 1.0]]))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: next(iter(kind)))
def test_what_is_not_finite_is_as_zero(kind):
    module = featurize(**kind).eval()
    broken = module(groups([[NAN, INF, -INF], [1.0, 2.0, 3.0]], NAN))
    torch.testing.assert_close(broken, module(groups([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], 0.0)))
    assert broken.isfinite().all()


def test_values_are_clipped():
    out = featurize(clip_log1p_abs_config={"clip_magnitude": 2.0})(groups([[1e9, -1e9, 1.0]]))
    torch.testing.assert_close(out[0, :3], torch.tensor([2.0, -2.0, math.log(2)]))


def test_z_scores_come_from_statistics_of_the_training_rows():
    module = featurize(z_score_log_config={"clip_magnitude": 3.0})
    module.set_statistics(FeatureStatistics(log_mean=[1.0, 0.0, 2.0], log_std=[0.5, 0.0, 1e-9]))
    out = module(groups([[math.expm1(2.0), math.expm1(1.5), math.expm1(9.0)]]))
    torch.testing.assert_close(out[0, :3], torch.tensor([2.0, 1.5, 3.0]))


def test_statistics_of_another_width_are_refused():
    module = featurize(z_score_log_config={})
    with pytest.raises(ValueError, match="log_mean: 2 values for 3 continuous columns"):
        module.set_statistics(FeatureStatistics(log_mean=[0.0, 0.0], log_std=[1.0, 1.0, 1.0]))


@pytest.mark.parametrize("value", [0.0, 0.1, 1.7, 1e30])
def test_a_constant_row_survives_a_layer_norm_with_epsilon_zero(value):
    module = featurize({"continuous": 64}, double_norm_log_config={"layer_norm_config": {"epsilon": 0.0}})
    out = module({"continuous": torch.full((2, 64), value)})
    assert out.abs().max() < 0.01


def test_epsilon_zero_changes_no_other_row():
    module = featurize({"continuous": 8}, double_norm_log_config={"layer_norm_config": {"epsilon": 0.0}})
    rows = torch.randn(20, 8)
    logs = torch.sign(rows) * torch.log1p(rows.abs())
    exact = (logs - logs.mean(1, keepdim=True)) / logs.std(1, correction=0, keepdim=True)
    torch.testing.assert_close(module({"continuous": rows}), exact, atol=1e-5, rtol=0)


def test_groups_that_the_features_lack_are_left_out():
    assert featurize({"continuous": 3}, log1p_abs_config={}).out_features == 3
    assert featurize({"binary": 2}, log1p_abs_config={}).out_features == 2
    assert featurize(log1p_abs_config={}, feature_names_to_concat=[]).out_features == 3
