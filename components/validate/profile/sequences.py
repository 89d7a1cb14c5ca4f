"""Sequences of a log: their lengths, the newest event of each row, and the order of their times."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.validate.profile.columns import Block
from components.validate.profile.statistics import Floats, Stats, measure
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.columns import decoded, milliseconds
from recap_model.data.log.id_hashing import MISSING_ID, feature_ids
from recap_model.data.log.sequences import list_bounds, read_actions, read_numbers

ORDER_BLOCK, FUTURE_BLOCK = "sequence_order", "sequence_future"


class UnalignedRows(NamedTuple):
    """Rows whose lists have different lengths: those of the first one, by column, and how many rows."""

    first: dict[str, int]
    rows: int


def find_unaligned_rows(batch: pa.RecordBatch, block: Block) -> UnalignedRows | None:
    """The rows of a batch in which a sequence's lists have different lengths; None if there are none."""
    lengths = {name: read_lengths(batch, name) for name in block.columns}
    first = next(iter(lengths.values()))
    wrong = np.any([column != first for column in lengths.values()], axis=0)
    if not wrong.any():
        return None
    row = int(np.flatnonzero(wrong)[0])
    return UnalignedRows({name: int(column[row]) for name, column in lengths.items()}, int(wrong.sum()))


def read_lengths(batch: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    """Events in each row of a column of lists: (rows,); a null list has none."""
    column = decoded(batch.column(name))
    if pa.types.is_null(column.type):
        return np.zeros(len(column), dtype=np.int64)
    return list_bounds(column).lengths


def read_newest(batch: pa.RecordBatch, column: LogColumn) -> Floats:
    """Values of the newest event of each row, (rows, width); NaN where the history is empty or the value missing.

    Ids are as the model reads them, a missing one -1; actions are 0 or 1 for each value.
    """
    width = max(1, len(column.values))
    values = np.full((batch.num_rows, width), np.nan)
    lists = decoded(batch.column(column.name))
    if pa.types.is_null(lists.type):
        return values
    starts, lengths = list_bounds(lists)
    there = np.flatnonzero(lengths)
    newest = (starts + lengths - 1 if column.newest_last else starts)[there]
    events = lists.values.take(pa.array(newest))
    values[there] = _read_events(events, column).reshape(len(there), width)
    return values


def _read_events(events: pa.Array, column: LogColumn) -> Floats:
    if column.role == "sequence_actions":
        bits = read_actions(events, column.values, f"column {column.name}")  # type: ignore[arg-type]
        return ((bits[:, np.newaxis] >> np.arange(len(column.values))) & 1).astype(np.float64)
    if column.role == "sequence_number":
        return read_numbers(events).astype(np.float64)
    ids = feature_ids(events).fill_null(MISSING_ID).cast(pa.float64(), safe=False)
    floats: Floats = ids.to_numpy(zero_copy_only=False)
    return floats


def measure_event_times(
    batch: pa.RecordBatch, block: Block, impressed: str
) -> Iterator[tuple[str, list[str], Stats]]:
    """Of the rows with times of events, those whose events are not in order, or not before the impression."""
    for column in (member for member in block.members if member.role == "sequence_time"):
        lists = decoded(batch.column(column.name))
        if pa.types.is_null(lists.type):
            return
        starts, lengths = list_bounds(lists)
        rows = np.repeat(np.arange(len(lengths)), lengths)
        ages = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        events = lists.values.take(pa.array(starts[rows] + ages))
        times = _milliseconds(events, column.name)
        known = ~np.isnan(times)
        times, rows = times[known], rows[known]
        steps = np.diff(times) if column.newest_last else -np.diff(times)
        unsorted = rows[1:][(np.diff(rows) == 0) & (steps < 0)]
        now = _milliseconds(decoded(batch.column(impressed)), impressed)[rows]
        late = rows[times >= now]
        timed = np.unique(rows)
        for key, wrong in ((ORDER_BLOCK, unsorted), (FUTURE_BLOCK, late)):
            outside = np.isin(timed, wrong)[:, np.newaxis]
            stats = measure(outside.astype(np.float64), np.zeros(1, dtype=np.int64), outside=outside)
            yield f"{key}:{block.name}", [block.name], stats


def _milliseconds(times: pa.Array, name: str) -> Floats:
    numbers: Floats = (
        milliseconds(decoded(times), f"column {name}")
        .cast(pa.float64(), safe=False)
        .to_numpy(zero_copy_only=False)
    )
    return numbers
