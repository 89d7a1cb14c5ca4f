"""Inputs of the network: featurization, embeddings, position, under the published field names."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel, distinct_names, exactly_one_of
from recap_model.config.fields.names import ColumnName, Name
from recap_model.config.fields.numbers import NonNegativeInt, PositiveFloat, PositiveInt, TableSize, Width
from recap_model.config.model.architectures import BatchNormConfig

HASH = "ids are hashed into the entries; prepare reports the collision rate"
PRETRAINED = (
    "a .npy file of the values at the start: (num_embeddings, embedding_dim), or with vocab (ids of vocab, "
    "embedding_dim)"
)
VOCAB = (
    "a text file with an id on each line, at most num_embeddings - 1 of them: integers, or text where the column is "
    "of text or binary"
)

JoinedGroup = Literal["binary", "discrete", "user_embedding", "user_eng_embedding", "author_embedding"]


class LayerNormConfig(StrictModel):
    """Layer normalisation over all featurized inputs."""

    axis: Literal[-1] = Field(-1, description="the last, of columns")
    center: bool = Field(True, description="learn a shift; as `scale`")
    epsilon: Annotated[float, Field(ge=0.0)] = Field(1e-3, description="added to the variance")
    scale: bool = Field(True, description="learn a scale; as `center`")

    @model_validator(mode="after")
    def _center_as_scale(self) -> "LayerNormConfig":
        if self.center != self.scale:
            raise ValueError(
                "center must equal scale: the shift and the scale are learned together or not at all"
            )
        return self


class DoubleNormLogConfig(StrictModel):
    """Signed log, batch norm, clip, then layer norm together with the binary inputs."""

    batch_norm_config: BatchNormConfig | None = None
    clip_magnitude: PositiveFloat = Field(5.0, description="largest magnitude of a transformed value")
    layer_norm_config: LayerNormConfig | None = None


class Log1pAbsConfig(StrictModel):
    """The signed log alone."""


class ClipLog1pAbsConfig(StrictModel):
    """The signed log, clipped."""

    clip_magnitude: Annotated[float, Field(gt=0.0, le=3.4e38)] = Field(
        3e38, description="largest magnitude of a transformed value"
    )


class ZScoreLogConfig(StrictModel):
    """The signed log, standardised by statistics of the training rows, clipped."""

    clip_magnitude: PositiveFloat = Field(5.0, description="largest magnitude of a transformed value")
    batch_norm_config: BatchNormConfig | None = None


class PiecewiseLinearConfig(StrictModel):
    """A missing flag, the standardised signed log, clipped, and an embedding of the position among the knots."""

    bins: Width = Field(64, description="intervals between knots that the model keeps of a column")
    bins_by_column: dict[ColumnName, Width] = Field(
        {},
        exclude_if=lambda bins: not bins,
        description="bins of single columns of features.continuous, instead of `bins`: a column that is mostly one "
        "value needs more",
    )
    embedding_dim: Width = Field(
        8, description="width of each column's embedding of its position among the knots"
    )
    clip_magnitude: PositiveFloat = Field(5.0, description="largest magnitude of the standardised log")


class FeaturizationConfig(StrictModel):
    """How continuous inputs are transformed, and which groups are joined to them."""

    log1p_abs_config: Log1pAbsConfig | None = None
    clip_log1p_abs_config: ClipLog1pAbsConfig | None = None
    z_score_log_config: ZScoreLogConfig | None = None
    double_norm_log_config: DoubleNormLogConfig | None = None
    piecewise_linear_config: PiecewiseLinearConfig | None = None
    feature_names_to_concat: list[JoinedGroup] = Field(
        ["binary"], description="groups that are joined to the continuous inputs as they are"
    )

    @model_validator(mode="after")
    def _one_kind(self) -> "FeaturizationConfig":
        return exactly_one_of(
            self,
            "log1p_abs_config",
            "clip_log1p_abs_config",
            "z_score_log_config",
            "double_norm_log_config",
            "piecewise_linear_config",
        )


class PositionDebiasConfig(StrictModel):
    """An embedding of the position, dropped to "unknown" in training by chance and always in serving."""

    max_position: Width = Field(256, description="positions from here on share an entry")
    num_dims: Width = Field(64, description="width of the embedding")
    drop_probability: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.5, description="fraction of training rows whose position is unknown"
    )
    position_feature_index: NonNegativeInt = Field(description="column of the position in the discrete group")


class SmallEmbeddingTableConfig(StrictModel):
    """A table read by one discrete column. Missing ids, and ids outside the table, read its entry 0.

    With ``min_count``, ids are looked up among those that are so frequent in the training rows (the top
    ``num_embeddings - 1`` of them); others are unknown. With ``hash`` an id's entry is its hash, from 1 on, and no
    id is outside the table. With either, ids are integers of any sign, text or binary. Without, an id is its entry.
    """

    name: Name = Field(description="name of the table")
    num_embeddings: TableSize = Field(description="entries of the table, that of unknown ids included")
    embedding_dim: Width = Field(description="width of an entry")
    index: NonNegativeInt = Field(description="column in the discrete group")
    min_count: PositiveInt | None = Field(
        None, description="training rows from which an id has an entry of its own"
    )
    hash: bool = Field(False, description=HASH)

    @model_validator(mode="after")
    def _room_for_ids(self) -> "SmallEmbeddingTableConfig":
        check_room(self.num_embeddings, min_count=self.min_count is not None, hash=self.hash)
        return self


class SmallEmbeddingsConfig(StrictModel):
    """Tables that are trained with the model's own optimizer."""

    tables: list[SmallEmbeddingTableConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "SmallEmbeddingsConfig":
        return distinct_names(self, "tables")


class LargeEmbeddingTableConfig(StrictModel):
    """A table read by the column of id lists that has its name; the entries of a row's ids are summed.

    With ``hash`` an id's entry is its hash, from 1 on; without it and ``vocab`` an id is its entry. Ids outside the
    table or the vocabulary read its entry 0.
    """

    name: Name = Field(description="of the table, and of its column in features.sparse")
    num_embeddings: TableSize = Field(description="entries of the table, that of unknown ids included")
    embedding_dim: Width = Field(description="width of an entry")
    pretrained: str | None = Field(None, description=PRETRAINED)
    vocab: str | None = Field(None, description=VOCAB)
    hash: bool = Field(False, description=HASH)

    @model_validator(mode="after")
    def _room_for_ids(self) -> "LargeEmbeddingTableConfig":
        check_room(self.num_embeddings, vocab=self.vocab is not None, hash=self.hash)
        if self.hash and self.pretrained is not None:
            raise ValueError(
                "pretrained: values at the start belong to ids, which a table with hash does not keep apart"
            )
        return self


class LargeEmbeddingsConfig(StrictModel):
    """Tables over ids of users, posts, authors."""

    tables: list[LargeEmbeddingTableConfig] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_differ(self) -> "LargeEmbeddingsConfig":
        return distinct_names(self, "tables")


def check_room(num_embeddings: int, **ways: bool) -> None:
    """Raise ValueError unless ids are looked up in one way, and the table has an entry for one beside the unknown."""
    chosen = [name for name, used in ways.items() if used]
    if len(chosen) > 1:
        raise ValueError(f"{' and '.join(chosen)}: a table finds its ids in one way; remove one of them")
    if chosen and num_embeddings < 2:
        raise ValueError(
            f"num_embeddings: a table with {chosen[0]} needs 2 at least, as entry 0 is the unknown id"
        )
