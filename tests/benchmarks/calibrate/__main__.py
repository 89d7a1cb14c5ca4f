"""Calibrate simulated logits in one process for each measurement, and print the tables of the README."""

import argparse
import json
import statistics
import subprocess
import sys

from tests.benchmarks.calibrate.measure import METHODS


def _measure(what: str, who: str, rows: int) -> dict[str, float]:
    """One measurement in a fresh process, so that the peak memory is its own."""
    command = [sys.executable, "-m", "tests.benchmarks.calibrate.measure", what, who, str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    measured: dict[str, float] = json.loads(done.stdout)
    print(f"{what} {who}: {measured}", file=sys.stderr)
    return measured


def _median(measured: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in measured)


def main() -> None:
    """Alternate ours and scikit-learn's, so that a busy machine is slow for both."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.calibrate")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(
        "| method | ours, s | scikit-learn, s | ratio | ours, MB | scikit-learn, MB | log loss: ours - theirs |"
    )
    print("|---|---|---|---|---|---|---|")
    for method in METHODS:
        ours, theirs = [], []
        for _ in range(options.repeats):
            ours.append(_measure(method, "ours", options.rows))
            theirs.append(_measure(method, "scikit-learn", options.rows))
        ratio = statistics.median(b["seconds"] / a["seconds"] for a, b in zip(ours, theirs, strict=True))
        print(
            f"| {method} | {_median(ours, 'seconds'):.2f} | {_median(theirs, 'seconds'):.2f} | {ratio:.1f} "
            f"| {_median(ours, 'peak_mb'):.0f} | {_median(theirs, 'peak_mb'):.0f} "
            f"| {_median(ours, 'log_loss') - _median(theirs, 'log_loss'):+.1e} |"
        )
    print("\n| ten tasks, `auto` | rows/s of the pass | fits, s | peak MB |\n|---|---|---|---|")
    for rows in (options.rows // 10, options.rows):
        stream = [_measure("stream", "ours", rows) for _ in range(options.repeats)]
        print(
            f"| {rows:,} rows | {_median(stream, 'rows_per_s'):,.0f} | {_median(stream, 'fit_seconds'):.1f} "
            f"| {_median(stream, 'peak_mb'):.0f} |"
        )


if __name__ == "__main__":
    main()
