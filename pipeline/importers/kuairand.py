"""KuaiRand: impressions of a short-video app with six engagements (Gao et al., CIKM 2022).

Features are values known before the impression: its local hour and weekday, the video's duration, and counts and
rates of the user's and the video's strictly earlier impressions. Outcomes of the impression (play time, time in
the comments) are not features, nor is ``label``, by which the rows were selected. ``played_ms`` is when the play
ended: from then on its engagements and its play time are known, and may be part of a history.
"""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.importers.earlier_rows import DAY_MS, HOUR_MS, LAST_MS, earlier_counts_and_rates
from pipeline.importers.files import (
    ImportReport,
    find_file,
    parse_delimited,
    read_unpacked,
    require_range,
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
_INTEGER_COLUMNS = (
    "user_id", "video_id", "hourmin", "time_ms", "duration_ms", "play_time_ms", *TASKS.values(),
)  # fmt: skip
_LOCAL_TIME_MS = 8 * HOUR_MS


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
    for column in ("time_ms", "play_time_ms", "duration_ms"):
        require_range(path, table, column, 0, LAST_MS)
    rows = _columns({name: table[name].to_numpy() for name in _INTEGER_COLUMNS})
    days = rows["impressed_ms"].to_numpy() // DAY_MS
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
        "played_ms": time + raw["play_time_ms"],
        "hour": raw["hourmin"] // 100,
        "weekday": ((time + _LOCAL_TIME_MS) // DAY_MS + 3) % 7,
        "duration_s": (raw["duration_ms"] / 1000.0).astype(np.float32),
        "play_time_s": (raw["play_time_ms"] / 1000.0).astype(np.float32),
        "duration_unknown": (raw["duration_ms"] == 0).astype(np.int8),
    }
    entities = {"user": raw["user_id"], "video": raw["video_id"]}
    columns |= earlier_counts_and_rates(entities, time, labels)
    for task, values in labels.items():
        columns[task] = values.astype(np.int8)
    return pa.table(columns)
