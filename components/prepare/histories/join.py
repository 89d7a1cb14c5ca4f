"""Make the histories of `features.derived_sequences`: the log's rows by user, then each row's earlier events."""

import functools
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.snapshot import LogFile, Snapshot
from components.common.engine import Engine, ToShards
from components.common.storage.parquet import count_rows
from components.prepare.histories.earlier_events import EarlierEvents, UserRows
from components.prepare.histories.events import KEYS, NEVER, event_columns, read_events
from components.prepare.histories.history_file import NUMBER, Histories, HistoryFile, write_histories
from components.prepare.id_forms import IdForms
from components.prepare.rows import read_file
from recap_model.config import RecapConfig
from recap_model.config.data.sequences import DerivedSequence
from recap_model.data.log.id_hashing import seeded_hash
from recap_model.data.log.sequences import MS_PER_HOUR, column_name

_ROWS_PER_SHARD = 1_000_000
_ROWS_OF_A_BATCH_OF_ALL_SHARDS = 65_536
_SEED = 11
_KINDS = {"number": pa.float32(), "time": pa.float32()}


@dataclass(frozen=True)
class EventFile:
    """A file of the log, and the number of its first row: negative before the window."""

    file: LogFile
    first_row: int


def history_schema(config: RecapConfig) -> pa.Schema:
    """The columns of a set that are made here."""
    return pa.schema(
        [
            (column_name(name, key), pa.list_(_KINDS.get(column.kind, pa.int64())))
            for name, sequence in config.features.derived_sequences.items()
            for key, column in sequence.columns.items()
        ]
    )


def join_histories(
    engine: Engine, snapshot: Snapshot, config: RecapConfig, forms: IdForms, scratch: str
) -> Histories:
    """Write the histories of all rows of the window into files of the folder ``scratch``.

    All rows of a user are sorted in one task, which holds them in memory: about 1,000,000 rows in each.

    Raises:
        FileNotFoundError, ValueError: a file of the log changed, or cannot be read as the config says.
    """
    schema = history_schema(config)
    if not config.features.derived_sequences:
        return Histories(scratch, [], schema)
    before = count_rows(snapshot.before_window)
    files = _event_files(snapshot, before)
    shards = max(1, -(-(snapshot.rows + before.rows) // _ROWS_PER_SHARD))
    kernel = functools.partial(_send_events, snapshot, config, forms, shards)
    sink = functools.partial(HistorySink, config, scratch, shards)
    groups = [files[number :: engine.item_count] for number in range(min(engine.item_count, len(files)))]
    written = engine.exchange(groups, kernel, shards, sink, KEYS).results
    return Histories(scratch, [file for file in written if file is not None], schema)


def _event_files(snapshot: Snapshot, before: Snapshot) -> list[EventFile]:
    """All files whose rows are events: of the window, and of the days before it."""
    files, first = [], -before.rows
    for file in (*before.files, *snapshot.files):
        files.append(EventFile(file, first))
        first += file.rows
    return files


def _send_events(
    snapshot: Snapshot, config: RecapConfig, forms: IdForms, shards: int, files: list[EventFile]
) -> Generator[ToShards, None, None]:
    columns = event_columns(config)
    for file in files:
        first = file.first_row
        for batch in read_file(snapshot, file.file, columns):
            events = read_events(batch, config, forms, file.file.path, first)
            users = events.column("user").to_numpy()
            yield ToShards(events, (seeded_hash(users, _SEED) % np.uint64(shards)).astype(np.int64))
            first += batch.num_rows


class HistorySink:
    """Takes the rows of some users, sorted by user and time, and writes the histories of those in the window."""

    def __init__(self, config: RecapConfig, root: str, shards: int, shard: int) -> None:
        self._config = config
        self._root = root
        self._shard = shard
        self._rows_of_a_batch = max(16, _ROWS_OF_A_BATCH_OF_ALL_SHARDS // shards)
        self._batches: list[pa.RecordBatch] = []

    def write(self, rows: pa.RecordBatch) -> None:
        """Take the next rows."""
        self._batches.append(rows)

    def close(self) -> HistoryFile | None:
        """Write the histories; None if no row is in the window."""
        rows = pa.concat_batches(self._batches)
        self._batches = []
        return write_histories(self._root, self._shard, self._histories(rows))

    def _histories(self, rows: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        number, time = rows.column("number").to_numpy(), rows.column("time").to_numpy()
        duplicate = _duplicates(rows, self._config)
        users = UserRows(
            rows.column("user").to_numpy(),
            time,
            rows.column("request").fill_null(0).to_numpy(zero_copy_only=False),
            rows.column("request").is_valid().to_numpy(zero_copy_only=False),
        )
        joins = {}
        for name, sequence in self._config.features.derived_sequences.items():
            known = rows.column(name).fill_null(NEVER).to_numpy(zero_copy_only=False)
            is_event = (known != NEVER) & ~duplicate
            joins[name] = EarlierEvents(users, is_event, known, sequence.max_length)
        in_window = np.flatnonzero(number >= 0)
        in_window = in_window[np.argsort(number[in_window])]
        for first in range(0, len(in_window), self._rows_of_a_batch):
            chosen = in_window[first : first + self._rows_of_a_batch]
            columns: dict[str, Any] = {NUMBER: number[chosen]}
            for name, sequence in self._config.features.derived_sequences.items():
                offsets, events = joins[name].of(chosen)
                now = np.repeat(time[chosen], np.diff(offsets))
                for key, values in _values(rows, name, sequence, events, now):
                    lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))
                    columns[column_name(name, key)] = lists
            yield pa.record_batch(columns)


def _values(
    rows: pa.RecordBatch,
    name: str,
    sequence: DerivedSequence,
    events: NDArray[np.int64],
    now: NDArray[np.int64],
) -> Iterator[tuple[str, NDArray[Any]]]:
    """The values of events for each key, as known ``now``."""
    for key, column in sequence.columns.items():
        if column.kind == "time":
            time = rows.column("time").to_numpy()
            yield key, ((now - time[events]) / MS_PER_HOUR).astype(np.float32)
            continue
        values = rows.column(f"{name}.{key}").to_numpy()[events]
        since = f"{name}.{key}.known"
        if since in rows.schema.names:
            unknown = rows.column(since).to_numpy()[events] > now
            missing = {"actions": 0, "number": np.nan}.get(column.kind, -1)
            values = np.where(unknown, np.array(missing, dtype=values.dtype), values)
        yield key, values


def _duplicates(rows: pa.RecordBatch, config: RecapConfig) -> NDArray[np.bool_]:
    """Which rows `data.deduplicate` leaves out: they are no events."""
    left_out = np.zeros(rows.num_rows, dtype=bool)
    if config.data.deduplicate is None:
        return left_out
    request, candidate = rows.column("request"), rows.column("candidate")
    named = np.flatnonzero(
        request.is_valid().to_numpy(zero_copy_only=False)
        & candidate.is_valid().to_numpy(zero_copy_only=False)
    )
    keys = [rows.column("number"), candidate, request, rows.column("user")]
    columns = [column.fill_null(0).to_numpy(zero_copy_only=False)[named] for column in keys]
    order = np.lexsort(columns)
    same = np.all([column[order][1:] == column[order][:-1] for column in columns[1:]], axis=0)
    repeats = order[1:][same] if config.data.deduplicate.keep == "first" else order[:-1][same]
    left_out[named[repeats]] = True
    return left_out
