"""The scan of one log by each engine: rows per second, and per second of CPU time of all its processes."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.validate.log import config, write_log

_SPARK = "local[2]"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def compare_engines(rows: int, work: Path) -> None:
    """Print a line for each engine. A first scan of each, which starts Spark and the processes, is not counted."""
    from tests.components.snapshots import snapshot_of

    write_log(work / "log", rows)
    snapshot_of(work / "log", config(), work / "snapshot")
    print("| rows | engine | seconds | rows/s | CPU seconds | rows per CPU second |")
    print("|---|---|---|---|---|---|")
    for name, seconds, cpu in _measure(work):
        print(
            f"| {rows:,} | {name} | {seconds:.1f} | {rows / seconds:,.0f} | {cpu:.1f} | {rows / cpu:,.0f} |",
            flush=True,
        )


def _measure(work: Path) -> Iterator[tuple[str, float, float]]:
    """Each engine's name, and the wall and CPU time of its second scan."""
    from components.common.artifacts.snapshot import Snapshot
    from components.common.engine.local import LocalEngine
    from components.common.engine.spark import SparkEngine
    from components.validate.profile.columns import list_blocks
    from components.validate.profile.scan import Log, scan_log

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[3])
    snapshot, frozen = Snapshot.read(work / "snapshot")
    log = Log(snapshot, frozen, list_blocks(frozen))
    engines = {
        "local, 1 process": LocalEngine(1),
        "local, 2 processes": LocalEngine(2),
        f"Spark {_SPARK}": SparkEngine(_SPARK, {}),
    }
    for name, engine in engines.items():
        with engine:
            scan_log(log, engine)
            start, cpu = time.perf_counter(), _cpu_seconds()
            scan_log(log, engine)
            yield name, time.perf_counter() - start, _cpu_seconds() - cpu


def _cpu_seconds() -> float:
    """CPU time of this process and all its descendants, with those that have ended."""
    parents, ticks = {}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        parents[pid], ticks[pid] = int(fields[1]), sum(map(int, fields[11:15]))
    ours = {os.getpid()}
    while children := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= children
    return sum(ticks.get(pid, 0) for pid in ours) / _TICKS_PER_S
