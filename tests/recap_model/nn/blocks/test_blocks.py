"""Blocks: widths, shared layers, and that a hand calculation gives the same."""

import pytest
import torch

from recap_model.config.model.architectures import DcnConfig, MaskBlockConfig, MaskNetConfig, MlpConfig
from recap_model.nn import Cross, Dcn, MaskNet, Mlp

FIVE_ROWS = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))


def test_one_layer_alone_is_a_linear_map_and_its_own_shared_layer():
    net = Mlp(MlpConfig(layer_sizes=[3]), in_features=6)
    result = net(FIVE_ROWS)
    torch.testing.assert_close(result.output, FIVE_ROWS @ net.layers[0].weight.T)
    assert result.shared_layer is result.output


def test_shared_layer_of_an_mlp_is_the_first_hidden_activation():
    config = MlpConfig(layer_sizes=[4, 3, 1], batch_norm={"affine": True, "momentum": 0.1})
    net = Mlp(config, in_features=6).eval()
    shared = net(FIVE_ROWS).shared_layer
    assert shared.shape == (5, 4)
    torch.testing.assert_close(shared, torch.relu(net.layers[1](net.layers[0](FIVE_ROWS))))


def test_the_last_layer_has_neither_norm_nor_dropout():
    config = MlpConfig(layer_sizes=[4, 2], batch_norm={}, dropout={"rate": 0.5}, final_layer_activation=True)
    kinds = [type(layer).__name__ for layer in Mlp(config, 6).layers]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Dropout", "Linear", "ReLU"]


def test_linear_layers_start_with_zero_bias_within_the_xavier_bound():
    layer = Mlp(MlpConfig(layer_sizes=[50]), in_features=30).layers[0]
    bound = (6 / (30 + 50)) ** 0.5
    assert not layer.bias.any()
    assert 0.9 * bound < layer.weight.abs().max() <= bound


def mask_net(use_parallel: bool, mlp: MlpConfig | None) -> MaskNet:
    sizes = (4, 3)
    blocks = [MaskBlockConfig(output_size=size, aggregation_size=5, input_layer_norm=True) for size in sizes]
    return MaskNet(MaskNetConfig(mask_blocks=blocks, use_parallel=use_parallel, mlp=mlp), in_features=6)


@pytest.mark.parametrize(("use_parallel", "width"), [(True, 7), (False, 3)])
@pytest.mark.parametrize("mlp", [None, MlpConfig(layer_sizes=[8, 2])])
def test_masknet_joins_parallel_blocks_and_chains_stacked_ones(use_parallel, width, mlp):
    net = mask_net(use_parallel, mlp)
    result = net(FIVE_ROWS)
    assert result.shared_layer.shape == (5, width)
    assert result.output.shape == (5, net.out_features) == (5, 2 if mlp else width)


def test_a_stacked_mask_sees_the_nets_input_not_the_last_block():
    net = mask_net(use_parallel=False, mlp=None)
    assert [block.mask[0].in_features for block in net.mask_blocks] == [6, 6]
    assert [block.mask[2].out_features for block in net.mask_blocks] == [6, 4]


def test_a_reduction_factor_that_leaves_no_hidden_unit_is_refused():
    config = MaskNetConfig(mask_blocks=[MaskBlockConfig(output_size=2, reduction_factor=0.1)])
    with pytest.raises(ValueError, match=r"reduction_factor: 0\.1 of 6 inputs"):
        MaskNet(config, in_features=6)


def test_a_cross_layer_multiplies_by_the_first_input():
    layer = Cross(2)
    with torch.no_grad():
        layer.weight.weight.copy_(torch.tensor([[1.0, 2.0], [0.0, 1.0]]))
        layer.weight.bias.copy_(torch.tensor([0.5, 0.0]))
    x0, x = torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 2.0]])
    torch.testing.assert_close(layer(x0, x), torch.tensor([[3 * 5.5 + 1, -2.0 + 2]]))


def test_a_low_rank_cross_layer_has_the_weights_of_its_two_factors():
    layer = Cross(6, projection_dim=2)
    down, up = layer.weight
    product = FIVE_ROWS * (FIVE_ROWS @ (up.weight @ down.weight).T + up.bias) + FIVE_ROWS
    torch.testing.assert_close(layer(FIVE_ROWS, FIVE_ROWS), product)


@pytest.mark.parametrize("rank", [None, 2])
@pytest.mark.parametrize(
    ("parts", "width"),
    [
        ({}, 6),
        ({"parallel_mlp": {"layer_sizes": [4, 3]}, "use_parallel": True}, 9),
        ({"parallel_mlp": {"layer_sizes": [4, 3]}, "use_parallel": False}, 3),
        ({"parallel_mlp": {"layer_sizes": [3]}, "output_mlp": {"layer_sizes": [2]}}, 2),
        ({"output_mlp": {"layer_sizes": [1]}}, 1),
    ],
)
def test_dcn_has_the_width_of_its_last_part(rank, parts, width):
    net = Dcn(DcnConfig(poly_degree=2, projection_dim=rank, **parts), in_features=6)
    assert net(FIVE_ROWS).output.shape == (5, net.out_features) == (5, width)


def test_two_cross_layers_are_a_polynomial_of_degree_three():
    """Along a line through the origin, differences of the fourth order of a cubic vanish."""
    net = Dcn(DcnConfig(poly_degree=2), in_features=6).double()
    points = torch.arange(6, dtype=torch.float64)[:, None] * FIVE_ROWS[:1].double()
    values = net(points).output
    assert values.diff(n=4, dim=0).abs().max() < 1e-9 < values.diff(n=3, dim=0).abs().max()
