"""The section `features`: which columns of the log form which input group of the model."""

import math
from collections.abc import Collection, Mapping
from typing import Annotated, Literal, NamedTuple

from pydantic import Discriminator, Field, Tag, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.data.derived import DerivedColumn
from recap_model.config.data.sequences import DerivedSequence, Sequence, SequenceName, sequence_errors
from recap_model.config.fields.names import ColumnName
from recap_model.config.fields.numbers import NonNegativeInt, PositiveInt


class DenseGroup(NamedTuple):
    """What a group of columns with one number each holds.

    Attributes:
        role: of its columns in a log, which says what types they may have.
        missing: what a missing value is read as.
        is_ids: its numbers are ids, int64; else they are float32.
    """

    role: Literal["continuous", "binary", "discrete", "embedding"]
    missing: float = 0.0
    is_ids: bool = False


DENSE_GROUPS = {
    "continuous": DenseGroup("continuous", missing=math.nan),
    "binary": DenseGroup("binary"),
    "discrete": DenseGroup("discrete", missing=-1, is_ids=True),
    "user_embedding": DenseGroup("embedding"),
    "user_eng_embedding": DenseGroup("embedding"),
    "author_embedding": DenseGroup("embedding"),
}
"""Each is a field of `FeaturesConfig` and of `recap_model.data.dataset.batch.RecapBatch`."""

EMBEDDING_GROUPS = tuple(name for name, group in DENSE_GROUPS.items() if group.role == "embedding")
_SCALAR_GROUPS = tuple(name for name in DENSE_GROUPS if name not in EMBEDDING_GROUPS)

_WIDEST = 1_000_000  # far beyond any list, and its positions still fit into memory


class ListColumn(StrictModel):
    """A group stored as one column of fixed-size lists."""

    column: ColumnName = Field(description="column of lists")
    width: Annotated[int, Field(ge=1, le=_WIDEST)] = Field(description="numbers in each list of the log")
    slices: list[tuple[NonNegativeInt, PositiveInt]] | None = Field(
        None,
        description="ranges [start, end) of the list that are read, in this order; all of it if not given",
    )

    @model_validator(mode="after")
    def _slices_fit(self) -> "ListColumn":
        for start, end in self.slices or ():
            if not start < end <= self.width:
                raise ValueError(f"slices: [{start}, {end}] is not a range of a list of {self.width}")
        if len(set(self.positions)) < len(self.positions) or not self.positions:
            raise ValueError("slices: a number is read once; give ranges that do not overlap")
        return self

    @property
    def positions(self) -> list[int]:
        """Positions of the list that are read: the group's columns."""
        slices = [(0, self.width)] if self.slices is None else self.slices
        return [position for start, end in slices for position in range(start, end)]


ScalarColumns = Annotated[list[ColumnName], Field(description="one scalar column of the log for each input")]
Group = Annotated[
    Annotated[ScalarColumns, Tag("columns")] | Annotated[ListColumn, Tag("list_column")],
    Discriminator(lambda group: "list_column" if isinstance(group, Mapping | ListColumn) else "columns"),
]


class IdColumns(StrictModel):
    """Columns that say whose impression a row is. They are no inputs of the model."""

    request: ColumnName | None = Field(None, description="one ranked list shown to one user")
    user: ColumnName | None = Field(None, description="rows of one user are resampled together in evaluation")
    candidate: ColumnName | None = Field(None, description="the post, video or item shown")


class TimestampColumns(StrictModel):
    """Columns of timestamps, or of int64 milliseconds since 1970-01-01 UTC."""

    impressed: ColumnName | None = Field(
        None, description="when the candidate was seen; splits by time use it"
    )
    served: ColumnName | None = Field(None, description="when the ranked list was sent")
    engaged: ColumnName | None = Field(
        None, description="when the first engagement happened, null where none did"
    )
    computed: ColumnName | None = Field(
        None,
        description="when the features were computed; after the impression they would give away the label",
    )


