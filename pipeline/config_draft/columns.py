"""Infer the role of a log's columns from their types and a sample of rows."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import takewhile

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.parquet import ParquetFile

from components.common.storage.parquet import batches_of, open_log_file
from components.common.storage.table_file import TableFile
from components.resolve.log_source import open_log
from components.resolve.window import Window
from recap_model.config.data.features import EMBEDDING_GROUPS
from recap_model.data.log.column_roles import form_of
from recap_model.data.log.columns import (
    FIRST_PLAUSIBLE_MS,
    LAST_PLAUSIBLE_MS,
    decoded,
    is_list,
    is_text,
    milliseconds,
)
from recap_model.data.log.id_hashing import normalized_ids

MOST_DAYS = 14  # maximum days of a drafted config
_ROWS, _VALUES = 50_000, 50_000_000  # maximum size of the sample
_ID_NAME_SUFFIXES = ("id", "type", "code", "category", "kind")
_LEAK_PRECISION = 0.9  # precision from which a binary column counts as a label leak


@dataclass(frozen=True)
class LogSample:
    """A sample of rows of a log's newest day, and the size of each day.

    Attributes:
        by_day: rows per day back to the first gap, at most 14 days, newest first; estimated from file sizes.
        duplicated: columns that are more than once in a file; they are not among the rows'.
    """

    rows: pa.Table
    by_day: list[int]
    duplicated: frozenset[str] = frozenset()

    @property
    def days(self) -> int:
        """Number of consecutive partitions up to the newest."""
        return len(self.by_day)


@dataclass
class Columns:
    """Columns by feature group; ``left_out`` has the reason for each excluded column.

    Attributes:
        ids: cardinality of each discrete column in the sample.
        embeddings: column and width by group.
    """

    continuous: list[str] = field(default_factory=list)
    binary: list[str] = field(default_factory=list)
    ids: dict[str, int] = field(default_factory=dict)
    embeddings: dict[str, tuple[str, int]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


def read_log(data: str) -> LogSample:
    """Rows of the newest day that has files. Raises what `open_log` and `open_log_file` do."""
    source = open_log(data)
    days = source.days
    days.check_has_files()
    newest = next(day for day in reversed(list(days)) if days[day])
    days.check_stray_days(Window(newest, newest), is_newest=True)
    read = _FirstRows()
    for listed in days[newest]:
        with open_log_file(source.filesystem, source.root, listed.file, source.table) as parquet:
            read.add(parquet, listed.file.bytes)
        if read.is_enough:
            break
    if not read.count:
        raise ValueError(f"{data}: date={newest} has no rows; write some")
    back = [newest - timedelta(days=offset) for offset in range(MOST_DAYS)]
    known = list(takewhile(lambda day: days.get(day), back))
    sizes = [sum(listed.file.bytes for listed in days[day]) for day in known]
    by_day = [max(1, round(read.rows_in_files * size / read.bytes_of_files)) for size in sizes]
    sample = _concat_batches(read.batches).slice(0, read.enough)
    return LogSample(sample, by_day, frozenset(read.duplicated))


@dataclass
class _FirstRows:
    """The first rows of a day's files, which are open one at a time; and of the files that were opened, all rows."""

    batches: list[pa.RecordBatch] = field(default_factory=list)
    duplicated: set[str] = field(default_factory=set)
    enough: int = _ROWS
    count: int = 0
    rows_in_files: int = 0
    bytes_of_files: int = 0

    @property
    def is_enough(self) -> bool:
        return self.count >= self.enough

    def add(self, parquet: ParquetFile | TableFile, size: int) -> None:
        """Add rows of the next file until there are enough."""
        copies = Counter(parquet.schema_arrow.names)
        self.enough = min(self.enough, _VALUES // max(1, len(copies)))
        self.duplicated |= {name for name, count in copies.items() if count > 1}
        self.rows_in_files += parquet.metadata.num_rows
        self.bytes_of_files += size
        for batch in batches_of(parquet, self.enough, [name for name, count in copies.items() if count == 1]):
            self.batches.append(batch)
            self.count += len(batch)
            if self.is_enough:
                return


def _concat_batches(batches: list[pa.RecordBatch]) -> pa.Table:
    """Concatenate the batches; those whose types are incompatible with the first are skipped."""
    tables = [pa.Table.from_batches([batch]) for batch in batches]
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except pa.ArrowException:
        return pa.concat_tables(table for table in tables if table.schema.equals(tables[0].schema))


def group_columns(rows: pa.Table, named: set[str], discrete: set[str], labels: dict[str, str]) -> Columns:
    """Assign the columns that are not ``named`` to feature groups.

    Args:
        discrete: columns of ids.
        labels: the label column of each task; columns that look like labels, or leak one, are excluded.
    """
    columns, unnamed = Columns(), [name for name in rows.schema.names if name not in named]
    label_prefixes = {_name_prefix(label) for label in labels.values()} - {""}
    if (
        len({_name_prefix(name) for name in unnamed}) == 1
    ):  # a prefix that all columns share carries no information
        label_prefixes = set()
    for name in unnamed:
        if _name_prefix(name) in label_prefixes:
            columns.left_out[name] = "named like a label, and so perhaps one"
        elif reason := _find_label_leak(rows, name, labels):
            columns.left_out[name] = reason
        else:
            _assign_group(columns, name, decoded(rows[name]), name in discrete)
    return columns


def _find_label_leak(rows: pa.Table, name: str, labels: dict[str, str]) -> str:
    """Why a binary column leaks a label, or ""."""
    column = decoded(rows[name])
    if form_of(column.type) not in ("boolean", "integer", "float"):
        return ""
    if not set(pc.unique(column)[:4].to_pylist()) <= {0, 1, None}:
        return ""
    chosen = column.cast(pa.float64()).fill_null(0.0).to_numpy() == 1.0
    for task, label in labels.items():
        positive = label_values(rows, label).fill_null(0.0).to_numpy() == 1.0
        if (
            chosen.any()
            and positive[chosen].mean() > _LEAK_PRECISION
            and positive.mean() < _LEAK_PRECISION / 2
        ):
            return f"task {task} is positive in {positive[chosen].mean():.0%} of its rows, so rather what came of it"
    return ""


def find_given_task(rows: pa.Table, label: str, labels: dict[str, str]) -> str | None:
    """The task that a label is conditional on: the label is null exactly where that task's label is not 1."""
    known = label_values(rows, label).is_valid()
    for task, other in labels.items():
        happened = pc.equal(label_values(rows, other), 1.0).fill_null(False)
        if other != label and not pc.all(known).as_py() and known.equals(happened):
            return task
    return None


def label_values(rows: pa.Table, name: str) -> pa.Array:
    """A label's values, float64, null where it is missing."""
    values = decoded(rows[name]).cast(pa.float64())
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _name_prefix(name: str) -> str:
    return name.rpartition(".")[0]


def _assign_group(columns: Columns, name: str, column: pa.Array, is_id: bool) -> None:
    kind = column.type
    if is_list(kind):
        _assign_list_group(columns, name, column)
        return
    if reason := _type_problem(kind):
        columns.left_out[name] = reason
        return
    is_word = form_of(kind) in ("text", "binary")
    values = (normalized_ids(column) if is_word else column).drop_null()
    distinct = pc.count_distinct(values).as_py()
    if reason := _value_problem(values, distinct):
        columns.left_out[name] = reason
    elif is_word or is_id or (pa.types.is_integer(kind) and name.lower().split("_")[-1] in _ID_NAME_SUFFIXES):
        columns.ids[name] = distinct
    elif pa.types.is_boolean(kind) or set(pc.unique(values)[:3].to_pylist()) <= {0, 1}:
        columns.binary.append(name)
    else:
        columns.continuous.append(name)


def _type_problem(kind: pa.DataType) -> str:
    """Why a column of a type cannot be an input, or ""."""
    form = form_of(kind)
    if form == "timestamp":
        return "a time; features.derived makes hours, days and ages of it"
    if form == "null":
        return "no value in the rows looked at"
    if form != "other":
        return ""
    cast = pa.types.is_decimal(kind) or pa.types.is_duration(kind)
    advice = "; an input if the log writes it as a number" if cast else ""
    return f"of type {kind}, which the model does not read{advice}"


def _value_problem(values: pa.Array, distinct: int) -> str:
    """Why a scalar column with these values cannot be an input, or ""."""
    kind = values.type
    if distinct < 2:
        return "one value only in the rows looked at" if len(values) else "no value in the rows looked at"
    if is_text(kind) and distinct > len(values) / 2:
        return "words that hardly come twice"
    if pa.types.is_integer(kind):
        numbers = values.to_numpy(zero_copy_only=False)
        times = (
            milliseconds(values, "a time").drop_null().to_numpy()
        )  # without placeholders of a missing time
        if len(times) and times.min() >= FIRST_PLAUSIBLE_MS and times.max() < LAST_PLAUSIBLE_MS:
            return "looks like a time in milliseconds; features.derived makes hours, days and ages of it"
        if distinct == len(values) and len(values) > 1 and np.ptp(numbers) >= len(values) - 1:
            return "another number in each row, so rather an id of the row"
    return ""


def _assign_list_group(columns: Columns, name: str, column: pa.Array) -> None:
    lengths = pc.unique(pc.list_value_length(column.drop_null())).to_pylist()
    form = form_of(column.type.value_type)
    if form in ("integer", "text", "binary"):
        columns.left_out[name] = (
            "lists of ids; name it in features.sparse, with a table in model.large_embeddings"
        )
    elif form != "float" or len(lengths) != 1 or not lengths[0]:
        columns.left_out[name] = (
            f"of type {column.type}; the model reads lists of one length, of floats or of ids"
        )
    elif free := [group for group in EMBEDDING_GROUPS if group not in columns.embeddings]:
        group = name if name in free else _match_embedding_group(name, free)
        columns.embeddings[group] = (name, lengths[0])
    else:
        columns.left_out[name] = "a fourth embedding; a model has places for three"


def _match_embedding_group(name: str, free: list[str]) -> str:
    return next((group for group in free if group.split("_")[0] in name.lower()), free[0])
