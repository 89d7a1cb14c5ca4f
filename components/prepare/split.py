"""Split of rows into training, calibration and test sets."""

from collections.abc import Iterator
from datetime import date

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.snapshot import LogFile, Partition, Snapshot
from components.prepare.rows import read_file
from recap_model.config import RecapConfig
from recap_model.config.data.dataset import SplitByColumn, SplitByDays, SplitByHash, SplitByTime
from recap_model.data.log.columns import milliseconds
from recap_model.data.log.id_hashing import id_numbers, is_present, uniform
from recap_model.data.log.schema import log_columns, select_columns

SPLITS = ("train", "calibration", "test")
_TIME_BINS = 1 << 20
_NO_TIME = np.iinfo(np.int64).min

Codes = NDArray[np.int8]


class Splitter:
    """Assigns each row of a log to a set: an index into ``SPLITS``.

    A request with rows in two sets is assigned to the later one, so that no ranked list is in both; rows without a
    request are assigned one by one. Memory is 8 bytes a request.

    Raises:
        ValueError: the column of a split by column has a value other than train, calibration, test.
    """

    def __init__(self, snapshot: Snapshot, config: RecapConfig) -> None:
        self._snapshot = snapshot
        self._columns = log_columns(config)
        self._split = config.data.split
        self._seed = config.data.seed
        self._days = sorted({_day_of(partition) for partition in snapshot.partitions if partition.files})
        self._request = config.features.ids.request
        self._impressed = config.features.timestamps.impressed
        self._time_cuts: NDArray[np.int64] | None = None
        if isinstance(self._split, SplitByTime):
            self._time_cuts = self._cut_times(self._split)
        self._moved: list[tuple[NDArray[np.int64], int]] = []
        if self._request is not None:
            self._moved = self._requests_in_two_sets(self._request)

    def codes(self, batch: pa.RecordBatch, partition: Partition, file: LogFile) -> Codes:
        """The set of each row of a batch: (rows,) int8."""
        codes = self._first_codes(batch, partition, file)
        if self._moved and self._request is not None:
            named = is_present(batch.column(self._request))
            requests = id_numbers(batch.column(self._request))
            for moved, code in self._moved:
                codes[named & np.isin(requests, moved)] = code
        return codes

    def _first_codes(self, batch: pa.RecordBatch, partition: Partition, file: LogFile) -> Codes:
        rows = batch.num_rows
        match self._split:
            case SplitByDays(calibration_days=calibration, test_days=test):
                day = _day_of(partition)
                # Among days with files, so that a tolerated gap leaves no set empty.
                from_end = len(self._days) - self._days.index(day)
                return np.full(rows, (from_end <= test + calibration) + (from_end <= test), dtype=np.int8)
            case SplitByTime():
                assert self._time_cuts is not None
                assert self._impressed is not None
                times = self._times(batch, file)
                return np.searchsorted(self._time_cuts, times, side="right").astype(np.int8)
            case SplitByHash(column=column, calibration_share=calibration_share, test_share=test_share):
                draw = uniform(id_numbers(batch.column(column)), self._seed)
                edges = np.array([calibration_share + test_share, test_share])
                return (draw[:, np.newaxis] < edges).sum(axis=1).astype(np.int8)
            case SplitByColumn(column=column):
                return _codes_of_words(batch.column(column), column, file)
        raise AssertionError(self._split)

    def _scan(self, columns: list[str]) -> Iterator[tuple[pa.RecordBatch, Partition, LogFile]]:
        known = select_columns(self._columns, columns)
        for partition in self._snapshot.partitions:
            for file in partition.files:
                for batch in read_file(self._snapshot, file, known):
                    yield batch, partition, file

    def _cut_times(self, split: SplitByTime) -> NDArray[np.int64]:
        """The times (ms) at which the calibration set and the test set begin."""
        assert self._impressed is not None
        lows, highs = [], []
        for batch, _, file in self._scan([self._impressed]):
            times = self._times(batch, file)
            if len(known := times[times != _NO_TIME]):
                lows.append(known.min())
                highs.append(known.max())
        if not lows:
            raise ValueError(
                f"column {self._impressed} has no time in any row, which data.split by time needs; fix the log, or "
                "change data.split"
            )
        low, high = min(lows), max(highs)
        width = max(1, -(-(int(high) - int(low) + 1) // _TIME_BINS))
        counts = np.zeros(_TIME_BINS, dtype=np.int64)
        for batch, _, file in self._scan([self._impressed]):
            times = self._times(batch, file)
            counts += np.bincount((times[times != _NO_TIME] - low) // width, minlength=_TIME_BINS)
        fraction = np.cumsum(counts) / counts.sum()
        edges = [1.0 - split.calibration_share - split.test_share, 1.0 - split.test_share]
        return low + (np.searchsorted(fraction, edges) + 1) * width

    def _times(self, batch: pa.RecordBatch, file: LogFile) -> NDArray[np.int64]:
        """Milliseconds; a missing time is the least, so that the row is for training."""
        times = milliseconds(batch.column(str(self._impressed)), f"{file.path}: column {self._impressed}")
        return times.fill_null(_NO_TIME).to_numpy(zero_copy_only=False)

    def _requests_in_two_sets(self, request: str) -> list[tuple[NDArray[np.int64], int]]:
        seen: list[list[NDArray[np.int64]]] = [[] for _ in SPLITS]
        columns = [request]
        if isinstance(self._split, SplitByTime):
            columns.append(str(self._impressed))
        elif isinstance(self._split, SplitByHash | SplitByColumn):
            columns.append(self._split.column)
        for batch, partition, file in self._scan(list(dict.fromkeys(columns))):
            codes = self._first_codes(batch, partition, file)
            named, requests = is_present(batch.column(request)), id_numbers(batch.column(request))
            for code in np.unique(codes):
                seen[code].append(np.unique(requests[named & (codes == code)]))
        known = [np.unique(np.concatenate(ids)) if ids else np.empty(0, np.int64) for ids in seen]
        later = np.union1d(known[1], known[2])
        moved = [(np.setdiff1d(np.intersect1d(known[0], later), known[2]), 1)]
        moved.append((np.intersect1d(known[2], np.union1d(known[0], known[1])), 2))
        return [(ids, code) for ids, code in moved if len(ids)]


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
