"""Sequences of a log, in aligned columns of lists: the newest events of each row, newest first.

| kind | in the log | read as | a null in a list |
|---|---|---|---|
| id, category | list of integers, text or binary | list<int64>, text by its hash | -1 |
| actions | list of lists of integers or text | list<int64>, a bit for each of ``values`` | no action |
| number | list of numbers | list<float32>; not finite: NaN | NaN |
| time | list of times | list<float32>, hours from the event to the impression | NaN |

A null list is an empty one. Events keep the order of the log; all lists of a row have the same length.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.config.data.sequences import Sequence as SequenceConfig
from recap_model.config.data.sequences import SequenceColumn
from recap_model.data.log.columns import decoded, milliseconds
from recap_model.data.log.id_hashing import MISSING_ID, feature_ids, normalized_ids

MS_PER_HOUR = 3_600_000.0

PREFIX = "sequence."  # of the columns of a sequence in a dataset


def column_name(name: str, key: str) -> str:
    """The column of a dataset for a column of a sequence."""
    return f"{PREFIX}{name}.{key}"


class UnalignedListsError(ValueError):
    """Lists of a row have different lengths.

    Attributes:
        row: the first such row, from 0 among those that were read.
        reason: what is wrong with it, without where it is.
    """

    def __init__(self, where: str, row: int, reason: str) -> None:
        super().__init__(f"{where}: row {row}: {reason}")
        self.row = row
        self.reason = reason


class ListBounds(NamedTuple):
    """Where each row's list lies among the values of its column: (rows,) int64."""

    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]


def read_sequences(
    rows: pa.RecordBatch | pa.Table,
    sequences: Mapping[str, SequenceConfig],
    impressed: str | None,
    where: str,
) -> dict[str, pa.ListArray]:
    """Sequences of rows of the log, by `column_name`: the same for training rows and for requests.

    Of a history longer than ``max_length`` the newest events stay; memory follows from what stays.

    Args:
        sequences: by name; of rows to score `FeaturesConfig.all_sequences`.
        impressed: column of the time of impression, which only times are read with.
        where: names the rows in errors: a file, or "input".

    Returns:
        list<int64> or list<float32> of each column; those of one sequence have the same offsets.

    Raises:
        UnalignedListsError: lists of a row have different lengths.
        ValueError: a column is not there, or has a value that its kind does not allow; it is named.
    """
    return {
        column_name(name, key): lists
        for name, sequence in sequences.items()
        for key, lists in _read_sequence(rows, sequence, impressed, where).items()
    }


def _read_sequence(
    rows: pa.RecordBatch | pa.Table, sequence: SequenceConfig, impressed: str | None, where: str
) -> dict[str, pa.ListArray]:
    columns = dict(_list_columns(rows, sequence, where))
    bounds = {key: list_bounds(column) for key, column in columns.items()}
    _check_aligned(bounds, sequence, where)
    lengths = np.minimum(next(iter(bounds.values())).lengths, sequence.max_length)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    parents = np.repeat(np.arange(len(lengths)), lengths)
    ages = np.arange(offsets[-1]) - offsets[parents]
    lists = {}
    for key, column in columns.items():
        starts, full = bounds[key]
        newest_first = sequence.order == "newest_first"
        indices = starts[parents] + ages if newest_first else (starts + full - 1)[parents] - ages
        events = column.values.take(pa.array(indices))
        side = sequence.columns[key]
        what = f"{where}: column {side.column}"
        if side.kind == "time":
            now = _read_times(_impressions(rows, impressed, where), f"{where}: column {impressed}")
            # In float64: milliseconds since 1970 have more digits than float32.
            values = ((now[parents] - _read_times(events, what)) / MS_PER_HOUR).astype(np.float32)
        else:
            values = _READ[side.kind](events, side, what)
        lists[key] = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))
    return lists


