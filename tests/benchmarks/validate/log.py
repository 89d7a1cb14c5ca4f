"""A log of sixty columns with some faults in it, and 180 expectations that find them."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recap_model.config import RecapConfig
from tests.tiny import DAY_MS, FIRST_DAY, tiny_config

COLUMNS = [f"c{number}" for number in range(60)]
_DAYS = 10
_FILE_ROWS = 100_000


def expectations() -> list[dict[str, Any]]:
    """Three for each column: few nulls, a range, a mean. Every seventh column breaks one of them."""
    found: list[dict[str, Any]] = []
    for column in COLUMNS:
        found += [
            {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": column, "mostly": 0.98}},
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": column, "min_value": 0.0, "max_value": 1e6},
            },
            {
                "type": "expect_column_mean_to_be_between",
                "kwargs": {"column": column, "min_value": 1.4, "max_value": 1.9},
            },
        ]
    return found


def config() -> RecapConfig:
    features = {
        "continuous": COLUMNS,
        "ids": {"request": "request_id", "user": "user_id", "candidate": "post_id"},
        "timestamps": {"impressed": "impressed_ms"},
    }
    return tiny_config(features=features, data={"days": _DAYS}, validation={"expectations": expectations()})


def write_log(root: Path, rows: int) -> None:
    """Ten days in files of at most 100,000 rows."""
    for day in range(_DAYS):
        folder = root / f"date={(FIRST_DAY + timedelta(days=day)).isoformat()}"
        folder.mkdir(parents=True)
        per_day = rows // _DAYS
        for first in range(0, per_day, _FILE_ROWS):
            count = min(_FILE_ROWS, per_day - first)
            pq.write_table(_rows(day, first, count), folder / f"part-{first // _FILE_ROWS:05d}.parquet")


def _rows(day: int, first: int, rows: int) -> pa.Table:
    random = np.random.default_rng([day, first])
    ids = (day << 40) + first + np.arange(rows)
    start = ((FIRST_DAY - date(1970, 1, 1)).days + day) * DAY_MS
    columns: dict[str, Any] = {
        "request_id": ids // 5,
        "user_id": random.integers(0, 100_000, rows),
        "post_id": ids,
        "impressed_ms": start + random.integers(0, DAY_MS, rows),
        "like": (random.random(rows) < 0.05).astype(np.int8),
        "reply": (random.random(rows) < 0.01).astype(np.int8),
    }
    for number, name in enumerate(COLUMNS):
        values = random.lognormal(size=rows).astype(np.float32)
        missing = random.random(rows) < (0.04 if number % 21 == 0 else 0.01)
        if number % 21 == 7 and day == 3 and first == 0:
            values[5] = -1.0
        if number % 21 == 14:
            values *= 1.5
        columns[name] = pa.array(values, mask=missing)
    return pa.table(columns)
