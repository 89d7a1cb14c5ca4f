"""Sequences in a dataset, ragged columns of lists, and in a batch, padded to its longest history."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recap_model.config.data.sequences import LENGTH, Sequence, SequenceColumn
from recap_model.data.log.id_hashing import MISSING_ID
from recap_model.data.log.sequences import column_name

# Row n: the bits of n, the lowest first.
_FLAGS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, np.newaxis], axis=1, bitorder="little").astype(
    np.float32
)

Array = NDArray[np.generic]
Empty = Callable[[tuple[int, ...], "np.dtype[np.generic]"], Array]
"""An array of any content, by shape and dtype."""


def _new(shape: tuple[int, ...], dtype: np.dtype[np.generic]) -> Array:
    return np.empty(shape, dtype)


class RaggedColumns(NamedTuple):
    """One sequence of a record batch, without a copy: events of row n are ``offsets[n]`` to ``offsets[n + 1]``."""

    offsets: NDArray[np.int64]
    values: Mapping[str, Array]

    @classmethod
    def of(cls, rows: pa.RecordBatch, name: str, sequence: Sequence) -> Self:
        """The sequence ``name`` of rows of a dataset."""
        lists = {key: rows.column(column_name(name, key)) for key in sequence.columns}
        offsets = next(iter(lists.values())).offsets.to_numpy().astype(np.int64)
        return cls(offsets, {key: column.values.to_numpy() for key, column in lists.items()})


def repeats_previous(ragged: RaggedColumns) -> NDArray[np.bool_]:
    """Which rows have the same events as the row before them, bit for bit: (rows,)."""
    offsets = ragged.offsets
    lengths = np.diff(offsets)
    same = np.zeros(len(lengths), dtype=bool)
    same[1:] = lengths[1:] == lengths[:-1]
    # The same event of a row before that has as many is as many places before.
    events = np.arange(offsets[0], offsets[-1])
    before = events - np.repeat(lengths, lengths)
    rows = np.repeat(np.arange(len(lengths)), lengths)
    candidates = same[rows]
    events, before, rows = events[candidates], before[candidates], rows[candidates]
    for values in ragged.values.values():
        bits = values.view(f"i{values.dtype.itemsize}")
        same[rows[bits[events] != bits[before]]] = False
    return same


Chosen = tuple[RaggedColumns, NDArray[np.int64]]
"""Rows of a record batch."""


def pad_sequence(chosen: list[Chosen], sequence: Sequence, empty: Empty = _new) -> dict[str, Array]:
    """The histories of rows as arrays, as `RecapBatch.sequences` has them; at least one event wide.

    Args:
        empty: gives the arrays, whose sizes are powers of two, so that few differ.
    """
    begins = np.concatenate([ragged.offsets[rows] for ragged, rows in chosen])
    lengths = np.concatenate([ragged.offsets[rows + 1] for ragged, rows in chosen]) - begins
    longest = max(int(lengths.max(initial=0)), 1)
    shape = len(lengths), longest
    events = begins[:, np.newaxis] + np.arange(longest)
    missing = None
    if lengths.min(initial=longest) < longest:
        missing = np.arange(longest) >= lengths[:, np.newaxis]

    def array(size: int, dtype: np.dtype[np.generic]) -> Array:
        return empty((1 << (size - 1).bit_length(),), dtype)[:size]

    padded: dict[str, Array] = {LENGTH: lengths}
    for key, column in sequence.columns.items():
        cells = array(events.size, chosen[0][0].values[key].dtype).reshape(shape)
        done = 0
        for ragged, rows in chosen:
            values, last = ragged.values[key], done + len(rows)
            if len(values):
                # Clipped, where cells are padding; numpy would copy once more to raise for them.
                values.take(events[done:last], out=cells[done:last], mode="clip")
            done = last
        if missing is not None:
            np.copyto(cells, np.array(_padding(column), dtype=cells.dtype), where=missing)
        if column.values is None:
            padded[key] = cells
        else:
            flags = array(cells.size * len(column.values), np.dtype(np.float32))
            padded[key] = _to_flags(cells.ravel(), flags.reshape(*shape, len(column.values)))
    return padded


def _padding(column: SequenceColumn) -> float:
    return {"id": MISSING_ID, "category": MISSING_ID, "actions": 0}.get(column.kind, np.nan)


def _to_flags(bits: NDArray[Any], out: NDArray[Any]) -> NDArray[Any]:
    """Write into ``out`` of (rows, longest, actions) whether each action was taken, 1 or 0."""
    flags, actions = out.reshape(-1, out.shape[-1]), out.shape[-1]
    # By a table of octets: six times as fast as unpacking the bits, as seen with 8 actions.
    if actions <= 8:
        _FLAGS[:, :actions].take(bits, axis=0, out=flags, mode="clip")
        return out
    for first in range(0, actions, 8):
        octets = (bits >> first) & 255
        flags[:, first : first + 8] = _FLAGS[:, : actions - first].take(octets, axis=0, mode="clip")
    return out
