"""The prediction log: served rows with their scores, as daily Parquet files that ``serving_log`` reads."""

import itertools
import logging
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.common.storage.digest_sink import DigestSink
from components.common.storage.parquet import open_root
from components.serve.metrics import Metrics
from components.serve.payload import Request
from components.serve.served_model import ServedModel
from recap_model.config.data.features import FeaturesConfig
from recap_model.config.reading.errors import in_one_line
from recap_model.serving import Scored, to_array

SERVED_AT, VERSION, PREDICTION = "served_at", "model_version", "prediction."
_FLUSH_S, _FILE_ROWS, _MOST_ROWS = 60.0, 100_000, 1_000_000

log = logging.getLogger(__name__)


class _Entry(NamedTuple):
    model: ServedModel
    context: dict[str, pa.Array]
    scored: Scored
    served_at: datetime


class PredictionLog:
    """Collects served requests, and writes them in a thread: each minute, or every 100,000 rows.

    A file ``date=YYYY-MM-DD/*.parquet`` (the day in UTC) has the columns that the model read, ids and times of the
    request, ``served_at``, ``model_version``, and ``prediction.TASK`` and ``prediction.score``. It is written
    atomically. While it cannot be written, at most 1,000,000 rows are kept; further ones are dropped and counted.

    Raises:
        OSError, ValueError: the folder cannot be opened or created.
    """

    def __init__(self, root: str, metrics: Metrics) -> None:
        self._filesystem, self._root = open_root(root)
        self._filesystem.create_dir(self._root, recursive=True)
        self._metrics = metrics
        self._entries: list[_Entry] = []
        self._rows = 0
        self._lock = threading.Lock()
        self._due = threading.Event()
        self._closing = False
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
        self._thread.start()

    def add(self, model: ServedModel, request: Request, scored: Scored) -> None:
        """Add a request's rows; they are written later. Raises ValueError naming an id that Arrow cannot hold."""
        context = _context_columns(request, model.pyfunc.features)
        count = len(scored.scores)
        with self._lock:
            if count and self._rows + count <= _MOST_ROWS:
                self._entries.append(_Entry(model, context, scored, datetime.now(UTC)))
                self._rows += count
                count = 0
        if count:
            self._metrics.logged.labels("dropped").inc(count)
        if self._rows >= _FILE_ROWS:
            self._due.set()

    def close(self) -> None:
        """Write what is left, once, and end the thread."""
        self._closing = True
        self._due.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._closing:
            self._due.wait(_FLUSH_S)
            self._due.clear()
            if not self._write() and not self._closing:
                time.sleep(1)

    def _write(self) -> bool:
        """Write all entries, some at a time; returns False, and keeps what was not written, if that fails."""
        while entries := self._take():
            groups: dict[tuple[str, pa.Schema], list[tuple[_Entry, pa.Table]]] = {}
            # JSON's types depend on its values, and another version may read other columns.
            for entry in entries:
                table = _to_log_table(entry)
                key = entry.served_at.date().isoformat(), table.schema
                groups.setdefault(key, []).append((entry, table))
            try:
                for key, group in list(groups.items()):
                    self._write_file(key[0], pa.concat_tables([table for _, table in group]))
                    self._count_written(sum(len(table) for _, table in group))
                    del groups[key]
            except (OSError, pa.ArrowException) as error:
                with self._lock:
                    self._entries[:0] = [entry for group in groups.values() for entry, _ in group]
                if self._failure != (reason := in_one_line(error)):
                    log.error("event=prediction_log failure=%r rows_waiting=%d", reason, self._rows)
                self._failure = reason
                return False
        self._failure = ""
        return True

    def _take(self) -> list[_Entry]:
        """The oldest entries, about as many rows as a file is to have."""
        with self._lock:
            ends = itertools.accumulate(len(entry.scored.scores) for entry in self._entries)
            count = 1 + sum(end < _FILE_ROWS for end in ends)
            taken, self._entries = self._entries[:count], self._entries[count:]
            return taken

    def _count_written(self, rows: int) -> None:
        with self._lock:
            self._rows -= rows
        self._metrics.logged.labels("written").inc(rows)

    def _write_file(self, day: str, table: pa.Table) -> None:
        folder = f"{self._root}/date={day}"
        self._filesystem.create_dir(folder, recursive=True)
        name = f"{time.time_ns() // 1_000_000}-{uuid.uuid4().hex[:12]}.parquet"
        with DigestSink(self._filesystem, f"{folder}/{name}") as sink:
            pq.write_table(table, sink, compression="zstd")


def _to_log_table(entry: _Entry) -> pa.Table:
    """The rows of one request under the log's column names, with their scores."""
    rows, pyfunc = entry.scored.rows.replace_schema_metadata(None), entry.model.pyfunc
    columns: dict[str, Any] = {
        name: array for name, array in entry.context.items() if name not in rows.column_names
    }
    columns |= dict(zip(rows.column_names, rows.columns, strict=True))
    if entry.scored.history is not None:
        history = entry.scored.history.take(np.zeros(len(rows), dtype=np.int64))
        columns |= dict(zip(history.column_names, history.columns, strict=True))
    count = len(rows)
    columns[SERVED_AT] = pa.array([entry.served_at] * count, pa.timestamp("ms", "UTC"))
    columns[VERSION] = pa.array([entry.model.version] * count)
    for name, values in zip(pyfunc.outputs, entry.scored.scores.T, strict=True):
        columns[PREDICTION + name] = pa.array(values)
    # A column of nulls alone has no type; it is left out, which reads the same.
    return pa.table({name: column for name, column in columns.items() if not pa.types.is_null(column.type)})


def _context_columns(request: Request, features: FeaturesConfig) -> dict[str, pa.Array]:
    """The ids of a request's rows, and the times that the config names, where the request has them."""
    wanted = {*features.ids.model_dump().values(), *features.timestamps.model_dump().values()}
    rows = request.rows
    names = list(rows.column_names if isinstance(rows, pa.Table) else rows)
    for name in wanted.intersection(names):
        if names.count(name) > 1:
            raise ValueError(
                f"input: column {name} is there {names.count(name)} times; a column is there once"
            )
    return {
        name: rows.column(name) if isinstance(rows, pa.Table) else to_array(rows, name)
        for name in names
        if name in wanted
    }
