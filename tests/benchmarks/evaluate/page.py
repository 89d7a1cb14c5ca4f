"""Measure how long evaluate's page takes to draw: ``python -m tests.benchmarks.evaluate.page``."""

import argparse
import statistics
import time
from collections.abc import Callable

from components.common.html.charts import vega
from tests.components.evaluate.reports import many_tasks


def _cpu_s(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Print the processor time of the renderer's start, and the median of a page's."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evaluate.page")
    parser.add_argument("--tasks", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    start_s = _cpu_s(vega.start)
    pages = [_cpu_s(lambda: many_tasks(options.tasks, 0)) for _ in range(options.repeats)]
    size = len(many_tasks(options.tasks, 0)[1])
    print(f"the renderer's start: {start_s:.2f} s of a processor")
    best_s, median_s = min(pages), statistics.median(pages)
    print(f"a page of {options.tasks} tasks: at best {best_s:.2f} s, median {median_s:.2f} s, {size:,} bytes")


if __name__ == "__main__":
    main()
