"""Time to validate a log, by rows: ``python -m tests.benchmarks.validate [ROWS ...]`` or ``… engines ROWS``."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.benchmarks.validate.engines import compare_engines
from tests.benchmarks.validate.log import config, write_log
from tests.benchmarks.validate.measure import measure

_ROWS = (100_000, 1_000_000, 10_000_000)
_MOST_FOR_PLAIN = 1_000_000  # beyond, its frame would not fit into the memory of a small machine
_RUNS = 3


def main(wanted: tuple[int, ...]) -> None:
    """Print a line of the table for each length of log and way."""
    from tests.components.snapshots import snapshot_of

    print("| rows | way | seconds | rows/s | peak MiB | verdicts | failures |")
    print("|---|---|---|---|---|---|---|")
    for rows in wanted:
        with tempfile.TemporaryDirectory() as folder:
            work = Path(folder)
            write_log(work / "log", rows)
            snapshot_of(work / "log", config(), work / "snapshot")
            first = _line(rows, "ours", folder)
            if rows <= _MOST_FOR_PLAIN:
                second = _line(rows, "plain", folder)
                same = first["verdicts"] == second["verdicts"]
                ratio = second["seconds"] / first["seconds"]
                print(f"{rows:,} rows: verdicts {'equal' if same else 'DIFFER'}, {ratio:.1f} times as fast")


def _line(rows: int, way: str, folder: str) -> dict[str, Any]:
    """The median of three runs, each in a process of its own; the log is in the page cache of all."""
    command = [sys.executable, "-m", "tests.benchmarks.validate", "measure", way, folder]
    runs = []
    for _ in range(_RUNS):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    seconds = statistics.median(run["seconds"] for run in runs)
    peak = max(run["peak_mib"] for run in runs)
    verdicts = runs[0]["verdicts"]
    failures = sum(not holds for holds in verdicts.values())
    print(
        f"| {rows:,} | {way} | {seconds:.1f} | {rows / seconds:,.0f} | {peak:,.0f} | {len(verdicts)} | {failures} |",
        flush=True,
    )
    return {"seconds": seconds, "verdicts": verdicts}


if __name__ == "__main__":
    if sys.argv[1:2] == ["measure"]:
        measure(*sys.argv[2:])
    elif sys.argv[1:2] == ["engines"]:
        with tempfile.TemporaryDirectory() as folder:
            compare_engines(int(sys.argv[2]), Path(folder))
    else:
        main(tuple(map(int, sys.argv[1:])) or _ROWS)
