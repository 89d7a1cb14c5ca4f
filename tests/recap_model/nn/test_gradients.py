"""Gradients of the blocks that are not compositions of torch's own, in double precision."""

import pytest
import torch

from recap_model.config.model.architectures import DcnConfig, DlrmConfig, MaskNetConfig, MlpConfig
from recap_model.config.model.inputs import FeaturizationConfig
from recap_model.nn import Cross, Dcn, Dlrm, Featurization, Inputs, MaskNet, Mlp, NumericCalibration

BLOCK = {"output_size": 3, "aggregation_size": 4, "input_layer_norm": True}
MLP = MlpConfig(layer_sizes=[4, 2])


def check(function, *shapes: tuple[int, ...]) -> None:
    random = torch.Generator().manual_seed(1)
    inputs = [torch.randn(shape, generator=random, dtype=torch.float64) for shape in shapes]
    assert torch.autograd.gradcheck(function, [tensor.requires_grad_() for tensor in inputs])


@pytest.mark.parametrize(
    "block",
    [
        Mlp(MLP, 5),
        MaskNet(MaskNetConfig(mask_blocks=[BLOCK, BLOCK], use_parallel=True, mlp=MLP), 5),
        MaskNet(MaskNetConfig(mask_blocks=[BLOCK, BLOCK], use_parallel=False), 5),
        Dcn(DcnConfig(poly_degree=2, parallel_mlp=MLP), 5),
        Dcn(DcnConfig(poly_degree=2, projection_dim=2, parallel_mlp=MLP, use_parallel=False), 5),
    ],
    ids=["mlp", "masknet parallel", "masknet stacked", "dcn parallel", "dcn stacked"],
)
def test_gradients_of_blocks(block):
    block.double()
    check(lambda x: block(x).output, (3, 5))


def test_gradients_of_a_cross_layer():
    check(Cross(4).double(), (3, 4), (3, 4))


def test_gradients_of_dlrm():
    config = DlrmConfig(bottom_mlp={"layer_sizes": [4]}, top_mlp={"layer_sizes": [3, 1]})
    net = Dlrm(config, 3, [4, 2]).double()
    check(lambda dense, one, two: net(Inputs(dense, [one, two])).output, (3, 3), (3, 4), (3, 2))


def test_gradients_of_featurization():
    config = FeaturizationConfig(double_norm_log_config={"batch_norm_config": {}, "layer_norm_config": {}})
    module = Featurization(config, {"continuous": 3, "binary": 2}).double().eval()
    check(lambda continuous, binary: module({"continuous": continuous, "binary": binary}), (4, 3), (4, 2))


def test_gradients_of_numeric_calibration():
    calibrate = NumericCalibration(1.0, 0.1).double()
    check(lambda logits: calibrate(torch.sigmoid(logits)), (4, 1))
    check(calibrate.shift, (4, 1))
