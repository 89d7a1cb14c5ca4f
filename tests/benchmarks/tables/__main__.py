"""Large tables read and trained by two processes: whole in each, shared, and shared by TorchRec.

``python -m tests.benchmarks.tables [--entries 1000000] [--steps 20] [--rounds 3]``

TorchRec is measured where it can be imported. Ends with status 1 unless all learn the same.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from tests.benchmarks.tables.process import LIST, ROWS, TABLES, WIDTH
from tests.servers import free_port

VARIANTS = ("ours replicated", "ours row_wise", "ours table_wise", "TorchRec table_wise")
PROCESSES = 2
_SAME = 1e-4


def measure(variant: str, entries: int, steps: int, folder: Path) -> dict[str, Any]:
    """Two processes' steps of one way."""
    out, port = folder / "found.json", str(free_port())
    command = [sys.executable, "-m", "tests.benchmarks.tables.process", variant, str(entries), str(steps)]
    processes = []
    for rank in range(PROCESSES):
        place = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
        address = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "OMP_NUM_THREADS": "1"}
        environment = {**os.environ, **place, **address}
        processes.append(
            subprocess.Popen([*command, str(out)], env=environment, stderr=subprocess.PIPE, text=True)
        )
    for process in processes:
        said = process.communicate()[1]
        if process.returncode:
            sys.exit(f"{variant}: {said}")
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.tables", description=__doc__)
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    there = importlib.util.find_spec("torchrec") is not None
    variants = [variant for variant in VARIANTS if there or not variant.startswith("TorchRec")]
    found: dict[str, list[dict[str, Any]]] = {variant: [] for variant in variants}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            for variant in variants:
                found[variant].append(measure(variant, arguments.entries, arguments.steps, Path(folder)))
    first = torch.tensor(found[variants[0]][0]["read"])
    print(f"{TABLES} tables of {arguments.entries:,} entries of {WIDTH}; {ROWS} rows with lists of {LIST}\n")
    print("| | ms a step | reads/s of both | same entries learned |\n|---|---|---|---|")
    differ = False
    for variant, rounds in found.items():
        seconds = statistics.median(one["seconds"] for one in rounds)
        gap = max((torch.tensor(one["read"]) - first).abs().max().item() for one in rounds)
        differ |= gap > _SAME
        reads = PROCESSES * ROWS * LIST * TABLES / seconds
        print(f"| {variant} | {seconds * 1000:.1f} | {reads:,.0f} | within {gap:.0e} |")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main()
