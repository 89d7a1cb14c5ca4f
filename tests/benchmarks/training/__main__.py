"""Rows a second from the dataset's files to trained steps, beside plain loops and other libraries.

``python -m tests.benchmarks.training [--sets published,narrow] [--rounds 3] [--rows 200000] [--threads 2]``

torch-rechub and DeepCTR-Torch are measured where they can be imported.
"""

import argparse
import importlib.util
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from recap_model import data_spec
from recap_model.config import RecapConfig
from tests.benchmarks.bench_model import PlainRanker, product_peak
from tests.benchmarks.random_sets import narrow_config, published_config, write_parquet, write_set
from tests.benchmarks.training.ours import Trained, ours
from tests.benchmarks.training.parquet import ParquetRows
from tests.benchmarks.training.peers import deepctr, rechub
from tests.benchmarks.training.plain import hand_written

PARAMETERS = 48_115_108
Run = Callable[[], Trained]


def published(rows: int, batch_size: int, rounds: int, workplace: Path) -> None:
    """The published configuration, beside a plain float32 loop with a DataLoader over the same rows as Parquet."""
    config = with_training(published_config(), batch_size=batch_size)
    folder = write_set(workplace / "published", config, rows)
    parquet = write_parquet(folder, workplace / "published.parquet")

    def of_precision(precision: str) -> Run:
        return lambda: ours(with_training(config, precision=precision), folder, None)

    runs: dict[str, Run] = {
        "plain loop, float32, DataLoader over Parquet": lambda: plain_loop(config, parquet, batch_size),
        "ours, float32": of_precision("fp32"),
        "ours, bf16": of_precision("bf16"),
    }
    limit = product_peak(torch.bfloat16, "cpu") / (6 * PARAMETERS)
    print(
        f"\npublished configuration, {rows:,} rows, batch {batch_size}; bf16 products allow {limit:,.0f} rows/s\n"
    )
    table(measure(runs, rounds), {"× plain": "plain loop, float32, DataLoader over Parquet"}, limit)


def narrow(kind: str, rows: int, rounds: int, workplace: Path) -> None:
    """100 dense and 26 categorical columns, 4 tasks, batch 4096."""
    config, batch_size = narrow_config(kind), 4096
    train_set, test_set = workplace / "narrow", workplace / "narrow_test"
    if not train_set.exists():
        write_set(train_set, config, rows)
        write_set(test_set, config, 50_000, split="test", seed=1)

    def of_precision(precision: str) -> Run:
        return lambda: ours(with_training(config, precision=precision), train_set, test_set)

    def by_hand(bf16: bool) -> Run:
        return lambda: hand_written(kind, bf16, batch_size, train_set, test_set)

    runs: dict[str, Run] = {
        "by hand, bf16": by_hand(True),
        "ours, bf16": of_precision("bf16"),
        "by hand, float32": by_hand(False),
        "ours, float32": of_precision("fp32"),
    }
    compared = {"× by hand, bf16": "by hand, bf16", "× by hand, float32": "by hand, float32"}
    if importlib.util.find_spec("torch_rechub"):
        runs["torch-rechub"] = lambda: rechub(kind, batch_size, train_set, test_set)
        compared["× torch-rechub"] = "torch-rechub"
    if importlib.util.find_spec("deepctr_torch"):
        runs["DeepCTR-Torch"] = lambda: deepctr(kind, batch_size, train_set, test_set)
        compared["× DeepCTR-Torch"] = "DeepCTR-Torch"
    what = "shared bottom" if kind == "share_all" else "four experts (MMoE)"
    print(f"\nnarrow, {what}, {rows:,} rows, batch {batch_size}\n")
    table(measure(runs, rounds), compared)


def plain_loop(config: RecapConfig, parquet: Path, batch_size: int) -> Trained:
    """The published net module by module, torch's Adam, a DataLoader."""
    spec = data_spec(config)
    torch.manual_seed(0)
    net = PlainRanker(spec["continuous"], spec["binary"], spec["user_embedding"], len(config.tasks)).train()
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    rows, began = 0, time.perf_counter()
    loader = torch.utils.data.DataLoader(ParquetRows(parquet, batch_size), batch_size=None)
    for batch in loader:
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(net(batch), batch.labels).backward()
        optimizer.step()
        rows += len(batch)
    return Trained(rows / (time.perf_counter() - began), None, None)


def with_training(config: RecapConfig, **changes: object) -> RecapConfig:
    """A config with other settings of its training section."""
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def measure(runs: dict[str, Run], rounds: int) -> dict[str, list[Trained]]:
    """Every run so many times, in turns."""
    results: dict[str, list[Trained]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            results[name].append(run())
    return results


def table(results: dict[str, list[Trained]], compared: dict[str, str], limit: float | None = None) -> None:
    """Medians, and ratios to the named runs."""
    speeds = {name: statistics.median(one.rows_per_s for one in many) for name, many in results.items()}
    heads = ["", "rows/s", *compared, *(["of the bf16 limit"] if limit else []), "waiting for rows", "AUC"]
    print("| " + " | ".join(heads) + " |\n" + "|---" * len(heads) + "|")
    for name, many in results.items():
        waiting, score = many[0].waiting, many[0].auc
        cells = [
            name,
            f"{speeds[name]:,.0f}",
            *(f"{speeds[name] / speeds[base]:.2f}" for base in compared.values()),
        ]
        cells += [f"{speeds[name] / limit:.0%}"] if limit else []
        cells += ["" if waiting is None else f"{waiting:.1%}", "" if score is None else f"{score:.4f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.training", description=__doc__)
    parser.add_argument("--sets", default="published,narrow")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=200_000, help="of the narrow set")
    parser.add_argument("--published-rows", type=int, default=16_384)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        if "published" in arguments.sets:
            published(arguments.published_rows, 1024, arguments.rounds, Path(folder))
        if "narrow" in arguments.sets:
            narrow("share_all", arguments.rows, arguments.rounds, Path(folder))
            narrow("mmoe", arguments.rows, arguments.rounds, Path(folder))


if __name__ == "__main__":
    main()
