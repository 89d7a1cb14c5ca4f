"""Shared embedding tables, by name, and the columns that read them."""

from typing import Annotated

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.names import ColumnName
from recap_model.config.fields.numbers import NonNegativeInt, PositiveInt, TableSize, Width
from recap_model.config.model.inputs import HASH, PRETRAINED, VOCAB, check_room

# Names of modules and of parameters: no dot.
TableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
DiscreteColumn = NonNegativeInt | ColumnName


class TableConfig(StrictModel):
    """A table that any number of columns read: single ids, lists of ids, columns of sequences.

    Missing ids, and ids outside the table or the vocabulary, read its entry 0. With ``min_count``, ids are looked up
    among those that are so frequent in the training rows, in all columns together; with ``vocab``, among those of a
    file. With ``hash`` an id's entry is its hash, from 1 on. Without any, an id is its entry.
    """

    num_embeddings: TableSize = Field(description="entries of the table, that of unknown ids included")
    embedding_dim: Width = Field(description="width of an entry")
    min_count: PositiveInt | None = Field(
        None, description="training rows from which an id has an entry of its own"
    )
    hash: bool = Field(False, description=HASH)
    hashes: Annotated[int, Field(ge=1, le=16)] = Field(
        1,
        description="of hash: entries that an id reads, each by a hash of its own, summed (arXiv:1706.03993); ids "
        "that share one entry still differ in another",
    )
    pretrained: str | None = Field(None, description=PRETRAINED)
    vocab: str | None = Field(None, description=VOCAB)

    @model_validator(mode="after")
    def _one_way_to_find_ids(self) -> "TableConfig":
        check_room(
            self.num_embeddings,
            min_count=self.min_count is not None,
            vocab=self.vocab is not None,
            hash=self.hash,
        )
        if self.hashes > 1 and not self.hash:
            raise ValueError(
                f"hashes: {self.hashes} entries of an id are those of hashes; set hash, or remove it"
            )
        if self.pretrained is not None and (self.hash or self.min_count is not None):
            raise ValueError(
                "pretrained: values at the start belong to ids; use vocab, or neither hash nor min_count"
            )
        return self

    @property
    def takes_any_id(self) -> bool:
        """Whether ids are looked up or hashed, so that they may be of any size, or text."""
        return self.hash or self.min_count is not None or self.vocab is not None


class IdConfig(StrictModel):
    """A column whose ids read a shared table; what they read is an input of the net."""

    table: TableName = Field(description="one of model.tables")
    column: DiscreteColumn = Field(
        description="of features.discrete, by name or number, or of features.sparse by name: entries are summed"
    )
