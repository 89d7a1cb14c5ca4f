"""``python -m tests.benchmarks.prepare [ROWS ...]``: builds logs of so many rows, each in a process of its own."""

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.tiny import DAY_MS, FIRST_DAY, tiny_config

_DAYS = 10
_CONTINUOUS = 40
_EMBEDDING = 16
_FILE_ROWS = 100_000
_ROWS = (1_000_000, 10_000_000)
_GROUPS = (1, 8)


def config():
    features = tiny_config().features.model_dump()
    features["continuous"] = [f"c{number}" for number in range(_CONTINUOUS)]
    features["user_embedding"]["width"] = _EMBEDDING
    data = {
        "days": _DAYS,
        "deduplicate": {},
        "negative_downsampling": {"rate": 0.5},
        "rectify_labels": {"window_hours": 3.0},
    }
    return tiny_config(features=features, data=data)


def write_log(root: Path, rows: int) -> None:
    """Random columns, a file of at most 100,000 rows after the other, in ten days."""
    for number in range(_DAYS):
        folder = root / f"date={(FIRST_DAY + timedelta(days=number)).isoformat()}"
        folder.mkdir(parents=True)
        per_day = rows // _DAYS
        for first in range(0, per_day, _FILE_ROWS):
            count = min(_FILE_ROWS, per_day - first)
            pq.write_table(_rows(number, first, count), folder / f"part-{first // _FILE_ROWS:05d}.parquet")


def _rows(day: int, first: int, rows: int) -> pa.Table:
    random = np.random.default_rng([day, first])
    ids = (day << 40) + first + np.arange(rows)
    served = ((FIRST_DAY - date(1970, 1, 1)).days + day) * DAY_MS + random.integers(0, DAY_MS - 60_000, rows)
    embedding = random.normal(size=rows * _EMBEDDING).astype(np.float32)
    columns = {
        "request_id": ids // 5,
        "user_id": random.integers(0, 100_000, rows),
        "post_id": ids,
        "served_ms": served,
        "impressed_ms": served + 1000,
        "engaged_ms": served + 2000,
        "has_video": random.integers(0, 2, rows).astype(np.int8),
        "position": ids % 5,
        "topic": random.integers(0, 7, rows),
        "user_embedding": pa.FixedSizeListArray.from_arrays(pa.array(embedding), _EMBEDDING),
        "like": (random.random(rows) < 0.05).astype(np.int8),
        "reply": (random.random(rows) < 0.01).astype(np.int8),
    }
    columns |= {f"c{number}": random.lognormal(size=rows).astype(np.float32) for number in range(_CONTINUOUS)}
    return pa.table(columns)


def measure(folder: str, groups: str) -> None:
    """Build once in this process; prints seconds and peak memory as JSON."""
    from components.prepare.prepare import prepare_datasets

    work = Path(folder)
    outs = [work / f"sets-{groups}" / name for name in ("train", "calibration", "test")]
    start = time.perf_counter()
    manifests = prepare_datasets(work / "snapshot", work / "validated", *outs, groups=int(groups))
    taken = {
        "seconds": time.perf_counter() - start,
        "here_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "children_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024,
        "fingerprint": manifests["train"].fingerprint[:12],
    }
    print(json.dumps(taken))


def main(wanted: tuple[int, ...]) -> None:
    """Print a line of the table for each length of log and number of groups."""
    from tests.components.snapshots import snapshot_of
    from tests.datasets import mark_validated

    print("| rows | groups | seconds | rows/s | peak MiB, largest process |")
    print("|---|---|---|---|---|")
    for rows in wanted:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            write_log(work / "log", rows)
            mark_validated(snapshot_of(work / "log", config(), work / "snapshot"), work / "validated")
            for groups in _GROUPS:
                command = [sys.executable, "-m", "tests.benchmarks.prepare", "measure", folder, str(groups)]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                found = json.loads(done.stdout.splitlines()[-1])
                peak = max(found["here_mib"], found["children_mib"])
                rate = rows / found["seconds"]
                print(
                    f"| {rows:,} | {groups} | {found['seconds']:.1f} | {rate:,.0f} | {peak:,.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:])
    else:
        main(tuple(map(int, sys.argv[1:])) or _ROWS)
