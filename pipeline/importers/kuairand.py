"""KuaiRand: impressions of a short-video app with six engagements (Gao et al., CIKM 2022).

Features are values known before the impression: its local hour and weekday, the video's duration, and counts and
rates of the user's and the video's strictly earlier impressions. Outcomes of the impression (play time, time in
the comments) are not features, nor is ``label``, by which the rows were selected.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.importers.files import (
    ImportReport,
    find_file,
    parse_delimited,
    read_unpacked,
    require_values,
    write_log,
)

FILE = "kuairand27k_kcore15.tsv"
TASKS = {
    "click": "is_click",
    "long_view": "long_view",
    "profile_enter": "is_profile_enter",
    "comment": "is_comment",
    "forward": "is_forward",
    "follow": "is_follow",
}
_INTEGER_COLUMNS = ("user_id", "video_id", "hourmin", "time_ms", "duration_ms", *TASKS.values())
_PRIOR_IMPRESSIONS = 10.0
_DAY_MS = 86_400_000
_HOUR_MS = 3_600_000
_LOCAL_TIME_MS = 8 * _HOUR_MS

Numbers = NDArray[np.float64]


def import_kuairand(source: Path, out: Path) -> ImportReport:
    """Write the log of all rows in the file, duplicates included, a partition for each UTC day.

    Raises:
        FileNotFoundError: the file does not exist.
        FileExistsError: ``out`` holds something else.
        ValueError: a column is missing, a value does not parse, or an engagement is not 0 or 1; the row is named.
    """
    path = find_file(source, FILE)
    table = parse_delimited(
        path, read_unpacked(path), dict.fromkeys(_INTEGER_COLUMNS, pa.int64()), "\t", header=True
    )
    for column in TASKS.values():
        require_values(path, table, column, (0, 1))
    rows = _columns({name: table[name].to_numpy() for name in _INTEGER_COLUMNS})
    days = rows["impressed_ms"].to_numpy() // _DAY_MS
    return write_log(
        out,
        {date.fromordinal(719_163 + int(day)): rows.filter(pa.array(days == day)) for day in np.unique(days)},
    )


def _columns(raw: dict[str, NDArray[np.int64]]) -> pa.Table:
    """All columns of the log, sorted by time."""
    order = np.lexsort((raw["video_id"], raw["user_id"], raw["time_ms"]))
    raw = {name: values[order] for name, values in raw.items()}
    time = raw["time_ms"]
    labels = {task: raw[column].astype(np.float64) for task, column in TASKS.items()}
    columns: dict[str, pa.Array | NDArray[np.generic]] = {
        "user_id": raw["user_id"],
        "video_id": raw["video_id"],
        "impressed_ms": time,
        "hour": raw["hourmin"] // 100,
        "weekday": ((time + _LOCAL_TIME_MS) // _DAY_MS + 3) % 7,
        "duration_s": (raw["duration_ms"] / 1000.0).astype(np.float32),
        "duration_unknown": (raw["duration_ms"] == 0).astype(np.int8),
    }
    everyone = np.zeros_like(time)
    columns |= dict(_history("all", everyone, time, labels, None))
    rates = {task: np.asarray(columns[f"all_{task}_rate"], dtype=np.float64) for task in labels}
    for whose, entity in (("user", raw["user_id"]), ("video", raw["video_id"])):
        columns |= dict(_history(whose, entity, time, labels, rates))
    for task, values in labels.items():
        columns[task] = values.astype(np.int8)
    return pa.table(columns)


def _history(
    whose: str,
    entity: NDArray[np.int64],
    time: NDArray[np.int64],
    labels: dict[str, Numbers],
    prior: dict[str, Numbers] | None,
) -> Iterator[tuple[str, pa.Array | NDArray[np.generic]]]:
    """Count, rates and age of the strictly earlier impressions of each row's user or video.

    Rates are smoothed towards the overall rate before that time with the weight of ten impressions.
    """
    past = _EarlierImpressions(entity, time)
    count = past.total(np.ones(len(time)))
    if prior is not None:
        yield f"{whose}_impressions", count.astype(np.float32)
        age = (time - past.last_time()) / _HOUR_MS
        yield f"{whose}_hours_since", pa.array(age.astype(np.float32), mask=count == 0)
    for task, label in labels.items():
        prior_rate = prior[task] if prior is not None else np.full(len(time), 0.5)
        rate = (past.total(label) + _PRIOR_IMPRESSIONS * prior_rate) / (count + _PRIOR_IMPRESSIONS)
        yield f"{whose}_{task}_rate", rate.astype(np.float32)


class _EarlierImpressions:
    """Sums over rows of the same entity at a strictly earlier time."""

    def __init__(self, entity: NDArray[np.int64], time: NDArray[np.int64]) -> None:
        self._order = np.lexsort((time, entity))
        sorted_entity, self._time = entity[self._order], time[self._order]
        new_entity = np.append(True, np.diff(sorted_entity) != 0)
        new_time = new_entity | np.append(True, np.diff(self._time) != 0)
        indices = np.arange(len(time))
        self._first = np.maximum.accumulate(np.where(new_entity, indices, 0))
        self._first_at_time = np.maximum.accumulate(np.where(new_time, indices, 0))

    def total(self, values: Numbers) -> Numbers:
        before = np.concatenate([[0.0], np.cumsum(values[self._order])])
        return self._restore_order(before[self._first_at_time] - before[self._first])

    def last_time(self) -> Numbers:
        """The time of the last earlier row; of a row without one, its own."""
        last = np.where(self._first_at_time > self._first, self._first_at_time - 1, self._first_at_time)
        return self._restore_order(self._time[last].astype(np.float64))

    def _restore_order(self, values: Numbers) -> Numbers:
        result = np.empty_like(values)
        result[self._order] = values
        return result
