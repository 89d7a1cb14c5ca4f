"""The network: featurization, shared layers and towers, under the published field names."""

from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from recap_model.config.base import Config, distinct_names, exactly_one_of
from recap_model.config.tasks import TaskName

Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
JoinedGroup = Literal["binary", "discrete", "user_embedding", "user_eng_embedding", "author_embedding"]
Momentum = Annotated[float, Field(gt=0.0, le=1.0)]


class BatchNormConfig(Config):
    """Batch normalisation: whether it learns a scale and a shift, and how fast its statistics move."""

    affine: bool = True
    momentum: Momentum = 0.1


class DropoutConfig(Config):
    """Drop-out: the share of activations set to zero in training."""

    rate: Rate = 0.1


class MlpConfig(Config):
    """Fully connected layers; the last one is linear unless ``final_layer_activation``."""

    layer_sizes: list[PositiveInt] = Field(min_length=1)
    batch_norm: BatchNormConfig | None = None
    dropout: DropoutConfig | None = None
    final_layer_activation: bool = False


class MaskBlockConfig(Config):
    """One block of MaskNet (arXiv:2102.07619); the mask's hidden width by size or by factor."""

    output_size: PositiveInt
    aggregation_size: PositiveInt | None = None
    reduction_factor: PositiveFloat | None = None
    input_layer_norm: bool = False

    @model_validator(mode="after")
    def _one_size(self) -> "MaskBlockConfig":
        return exactly_one_of(self, "aggregation_size", "reduction_factor")


class MaskNetConfig(Config):
    """Mask blocks side by side or one behind the other, and an optional MLP on their output."""

    mask_blocks: list[MaskBlockConfig] = Field(min_length=1)
    use_parallel: bool = False
    mlp: MlpConfig | None = None


class DcnConfig(Config):
    """DCN v2 (arXiv:2008.13535): cross layers with an MLP beside or behind them."""

    poly_degree: PositiveInt
    projection_dim: PositiveInt | None = Field(
        None, description="rank of the cross layers' weights; full if not given"
    )
    parallel_mlp: MlpConfig | None = None
    use_parallel: bool = True
    output_mlp: MlpConfig | None = None


class DlrmConfig(Config):
    """DLRM (arXiv:1906.00091): an MLP on the dense part, dot products with the embeddings, an MLP on top."""

    bottom_mlp: MlpConfig
    top_mlp: MlpConfig


class AffineMapConfig(Config):
    """A learned scale and shift of the logit, started at these values."""

    scale: float = 1.0
    bias: float = 0.0


class ArchitectureConfig(Config):
    """A tower: exactly one architecture."""

    mlp_config: MlpConfig | None = None
    mask_net_config: MaskNetConfig | None = None
    dcn_config: DcnConfig | None = None
    dlrm_config: DlrmConfig | None = None
    affine_map: AffineMapConfig | None = None
    pos_weight: PositiveFloat = Field(1.0, description="weight of the positives in this task's loss")

    @model_validator(mode="after")
    def _one_architecture(self) -> "ArchitectureConfig":
        return exactly_one_of(self, "mlp_config", "mask_net_config", "dcn_config", "dlrm_config")

    @model_validator(mode="after")
    def _one_logit(self) -> "ArchitectureConfig":
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


class BackboneConfig(Config):
    """What the towers share: exactly one architecture."""

    mlp_config: MlpConfig | None = None
    mask_net_config: MaskNetConfig | None = None
    dcn_config: DcnConfig | None = None
    dlrm_config: None = Field(
        None, description="a DLRM reads embeddings one by one; it is a tower's, never shared"
    )

    @model_validator(mode="after")
    def _one_architecture(self) -> "BackboneConfig":
        return exactly_one_of(self, "mlp_config", "mask_net_config", "dcn_config")


class LayerNormConfig(Config):
    """Layer normalisation over all featurized inputs."""

    axis: Literal[-1] = -1
    center: bool = True
    epsilon: Annotated[float, Field(ge=0.0)] = 1e-3
    scale: bool = True

    @model_validator(mode="after")
    def _center_as_scale(self) -> "LayerNormConfig":
        if self.center != self.scale:
            raise ValueError(
                "center must equal scale: the shift and the scale are learned together or not at all"
            )
        return self


class DoubleNormLogConfig(Config):
    """Signed log, batch norm, clip, then layer norm together with the binary inputs."""

    batch_norm_config: BatchNormConfig | None = None
    clip_magnitude: PositiveFloat = 5.0
    layer_norm_config: LayerNormConfig | None = None


