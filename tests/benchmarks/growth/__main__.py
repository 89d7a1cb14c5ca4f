"""Time and peak memory of training on sets of growing size, the same model and batch size.

``python -m tests.benchmarks.growth [--rows 1000000,10000000] [--rounds 3]``

A training is a process of its own, which samples its anonymous memory: pages of the mapped files, which the kernel
takes back when it needs them, are not counted.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import torch

from recap_model.config import RecapConfig, parse_config
from tests.benchmarks.random_sets import write_set
from tests.benchmarks.training.ours import ours

COLUMNS = 16
_SAMPLE_S = 0.01
_WARM_UP = "warm_up"


def config() -> RecapConfig:
    """16 columns, 2 tasks, a shared layer."""
    return parse_config(
        {
            "features": {"continuous": {"column": "dense", "width": COLUMNS}},
            "tasks": {task: {"score_weight": 1.0} for task in ("like", "reply")},
            "model": {
                "featurization_config": {"log1p_abs_config": {}},
                "multi_task_type": "share_all",
                "backbone": {"mlp_config": {"layer_sizes": [32], "final_layer_activation": True}},
                "tower": {"mlp_config": {"layer_sizes": [16, 1]}},
            },
            "optimizer": {"single_task_learning_rate": {"constant": 1e-3}},
            "training": {"batch_size": 4096, "precision": "fp32"},
            "registry": {"model_name": "growth", "experiment": "growth"},
        }
    )


def anonymous_mib() -> float:
    """Memory of this process that no file lies behind, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status: no RssAnon; this benchmark needs Linux")


def train_here(folder: Path) -> None:
    """Train once, after a warm-up; print seconds, seconds of CPU, and the most memory above that before either."""
    torch.set_num_threads(1)
    before, peak, over = anonymous_mib(), 0.0, threading.Event()
    ours(config(), folder.with_name(_WARM_UP), None)

    def watch() -> None:
        nonlocal peak
        while not over.wait(_SAMPLE_S):
            peak = max(peak, anonymous_mib())

    thread = threading.Thread(target=watch)
    thread.start()
    began, worked = time.perf_counter(), time.process_time()
    ours(config(), folder, None)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - worked
    over.set()
    thread.join()
    print(seconds, cpu_s, peak - before)


def measure(folder: Path) -> tuple[float, ...]:
    """`train_here` in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.growth", "--train", str(folder)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return tuple(map(float, said.split()))


def main() -> None:
    """Print a line for each size."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.growth", description=__doc__)
    parser.add_argument("--rows", default="1000000,10000000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        return train_here(arguments.train)
    sizes = [int(size) for size in arguments.rows.split(",")]
    with tempfile.TemporaryDirectory() as place:
        write_set(Path(place) / _WARM_UP, config(), 20_000)
        folders = {size: write_set(Path(place) / str(size), config(), size) for size in sizes}
        measured: dict[int, list[tuple[float, ...]]] = {size: [] for size in sizes}
        for _ in range(arguments.rounds):
            for size, folder in folders.items():
                measured[size].append(measure(folder))
    heads = [
        "rows",
        "s",
        "µs a row",
        "CPU s",
        "CPU µs a row",
        "× the first",
        "peak memory, MiB",
        "× the first",
    ]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    first: tuple[float, float] | None = None
    for size, many in measured.items():
        seconds, cpu_s, mib = (statistics.median(values) for values in zip(*many, strict=True))
        cost = cpu_s / size * 1e6
        first = first or (cost, mib)
        cells = [f"{size:,}", f"{seconds:.1f}", f"{seconds / size * 1e6:.2f}", f"{cpu_s:.1f}", f"{cost:.2f}"]
        cells += [f"{cost / first[0]:.2f}", f"{mib:.0f}", f"{mib / first[1]:.2f}"]
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
