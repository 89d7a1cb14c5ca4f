"""Sequences: what a user did before each impression, in aligned lists of a row or made by prepare from the log."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.names import ColumnName, TaskName
from recap_model.config.fields.numbers import Id

if TYPE_CHECKING:
    from recap_model.config.data.features import FeaturesConfig

SequenceKind = Literal["id", "category", "actions", "number", "time"]

LENGTH = "length"
"""The key of a sequence's lengths in a batch; no column of a sequence has it."""

_MAX_LENGTH = 100_000
MAX_ACTIONS = 63  # the bits of a non-negative int64

# Names of tensors, of graph inputs and of modules: no dot.
SequenceName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", max_length=100)]
MaxLength = Annotated[int, Field(ge=1, le=_MAX_LENGTH)]
ActionNames = list[str] | list[Id]


class SequenceColumn(StrictModel):
    """One property of a sequence's events, a column of lists in the log; a column's name alone is of ``id``.

    ``id`` and ``category`` are integers, text or binary; ``number`` any number; ``time`` the time of the event, read
    as the hours from it to the impression; ``actions`` lists of the actions taken on each event, of which ``values``
    names those that are read.
    """

    column: ColumnName = Field(description="column of lists of the log")
    kind: SequenceKind = Field("id", description="what the lists hold, as said above")
    values: ActionNames | None = Field(
        None,
        min_length=1,
        max_length=MAX_ACTIONS,
        description="of actions: those that are read, in this order",
    )

    @model_validator(mode="before")
    @classmethod
    def _column_name_alone(cls, content: Any) -> Any:
        return {"column": content} if isinstance(content, str) else content

    @model_validator(mode="after")
    def _values_of_actions(self) -> "SequenceColumn":
        _check_values(self.kind, self.values)
        return self


class Sequence(StrictModel):
    """Aligned columns of lists: entry n of each is of the same event."""

    columns: dict[SequenceName, SequenceColumn] = Field(min_length=1)
    max_length: MaxLength = Field(50, description="events that are read, the newest ones")
    order: Literal["newest_first", "oldest_first"] = Field(
        "newest_first", description="of the events in the log's lists"
    )

    @model_validator(mode="after")
    def _no_reserved_key(self) -> "Sequence":
        _check_keys(self.columns)
        return self


class DerivedSequenceColumn(StrictModel):
    """One property of the events, from a column of their rows in the log; a column's name alone is of ``id``.

    ``actions`` are positive labels: ``values`` are tasks, and no column is given. ``time`` is the event's
    ``timestamps.impressed``, and no column is given. A value is part of a history only from ``known_at`` of its event
    on.
    """

    column: ColumnName | None = Field(
        None, description="column of the events' rows; none of actions and time"
    )
    kind: SequenceKind = Field("id", description="what the column holds, as said above")
    values: list[TaskName] | None = Field(
        None, min_length=1, max_length=MAX_ACTIONS, description="of actions: the tasks, in this order"
    )
    known_at: ColumnName | None = Field(
        None,
        description="column of the time from which the value is known; of actions timestamps.engaged, else the "
        "impression, if not given",
    )

    @model_validator(mode="before")
    @classmethod
    def _column_name_alone(cls, content: Any) -> Any:
        return {"column": content} if isinstance(content, str) else content

    @model_validator(mode="after")
    def _takes_its_fields(self) -> "DerivedSequenceColumn":
        _check_values(self.kind, self.values)
        has_column = self.kind not in ("actions", "time")
        if has_column != (self.column is not None):
            of = {"actions": "the labels of tasks", "time": "timestamps.impressed"}.get(self.kind, "a column")
            raise ValueError(
                f"column: {self.kind} is of {of}; {'give' if has_column else 'remove'} the column"
            )
        if self.kind == "time" and self.known_at is not None:
            raise ValueError("known_at: the time of an event is known with the event; remove it")
        return self


class DerivedSequence(StrictModel):
    """Events of the same user before each impression, made by prepare from the log's own rows, newest first.

    An event is in the history of an impression if it is of an earlier millisecond (``timestamps.impressed``) and of
    another request. With ``only_where`` it is so only where the label of that task is positive, and from its
    ``timestamps.engaged`` on. Rows to score have the histories as columns ``NAME.KEY`` of lists.
    """

    of: Literal["user"] = Field("user", description="the column of features.ids that events have in common")
    columns: dict[SequenceName, DerivedSequenceColumn] = Field(min_length=1)
    max_length: MaxLength = Field(50, description="events that are kept, the newest ones")
    only_where: TaskName | None = Field(None, description="task whose positives alone are events")
    lookback_days: Annotated[int, Field(ge=0, le=36_600)] = Field(
        0, description="days of log before the window whose rows are events too"
    )

    @model_validator(mode="after")
    def _no_reserved_key(self) -> "DerivedSequence":
        _check_keys(self.columns)
        return self

    def as_read(self, name: str) -> Sequence:
        """The sequence as rows to score have it, under its own name."""
        columns = {
            key: SequenceColumn(column=f"{name}.{key}", kind=column.kind, values=column.values)
            for key, column in self.columns.items()
        }
        return Sequence(columns=columns, max_length=self.max_length)


def sequence_errors(features: "FeaturesConfig") -> Iterator[str]:
    """What the sequences of `features` need of its other fields and do not have, a line each."""
    for name, sequence in features.sequences.items():
        if name in features.derived_sequences:
            yield f"derived_sequences: {name!r} is in sequences too; rename one of them"
        timed = any(column.kind == "time" for column in sequence.columns.values())
        if timed and features.timestamps.impressed is None:
            yield f"timestamps.impressed: needed by sequences.{name}, whose times are read as hours to it"
        for column in sequence.columns.values():
            if column.column in features.derived:
                yield f"derived: {column.column!r} is a column of sequences.{name}; rename the derived one"
    for name, made in features.derived_sequences.items():
        yield from _derived_sequence_errors(features, name, made)


def _derived_sequence_errors(features: "FeaturesConfig", name: str, made: DerivedSequence) -> Iterator[str]:
    where, stamps = f"derived_sequences.{name}", features.timestamps
    if features.ids.user is None:
        yield f"ids.user: needed by {where}, whose events are the user's"
    if stamps.impressed is None:
        yield f"timestamps.impressed: needed by {where}, as the time of an event"
    if made.only_where is not None and stamps.engaged is None:
        yield f"timestamps.engaged: needed by {where}.only_where, as the time from which an event is known"
    known = {*features.columns(), features.ids.user, features.ids.candidate}
    for key, column in made.columns.items():
        path = f"{where}.columns.{key}"
        if column.column in features.derived:
            yield f"{path}.column: {column.column!r} is derived; give a column of the log"
        elif column.known_at is not None or column.kind == "time":
            continue
        elif column.kind == "actions" and stamps.engaged is None:
            yield (
                f"{path}.known_at: an action counts from its own time on; name the column of that time, here or as "
                "timestamps.engaged"
            )
        elif column.kind != "actions" and column.column not in known:
            yield (
                f"{path}.known_at: {column.column!r} is no feature and no id, so it may be known only after the "
                "impression; name the column of the time from which it is known"
            )


def _check_values(kind: SequenceKind, values: list[str] | list[int] | None) -> None:
    if (kind == "actions") != (values is not None):
        raise ValueError("values: actions need them, and nothing else takes them")
    if values is not None and len(set(values)) < len(values):
        raise ValueError("values: an action is named twice; name each once")


def _check_keys(columns: Mapping[str, object]) -> None:
    if LENGTH in columns:
        raise ValueError(f"columns: {LENGTH!r} is the key of the lengths; rename it")
