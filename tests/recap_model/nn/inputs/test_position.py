"""Position debias: positions in training, none in serving."""

import pytest
import torch

from recap_model.config.model.inputs import PositionDebiasConfig
from recap_model.nn import PositionDebias


def debias(drop_probability: float) -> PositionDebias:
    config = PositionDebiasConfig(
        max_position=10, num_dims=3, drop_probability=drop_probability, position_feature_index=1
    )
    return PositionDebias(config)


def positions(*values: int) -> torch.Tensor:
    return torch.tensor([[99, value] for value in values])


def test_in_evaluation_no_position_is_known():
    module = debias(0.0).eval()
    torch.testing.assert_close(module(positions(0, 5, 300)), module.table.weight[[11, 11, 11]])


def test_in_training_positions_are_known_up_to_the_largest():
    module = debias(0.0).train()
    torch.testing.assert_close(module(positions(0, 10, 300, -1)), module.table.weight[[0, 10, 10, 11]])


def test_in_training_a_share_of_the_rows_loses_its_position():
    module = debias(0.25).train()
    torch.manual_seed(0)
    dropped = (module(positions(*[4] * 4000)) == module.table.weight[11]).all(dim=1)
    assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
