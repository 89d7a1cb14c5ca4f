"""A block's columns as one array of float64, without a Python loop over rows or over a list's entries."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.validate.profile.columns import Block
from components.validate.profile.sequences import read_lengths, read_newest
from components.validate.profile.statistics import Counts, Floats, Stats
from recap_model.data.log.column_roles import SEQUENCE_ROLES
from recap_model.data.log.columns import milliseconds
from recap_model.data.log.id_hashing import feature_ids
from recap_model.data.log.labels import evaluate_labels


class WrongWidthError(ValueError):
    """Lists of another width: ``width`` is the first one's, ``rows`` how many there are."""

    def __init__(self, width: int, rows: int) -> None:
        super().__init__(width, rows)
        self.width, self.rows = width, rows


@dataclass(frozen=True)
class Values:
    """Values of a block: (rows, width) float64 with NaN for null, and (width,) counts of the nulls."""

    array: Floats
    nulls: Counts


def read_values(batch: pa.RecordBatch, block: Block) -> Values:
    """The block's values; of an embedding its norm, of a list of any length its length, of a sequence's column the
    newest event.

    Raises:
        WrongWidthError: a list is longer or shorter than the block says.
    """
    if block.config is not None:
        labels = evaluate_labels(batch, block.config, block.tasks, "the log").astype(np.float64)
        return Values(labels, np.count_nonzero(np.isnan(labels), axis=0))
    if block.list_width is None:
        return _read_scalars(batch, block)
    if block.role == "sequence":
        lengths = read_lengths(batch, block.columns[0])
        return Values(lengths.astype(np.float64)[:, np.newaxis], np.zeros(1, dtype=np.int64))
    if block.role in SEQUENCE_ROLES:
        newest = read_newest(batch, block.members[0])
        return Values(newest, np.count_nonzero(np.isnan(newest), axis=0))
    column = batch.column(block.columns[0])
    if pa.types.is_null(column.type):
        nulls = np.full(block.width, len(column), dtype=np.int64)
        return Values(np.full((len(column), block.width), np.nan), nulls)
    if block.role == "sparse":
        return _read_column(pc.list_value_length(column))
    lists = _read_lists(column, block.list_width)
    if block.role != "embedding":
        return lists
    norms = np.sqrt(np.einsum("ij,ij->i", lists.array, lists.array))[:, np.newaxis]
    return Values(norms, np.full(block.width, column.null_count, dtype=np.int64))


def count_nulls(batch: pa.RecordBatch, block: Block) -> Stats:
    """Count rows and nulls; the values of ids are not profiled."""
    stats = Stats.empty(block.width)
    stats.rows += batch.num_rows
    stats.nulls += np.array([batch.column(name).null_count for name in block.columns], dtype=np.int64)
    stats.minimum[:], stats.maximum[:] = np.inf, -np.inf
    return stats


def _read_scalars(batch: pa.RecordBatch, block: Block) -> Values:
    array = np.empty((len(block.columns), batch.num_rows))
    nulls = np.zeros(len(block.columns), dtype=np.int64)
    for position, name in enumerate(block.columns):
        column = batch.column(name)
        nulls[position] = column.null_count
        if block.role in ("timestamp", "moment"):
            column = milliseconds(column, f"column {name}")
        array[position] = _to_floats(column, block.role == "discrete")
    return Values(array.T, nulls)


def _read_column(column: pa.Array) -> Values:
    return Values(_to_floats(column)[:, np.newaxis], np.array([column.null_count], dtype=np.int64))


def _to_floats(column: pa.Array, ids: bool = False) -> Floats:
    """Numbers as they are, of ids the int64 that the model reads."""
    if ids and not pa.types.is_floating(column.type):
        column = feature_ids(column)
    return pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)


def _read_lists(column: pa.Array, width: int) -> Values:
    if not pa.types.is_fixed_size_list(column.type):
        lengths = pc.list_value_length(column).drop_null().to_numpy(zero_copy_only=False)
        wrong = lengths != width
        if wrong.any():
            raise WrongWidthError(int(lengths[wrong][0]), int(np.count_nonzero(wrong)))
    entries = pc.list_flatten(column)
    values = _to_floats(entries).reshape(-1, width)
    nulls = np.full(width, column.null_count, dtype=np.int64)
    if entries.null_count:
        flags = entries.is_null().to_numpy(zero_copy_only=False).reshape(-1, width)
        nulls += np.count_nonzero(flags, axis=0)
    if not column.null_count:
        return Values(values, nulls)
    array = np.full((len(column), width), np.nan)
    array[column.is_valid().to_numpy(zero_copy_only=False)] = values
    return Values(array, nulls)
