"""Architectures of towers, backbones and experts, under the published field names."""

from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from recap_model.config.base import StrictModel, exactly_one_of
from recap_model.config.fields.numbers import Coefficient, Layers, LossWeight, PositiveFloat, Width

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Momentum = Annotated[float, Field(gt=0.0, le=1.0)]


class BatchNormConfig(StrictModel):
    """Batch normalisation: whether it learns a scale and a shift, and how fast its statistics move."""

    affine: bool = Field(True, description="learn a scale and a shift")
    momentum: Momentum = Field(0.1, description="weight of a batch in the running statistics")


class DropoutConfig(StrictModel):
    """Drop-out: the fraction of activations set to zero in training."""

    rate: Rate = Field(0.1, description="fraction of activations set to zero")


class MlpConfig(StrictModel):
    """Fully connected layers; the last one is linear unless ``final_layer_activation``."""

    layer_sizes: list[Width] = Field(min_length=1, description="units of each layer")
    batch_norm: BatchNormConfig | None = None
    dropout: DropoutConfig | None = None
    final_layer_activation: bool = Field(False, description="a ReLU behind the last layer, too")


class MaskBlockConfig(StrictModel):
    """One block of MaskNet (arXiv:2102.07619); the mask's hidden width by size or by factor."""

    output_size: Width = Field(description="units of the block's output")
    aggregation_size: Width | None = Field(None, description="hidden units of the mask")
    reduction_factor: PositiveFloat | None = Field(
        None, description="hidden units of the mask, as a multiple of its inputs"
    )
    input_layer_norm: bool = Field(False, description="layer norm over the block's inputs")

    @model_validator(mode="after")
    def _check_one_size(self) -> "MaskBlockConfig":
        return exactly_one_of(self, "aggregation_size", "reduction_factor")


class MaskNetConfig(StrictModel):
    """Mask blocks, parallel or serial, and an optional MLP on their output."""

    mask_blocks: list[MaskBlockConfig] = Field(min_length=1)
    use_parallel: bool = Field(
        False, description="blocks in parallel, their outputs joined, instead of one on the other"
    )
    mlp: MlpConfig | None = None


class DcnConfig(StrictModel):
    """DCN v2 (arXiv:2008.13535): cross layers with a parallel or stacked MLP."""

    poly_degree: Layers = Field(description="number of cross layers")
    projection_dim: Width | None = Field(
        None, description="rank of the cross layers' weights; full if not given"
    )
    parallel_mlp: MlpConfig | None = None
    use_parallel: bool = Field(True, description="the MLP beside the cross layers, instead of on them")
    output_mlp: MlpConfig | None = None


class DlrmConfig(StrictModel):
    """DLRM (arXiv:1906.00091): an MLP on the dense part, dot products with the embeddings, an MLP on top."""

    bottom_mlp: MlpConfig
    top_mlp: MlpConfig


class AffineMapConfig(StrictModel):
    """A learned scale and shift of the logit, started at these values."""

    scale: Coefficient = Field(1.0, description="factor of the logit at the start")
    bias: Coefficient = Field(0.0, description="shift of the logit at the start")


def _reject_tower_field(effect: str, unused: float | None = None) -> BeforeValidator:
    """A check that a field of the published class has the value that means nothing outside of a tower."""

    def check(value: object) -> object:
        if value != unused:
            raise ValueError(f"{effect}, which only a tower has; remove it here, or set it in model.tasks")
        return value

    return BeforeValidator(check)


class ArchitectureConfig(StrictModel):
    """A tower: exactly one architecture."""

    mlp_config: MlpConfig | None = None
    mask_net_config: MaskNetConfig | None = None
    dcn_config: DcnConfig | None = None
    dlrm_config: DlrmConfig | None = None
    affine_map: AffineMapConfig | None = None
    pos_weight: LossWeight = Field(
        1.0,
        description="weight of the positives in this task's loss; training undoes it in calibrated probabilities",
    )

    @model_validator(mode="after")
    def _check_one_architecture(self) -> "ArchitectureConfig":
        return exactly_one_of(self, "mlp_config", "mask_net_config", "dcn_config", "dlrm_config")

    @model_validator(mode="after")
    def _check_one_logit(self) -> "ArchitectureConfig":
        where, size = _last_layer(self)
        if size != 1:
            raise ValueError(
                f"{where}: a tower ends in 1 unit, its logit; got {size or 'one for each input'}"
            )
        return self


def _last_layer(config: ArchitectureConfig) -> tuple[str, int | None]:
    """Where a tower's last width is set, and that width; None where it is the number of inputs."""
    if config.mlp_config is not None:
        return "mlp_config.layer_sizes", config.mlp_config.layer_sizes[-1]
    if config.dlrm_config is not None:
        return "dlrm_config.top_mlp.layer_sizes", config.dlrm_config.top_mlp.layer_sizes[-1]
    if config.mask_net_config is not None:
        net = config.mask_net_config
        if net.mlp is not None:
            return "mask_net_config.mlp.layer_sizes", net.mlp.layer_sizes[-1]
        sizes = [block.output_size for block in net.mask_blocks]
        return "mask_net_config.mask_blocks", sum(sizes) if net.use_parallel else sizes[-1]
    dcn = config.dcn_config
    if dcn is not None and dcn.output_mlp is not None:
        return "dcn_config.output_mlp.layer_sizes", dcn.output_mlp.layer_sizes[-1]
    if dcn is not None and dcn.parallel_mlp is not None and not dcn.use_parallel:
        return "dcn_config.parallel_mlp.layer_sizes", dcn.parallel_mlp.layer_sizes[-1]
    return "dcn_config.output_mlp", None


class BackboneConfig(StrictModel):
    """What the towers share: exactly one architecture.

    The published class is a tower's, so a published config writes a tower's other fields here too. They load at the
    value that means nothing, and any other is refused.
    """

    mlp_config: MlpConfig | None = None
    mask_net_config: MaskNetConfig | None = None
    dcn_config: DcnConfig | None = None
    dlrm_config: Annotated[None, _reject_tower_field("reads embeddings one by one")] = Field(
        None, description="of a tower; not here"
    )
    affine_map: Annotated[None, _reject_tower_field("maps a task's logit")] = Field(
        None, description="of a tower; not here"
    )
    pos_weight: Annotated[float, _reject_tower_field("weighs the positives in a task's loss", 1.0)] = Field(
        1.0, description="of a tower; not here"
    )

    @model_validator(mode="after")
    def _check_one_architecture(self) -> "BackboneConfig":
        return exactly_one_of(self, "mlp_config", "mask_net_config", "dcn_config")
