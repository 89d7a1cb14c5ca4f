"""Measure evaluate in one process for each measurement, and print the table of the README."""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

WHAT = {
    "alone": "one model: every metric",
    "compared": "two models: every metric, 20 replicates, users, lists",
    "scikit-learn": "one model: scikit-learn's AUC, average precision, log loss, Brier",
}


def _measure(what: str, path: Path, *more: str) -> dict[str, float]:
    """One measurement in a fresh process, so that the peak memory is its own."""
    command = [sys.executable, "-m", "tests.benchmarks.evaluate.measure", what, str(path), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout or "{}")
    print(f"{what}: {measured}", file=sys.stderr)
    return measured


def main() -> None:
    """Take turns, so that a busy machine is slow for all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evaluate")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print("| rows | what | rows/s | s | peak MB |\n|---|---|---|---|---|")
    for rows in (options.rows // 10, options.rows):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scores.parquet"
            _measure("write", path, str(rows))
            turns = [{what: _measure(what, path) for what in WHAT} for _ in range(options.repeats)]
        for what, words in WHAT.items():
            speed, seconds, peak = (
                statistics.median(turn[what][name] for turn in turns)
                for name in ("rows_per_s", "seconds", "peak_mb")
            )
            print(f"| {rows:,} | {words} | {speed:,.0f} | {seconds:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()
