"""Score a test set by threads that take a batch each, beside one after another with all threads of torch.

``python -m tests.benchmarks.evaluate.scoring [--narrow 400000] [--published 20000] [--rounds 3]``
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from unittest import mock

import torch

from components.common.runtime.process_pool import cores
from components.common.scoring import score_test_set as scoring
from recap_model import create_ranking_model, data_spec, save_model
from recap_model.config import RecapConfig
from recap_model.file_digests import file_digest
from tests.benchmarks.random_sets import narrow_config, published_config, write_set


@contextmanager
def _threads(parallel: int, of_torch: int) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(of_torch)
    yield parallel
    torch.set_num_threads(before)


def _measure(config: RecapConfig, rows: int, rounds: int, folder: Path) -> Iterator[str]:
    torch.manual_seed(0)
    save_model(create_ranking_model(data_spec(config), config, "cpu").eval(), folder / "model", config)
    write_set(folder / "test", config, rows, "test")
    ways = {
        f"one after another, {cores()} threads of torch": (1, cores()),
        "one after another, one thread": (1, 1),
        f"{cores()} batches at a time": (cores(), 1),
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    digests: dict[str, str] = {}
    for _ in range(rounds):
        for way, (parallel, of_torch) in ways.items():

            def chosen(threads: tuple[int, int] = (parallel, of_torch)) -> AbstractContextManager[int]:
                return _threads(*threads)

            began = time.perf_counter()
            with mock.patch.object(scoring, "scoring_threads", chosen):
                scoring.score_test_set(folder / "model", folder / "test", config, None, folder / "s.parquet")
            seconds[way].append(time.perf_counter() - began)
            digests[way] = file_digest(folder, "s.parquet")[:8]
    slowest = statistics.median(seconds[next(iter(ways))])
    for way, taken in seconds.items():
        median = statistics.median(taken)
        yield f"| {rows:,} | {way} | {rows / median:,.0f} | {slowest / median:.2f} | {digests[way]} |"


def main() -> None:
    """Print a table: rows a second, their ratio to the first line, and the digest of the scores."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.evaluate.scoring")
    parser.add_argument("--narrow", type=int, default=400_000)
    parser.add_argument("--published", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print("| rows | batches | rows/s | × | scores |\n|---|---|---|---|---|")
    for config, rows in ((narrow_config(), options.narrow), (published_config(), options.published)):
        with tempfile.TemporaryDirectory() as folder:
            for line in _measure(config, rows, options.rounds, Path(folder)):
                print(line, flush=True)


if __name__ == "__main__":
    main()