def _list_columns(
    rows: pa.RecordBatch | pa.Table, sequence: SequenceConfig, where: str
) -> Iterator[tuple[str, pa.Array]]:
    for key, side in sequence.columns.items():
        if side.column not in rows.schema.names:
            raise ValueError(f"{where}: no column {side.column}; the model reads it as lists of {side.kind}")
        column = decoded(rows.column(side.column))
        if pa.types.is_null(column.type):
            column = pa.array([[]] * len(column), pa.list_(pa.null()))
        yield key, column


def list_bounds(column: pa.Array) -> ListBounds:
    """The bounds of the lists of a column that is decoded; a null list is empty."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_fixed_size_list(column.type):
        starts = np.arange(column.offset, column.offset + len(column)) * column.type.list_size
    else:
        starts = column.offsets.to_numpy()[:-1]
    return ListBounds(starts.astype(np.int64), lengths)


def _check_aligned(bounds: Mapping[str, ListBounds], sequence: SequenceConfig, where: str) -> None:
    first = next(iter(bounds))
    for key, (_, lengths) in bounds.items():
        different = lengths != bounds[first].lengths
        if different.any():
            row = int(np.flatnonzero(different)[0])
            raise UnalignedListsError(
                where,
                row,
                f"column {sequence.columns[key].column} has a list of {lengths[row]}, and "
                f"{sequence.columns[first].column} one of {bounds[first].lengths[row]}; the lists of a sequence are "
                "of the same events; write an entry for each event in each of them, null where it has no value",
            )


def _read_ids(events: pa.Array, side: SequenceColumn, what: str) -> NDArray[np.int64]:
    ids: NDArray[np.int64] = feature_ids(events).fill_null(MISSING_ID).to_numpy(zero_copy_only=False)
    return ids


def read_numbers(values: pa.Array) -> NDArray[np.float32]:
    """Numbers as float32, (values,); NaN for those that are missing or not finite."""
    numbers = pc.cast(decoded(values), pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.float32(np.nan))


def _read_times(events: pa.Array, what: str) -> NDArray[np.float64]:
    times = milliseconds(decoded(events), what).cast(pa.float64(), safe=False)
    numbers: NDArray[np.float64] = times.to_numpy(zero_copy_only=False)
    return numbers


def read_actions(events: pa.Array, values: Sequence[str] | Sequence[int], what: str) -> NDArray[np.int64]:
    """Lists of actions as numbers with a bit for each of the named ``values``: (events,); others are left out.

    Raises ValueError that begins with ``what`` for actions that are not of the type of the values.
    """
    events = decoded(events)
    bits = np.zeros(len(events), dtype=np.int64)
    if pa.types.is_null(events.type):
        return bits
    actions = normalized_ids(pc.list_flatten(events))
    known = pa.array(values)
    if not pa.types.is_null(actions.type) and len(actions) and actions.type != known.type:
        raise ValueError(
            f"{what} has actions of {actions.type}, and values of {known.type} are named; name them as the log does"
        )
    numbers = pc.index_in(actions, known) if len(actions) else pa.array([], pa.int32())
    taken = numbers.is_valid().to_numpy(zero_copy_only=False)
    parents = pc.list_parent_indices(events).to_numpy()[taken]
    marks = np.left_shift(np.int64(1), numbers.drop_null().to_numpy().astype(np.int64))
    np.bitwise_or.at(bits, parents, marks)
    return bits


_READ: dict[str, Callable[[pa.Array, SequenceColumn, str], NDArray[Any]]] = {
    "id": _read_ids,
    "category": _read_ids,
    "number": lambda events, side, what: read_numbers(events),
    "actions": lambda events, side, what: read_actions(events, side.values or (), what),
}


def _impressions(rows: pa.RecordBatch | pa.Table, impressed: str | None, where: str) -> pa.Array:
    if impressed not in rows.schema.names:
        raise ValueError(
            f"{where}: no column {impressed}; the times of a sequence are read as the hours to it; give it, to score "
            "as the time of the request"
        )
    return rows.column(impressed)
