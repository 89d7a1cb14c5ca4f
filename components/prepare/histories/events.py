"""Rows of the log as events of their users: what `features.derived_sequences` read of each."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.prepare.id_forms import IdForms
from recap_model.config import RecapConfig
from recap_model.config.data.sequences import DerivedSequence, DerivedSequenceColumn
from recap_model.data.log.column_roles import LogColumn
from recap_model.data.log.columns import milliseconds
from recap_model.data.log.id_hashing import MISSING_ID, id_numbers, is_present
from recap_model.data.log.labels import evaluate_labels, label_sources
from recap_model.data.log.schema import log_columns, select_columns
from recap_model.data.log.sequences import read_numbers
from recap_model.data.log.values import read_ids

NEVER = np.iinfo(np.int64).max
"""A time at which nothing is known any more."""

KEYS = ("user", "time", "number")


def event_columns(config: RecapConfig) -> list[LogColumn]:
    """The columns of the log that events are read from."""
    features = config.features
    names = [features.ids.user, features.timestamps.impressed, features.ids.request]
    if config.data.deduplicate:
        names.append(features.ids.candidate)
    for sequence in features.derived_sequences.values():
        tasks = [*([sequence.only_where] if sequence.only_where else [])]
        for column in sequence.columns.values():
            names += [column.column, known_at(config, column)]
            tasks += column.values or []
        names += label_sources(config, tasks)
        names += [features.timestamps.engaged] if sequence.only_where else []
    return select_columns(log_columns(config), {name for name in names if name})


def known_at(config: RecapConfig, column: DerivedSequenceColumn) -> str | None:
    """The column of the time from which a value is known; None where that is the impression."""
    if column.known_at is None and column.kind == "actions":
        return config.features.timestamps.engaged
    return column.known_at


def read_events(
    batch: pa.RecordBatch, config: RecapConfig, forms: IdForms, file: str, first: int
) -> pa.RecordBatch:
    """The rows that have a user and a time of impression, as numbers that an exchange can sort.

    Args:
        first: number of the first row in the log; of rows before the window it is negative.

    Returns:
        ``user``, ``time`` (ms), ``number``, ``request`` and, to find duplicates, ``candidate`` (null where missing);
        for each sequence ``NAME``, the time from which the event is known, null where the row is none; and
        ``NAME.KEY``, with ``NAME.KEY.known`` where that is known later.
    """
    forms.check(batch.schema, file)
    ids, stamps = config.features.ids, config.features.timestamps
    assert ids.user is not None
    assert stamps.impressed is not None
    time = _times(batch, stamps.impressed, file)
    chosen = np.flatnonzero(is_present(batch.column(ids.user)) & (time != NEVER))
    columns: dict[str, NDArray[Any] | pa.Array] = {
        "user": id_numbers(batch.column(ids.user)),
        "time": time,
        "number": np.arange(first, first + batch.num_rows),
        "request": _numbers_or_null(batch, ids.request),
    }
    if config.data.deduplicate:
        columns["candidate"] = _numbers_or_null(batch, ids.candidate)
    for name, sequence in config.features.derived_sequences.items():
        columns |= dict(_read_sequence(batch, config, name, sequence, file))
    return pa.record_batch({name: pa.array(column) for name, column in columns.items()}).take(
        pa.array(chosen)
    )


def _read_sequence(
    batch: pa.RecordBatch, config: RecapConfig, name: str, sequence: DerivedSequence, file: str
) -> Iterator[tuple[str, NDArray[Any] | pa.Array]]:
    known = _times(batch, str(config.features.timestamps.impressed), file)
    if sequence.only_where:
        known = _times(batch, str(config.features.timestamps.engaged), file)
        known[evaluate_labels(batch, config, [sequence.only_where], file)[:, 0] != 1.0] = NEVER
    yield name, pa.array(known, mask=known == NEVER)
    for key, column in sequence.columns.items():
        if column.kind == "time":
            continue
        yield f"{name}.{key}", _read_values(batch, config, column, file)
        if (since := known_at(config, column)) is not None:
            yield f"{name}.{key}.known", _times(batch, since, file)


def _read_values(
    batch: pa.RecordBatch, config: RecapConfig, column: DerivedSequenceColumn, file: str
) -> NDArray[Any]:
    if column.values is not None:
        taken = evaluate_labels(batch, config, column.values, file) == 1.0
        return np.left_shift(taken.astype(np.int64), np.arange(len(column.values))).sum(axis=1)
    values, what = batch.column(column.column), f"{file}: column {column.column}"
    if column.kind == "number":
        return read_numbers(values)
    ids: NDArray[np.int64] = read_ids(values, what).fill_null(MISSING_ID).to_numpy(zero_copy_only=False)
    return ids


def _times(batch: pa.RecordBatch, column: str, file: str) -> NDArray[np.int64]:
    """Milliseconds, (rows,); `NEVER` where there is no time."""
    times = milliseconds(batch.column(column), f"{file}: column {column}").fill_null(NEVER)
    return np.array(times.to_numpy(zero_copy_only=False))


def _numbers_or_null(batch: pa.RecordBatch, column: str | None) -> pa.Array:
    if column is None:
        return pa.nulls(batch.num_rows, pa.int64())
    return pa.array(id_numbers(batch.column(column)), mask=~is_present(batch.column(column)))