class Log1pAbsConfig(Config):
    """The signed log alone."""


class ClipLog1pAbsConfig(Config):
    """The signed log, clipped."""

    clip_magnitude: PositiveFloat = 3e38


class ZScoreLogConfig(Config):
    """The signed log, standardised by statistics of the training rows, clipped."""

    clip_magnitude: PositiveFloat = 5.0
    batch_norm_config: BatchNormConfig | None = None


class QuantileConfig(Config):
    """A missing flag, the standardised signed log, clipped, and the rank among the training rows."""

    points: Annotated[int, Field(ge=2)] = Field(33, description="quantiles of a column that the model keeps")
    clip_magnitude: PositiveFloat = 5.0


class FeaturizationConfig(Config):
    """How continuous inputs are transformed, and which groups are joined to them."""

    log1p_abs_config: Log1pAbsConfig | None = None
    clip_log1p_abs_config: ClipLog1pAbsConfig | None = None
    z_score_log_config: ZScoreLogConfig | None = None
    double_norm_log_config: DoubleNormLogConfig | None = None
    quantile_config: QuantileConfig | None = None
    feature_names_to_concat: list[JoinedGroup] = ["binary"]

    @model_validator(mode="after")
    def _one_kind(self) -> "FeaturizationConfig":
        return exactly_one_of(
            self,
            "log1p_abs_config",
            "clip_log1p_abs_config",
            "z_score_log_config",
            "double_norm_log_config",
            "quantile_config",
        )


class PositionDebiasConfig(Config):
    """An embedding of the position, dropped to "unknown" in training by chance and always in serving."""

    max_position: PositiveInt = 256
    num_dims: PositiveInt = 64
    drop_probability: Annotated[float, Field(ge=0.0, le=1.0)] = 0.5
    position_feature_index: NonNegativeInt = Field(description="column of the position in the discrete group")


class SmallEmbeddingTableConfig(Config):
    """A table read by one discrete column. Missing ids, and ids outside the table, read its entry 0.

    With ``min_count``, ids are looked up among those that are so frequent in the training rows (the top
    ``num_embeddings - 1`` of them); others are unknown. Without it an id is its entry.
    """

    name: str
    num_embeddings: PositiveInt
    embedding_dim: PositiveInt
    index: NonNegativeInt = Field(description="column in the discrete group")
    min_count: PositiveInt | None = None

    @model_validator(mode="after")
    def _room_for_ids(self) -> "SmallEmbeddingTableConfig":
        if self.min_count is not None and self.num_embeddings < 2:
            raise ValueError(
                "num_embeddings: a table with min_count needs 2 at least, as entry 0 is the unknown id"
            )
        return self


