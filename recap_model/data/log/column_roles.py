"""What a column of the log may be: the one table of roles that draft, validate, prepare, score and serving read.

| role | Arrow types | a missing value |
|---|---|---|
| continuous | number, boolean | null, NaN, infinite: missing to the model |
| binary | number, boolean | null, NaN: 0 |
| discrete | integer, boolean, whole float; text, binary where a table looks ids up or hashes them | null, -1 |
| embedding | list of numbers, of one width | null: zeros |
| sparse | list of integers; of text, binary where its table has a vocab or hashes | null: no id; -1: left out |
| sequence_id | list of integers; of text, binary where its table looks ids up or hashes them | see `sequences` |
| sequence_actions | list of lists of integers, text or binary | |
| sequence_number | list of numbers | |
| sequence_time | list of times | |
| label | number or boolean that is 0 or 1 | null, NaN: the row does not count for the task |
| value | number, boolean; finite, 0 or more | null, NaN: the row does not count for the task |
| outcome, outcome_text | number, boolean; text or binary | null, NaN: the comparison is missing |
| slice | number, boolean, a list of any | null, NaN: missing |
| weight | number, boolean; finite, from 0 to `values.LARGEST_WEIGHT` | none is allowed |
| id | integer, text, binary | null: the row belongs to no other |
| split | as id; with ``by: column`` text | none is allowed |
| timestamp, moment | timestamp, date, integer in ms | null, and what stands for no time: `milliseconds` |

A column of Arrow's null type is one without a value, in every role. `plain_type` says what dictionaries, views,
extensions and half floats count as. A group's list has the width that the config gives; a sparse list has any.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import pyarrow as pa

from recap_model.data.log.columns import is_binary, is_list, is_text, is_timestamp, plain_type

Role = Literal[
    "continuous",
    "binary",
    "discrete",
    "embedding",
    "sparse",
    "sequence",  # all columns of one sequence
    "sequence_id",
    "sequence_actions",
    "sequence_number",
    "sequence_time",
    "label",
    "value",  # the label of a value task
    "outcome",  # what a label rule compares with a number
    "outcome_text",  # what a label rule compares with a text
    "derived_label",  # of tasks, not of columns: labels made of several columns
    "slice",  # what slices of the evaluation are made by
    "weight",
    "id",
    "split",
    "timestamp",
    "moment",  # a time that only derived columns are computed from
]
FEATURE_ROLES: tuple[Role, ...] = (
    "continuous",
    "binary",
    "discrete",
    "embedding",
    "sparse",
    "sequence",
    "sequence_id",
    "sequence_actions",
    "sequence_number",
)
ID_ROLES: tuple[Role, ...] = ("discrete", "sparse", "sequence_id", "id", "split")
SEQUENCE_ROLES: tuple[Role, ...] = ("sequence_id", "sequence_actions", "sequence_number", "sequence_time")
Form = Literal["null", "boolean", "integer", "float", "text", "binary", "timestamp", "other"]
IdForm = Literal["integers", "text"]
Rule = Literal["column_present", "column_type", "list_width"]


class _Types(NamedTuple):
    forms: tuple[Form, ...]
    allowed: str


_NUMBERS = _Types(("boolean", "integer", "float"), "numbers or booleans")
_ANY_ID = _Types(("integer", "text", "binary"), "integers, text or binary")
_TIMES = _Types(
    ("timestamp", "integer"), "timestamps, dates, or integers (milliseconds since 1970-01-01 UTC)"
)

_TYPES: dict[Role, _Types] = {
    "continuous": _NUMBERS,
    "binary": _NUMBERS,
    "discrete": _NUMBERS._replace(
        allowed="integers; text or binary only where a table with min_count or hash reads them"
    ),
    "embedding": _NUMBERS,
    "sparse": _Types(("integer",), "integers; text or binary only where the table has a vocab or hash"),
    "sequence_id": _Types(
        ("integer",), "integers; text or binary only where the table has min_count, vocab or hash"
    ),
    "sequence_actions": _ANY_ID,
    "sequence_number": _NUMBERS,
    "sequence_time": _TIMES,
    "label": _NUMBERS,
    "value": _NUMBERS,
    "outcome": _NUMBERS,
    "outcome_text": _Types(("text", "binary"), "text, as a rule compares it with a text"),
    "derived_label": _NUMBERS,
    "slice": _NUMBERS._replace(allowed="numbers, booleans or lists"),
    "weight": _NUMBERS,
    "id": _ANY_ID,
    "split": _Types(("text",), "text (train, calibration or test)"),
    "timestamp": _TIMES,
    "moment": _TIMES,
}


class Refusal(NamedTuple):
    """Why a column of a file is refused: the rule, what is wrong, what is allowed, what to do."""

    rule: Rule
    observed: str
    allowed: str
    advice: str


@dataclass(frozen=True)
class LogColumn:
    """One column of the log in one role; a column may have several.

    Attributes:
        section: the part of the config that names it.
        width: numbers in each list; None for a scalar column, 0 for lists of any length.
        any_id: ids may be text or binary, as what reads them looks them up or hashes them.
        measured: validate profiles it; others are only held to their type, and measured in another role.
        newest_last: of a sequence: the newest event is the last of each list.
        values: the actions of a sequence that are read.
    """

    name: str
    role: Role
    section: str
    width: int | None = None
    any_id: bool = False
    measured: bool = True
    newest_last: bool = False
    values: tuple[str | int, ...] = ()

    @property
    def allowed(self) -> str:
        """The types that it may have, in words."""
        allowed = (_ANY_ID if self.any_id else _TYPES[self.role]).allowed
        if self.width is None:
            return allowed
        if self.width:
            return f"lists of {self.width} {'integers' if self.role == 'discrete' else 'numbers'}"
        if self.role == "sequence_actions":
            return f"lists of lists of {'integers' if isinstance(self.values[0], int) else 'text'}, as its values"
        return f"lists of {allowed}"

    def allows(self, kind: pa.DataType) -> bool:
        """Whether it may have this Arrow type, its lists' width aside."""
        kind = plain_type(kind)
        if pa.types.is_null(kind):
            return True
        if self.role == "slice" and is_list(kind):
            return True
        if self.width is None:
            return self._allows_value(kind)
        if not is_list(kind):
            return False
        entry = plain_type(kind.value_type)
        if self.role == "sequence_actions" and not pa.types.is_null(entry):
            return is_list(entry) and self._allows_value(entry.value_type)
        return self._allows_value(entry)

    def _allows_value(self, kind: pa.DataType) -> bool:
        form = form_of(kind)
        if self.values and form != "null":
            return (form == "integer") == isinstance(self.values[0], int) and form in _ANY_ID.forms
        return form == "null" or form in _TYPES[self.role].forms or (self.any_id and form in _ANY_ID.forms)

    def refusal(self, schema: pa.Schema) -> Refusal | None:
        """What is wrong with it in a file of this schema; None if nothing is."""
        indices = schema.get_all_field_indices(self.name)
        if not indices:
            advice = f"add it to the log, or change {self.section}"
            return Refusal("column_present", "is not there", "the config reads it", advice)
        if len(indices) > 1:
            advice = f"write it once, or change {self.section}"
            return Refusal(
                "column_present", f"is there {len(indices)} times", "a column is there once", advice
            )
        kind = schema.field(indices[0]).type
        if not self.allows(kind):
            advice = f"fix the log, or change {self.section}"
            return Refusal("column_type", f"is {kind}", f"allowed are {self.allowed}", advice)
        plain = plain_type(kind)
        if self.width and pa.types.is_fixed_size_list(plain) and plain.list_size != self.width:
            says = f"{self.section} says {self.width}"
            return Refusal("list_width", f"has lists of {plain.list_size}", says, "change one of them")
        return None


def form_of(kind: pa.DataType) -> Form:
    """What the values of an Arrow type are, whatever their width and encoding; "other" is allowed in no role."""
    kind = plain_type(kind)
    if is_text(kind):
        return "text"
    if is_binary(kind):
        return "binary"
    tests: dict[Form, bool] = {
        "null": pa.types.is_null(kind),
        "boolean": pa.types.is_boolean(kind),
        "integer": pa.types.is_integer(kind),
        "float": pa.types.is_floating(kind),
        "timestamp": is_timestamp(kind),
    }
    return next((form for form, is_it in tests.items() if is_it), "other")


def id_form(kind: pa.DataType) -> IdForm | None:
    """Whether ids of this type, or lists of them, are integers or text to `normalized_ids`; None without a value."""
    kind = plain_type(kind)
    form = form_of(kind.value_type if is_list(kind) else kind)
    if form == "null":
        return None
    return "text" if form in ("text", "binary") else "integers"
