"""Readers of sequences: which columns an event is made of, and how a row reads its history."""

from typing import Annotated

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel, exactly_one_of
from recap_model.config.data.sequences import SequenceName
from recap_model.config.fields.numbers import Layers, Width
from recap_model.config.model.architectures import Rate
from recap_model.config.model.tables import DiscreteColumn, TableName

Heads = Annotated[int, Field(ge=1, le=256)]
Buckets = Annotated[int, Field(ge=2, le=64)]


class SideInputConfig(StrictModel):
    """One property of an event. Ids and categories read a shared table; a time is read in buckets."""

    table: TableName | None = Field(None, description="of ids and categories: one of model.tables")
    buckets: Buckets | None = Field(
        None,
        description="of a time: 32 if not given; each is 1.4 times as long as the one before, the first 25 s",
    )


class SumConfig(StrictModel):
    """The sum of the events."""


class MeanConfig(StrictModel):
    """The mean of the events."""


class DinConfig(StrictModel):
    """Events weighted by an activation unit of event and candidate, without softmax (DIN, arXiv:1706.06978)."""

    hidden: Width = Field(16, description="width of the activation unit's hidden layer")


class AttentionConfig(StrictModel):
    """Softmax attention of the candidate to the events (arXiv:1706.03762)."""

    heads: Heads = Field(2, description="number of attention heads")


class TransformerConfig(StrictModel):
    """A transformer over the events; a candidate sees the events and itself, never another candidate.

    With one layer the candidate sees the events; from two on, events have seen one another before.
    """

    layers: Layers = Field(1, description="number of layers")
    heads: Heads = Field(2, description="number of attention heads")
    feed_forward: Width | None = Field(
        None,
        description="width of the hidden layer behind attention; twice the sequence's width if not given",
    )
    dropout: Rate = Field(0.0, description="fraction of what each layer adds that is set to zero in training")


class ReaderConfig(StrictModel):
    """How a row reads its history: exactly one way."""

    sum_config: SumConfig | None = None
    mean_config: MeanConfig | None = None
    din_config: DinConfig | None = None
    attention_config: AttentionConfig | None = None
    transformer_config: TransformerConfig | None = None

    @model_validator(mode="after")
    def _one_reader(self) -> "ReaderConfig":
        return exactly_one_of(
            self, "sum_config", "mean_config", "din_config", "attention_config", "transformer_config"
        )

    @property
    def reads_candidate(self) -> bool:
        """Whether what is read of a history depends on the candidate."""
        return self.sum_config is None and self.mean_config is None


class SequenceReaderConfig(StrictModel):
    """How a sequence of ``features.sequences`` is read; what is read, ``width`` numbers, is an input of the net."""

    width: Width = Field(16, description="of an event's vector, the candidate's, and what is read")
    inputs: dict[SequenceName, SideInputConfig] = Field(
        min_length=1, description="the columns of the sequence that are read, by key"
    )
    candidate: dict[SequenceName, DiscreteColumn] = Field(
        {},
        description="by the key of an id or a category of the events: the column of features.discrete, by name or "
        "number, that has the candidate's",
    )
    reader: ReaderConfig

    @model_validator(mode="after")
    def _candidate_as_the_reader_needs(self) -> "SequenceReaderConfig":
        kind = next(iter(self.reader.model_dump(exclude_none=True)), None)
        if kind is None:
            return self
        if self.reader.reads_candidate and not self.candidate:
            raise ValueError(f"candidate: needed by {kind}; name the candidate's column for a key of inputs")
        if self.candidate and not self.reader.reads_candidate:
            raise ValueError(f"candidate: {kind} reads every candidate the same; remove it")
        for key in self.candidate:
            if key not in self.inputs:
                raise ValueError(f"candidate.{key}: unknown key; keys of inputs: {', '.join(self.inputs)}")
            if self.inputs[key].table is None:
                raise ValueError(
                    f"candidate.{key}: has no table in inputs; a candidate is compared by ids and categories"
                )
        return self

    @model_validator(mode="after")
    def _heads_fit(self) -> "SequenceReaderConfig":
        transformer = self.reader.transformer_config
        for where, heads, unit in (
            ("attention_config", self.reader.attention_config, 1),
            ("transformer_config", transformer, 2),
        ):
            if heads is not None and self.width % (heads.heads * unit):
                raise ValueError(
                    f"width: {self.width} is not a multiple of {heads.heads * unit}, {unit} for each of "
                    f"reader.{where}.heads"
                )
        return self
