"""Save and load a model as JSON and safetensors; loading executes no code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recap_model.calibration import build_calibrator
from recap_model.config import ConfigError, RecapConfig, parse_config
from recap_model.config.model.network import ModelConfig
from recap_model.config.reading.errors import first_reason
from recap_model.config.recap import data_spec as widths_of
from recap_model.model.create_ranking_model import build_model
from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.nn.names import module_key

CONFIG_NAME = "config.json"
DATA_SPEC_NAME = "data_spec.json"
WEIGHTS_NAME = "weights.safetensors"
CALIBRATION_NAME = "calibration.json"

Content = TypeVar("Content")


def save_model(model: MultiTaskRankingModel, folder: str | Path, config: RecapConfig | ModelConfig) -> None:
    """Write a model into a folder: its config, groups, weights and fitted calibrators.

    Args:
        config: the config that the model was built from.

    Raises:
        ValueError: the config has other tasks than the model.
    """
    tasks = list(config.tasks)
    if tasks != model.tasks:
        raise ValueError(
            f"config: its tasks are {', '.join(tasks)}; the model's are {', '.join(model.tasks)}"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    calibrators = {task: module_key(task) for task in tasks if module_key(task) in model.calibrators}
    specs = {task: model.calibrators[key].spec() for task, key in calibrators.items()}  # type: ignore[operator]
    (folder / CONFIG_NAME).write_text(config.model_dump_json(indent=1))
    (folder / DATA_SPEC_NAME).write_text(json.dumps(model.data_spec, indent=1))
    (folder / CALIBRATION_NAME).write_text(json.dumps(specs, indent=1))
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in _saved_state(model).items()}
    save_file(weights, folder / WEIGHTS_NAME)
    # safetensors writes for its owner alone, but steps may run as different users.
    (folder / WEIGHTS_NAME).chmod(0o644)


def load_model(folder: str | Path, device: str = "cpu") -> MultiTaskRankingModel:
    """Read a model that `save_model` wrote, in evaluation mode; ``model.config`` is its config.

    Raises:
        FileNotFoundError: a file of the folder is not there.
        ValueError: a file is not what `save_model` writes, or the files do not belong together.
    """
    folder = Path(folder)
    for name in (CONFIG_NAME, DATA_SPEC_NAME, WEIGHTS_NAME, CALIBRATION_NAME):
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: not found; {folder} is not a saved model")
    config = _read(folder / CONFIG_NAME, lambda content: _parse(content, folder / CONFIG_NAME))
    data_spec = _read(folder / DATA_SPEC_NAME, lambda content: {str(k): int(v) for k, v in content.items()})
    if isinstance(config, RecapConfig) and data_spec != widths_of(config):
        raise ValueError(
            f"{folder / DATA_SPEC_NAME}: has other groups or widths than {CONFIG_NAME} beside it"
        )
    model = _build(data_spec, config, folder).to(device)
    _load_weights(model, folder / WEIGHTS_NAME)
    model.set_calibrators(
        _read(
            folder / CALIBRATION_NAME,
            lambda specs: {str(task): build_calibrator(dict(spec)) for task, spec in specs.items()},
        )
    )
    return model.eval()


def _build(
    data_spec: dict[str, int], config: RecapConfig | ModelConfig, folder: Path
) -> MultiTaskRankingModel:
    try:
        return build_model(data_spec, config)
    except (TypeError, RuntimeError, OverflowError) as error:  # torch's, for sizes that no memory holds
        raise ValueError(
            f"{folder}: {CONFIG_NAME} and {DATA_SPEC_NAME} describe no model that can be built: {first_reason(error)}"
        ) from None


def _saved_state(model: MultiTaskRankingModel) -> dict[str, Tensor]:
    """Weights and buffers; calibrators are rebuilt from what they say of themselves."""
    state = model.state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith("calibrators.")}


def _load_weights(model: MultiTaskRankingModel, path: Path) -> None:
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: truncated or not safetensors ({error}); save the model again") from None
    expected = model.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in weights]
    problems += [f"{name} is not the model's" for name in weights if name not in expected]
    problems += [
        f"{name} has shape {tuple(weights[name].shape)}, not {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    problems += [
        f"{name} has type {weights[name].dtype}, not {tensor.dtype}"
        for name, tensor in expected.items()
        if name in weights and weights[name].is_floating_point() != tensor.is_floating_point()
    ]
    if problems:
        raise ValueError(f"{path}: of another model than {CONFIG_NAME} beside it: {'; '.join(problems)}")
    not_finite = [name for name, _ in model.named_parameters() if not weights[name].isfinite().all()]
    if not_finite:
        raise ValueError(
            f"{path}: {', '.join(not_finite)}: values that are not finite; train the model again"
        )
    model.load_state_dict(weights)


def _read(path: Path, parse: Callable[[Any], Content]) -> Content:
    try:
        return parse(json.loads(path.read_text()))
    except ConfigError:
        raise
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"{path}: not what save_model writes: {first_reason(error)}") from None


def _parse(content: dict[str, Any], path: Path) -> RecapConfig | ModelConfig:
    if "features" in content:
        return parse_config(content, source=str(path))
    try:
        return ModelConfig.model_validate(content)
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_reason(error)}") from None
