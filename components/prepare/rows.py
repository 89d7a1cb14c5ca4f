"""Conversion of log rows to dataset arrays: feature groups, labels, weight, ids and timestamps."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.common.artifacts.snapshot import LogFile, Snapshot
from components.common.storage.parquet import batches_of, hash_content, open_parquet
from components.common.storage.rows_at_once import rows_at_once
from components.prepare.id_forms import IdForms
from components.prepare.row_positions import describe_position, mark_position, row_group_starts
from recap_model.config import RecapConfig
from recap_model.config.data.dataset import SplitByColumn, SplitByHash
from recap_model.config.data.features import DENSE_GROUPS
from recap_model.config.model.table_columns import TableColumn
from recap_model.config.reading.errors import in_one_line
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.columns import milliseconds
from recap_model.data.log.feature_groups import read_groups
from recap_model.data.log.id_lists import PREFIX, IdLists, read_lists
from recap_model.data.log.labels import label_sources, read_labels
from recap_model.data.log.schema import check_columns, log_columns, select_columns
from recap_model.data.log.sequences import PREFIX as SEQUENCE_PREFIX
from recap_model.data.log.sequences import UnalignedListsError, column_name, read_sequences
from recap_model.data.log.slices import read_slice_columns
from recap_model.data.log.values import WEIGHT_VALUES, invalid_values

_ROWS_AT_ONCE = 16_384
NUMBER = "_number"  # of a part's column; a set has none


@dataclass
class Rows:
    """Rows between the log and a set.

    Attributes:
        groups: (rows, width) for each dense group; float32, or int64 for ``discrete``.
        labels: (rows, tasks) float32; NaN where missing.
        weight: (rows,) float32.
        keys: ids and timestamps under their fixed names, as in the log, and columns that slices are made by.
        sparse: lists of ids, list<int64>.
        sequences: lists of each column of a sequence, by the column's name in a set.
        number: (rows,) int64, the row's number in the log, which sampling and shuffling are seeded with.
    """

    groups: dict[str, NDArray[np.generic]]
    labels: NDArray[np.float32]
    weight: NDArray[np.float32]
    number: NDArray[np.int64]
    keys: dict[str, pa.Array] = field(default_factory=dict)
    sparse: dict[str, pa.ListArray] = field(default_factory=dict)
    sequences: dict[str, pa.ListArray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, chosen: NDArray[np.generic]) -> "Rows":
        """Rows by a mask or by their indices."""
        indices = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
        return Rows(
            groups={name: array[indices] for name, array in self.groups.items()},
            labels=self.labels[indices],
            weight=self.weight[indices],
            number=self.number[indices],
            keys={name: array.take(pa.array(indices)) for name, array in self.keys.items()},
            sparse={name: array.take(pa.array(indices)) for name, array in self.sparse.items()},
            sequences={name: array.take(pa.array(indices)) for name, array in self.sequences.items()},
        )


def column_ids(rows: Rows, column: TableColumn) -> NDArray[np.int64]:
    """All ids of a column, in one dimension; -1 is a missing one."""
    if column.group != "discrete":
        name = column_name(column.name, column.key)
        lists = IdLists.of(rows.sparse[column.name] if column.group == "sparse" else rows.sequences[name])
        return lists.values[lists.offsets[0] : lists.offsets[-1]]
    return rows.groups["discrete"][:, column.index].astype(np.int64, copy=False)


def concatenate(parts: list[Rows]) -> Rows:
    """Concatenate rows."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]
    return Rows(
        groups={name: np.concatenate([part.groups[name] for part in parts]) for name in first.groups},
        labels=np.concatenate([part.labels for part in parts]),
        weight=np.concatenate([part.weight for part in parts]),
        number=np.concatenate([part.number for part in parts]),
        keys={name: pa.concat_arrays([part.keys[name] for part in parts]) for name in first.keys},
        sparse={name: pa.concat_arrays([part.sparse[name] for part in parts]) for name in first.sparse},
        sequences={
            name: pa.concat_arrays([part.sequences[name] for part in parts]) for name in first.sequences
        },
    )


def to_record_batch(rows: Rows, numbered: bool = False) -> pa.RecordBatch:
    """Rows in a set's format: a fixed-size list for each group and the labels; weight, keys, lists of ids.

    Args:
        numbered: include each row's number.
    """
    columns = {name: _fixed_lists(array) for name, array in rows.groups.items()}
    columns["labels"] = _fixed_lists(rows.labels)
    columns["weight"] = pa.array(rows.weight)
    columns |= rows.keys | {PREFIX + name: array for name, array in rows.sparse.items()} | rows.sequences
    if numbered:
        columns[NUMBER] = pa.array(rows.number)
    return pa.record_batch(columns)


def from_record_batch(batch: pa.RecordBatch) -> Rows:
    """Rows from a numbered record batch; the inverse of `to_record_batch`."""
    groups: dict[str, NDArray[np.generic]] = {}
    keys, sparse, sequences = {}, {}, {}
    for name in batch.schema.names:
        column = batch.column(name)
        if name in (*DENSE_GROUPS, "labels"):
            groups[name] = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
        elif name.startswith(PREFIX):
            sparse[name.removeprefix(PREFIX)] = column
        elif name.startswith(SEQUENCE_PREFIX):
            sequences[name] = column
        elif name not in ("weight", NUMBER):
            keys[name] = column
    labels: NDArray[np.float32] = groups.pop("labels")  # type: ignore[assignment]
    weight, number = batch.column("weight").to_numpy(), batch.column(NUMBER).to_numpy()
    return Rows(groups, labels, weight, number, keys, sparse, sequences)


