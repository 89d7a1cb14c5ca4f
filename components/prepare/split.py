"""Split of rows into training, calibration and test sets."""

import functools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from recap_model.data.log.columns import milliseconds
from recap_model.data.log.id_hashing import id_numbers, uniform
from recap_model.data.log.schema import log_columns, select_columns

SPLITS = ("train", "calibration", "test")
LEFT_OUT = len(SPLITS)
"""The code of a row that is in no set."""

CALIBRATION_FRACTION, VALIDATION_FRACTION = 0.1, 0.2  # of the training rows, where these are split again
_INNER_SEED = 7919
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


class TrainingSplitter(Splitter):
    """Splits the training rows of a config's split again, and leaves the other rows out.

    The last ``VALIDATION_FRACTION`` of them become the test set, those before them the calibration set: by the time
    of the impression, else by days, else by a hash of an id.

    Args:
        time_cuts: of the config's split, as of `Splitter`.
        inner_cuts: of `inner_cut_times`, for a log with impression times.

    Raises:
        ValueError: the log has no impression times, under three training days, and no id.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        config: RecapConfig,
        time_cuts: NDArray[np.int64] | None,
        inner_cuts: NDArray[np.int64] | None,
    ) -> None:
        super().__init__(snapshot, config, time_cuts)
        self._inner_cuts = inner_cuts
        ids = config.features.ids
        self._id = None if inner_cuts is not None else ids.user or ids.request or ids.candidate
        days = self._days
        if isinstance(split := self._split, SplitByDays):
            days = days[: len(days) - split.test_days - split.calibration_days]
        last = max(1, round(VALIDATION_FRACTION * len(days)))
        before = max(1, round(CALIBRATION_FRACTION * len(days)))
        self._last_days = (days[-last:], days[-last - before : -last]) if len(days) >= 3 else None
        if inner_cuts is None and self._last_days is None and self._id is None:
            raise ValueError(
                "features: no impression time (timestamps.impressed), no id (ids.user), and under three days of "
                "training rows, so that no validation rows can be cut off; name one of these columns, or raise "
                "data.days"
            )

    @property
    def columns(self) -> list[str]:
        """The columns that it reads."""
        columns = [str(self._impressed)] if self._inner_cuts is not None else []
        columns += [self._id] if self._last_days is None and self._id is not None else []
        return list(dict.fromkeys([*super().columns, *columns]))

    def codes(self, batch: pa.RecordBatch, partition: Partition, file: LogFile) -> Codes:
        """The set of each row of a batch, `LEFT_OUT` for those that are not for training: (rows,) int8."""
        outer = super().codes(batch, partition, file)
        return np.where(outer == 0, self._inner_codes(batch, partition, file), LEFT_OUT).astype(np.int8)

    def _inner_codes(self, batch: pa.RecordBatch, partition: Partition, file: LogFile) -> Codes:
        if self._inner_cuts is not None:
            times = _times(batch, str(self._impressed), file)
            return np.searchsorted(self._inner_cuts, times, side="right").astype(np.int8)
        if self._last_days is not None:
            last, before = self._last_days
            day = _day_of(partition)
            return np.full(batch.num_rows, 2 if day in last else 1 if day in before else 0, dtype=np.int8)
        draw = uniform(id_numbers(batch.column(str(self._id))), self._seed + _INNER_SEED)
        edges = np.array([CALIBRATION_FRACTION + VALIDATION_FRACTION, VALIDATION_FRACTION])
        return (draw[:, np.newaxis] < edges).sum(axis=1).astype(np.int8)


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
    cuts = _cut_times(engine, groups, _Times(snapshot, config), split.calibration_share, split.test_share)
    if cuts is None:
        raise ValueError(
            f"column {impressed} has no time in any row, which data.split by time needs; fix the log, or "
            "change data.split"
        )
    return cuts


def inner_cut_times(
    engine: Engine,
    groups: Sequence[FileGroup],
    snapshot: Snapshot,
    config: RecapConfig,
    time_cuts: NDArray[np.int64] | None,
) -> NDArray[np.int64] | None:
    """The times (ms) at which `TrainingSplitter`'s calibration and test sets begin; None without impression times."""
    if config.features.timestamps.impressed is None:
        return None
    times = _Times(snapshot, config, Splitter(snapshot, config, time_cuts))
    return _cut_times(engine, groups, times, CALIBRATION_FRACTION, VALIDATION_FRACTION)


@dataclass(frozen=True)
class _Times:
    """Reads the known impression times of a log's rows, or of those that a splitter has in the training set."""

    snapshot: Snapshot
    config: RecapConfig
    splitter: Splitter | None = None

    def read(self, group: FileGroup) -> Iterator[NDArray[np.int64]]:
        impressed = str(self.config.features.timestamps.impressed)
        names = [impressed, *(self.splitter.columns if self.splitter else ())]
        columns = select_columns(log_columns(self.config), list(dict.fromkeys(names)))
        for partition, file in group.files:
            for batch in read_file(self.snapshot, file, columns):
                times = _times(batch, impressed, file)
                if self.splitter is not None:
                    times = times[self.splitter.codes(batch, partition, file) == 0]
                if len(known := times[times != _NO_TIME]):
                    yield known


def _cut_times(
    engine: Engine, groups: Sequence[FileGroup], times: _Times, calibration: float, test: float
) -> NDArray[np.int64] | None:
    """The times at which the last two fractions of the rows begin; None if no row has a time."""
    spans = engine.map(groups, functools.partial(_span, times), operator.add)
    if not spans:
        return None
    low, high = min(low for low, _ in spans), max(high for _, high in spans)
    width = max(1, -(-(high - low + 1) // _TIME_BINS))
    counts = engine.map(groups, functools.partial(_histogram, times, low, width), np.add)
    fraction = np.cumsum(counts) / counts.sum()
    edges = [1.0 - calibration - test, 1.0 - test]
    return low + (np.searchsorted(fraction, edges) + 1) * width


def _span(times: _Times, group: FileGroup) -> list[tuple[int, int]]:
    """The first and the last time of a group's rows; empty without a time."""
    spans = [(int(known.min()), int(known.max())) for known in times.read(group)]
    return [(min(low for low, _ in spans), max(high for _, high in spans))] if spans else []


def _histogram(times: _Times, low: int, width: int, group: FileGroup) -> NDArray[np.int64]:
    counts = np.zeros(_TIME_BINS, dtype=np.int64)
    for known in times.read(group):
        counts += np.bincount((known - low) // width, minlength=_TIME_BINS)
    return counts


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
