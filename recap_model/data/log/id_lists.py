"""Variable-length id lists: read from the log, ragged in a dataset, padded in a batch."""

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.config.data.features import FeaturesConfig
from recap_model.data.log.columns import decoded
from recap_model.data.log.id_hashing import MISSING_ID, feature_ids

PREFIX = "sparse."  # of a list's column in a dataset, where "labels" and "weight" are taken


class IdLists(NamedTuple):
    """Lists of a record batch, without a copy: list n is ``values[offsets[n]:offsets[n + 1]]``."""

    offsets: NDArray[np.int64]
    values: NDArray[np.int64]

    @classmethod
    def of(cls, column: pa.ListArray) -> "IdLists":
        """A column of `read_lists`, or a slice of one."""
        return cls(column.offsets.to_numpy(), column.values.to_numpy())

    def lengths(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Ids in the lists of these rows: (rows,)."""
        return self.offsets[rows + 1] - self.offsets[rows]

    def fill(self, rows: NDArray[np.int64], out: NDArray[np.int64]) -> None:
        """Write the lists of these rows into ``out`` of (rows, longest), which holds `MISSING_ID` everywhere."""
        columns = np.arange(out.shape[1])
        inside = columns < self.lengths(rows)[:, np.newaxis]
        out[inside] = self.values[(self.offsets[rows][:, np.newaxis] + columns)[inside]]


def pad_lists(parts: list[tuple[IdLists, NDArray[np.int64]]]) -> NDArray[np.int64]:
    """Pad the lists of rows of several record batches: (rows, longest), at least one wide."""
    longest = max((int(lists.lengths(rows).max(initial=0)) for lists, rows in parts), default=0)
    out = np.full((sum(len(rows) for _, rows in parts), max(longest, 1)), MISSING_ID)
    done = 0
    for lists, rows in parts:
        lists.fill(rows, out[done : done + len(rows)])
        done += len(rows)
    return out


def read_lists(
    rows: pa.RecordBatch | pa.Table, features: FeaturesConfig, where: str
) -> dict[str, pa.ListArray]:
    """The columns of ``features.sparse`` as list<int64>: the same for training rows and for requests.

    A null list is empty, a null in a list is left out, and of a list longer than ``features.longest_list`` its first
    ids stay.

    Args:
        where: names the rows in errors: a file, or "input".

    Raises:
        ValueError: a column is not there; it is named.
    """
    lists = {}
    for name in features.sparse:
        if name not in rows.schema.names:
            raise ValueError(f"{where}: no column {name}; the model reads it as a list of ids")
        lists[name] = _read_column(decoded(rows.column(name)), features.longest_list)
    return lists


def _read_column(column: pa.Array, longest: int | None) -> pa.ListArray:
    if pa.types.is_null(column.type):
        return pa.array([[]] * len(column), pa.list_(pa.int64()))
    ids = feature_ids(pc.list_flatten(column))
    parents = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    kept = ids.is_valid().to_numpy(zero_copy_only=False)
    if longest is not None:
        firsts = np.searchsorted(parents, parents)
        kept &= np.arange(len(parents)) - firsts < longest
    lengths = np.bincount(parents[kept], minlength=len(column))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), ids.filter(pa.array(kept)))
