"""Split of rows into training, calibration and test sets."""

import functools
import operator
from collections.abc import Iterator, Sequence
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.snapshot import LogFile, Partition, Snapshot
from components.common.engine import Engine
from components.common.storage.file_groups import FileGroup
from components.prepare.rows import read_file
from recap_model.config import RecapConfig
from recap_model.config.data.dataset import SplitByColumn, SplitByDays, SplitByHash, SplitByTime
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.columns import milliseconds
from recap_model.data.log.id_hashing import id_numbers, uniform
from recap_model.data.log.schema import log_columns, select_columns

SPLITS = ("train", "calibration", "test")
_TIME_BINS = 1 << 20
_NO_TIME = np.iinfo(np.int64).min

Codes = NDArray[np.int8]


class Splitter:
    """Assigns each row of a log to a set by itself: an index into ``SPLITS``.

    Args:
        time_cuts: of `cut_times`, for a split by time.

    Raises:
        ValueError: the column of a split by column has a value other than train, calibration, test.
    """

    def __init__(
        self, snapshot: Snapshot, config: RecapConfig, time_cuts: NDArray[np.int64] | None = None
    ) -> None:
        self._split = config.data.split
        self._seed = config.data.seed
        self._days = sorted({_day_of(partition) for partition in snapshot.partitions if partition.files})
        self._impressed = config.features.timestamps.impressed
        self._time_cuts = time_cuts

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        if isinstance(self._split, SplitByTime):
            return [str(self._impressed)]
        return [self._split.column] if isinstance(self._split, SplitByHash | SplitByColumn) else []

    def codes(self, batch: pa.RecordBatch, partition: Partition, file: LogFile) -> Codes:
        """The set of each row of a batch: (rows,) int8."""
        rows = batch.num_rows
        match self._split:
            case SplitByDays(calibration_days=calibration, test_days=test):
                day = _day_of(partition)
                # Among days with files, so that a tolerated gap leaves no set empty.
                from_end = len(self._days) - self._days.index(day)
                return np.full(rows, (from_end <= test + calibration) + (from_end <= test), dtype=np.int8)
            case SplitByTime():
                assert self._time_cuts is not None
                times = _times(batch, str(self._impressed), file)
                return np.searchsorted(self._time_cuts, times, side="right").astype(np.int8)
            case SplitByHash(column=column, calibration_share=calibration_share, test_share=test_share):
                draw = uniform(id_numbers(batch.column(column)), self._seed)
                edges = np.array([calibration_share + test_share, test_share])
                return (draw[:, np.newaxis] < edges).sum(axis=1).astype(np.int8)
            case SplitByColumn(column=column):
                return _codes_of_words(batch.column(column), column, file)
        raise AssertionError(self._split)


def cut_times(
    engine: Engine, groups: Sequence[FileGroup], snapshot: Snapshot, config: RecapConfig
) -> NDArray[np.int64] | None:
    """The times (ms) at which the calibration set and the test set begin, of a split by time; else None.

    They are quantiles of a histogram of 1,048,576 bins between the first and the last time.

    Raises ValueError if no row has a time.
    """
    split, impressed = config.data.split, config.features.timestamps.impressed
    if not isinstance(split, SplitByTime) or impressed is None:
        return None
    columns = select_columns(log_columns(config), [impressed])
    spans = engine.map(groups, functools.partial(_span, snapshot, columns), operator.add)
    if not spans:
        raise ValueError(
            f"column {impressed} has no time in any row, which data.split by time needs; fix the log, or "
            "change data.split"
        )
    low, high = min(low for low, _ in spans), max(high for _, high in spans)
    width = max(1, -(-(high - low + 1) // _TIME_BINS))
    counts = engine.map(groups, functools.partial(_histogram, snapshot, columns, low, width), np.add)
    fraction = np.cumsum(counts) / counts.sum()
    edges = [1.0 - split.calibration_share - split.test_share, 1.0 - split.test_share]
    return low + (np.searchsorted(fraction, edges) + 1) * width


def _span(snapshot: Snapshot, columns: list[LogColumn], group: FileGroup) -> list[tuple[int, int]]:
    """The first and the last time of a group's rows; empty without a time."""
    spans = [(int(times.min()), int(times.max())) for times in _known_times(snapshot, columns, group)]
    return [(min(low for low, _ in spans), max(high for _, high in spans))] if spans else []


def _histogram(
    snapshot: Snapshot, columns: list[LogColumn], low: int, width: int, group: FileGroup
) -> NDArray[np.int64]:
    counts = np.zeros(_TIME_BINS, dtype=np.int64)
    for times in _known_times(snapshot, columns, group):
        counts += np.bincount((times - low) // width, minlength=_TIME_BINS)
    return counts


def _known_times(
    snapshot: Snapshot, columns: list[LogColumn], group: FileGroup
) -> Iterator[NDArray[np.int64]]:
    for _, file in group.files:
        for batch in read_file(snapshot, file, columns):
            times = _times(batch, columns[0].name, file)
            if len(known := times[times != _NO_TIME]):
                yield known


def _times(batch: pa.RecordBatch, column: str, file: LogFile) -> NDArray[np.int64]:
    """Milliseconds; a missing time is the least, so that the row is for training."""
    times = milliseconds(batch.column(column), f"{file.path}: column {column}")
    return times.fill_null(_NO_TIME).to_numpy(zero_copy_only=False)


def _day_of(partition: Partition) -> date:
    return date.fromisoformat(partition.name.removeprefix("date=")[:10])


def _codes_of_words(words: pa.Array, column: str, file: LogFile) -> Codes:
    codes = np.full(len(words), -1, dtype=np.int8)
    values = words.to_numpy(zero_copy_only=False)
    for code, name in enumerate(SPLITS):
        codes[values == name] = code
    if (codes < 0).any():
        wrong = values[np.flatnonzero(codes < 0)[0]]
        raise ValueError(f"{file.path}: column {column} has {wrong!r}; a split is train, calibration or test")
    return codes