class SmallEmbeddingsConfig(Config):
    """Tables that are trained with the model's own optimizer."""

    tables: list[SmallEmbeddingTableConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "SmallEmbeddingsConfig":
        return distinct_names(self, "tables")


class LargeEmbeddingTableConfig(Config):
    """A table read by the column of id lists that has its name; the entries of a row's ids are summed.

    Without ``vocab`` an id is its entry. Ids outside the table or the vocabulary read its entry 0.
    """

    name: str = Field(description="of the table, and of its column in features.sparse")
    num_embeddings: PositiveInt
    embedding_dim: PositiveInt
    pretrained: str | None = Field(
        None,
        description="a .npy file of the values at the start: (num_embeddings, embedding_dim), or with vocab "
        "(ids of vocab, embedding_dim)",
    )
    vocab: str | None = Field(
        None, description="a text file with an id a line, at most num_embeddings - 1 of them"
    )

    @model_validator(mode="after")
    def _room_for_ids(self) -> "LargeEmbeddingTableConfig":
        if self.vocab is not None and self.num_embeddings < 2:
            raise ValueError(
                "num_embeddings: a table with vocab needs 2 at least, as entry 0 is the unknown id"
            )
        return self


class LargeEmbeddingsConfig(Config):
    """Tables over ids of users, posts, authors."""

    tables: list[LargeEmbeddingTableConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "LargeEmbeddingsConfig":
        return distinct_names(self, "tables")


class StratifierConfig(Config):
    """Metrics again for rows whose discrete column has this value."""

    name: str
    index: NonNegativeInt
    value: int


class MmoeConfig(Config):
    """Multi-gate mixture of experts (KDD 2018): experts that all tasks share, a softmax gate for each task."""

    expert: BackboneConfig = Field(description="architecture of each expert")
    num_experts: PositiveInt = 4


class PleConfig(Config):
    """Progressive layered extraction (RecSys 2020): experts of each task beside shared ones, in levels."""

    expert: BackboneConfig = Field(description="architecture of each expert, in every level")
    levels: PositiveInt = 1
    task_experts: PositiveInt = Field(1, description="experts of each task, in each level")
    shared_experts: PositiveInt = Field(1, description="experts of all tasks, in each level")


class LossConfig(Config):
    """Weighted binary cross-entropy of each task, and how the tasks' losses become one."""

    normalise: bool = Field(
        False,
        description="divide a task's sum of weighted losses by the sum of weights instead of the number of "
        "labelled rows, so that the scale of the weights does not matter",
    )
    task_reduction: Literal["mean", "sum", "min", "max", "median"] = "mean"


class ModelConfig(Config):
    """Inputs, shared layers, towers."""

    featurization_config: FeaturizationConfig
    multi_task_type: Literal["share_none", "share_all", "share_partial", "mmoe", "ple"]
    backbone: BackboneConfig | None = Field(None, description="of share_all and share_partial")
    mmoe: MmoeConfig | None = Field(None, description="experts of multi_task_type mmoe")
    ple: PleConfig | None = Field(None, description="experts of multi_task_type ple")
    tower: ArchitectureConfig | None = Field(
        None, description="architecture of each task that `tasks` leaves out"
    )
    tasks: dict[TaskName, ArchitectureConfig] = {}
    position_debias_config: PositionDebiasConfig | None = None
    small_embeddings: SmallEmbeddingsConfig | None = None
    large_embeddings: LargeEmbeddingsConfig | None = None
    stratifiers: list[StratifierConfig] | None = None
    loss: LossConfig = LossConfig()

    @model_validator(mode="after")
    def _shared_as_the_type_says(self) -> "ModelConfig":
        kind = self.multi_task_type
        needed = {"share_all": "backbone", "share_partial": "backbone", "mmoe": "mmoe", "ple": "ple"}.get(
            kind
        )
        for field in ("backbone", "mmoe", "ple"):
            if field == needed and getattr(self, field) is None:
                raise ValueError(f"{field}: needed by multi_task_type {kind}")
            if field != needed and getattr(self, field) is not None:
                raise ValueError(f"{field}: {kind} has none; remove it or change multi_task_type")
        return self

    @model_validator(mode="after")
    def _stratifiers_differ(self) -> "ModelConfig":
        return distinct_names(self, "stratifiers")

    @model_validator(mode="after")
    def _all_dlrm_or_none(self) -> "ModelConfig":
        towers = {f"tasks.{task}": tower for task, tower in self.tasks.items()}
        if self.tower is not None:
            towers["tower"] = self.tower
        dlrm = [where for where, tower in towers.items() if tower.dlrm_config is not None]
        if dlrm and len(dlrm) < len(towers):
            other = next(where for where in towers if where not in dlrm)
            raise ValueError(
                f"{other}: needs dlrm_config as {dlrm[0]} has one; all towers are DLRMs, or none"
            )
        if dlrm and self.multi_task_type != "share_none":
            raise ValueError(
                f"multi_task_type: {self.multi_task_type}: towers with dlrm_config need share_none"
            )
        return self

    def architectures(self, tasks: Iterable[str] | None = None) -> dict[str, ArchitectureConfig]:
        """The architecture of each of ``tasks``, or of the tasks of this section if not given.

        Raises ValueError for a task that has none.
        """
        chosen: dict[str, ArchitectureConfig] = {}
        for task in self.tasks if tasks is None else tasks:
            architecture = self.tasks.get(task, self.tower)
            if architecture is None:
                raise ValueError(f"model.tasks: no architecture for {task}; add it or give model.tower")
            chosen[task] = architecture
        if not chosen:
            raise ValueError("model.tasks: no task; a model predicts at least one")
        return chosen

    def discrete_indices(self) -> Iterator[tuple[str, int]]:
        """Each column of the discrete group that the model reads, behind the path of its field."""
        if self.small_embeddings is not None:
            for number, table in enumerate(self.small_embeddings.tables):
                yield f"model.small_embeddings.tables.{number}.index", table.index
        if self.position_debias_config is not None:
            index = self.position_debias_config.position_feature_index
            yield "model.position_debias_config.position_feature_index", index
        for number, stratifier in enumerate(self.stratifiers or ()):
            yield f"model.stratifiers.{number}.index", stratifier.index
