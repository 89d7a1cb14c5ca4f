"""Our blocks and models give the published ranker's numbers."""

from pathlib import Path

import pytest
import torch

from recap_model import build_loss, create_ranking_model, rate_at
from recap_model.config.model.architectures import MaskNetConfig, MlpConfig
from recap_model.config.model.inputs import FeaturizationConfig
from recap_model.config.model.network import ModelConfig
from recap_model.config.model.optimizer import LearningRate
from recap_model.data.dataset.batch import RecapBatch
from recap_model.losses import MultiTaskLoss
from recap_model.model.published_weights import load_published_state_dict
from recap_model.nn import Featurization, MaskNet, Mlp, NumericCalibration
from tests.golden.vectors import TOLERANCE, Vector, golden_folder, names_of, read

pytestmark = pytest.mark.skipif(
    not Path(golden_folder(), "index.json").is_file(),
    reason=f"no golden vectors in {golden_folder()}; set RECAP_GOLDEN_DIR",
)


@pytest.mark.parametrize("name", names_of("mlp"))
def test_mlp_gives_the_published_numbers(name):
    vector = read(name)
    net = Mlp(MlpConfig(**vector.config), vector.inputs["x"].shape[1]).eval()
    load_published_state_dict(net, vector.params)
    torch.testing.assert_close(net(vector.inputs["x"]).output, vector.outputs["output"], **TOLERANCE)


@pytest.mark.parametrize("name", names_of("masknet"))
def test_masknet_gives_the_published_numbers(name):
    vector = read(name)
    net = MaskNet(MaskNetConfig(**vector.config), vector.inputs["x"].shape[1]).eval()
    load_published_state_dict(net, vector.params)
    result = net(vector.inputs["x"])
    torch.testing.assert_close(result.output, vector.outputs["output"], **TOLERANCE)
    torch.testing.assert_close(result.shared_layer, vector.outputs["shared_layer"], **TOLERANCE)


@pytest.mark.parametrize("name", names_of("double_norm_log"))
def test_featurization_gives_the_published_numbers(name):
    vector = read(name)
    widths = {group: tensor.shape[1] for group, tensor in vector.inputs.items()}
    featurize = Featurization(FeaturizationConfig(double_norm_log_config=vector.config), widths).eval()
    load_published_state_dict(featurize, vector.params)
    torch.testing.assert_close(featurize(vector.inputs), vector.outputs["output"], **TOLERANCE)


@pytest.mark.parametrize("name", names_of("numeric_calibration"))
def test_numeric_calibration_gives_the_published_numbers(name):
    vector = read(name)
    rates = vector.config
    calibrate = NumericCalibration(rates["pos_downsampling_rate"], rates["neg_downsampling_rate"])
    given, expected = vector.inputs["probability"], vector.outputs["probability"]
    torch.testing.assert_close(calibrate(given), expected, **TOLERANCE)
    torch.testing.assert_close(torch.sigmoid(calibrate.shift(torch.logit(given))), expected, **TOLERANCE)


@pytest.mark.parametrize("name", names_of("learning_rates"))
def test_schedules_give_the_published_rates(name):
    vector = read(name)
    for kind, expected in vector.outputs.items():
        schedule = LearningRate(**vector.config[kind])
        rates = torch.tensor([rate_at(schedule, step) for step in range(len(expected))], dtype=torch.float64)
        torch.testing.assert_close(rates, expected.double(), atol=1e-8, rtol=1e-5)


@pytest.mark.parametrize("name", names_of("model"))
@pytest.mark.parametrize("rates_from", ["config", "checkpoint"])
def test_model_gives_the_published_numbers(name, rates_from):
    vector = read(name)
    config = model_config(vector)
    rates = {
        task: {f"{kind}_downsampling_rate": rate for kind, rate in rates.items()}
        for task, rates in vector.config["downsampling"].items()
    }
    data_config = rates if rates_from == "config" else None
    model = create_ranking_model(vector.config["input_shapes"], config, "cpu", data_config=data_config).eval()
    kept = {
        key: v for key, v in vector.params.items() if rates_from == "checkpoint" or "_calibrators" not in key
    }
    load_published_state_dict(model, kept)
    outputs = model(published_batch(vector.inputs))
    for key in ("logits", "probabilities", "calibrated_probabilities"):
        torch.testing.assert_close(outputs[key], vector.outputs[key], **TOLERANCE)


@pytest.mark.parametrize("name", names_of("model"))
def test_model_gives_the_published_losses(name):
    vector = read(name)
    config = model_config(vector)
    loss_fn = MultiTaskLoss(vector.config["pos_weights"])
    model = create_ranking_model(vector.config["input_shapes"], config, "cpu", loss_fn=loss_fn).eval()
    load_published_state_dict(model.model, vector.params)
    loss, outputs = model(published_batch(vector.inputs))
    torch.testing.assert_close(loss, vector.outputs["loss"], **TOLERANCE)
    for task in config.tasks:
        torch.testing.assert_close(outputs[f"loss/{task}"], vector.outputs[f"loss/{task}"], **TOLERANCE)


@pytest.mark.parametrize("name", names_of("model"))
def test_pos_weights_may_come_from_the_config(name):
    vector = read(name)
    weights = zip(vector.config["tasks"].values(), vector.config["pos_weights"], strict=True)
    for tower, weight in weights:
        tower["pos_weight"] = weight
    loss_fn = build_loss(model_config(vector))
    loss, _ = loss_fn(vector.outputs["logits"], vector.inputs["labels"], vector.inputs["weights"])
    torch.testing.assert_close(loss, vector.outputs["loss"], **TOLERANCE)


def model_config(vector: Vector) -> ModelConfig:
    return ModelConfig(
        **{key: vector.config[key] for key in vector.config if key in ModelConfig.model_fields}
    )


def published_batch(inputs: dict[str, torch.Tensor]) -> RecapBatch:
    return RecapBatch(**{name.removesuffix("_features"): tensor for name, tensor in inputs.items()})
