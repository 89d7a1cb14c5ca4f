"""Load weights under the published ranker's parameter names."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.nn.inputs.featurization import Featurization
from recap_model.nn.inputs.transforms import Clip
from recap_model.nn.names import module_key, sanitize

# From our names to the published ones, tried from the top; each is a pattern on the whole name. Others are the same.
_BLOCK_NAMES = (
    (r"mask_blocks\.(\d+)\.input_norm\.(\w+)", r"_mask_blocks.\1._input_layer_norm.\2"),
    (r"mask_blocks\.(\d+)\.mask\.(.+)", r"_mask_blocks.\1._mask_layer.\2"),
    (r"mask_blocks\.(\d+)\.hidden\.(\w+)", r"_mask_blocks.\1._hidden_layer.\2"),
    (r"mask_blocks\.(\d+)\.norm\.(\w+)", r"_mask_blocks.\1._layer_norm.\2"),
    (r"mlp\.(layers\..+)", r"_dense_layers.\1"),
)
_FEATURIZATION_NAMES = (
    (r"continuous\.batch_norm\.(\w+)", r"_before_concat_layers.2.layer.\1"),
    (r"layer_norm\.(\w+)", r"layer_norm.layer.\1"),
)

# State of ours that the published model does not keep under a name of its own.
_OWN_STATE = ("score_weights", "term_weights", "sampling.ratio")


def load_published_state_dict(module: nn.Module, state_dict: Mapping[str, Tensor]) -> None:
    """Load weights under the published parameter names into a model, a block or a featurization of ours.

    A prefix that all names share because the module was wrapped (``model.``, ``module.``) is taken off. The
    sampling ratios come along; weights saved without any leave the model's own. Clip magnitudes are part of
    the published state but of our config, so they are compared.

    Args:
        module: a `MultiTaskRankingModel`, `Mlp`, `MaskNet` or `Featurization`, changed in place; after an
            error it is as it was.

    Raises:
        ValueError: parameters are missing, unexpected or of another shape or clip; it names all of them.
    """
    given = _strip_wrapper_prefix(state_dict)
    ours = module.state_dict()
    names = {name: _published_name(module, name) for name in ours if name not in _OWN_STATE}
    constants = _published_constants(module)
    ratios = _ratio_names(module, given)
    known = {*names.values(), *constants, *ratios}
    problems = [f"missing: {name}" for name in [*names.values(), *ratios] if name not in given]
    problems += [f"unexpected: {name}" for name in given if name not in known]
    problems += [
        f"wrong shape: {published} is {tuple(given[published].shape)}, not {tuple(ours[name].shape)}"
        for name, published in names.items()
        if published in given and given[published].shape != ours[name].shape
    ]
    problems += [
        f"other clip: {name} is {given[name].item():g}, the config's is {value:g}"
        for name, value in constants.items()
        if name in given and given[name].numel() == 1 and given[name].item() != torch.tensor(value).item()
    ]
    if problems:
        raise ValueError(f"state dict of the published model: {'; '.join(problems)}")
    loaded = {name: given[published] for name, published in names.items()}
    if ratios:
        loaded["sampling.ratio"] = torch.stack([given[name].reshape(()) for name in ratios])
    module.load_state_dict({**ours, **loaded})


def _strip_wrapper_prefix(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = dict(state_dict)
    for prefix in ("module.", "model.", "module."):
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return state


def _published_name(module: nn.Module, name: str) -> str:
    if isinstance(module, Featurization):
        return _rename(name, _FEATURIZATION_NAMES)
    if not isinstance(module, MultiTaskRankingModel):
        return _rename(name, _BLOCK_NAMES)
    if name.startswith("inputs.featurize."):
        return "_preprocessor." + _rename(name.removeprefix("inputs.featurize."), _FEATURIZATION_NAMES)
    if name.startswith("inputs.embedding_norms."):
        return re.sub(r"inputs\.embedding_norms\.(\w+)\.(\w+)", r"_\1_layer_norm.\2", name)
    if name.startswith("net.backbone."):
        return "_backbone." + _rename(name.removeprefix("net.backbone."), _BLOCK_NAMES)
    for task in module.tasks:
        tower, affine = f"net.towers.{module_key(task)}.", f"affine_maps.{module_key(task)}."
        if name.startswith(tower):
            return f"_towers.{sanitize(task)}." + _rename(name.removeprefix(tower), _BLOCK_NAMES)
        if name.startswith(affine):
            return f"_affine_maps.{sanitize(task)}." + name.removeprefix(affine)
    return name


def _rename(name: str, table: tuple[tuple[str, str], ...]) -> str:
    for pattern, published in table:
        match = re.fullmatch(pattern, name)
        if match:
            return match.expand(published)
    return name


def _published_constants(module: nn.Module) -> dict[str, float]:
    """Names and values of the clip, which the published model keeps as buffers."""
    featurize = module.inputs.featurize if isinstance(module, MultiTaskRankingModel) else module
    if not isinstance(featurize, Featurization) or featurize.continuous is None:
        return {}
    layers = list(featurize.continuous.children())
    prefix = "_preprocessor." if isinstance(module, MultiTaskRankingModel) else ""
    clips = {number: layer.magnitude for number, layer in enumerate(layers) if isinstance(layer, Clip)}
    names = {f"{prefix}_before_concat_layers.{number}": magnitude for number, magnitude in clips.items()}
    low = {f"{name}.min_value": -magnitude for name, magnitude in names.items()}
    return low | {f"{name}.max_value": magnitude for name, magnitude in names.items()}


def _ratio_names(module: nn.Module, given: Mapping[str, Tensor]) -> list[str]:
    if not isinstance(module, MultiTaskRankingModel):
        return []
    if not any(name.startswith("_calibrators.") for name in given):
        return []
    return [f"_calibrators.{sanitize(task)}.ratio" for task in module.tasks]
