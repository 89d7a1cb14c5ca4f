"""``python -m tests.benchmarks.prepare [ROWS ...]``: prepares a log of each number of rows by each engine."""

import contextlib
import json
import operator
import os
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

from components.common.engine import Engine
from components.common.engine.local import LocalEngine
from components.common.engine.spark import SparkEngine
from tests.tiny import DAY_MS, FIRST_DAY, tiny_config

_DAYS = 10
_CONTINUOUS = 40
_EMBEDDING = 16
_FILE_ROWS = 100_000
_ROWS = (1_000_000, 4_000_000)
_ENGINES = ("local 1", "local 2", "spark 2")


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


def measure(folder: str, name: str) -> None:
    """Prepare once in this process; prints seconds, CPU seconds and peak memory as JSON. Spark is started before."""
    from components.prepare.prepare import prepare_datasets

    work, (kind, number) = Path(folder), name.split()
    outs = [work / f"sets-{name}" / split for split in ("train", "calibration", "test")]
    with _engine(kind, int(number)) as engine:
        if kind == "spark":
            engine.map([0, 1], _warm_up, operator.add)
        start, worked = time.perf_counter(), _cpu_seconds()
        manifests = prepare_datasets(work / "snapshot", work / "validated", *outs, engine=engine)
        seconds, cpu_s = time.perf_counter() - start, _cpu_seconds() - worked
        executors_mib = _peak_of_children_mib()
    taken = {
        "seconds": seconds,
        "cpu_s": cpu_s,
        "here_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "children_mib": executors_mib,
        "fingerprint": manifests["train"].fingerprint[:12],
    }
    print(json.dumps(taken))


def _engine(kind: str, number: int) -> Engine:
    if kind == "spark":
        return SparkEngine(f"local[{number}]", {"spark.driver.memory": "2g"})
    return LocalEngine(number)


def _warm_up(item: int) -> list[int]:
    return [item]


def _peak_of_children_mib() -> float:
    """The largest resident Python process under this one, so far."""
    peaks = [0.0]
    for process in _processes()[1:]:
        with contextlib.suppress(OSError):
            fields = dict(
                line.split(":", 1) for line in (process / "status").read_text().splitlines() if ":" in line
            )
            if fields["Name"].strip().startswith("python") and "VmHWM" in fields:
                peaks.append(int(fields["VmHWM"].split()[0]) / 1024)
    return max(peaks)


def _cpu_seconds() -> float:
    """CPU time of this process and all under it, also of those that have ended."""
    ticks = [0]
    for process in _processes():
        with contextlib.suppress(OSError):
            ticks += map(int, (process / "stat").read_text().rpartition(")")[2].split()[11:15])
    return sum(ticks) / os.sysconf("SC_CLK_TCK")


def _processes() -> list[Path]:
    """The folders under /proc of this process and of all under it; this one's is the first."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    pids = [os.getpid()]
    for pid in pids:
        pids += children.get(pid, [])
    return [Path(f"/proc/{pid}") for pid in pids]


def main(wanted: tuple[int, ...]) -> None:
    """Print a line of the table for each length of log and engine."""
    from tests.components.snapshots import snapshot_of
    from tests.datasets import mark_validated

    print("| rows | engine | s | CPU s | rows per CPU s | peak MiB, largest Python process | training set |")
    print("|---|---|---|---|---|---|---|")
    for rows in wanted:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            write_log(work / "log", rows)
            mark_validated(snapshot_of(work / "log", config(), work / "snapshot"), work / "validated")
            for name in _ENGINES:
                command = [sys.executable, "-m", "tests.benchmarks.prepare", "measure", folder, name]
                environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
                taken = json.loads(done.stdout.splitlines()[-1])
                peak = max(taken["here_mib"], taken["children_mib"])
                rate = rows / taken["cpu_s"]
                print(
                    f"| {rows:,} | `{name}` | {taken['seconds']:.1f} | {taken['cpu_s']:.1f} | {rate:,.0f} "
                    f"| {peak:,.0f} | {taken['fingerprint']} |",
                    flush=True,
                )


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        # By its own name: Spark's Python processes import what they run.
        from tests.benchmarks.prepare.__main__ import measure as measure_here

        measure_here(*sys.argv[2:])
    else:
        main(tuple(map(int, sys.argv[1:])) or _ROWS)
