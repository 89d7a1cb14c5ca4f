"""Rows of the log as the arrays of a dataset: groups, labels, weight, ids and timestamps."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.artifacts.log import batches_of, open_parquet
from components.artifacts.snapshot import LogFile, Snapshot
from recap_model.config import RecapConfig
from recap_model.config.data import SplitByColumn, SplitByHash
from recap_model.data.groups import read_groups
from recap_model.data.lists import read_lists

_MS_PER_HOUR = 3_600_000
_ROWS_AT_ONCE = 16_384


@dataclass
class Rows:
    """Rows on their way from the log to a set.

    Attributes:
        groups: (rows, width) for each dense group; float32, or int64 for ``discrete``.
        labels: (rows, tasks) float32; NaN where missing.
        weight: (rows,) float32.
        keys: ids and timestamps under their fixed names, as in the log.
        sparse: lists of ids, list<int64>.
        number: (rows,) int64, the row's place in the log, which sampling and shuffling draw from.
    """

    groups: dict[str, NDArray[np.generic]]
    labels: NDArray[np.float32]
    weight: NDArray[np.float32]
    number: NDArray[np.int64]
    keys: dict[str, pa.Array] = field(default_factory=dict)
    sparse: dict[str, pa.ListArray] = field(default_factory=dict)

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
        )


def key_columns(config: RecapConfig) -> dict[str, str]:
    """The log's columns that are kept for evaluation, by the fixed names they get."""
    ids, stamps = config.features.ids, config.features.timestamps
    named = {
        "request": ids.request,
        "user": ids.user,
        "candidate": ids.candidate,
        "impressed": stamps.impressed,
    }
    return {name: column for name, column in named.items() if column is not None}


def columns_to_read(config: RecapConfig) -> list[str]:
    """Every column that build needs, each once."""
    split = config.data.split
    extra = [split.column] if isinstance(split, SplitByColumn | SplitByHash) else []
    stamps = config.features.timestamps
    times = [stamps.served, stamps.impressed, stamps.engaged] if config.data.rectify_labels else []
    weight = [config.features.weight]
    named = [*config.features.columns(), *config.label_columns().values(), *key_columns(config).values()]
    return list(dict.fromkeys(name for name in (*named, *extra, *times, *weight) if name is not None))


def read_file(snapshot: Snapshot, file: LogFile, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Batches of some columns of one file. Raises ValueError naming the file if it cannot be read."""
    parquet = open_parquet(snapshot, file)
    missing = [name for name in columns if name not in parquet.schema_arrow.names]
    if missing:
        raise ValueError(
            f"{file.path}: no column {', '.join(missing)}; write it, or change features or tasks"
        )
    if parquet.metadata.num_rows != file.rows:
        raise ValueError(f"{file.path}: changed since resolve listed it; run resolve again")
    try:
        yield from batches_of(parquet, _ROWS_AT_ONCE, columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file.path}: cannot be read ({reason}); write the file again") from None


def to_rows(batch: pa.RecordBatch, config: RecapConfig, file: str, first: int) -> Rows:
    """Turn a batch of the log into rows; ``first`` is the number of its first row.

    Features are read as `read_groups` reads them, here and in serving. Raises ValueError naming file and column
    where a column cannot be read.
    """
    groups = read_groups(batch, config.features, file)
    labels = np.stack([_floats(batch, column, file) for column in config.label_columns().values()], axis=1)
    weight = np.ones(batch.num_rows, dtype=np.float32)
    if config.features.weight:
        weight = _floats(batch, config.features.weight, file)
    keys = {name: batch.column(column) for name, column in key_columns(config).items()}
    number = np.arange(first, first + batch.num_rows, dtype=np.int64)
    sparse = read_lists(batch, config.features, file)
    return Rows(groups, _rectify(labels, batch, config, file), weight, number, keys, sparse)


def _floats(batch: pa.RecordBatch, column: str, file: str) -> NDArray[np.float32]:
    array = batch.column(column)
    if not any(test(array.type) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)):
        raise ValueError(f"{file}: column {column} is {array.type}; labels and weights are numbers")
    return array.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)


def _rectify(
    labels: NDArray[np.float32], batch: pa.RecordBatch, config: RecapConfig, file: str
) -> NDArray[np.float32]:
    """Keep a positive only if the impression and the engagement came soon enough after serving.

    A positive without a time of engagement is kept if its impression came in time: there is nothing against it.
    """
    if config.data.rectify_labels is None:
        return labels
    window_ms = config.data.rectify_labels.window_hours * _MS_PER_HOUR
    stamps = config.features.timestamps
    times = {}
    for name in ("served", "impressed", "engaged"):
        column = batch.column(getattr(stamps, name))
        if not pa.types.is_integer(column.type):
            raise ValueError(
                f"{file}: column {getattr(stamps, name)} is {column.type}; times are int64 milliseconds"
            )
        times[name] = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    seen_late = ~(times["impressed"] - times["served"] < window_ms)
    engaged_late = times["engaged"] - times["served"] >= window_ms
    late = (seen_late | engaged_late)[:, np.newaxis] & (labels > 0.5)
    return np.where(late, np.float32(0.0), labels)
