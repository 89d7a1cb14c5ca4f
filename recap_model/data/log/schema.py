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
| weight | number, boolean; finite, from 0 to `LARGEST_WEIGHT` | none is allowed |
| id | integer, text, binary | null: the row belongs to no other |
| split | as id; with ``by: column`` text | none is allowed |
| timestamp, moment | timestamp, date, integer in ms | null, and what stands for no time: `milliseconds` |

A column of Arrow's null type is one without a value, in every role. `plain_type` says what dictionaries, views,
extensions and half floats count as. A group's list has the width that the config gives; a sparse list has any.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.config import RecapConfig
from recap_model.config.data.dataset import SplitByColumn, SplitByHash
from recap_model.config.data.features import DENSE_GROUPS, EMBEDDING_GROUPS, ListColumn
from recap_model.config.data.sequences import Sequence, SequenceKind
from recap_model.config.model.table_columns import TableColumn, shared_table_columns
from recap_model.data.log.columns import decoded, is_binary, is_list, is_text, is_timestamp, plain_type
from recap_model.data.log.id_hashing import feature_ids, is_present

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

LARGEST_WEIGHT = 1e9
"""Of a row. Beyond it, sums over rows lose the other rows' digits in float32."""
WEIGHT_VALUES = f"a weight is a number from 0 to {LARGEST_WEIGHT:g}"


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
_ROLE_BY_KIND: dict[SequenceKind, Role] = {
    "id": "sequence_id",
    "category": "sequence_id",
    "actions": "sequence_actions",
    "number": "sequence_number",
    "time": "sequence_time",
}
_GROUP_ROLES: dict[str, Role] = {
    "continuous": "continuous",
    "binary": "binary",
    "discrete": "discrete",
    **dict.fromkeys(EMBEDDING_GROUPS, "embedding"),
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
        places = schema.get_all_field_indices(self.name)
        if len(places) != 1:
            observed = f"is there {len(places)} times" if places else "is not there"
            advice = f"write it once, or change {self.section}"
            return Refusal("column_present", observed, "a column is there once", advice)
        kind = schema.field(places[0]).type
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


def log_columns(config: RecapConfig) -> list[LogColumn]:
    """Every column that a step reads, by role, in the order in which validate profiles them."""
    features, split = config.features, config.data.split
    split_columns = [split.column] if isinstance(split, SplitByColumn | SplitByHash) else []
    named: list[tuple[Role, str, Iterable[str | None]]] = [
        ("label", "tasks", label_columns(config)),
        ("value", "tasks", value_columns(config).values()),
        ("weight", "features.weight", [features.weight]),
        ("id", "features.ids", features.ids.model_dump().values()),
        ("split", "data.split", split_columns),
        ("timestamp", "features.timestamps", features.timestamps.model_dump().values()),
    ]
    columns = list(_feature_columns(config))
    hashed = isinstance(split, SplitByHash)
    columns += [
        LogColumn(name, role, section, any_id=role == "split" and hashed)
        for role, section, names in named
        for name in dict.fromkeys(names)
        if name
    ]
    columns += list(_derived_sources(config, columns))
    columns += list(_event_sources(config))
    columns += list(_outcome_columns(config, columns))
    return columns + list(_slice_columns(config))


def label_columns(config: RecapConfig) -> list[str]:
    """Columns of 0 and 1 that labels are made of, each once."""
    conditions = [
        rule
        for task, settings in config.tasks.items()
        for field, rule in settings.conditions(task)
        if field != "label" or settings.kind == "binary"
    ]
    return list(dict.fromkeys(rule.column for rule in conditions if rule.column and not rule.is_comparison))


def value_columns(config: RecapConfig) -> dict[str, str]:
    """The label column of each value task."""
    return {task: str(config.tasks[task].label_rule(task)) for task in config.value_tasks}


def _outcome_columns(config: RecapConfig, known: list[LogColumn]) -> Iterator[LogColumn]:
    """What label rules compare, and what with; numbers are measured where the log's column has no other role."""
    sections: dict[tuple[str, Role], str] = {}
    for task, settings in config.tasks.items():
        for field, rule in settings.conditions(task):
            if rule.column and rule.is_comparison:
                role: Role = "outcome_text" if isinstance(rule.equals, str) else "outcome"
                names = [rule.column, *(bound for bound in rule.bounds if isinstance(bound, str))]
                sections = {(name, role): f"tasks.{task}.{field}" for name in names} | sections
    measured = {column.name for column in known if column.measured}
    for (name, role), section in sections.items():
        yield LogColumn(name, role, section, measured=role == "outcome" and name not in measured)


def _feature_columns(config: RecapConfig) -> Iterator[LogColumn]:
    features = config.features
    any_id = _columns_with_any_id(config)
    for group, role in _GROUP_ROLES.items():
        value, section = getattr(features, group), f"features.{group}"
        if isinstance(value, ListColumn):
            yield LogColumn(value.column, role, section, value.width)
        elif value:
            for name in value:
                if name not in features.derived:
                    yield LogColumn(name, role, section, any_id=role == "discrete" and name in any_id)
    large = config.model.large_embeddings
    looked_up = {table.name for table in (large.tables if large else []) if table.hash or table.vocab}
    looked_up |= {column.name for column in _shared(config, any_id=True) if column.group == "sparse"}
    looked_up -= {column.name for column in _shared(config, any_id=False) if column.group == "sparse"}
    for name in features.sparse:
        yield LogColumn(name, "sparse", "features.sparse", 0, any_id=name in looked_up)
    for name, sequence in features.sequences.items():
        yield from sequence_columns(sequence, f"features.sequences.{name}", _plain_keys(config, name))


def sequence_columns(sequence: Sequence, section: str, plain: Collection[str] = ()) -> Iterator[LogColumn]:
    """The columns of lists of one sequence; those of the keys ``plain`` have no text."""
    for key, column in sequence.columns.items():
        role = _ROLE_BY_KIND[column.kind]
        yield LogColumn(
            column.column,
            role,
            f"{section}.columns.{key}",
            0,
            any_id=role == "sequence_id" and key not in plain,
            newest_last=sequence.order == "oldest_first",
            values=tuple(column.values or ()),
        )


def _derived_sources(config: RecapConfig, known: list[LogColumn]) -> Iterator[LogColumn]:
    """What derived columns are computed from; measured where the log's column has no other role."""
    measured = {column.name for column in known if column.role not in ("label", "weight", "split")}
    known_roles: set[tuple[str, Role]] = {(column.name, column.role) for column in known}
    for derived in config.features.derived.values():
        role: Role = (
            "discrete" if derived.kind == "cross" else "moment" if derived.is_of_times else "continuous"
        )
        for name in derived.of:
            if (name, role) in known_roles:
                continue
            known_roles.add((name, role))
            section = "features.derived"
            yield LogColumn(name, role, section, any_id=role == "discrete", measured=name not in measured)
            measured.add(name)


def _event_sources(config: RecapConfig) -> Iterator[LogColumn]:
    """What derived sequences read of the rows that are their events; held to their type alone."""
    for name, sequence in config.features.derived_sequences.items():
        for key, column in sequence.columns.items():
            section = f"features.derived_sequences.{name}.columns.{key}"
            if column.known_at is not None:
                yield LogColumn(column.known_at, "timestamp", f"{section}.known_at", measured=False)
            if column.column is not None:
                role: Role = "continuous" if column.kind == "number" else "id"
                yield LogColumn(column.column, role, f"{section}.column", measured=False)


def _slice_columns(config: RecapConfig) -> Iterator[LogColumn]:
    """Columns that slices are made by, and the sources of derived ones among them; held to their type alone."""
    for name in config.evaluation.slice_columns():
        if name not in config.features.derived:
            yield LogColumn(name, "slice", "evaluation.slices", measured=False)


def _columns_with_any_id(config: RecapConfig) -> set[str]:
    """Discrete columns whose ids tables look up or hash, or a cross hashes, and nothing reads as a number."""
    value, model = config.features.discrete, config.model
    columns = value if isinstance(value, list) else []
    tables = model.small_embeddings.tables if model.small_embeddings and columns else []
    looked_up = {columns[table.index] for table in tables if table.hash or table.min_count is not None}
    crossed = {name for one in config.features.derived.values() if one.kind == "cross" for name in one.of}
    plain = {columns[table.index] for table in tables if not table.hash and table.min_count is None}
    looked_up |= {
        columns[one.index] for one in _shared(config, any_id=True) if one.group == "discrete" and columns
    }
    plain |= {
        columns[one.index] for one in _shared(config, any_id=False) if one.group == "discrete" and columns
    }
    if columns and model.position_debias_config is not None:
        plain.add(columns[model.position_debias_config.position_feature_index])
    if model.featurization_config and "discrete" in model.featurization_config.feature_names_to_concat:
        plain |= set(columns)
    return (looked_up | crossed) - plain


def _plain_keys(config: RecapConfig, sequence: str) -> set[str]:
    """Keys of a sequence whose ids a table reads as the numbers of its entries."""
    return {column.key for column in _shared(config, any_id=False) if column.name == sequence}


def _shared(config: RecapConfig, any_id: bool) -> Iterator[TableColumn]:
    """Columns of the shared tables that look ids up or hash them, or of those that read an id as an entry."""
    for table, columns in shared_table_columns(config).items():
        if config.model.tables[table].takes_any_id == any_id:
            yield from columns


def select_columns(columns: Iterable[LogColumn], names: Collection[str]) -> list[LogColumn]:
    """Those of the columns that have one of the names."""
    return [column for column in columns if column.name in names]


def check_columns(schema: pa.Schema, columns: Iterable[LogColumn], where: str) -> None:
    """Raise ValueError for the first column that a file, or rows to score, do not have as its role allows.

    Args:
        where: names the file or the rows in the error.
    """
    for column in columns:
        if refusal := column.refusal(schema):
            raise ValueError(
                f"{where}: column {column.name} {refusal.observed}; {refusal.allowed}; {refusal.advice}"
            )


def check_request(schema: pa.Schema, config: RecapConfig, where: str) -> None:
    """Raise ValueError for a feature of rows to score that is there twice, or not as its role allows.

    A derived column may be given itself; then what it is computed from is not read.
    """
    features = config.features
    names, needed = set(schema.names), set(features.columns())
    given = {name for name in features.derived if name in names}
    for group in DENSE_GROUPS:
        for name in given.intersection(features.group_columns(group)):
            check_columns(schema, [LogColumn(name, _GROUP_ROLES[group], f"features.{group}")], where)
    read = {
        source for name, column in features.derived.items() if name not in given for source in column.of
    } | {name for group in (*DENSE_GROUPS,) for name in features.group_columns(group)}
    read |= set(features.sparse)
    check_columns(schema, select_columns(log_columns(config), read & names & needed), where)
    for name, sequence in features.all_sequences().items():
        for column in sequence_columns(sequence, f"features.sequences.{name}", _plain_keys(config, name)):
            check_columns(schema, [column] if column.name in names else [], where)


def invalid_values(role: Role, values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which values a label, binary column or weight may not have: same shape; NaN is a missing value."""
    if role == "value":
        return ~((values >= 0.0) & (values < np.inf) | np.isnan(values))
    if role == "weight":
        return ~((values >= 0.0) & (values <= LARGEST_WEIGHT))
    return ~((values == 0.0) | (values == 1.0) | np.isnan(values))


def read_ids(column: pa.Array | pa.ChunkedArray, what: str) -> pa.Array:
    """Ids of a discrete column as the model reads them, int64; null stays null.

    Raises ValueError that begins with ``what`` for ids stored as floats that are no whole numbers.
    """
    column = decoded(column)
    if pa.types.is_floating(column.type):
        values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        wrong = invalid_ids(values) | (np.isnan(values) & is_present(column))
        if wrong.any():
            raise ValueError(f"{what} has value {values[wrong][0]:g}; {ID_VALUES}")
        return pc.cast(column, pa.int64())
    return feature_ids(column)


ID_VALUES = "discrete ids are whole numbers of 64 bits"


def invalid_ids(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which ids that are stored as floats are no whole numbers of int64, NaN aside: same shape."""
    with np.errstate(invalid="ignore"):
        return ~np.isnan(values) & ((values != np.floor(values)) | (np.abs(values) >= 2.0**63))