class FeaturesConfig(StrictModel):
    """Groups of columns, each read to one 2-D tensor of (rows, width)."""

    continuous: Group = Field([], description="numbers that are read by their size; columns, or one of lists")
    binary: Group = Field([], description="flags, 0 or 1; columns, or one of lists")
    discrete: Group = Field([], description="ids: integers, text or binary; null reads as -1, the unknown id")
    user_embedding: ListColumn | None = Field(None, description="a pretrained embedding of the user")
    user_eng_embedding: ListColumn | None = Field(
        None, description="a pretrained embedding of the user's engagements"
    )
    author_embedding: ListColumn | None = Field(None, description="a pretrained embedding of the author")
    sparse: list[ColumnName] = Field([], description="columns of id lists of any length")
    longest_list: PositiveInt | None = Field(
        None, description="ids of a sparse list that are read, its first ones; all if not given"
    )
    derived: dict[ColumnName, DerivedColumn] = Field(
        {}, description="columns computed from others of the log, which groups name like the log's own"
    )
    sequences: dict[SequenceName, Sequence] = Field(
        {}, description="what a user did before, in aligned columns of lists"
    )
    derived_sequences: dict[SequenceName, DerivedSequence] = Field(
        {}, description="sequences that prepare makes of the log's own earlier rows"
    )
    ids: IdColumns = IdColumns()
    timestamps: TimestampColumns = TimestampColumns()
    weight: ColumnName | None = Field(
        None, description="a column of row weights, multiplied into every task's"
    )

    @model_validator(mode="after")
    def _has_inputs(self) -> "FeaturesConfig":
        sequences = self.sequences or self.derived_sequences
        if not any(self.width(group) for group in DENSE_GROUPS) and not self.sparse and not sequences:
            raise ValueError(
                "no group has a column; give at least one of "
                + ", ".join((*DENSE_GROUPS, "sparse", "sequences"))
            )
        return self

    @model_validator(mode="after")
    def _derived_columns_fit(self) -> "FeaturesConfig":
        scalars = {name for group in _SCALAR_GROUPS for name in self._scalars(group)}
        for name, column in self.derived.items():
            if name not in scalars:
                raise ValueError(f"derived: {name!r} is in no group; name it in {', '.join(_SCALAR_GROUPS)}")
            for source in column.of:
                if source in self.derived:
                    raise ValueError(f"derived.{name}.of: {source!r} is derived too; give columns of the log")
                if source == self.timestamps.engaged:
                    raise ValueError(
                        f"derived.{name}.of: {source!r} is known only after the fact, like a label"
                    )
        return self

    @model_validator(mode="after")
    def _columns_are_distinct(self) -> "FeaturesConfig":
        seen: set[str] = set()
        for column in (*self._inputs(), *self.sequence_columns()):
            if column in seen:
                raise ValueError(f"column {column!r} is named twice; a column belongs to one group")
            seen.add(column)
        return self

    @model_validator(mode="after")
    def _sequences_fit(self) -> "FeaturesConfig":
        errors = list(sequence_errors(self))
        if errors:
            raise ValueError("\n".join(errors))
        return self

    def width(self, group: str) -> int:
        """Number of inputs in a dense group; 0 for one that is not configured."""
        value = getattr(self, group)
        if value is None:
            return 0
        return len(value.positions) if isinstance(value, ListColumn) else len(value)

    def group_columns(self, group: str) -> list[str]:
        """The columns that a dense group is read from, of the log or derived."""
        value = getattr(self, group)
        if value is None:
            return []
        return [value.column] if isinstance(value, ListColumn) else list(value)

    def columns(self) -> list[str]:
        """Every column of the log that the groups read, each once, in the order of the groups."""
        named = [self.derived[name].of if name in self.derived else [name] for name in self._inputs()]
        return list(dict.fromkeys(column for columns in named for column in columns))

    def missing(self, names: Collection[str]) -> list[str]:
        """Columns that the groups cannot be read without; a derived one may be there itself, computed before."""
        wanted = [name for name in self._inputs() if name not in names]
        lists = [self.derived[name].of if name in self.derived else [name] for name in wanted]
        return list(dict.fromkeys(column for columns in lists for column in columns if column not in names))

    def all_sequences(self) -> dict[str, Sequence]:
        """Every sequence as rows to score have it, by name; those that prepare makes come last."""
        return self.sequences | {name: made.as_read(name) for name, made in self.derived_sequences.items()}

    @property
    def lookback_days(self) -> int:
        """Days before the window that derived sequences need."""
        return max((made.lookback_days for made in self.derived_sequences.values()), default=0)

    def sequence_columns(self) -> list[str]:
        """The columns of lists that the log has for sequences."""
        return [side.column for sequence in self.sequences.values() for side in sequence.columns.values()]

    def _inputs(self) -> list[str]:
        return [column for group in DENSE_GROUPS for column in self.group_columns(group)] + self.sparse

    def _scalars(self, group: str) -> list[str]:
        value = getattr(self, group)
        return value if isinstance(value, list) else []
