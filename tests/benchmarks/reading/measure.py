"""Rows a second of several ways to read the same rows, taken in turns."""

import statistics
import time
from collections.abc import Callable

BATCH = 4096
Run = Callable[[], int]


def medians(runs: dict[str, Run], rounds: int) -> dict[str, float]:
    """The median of every run's rows a second, over rounds after one that only warms up."""
    speeds: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, run in runs.items():
            began = time.perf_counter()
            rows = run()
            if turn:
                speeds[name].append(rows / (time.perf_counter() - began))
    return {name: statistics.median(values) for name, values in speeds.items()}