def _fixed_lists(array: NDArray[np.generic]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(np.ascontiguousarray(array).ravel()), array.shape[1])


def key_columns(config: RecapConfig) -> dict[str, str]:
    """The log's columns that are kept for evaluation, by their fixed names in a set."""
    ids, stamps = config.features.ids, config.features.timestamps
    named = {
        "request": ids.request,
        "user": ids.user,
        "candidate": ids.candidate,
        "impressed": stamps.impressed,
    }
    return {name: column for name, column in named.items() if column is not None}


def columns_to_read(config: RecapConfig) -> list[LogColumn]:
    """All columns that prepare reads, in each of their roles."""
    split = config.data.split
    extra = [split.column] if isinstance(split, SplitByColumn | SplitByHash) else []
    stamps = config.features.timestamps
    labels = label_sources(config, config.tasks)
    slices = config.evaluation.slice_columns()
    features = [*config.features.columns(), *config.features.sequence_columns()]
    named = [*features, *labels, *slices, *key_columns(config).values()]
    return select_columns(
        log_columns(config),
        {name for name in (*named, *extra, stamps.computed, config.features.weight) if name},
    )


def read_file(
    snapshot: Snapshot, file: LogFile, columns: Sequence[LogColumn], verify: bool = False
) -> Iterator[pa.RecordBatch]:
    """Batches of columns of one file.

    Args:
        verify: compare the file's content with what validate read first, if its store keeps no versions.

    Raises:
        FileNotFoundError: the file was removed since resolve froze it.
        ValueError: it changed since, has a column of a type that its role does not allow, or cannot be read.
    """
    if verify:
        hash_content(snapshot, file)
    parquet = open_parquet(snapshot, file)
    check_columns(parquet.schema_arrow, columns, file.path)
    if parquet.metadata.num_rows != file.rows:
        raise ValueError(f"{file.path}: changed since resolve listed it; run resolve again")
    try:
        names = list(dict.fromkeys(column.name for column in columns))
        starts, first = row_group_starts(parquet), 0
        rows = rows_at_once(parquet, columns, _ROWS_AT_ONCE)
        for batch in batches_of(parquet, rows, names, use_threads=False):
            yield mark_position(batch, starts, first)
            first += batch.num_rows
    except (OSError, pa.ArrowException) as error:
        reason = in_one_line(error)
        raise ValueError(f"{file.path}: cannot be read ({reason}); write the file again") from None


def to_rows(batch: pa.RecordBatch, config: RecapConfig, forms: IdForms, file: str, first: int) -> Rows:
    """Convert a batch of the log to rows; ``first`` is the number of its first row.

    Features are read by `read_groups`, as in serving. Raises ValueError with file and column for a value that its
    role does not allow, or features computed after the impression.
    """
    forms.check(batch.schema, file)
    _check_computed_before(batch, config, file)
    groups = read_groups(batch, config.features, file)
    labels = read_labels(batch, config, file)
    weight = np.ones(batch.num_rows, dtype=np.float32)
    if config.features.weight:
        weight = _weights(batch, config.features.weight, file)
    keys = {
        name: _times(batch, column, file)
        if name == "impressed"
        else forms.normalize(column, batch.column(column))
        for name, column in key_columns(config).items()
    } | read_slice_columns(batch, config, file)
    number = np.arange(first, first + batch.num_rows, dtype=np.int64)
    sparse = read_lists(batch, config.features, file)
    impressed = config.features.timestamps.impressed
    try:
        sequences = read_sequences(batch, config.features.sequences, impressed, file)
    except UnalignedListsError as error:
        raise ValueError(f"{file}: {describe_position(batch, error.row)}: {error.reason}") from None
    return Rows(groups, labels, weight, number, keys, sparse, sequences)


def _check_computed_before(batch: pa.RecordBatch, config: RecapConfig, file: str) -> None:
    stamps = config.features.timestamps
    if stamps.computed is None or stamps.impressed is None:
        return
    computed, impressed = (_times(batch, name, file) for name in (stamps.computed, stamps.impressed))
    late = pc.fill_null(pc.greater(computed, impressed), False).to_numpy(zero_copy_only=False)
    if late.any():
        row = int(np.flatnonzero(late)[0])
        raise ValueError(
            f"{file}: column {stamps.computed} is {computed[row].as_py() - impressed[row].as_py()} ms after "
            f"{stamps.impressed} in {int(late.sum())} rows, which leaks events after the impression into features; "
            "join features as of the impression"
        )


def _times(batch: pa.RecordBatch, column: str, file: str) -> pa.Array:
    return milliseconds(batch.column(column), f"{file}: column {column}")


def _weights(batch: pa.RecordBatch, column: str, file: str) -> NDArray[np.float32]:
    values = batch.column(column).cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    wrong = invalid_values("weight", values)
    if wrong.any():
        raise ValueError(
            f"{file}: column {column} has value {values[wrong][0]:g}; {WEIGHT_VALUES}; fix the log, or name another "
            "column"
        )
    return values
