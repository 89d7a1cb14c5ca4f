"""The scan of one log by each engine: rows per second and core."""

import os
import resource
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.validate.log import config, write_log

_RUNS = 3
_SPARK = "local[2]"


def compare_engines(rows: int, work: Path) -> None:
    """Print a line for each engine. A first run of each, which starts Spark and the processes, is not counted."""
    from tests.components.snapshots import snapshot_of

    write_log(work / "log", rows)
    snapshot_of(work / "log", config(), work / "snapshot")
    print("| rows | engine | seconds | rows/s | rows/s per core | peak MiB of this process |")
    print("|---|---|---|---|---|---|")
    for name, cores, seconds in _measure(work):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        rate = rows / seconds
        print(
            f"| {rows:,} | {name} | {seconds:.1f} | {rate:,.0f} | {rate / cores:,.0f} | {peak:,.0f} |",
            flush=True,
        )


def _measure(work: Path) -> Iterator[tuple[str, int, float]]:
    """Each engine's name, cores, and least time of three scans."""
    from components.common.artifacts.snapshot import Snapshot
    from components.common.engine.local import LocalEngine
    from components.common.engine.spark import SparkEngine
    from components.validate.profile.columns import list_blocks
    from components.validate.profile.scan import Log, scan_log

    os.environ["PYTHONPATH"] = str(Path(__file__).parents[3])
    snapshot, frozen = Snapshot.read(work / "snapshot")
    log = Log(snapshot, frozen, list_blocks(frozen))
    engines = (
        ("local, 1 process", 1, LocalEngine(1)),
        ("local, 2 processes", 2, LocalEngine(2)),
        (_SPARK, 2, SparkEngine(_SPARK, {})),
    )
    for name, cores, engine in engines:
        with engine:
            seconds = []
            for _ in range(_RUNS + 1):
                start = time.perf_counter()
                scan_log(log, engine)
                seconds.append(time.perf_counter() - start)
            yield name, cores, min(seconds[1:])
