"""Rows a second from the dataset's files to trained steps, beside plain loops and other libraries.

``python -m tests.benchmarks.training [--sets published,narrow] [--rounds 3] [--rows 200000] [--threads 2]``
``python -m tests.benchmarks.training --sets published --device cuda --batch 4096,16384 --published-rows 327680``

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
from recap_model.training.precision import multiplies_in_bf16
from tests.benchmarks.bench_model import PlainRanker, product_peak
from tests.benchmarks.random_sets import narrow_config, published_config, write_parquet, write_set
from tests.benchmarks.training.ours import Trained, ours
from tests.benchmarks.training.parquet import ParquetRows
from tests.benchmarks.training.peers import deepctr, rechub
from tests.benchmarks.training.plain import hand_written

PARAMETERS = 48_115_108
PLAIN = "plain loop, float32, DataLoader over Parquet"
Run = Callable[[], Trained]


def published(rows: int, batch_size: int, rounds: int, workplace: Path, device: str) -> None:
    """The published configuration, beside a plain float32 loop with a DataLoader over the same rows as Parquet."""
    config = with_training(published_config(), batch_size=batch_size, device=device)
    folder, parquet = workplace / "published", workplace / "published.parquet"
    if not folder.exists():
        write_set(folder, config, rows)
        write_parquet(folder, parquet)

    def of(**settings: object) -> Run:
        return lambda: ours(with_training(config, **settings), folder, None)

    runs: dict[str, Run] = {
        PLAIN: lambda: plain_loop(config, parquet, batch_size, device),
        "ours, float32": of(precision="fp32"),
    }
    bf16 = multiplies_in_bf16(torch.device(device))
    if bf16:
        runs["ours, bf16"] = of(precision="bf16")
    if device == "cuda":
        runs["ours, bf16, compiled"] = of(precision="bf16", compile=True)
        # What a GPU does once in a process, such as loading its libraries, is not what is measured.
        measure(runs, 1)
    limit = product_peak(torch.bfloat16 if bf16 else torch.float32, device) / (6 * PARAMETERS)
    print(
        f"\npublished configuration, {rows:,} rows, batch {batch_size}, {device}; "
        f"{'bf16' if bf16 else 'float32'} products allow {limit:,.0f} rows/s\n"
    )
    table(measure(runs, rounds), {"× plain": PLAIN}, limit)


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

    runs: dict[str, Run] = {"by hand, float32": by_hand(False), "ours, float32": of_precision("fp32")}
    compared = {"× by hand, float32": "by hand, float32"}
    if multiplies_in_bf16(torch.device("cpu")):
        runs |= {"by hand, bf16": by_hand(True), "ours, bf16": of_precision("bf16")}
        compared["× by hand, bf16"] = "by hand, bf16"
    if importlib.util.find_spec("torch_rechub"):
        runs["torch-rechub"] = lambda: rechub(kind, batch_size, train_set, test_set)
        compared["× torch-rechub"] = "torch-rechub"
    if importlib.util.find_spec("deepctr_torch"):
        runs["DeepCTR-Torch"] = lambda: deepctr(kind, batch_size, train_set, test_set)
        compared["× DeepCTR-Torch"] = "DeepCTR-Torch"
    what = "shared bottom" if kind == "share_all" else "four experts (MMoE)"
    print(f"\nnarrow, {what}, {rows:,} rows, batch {batch_size}\n")
    table(measure(runs, rounds), compared)


def plain_loop(config: RecapConfig, parquet: Path, batch_size: int, device: str) -> Trained:
    """The published net module by module, torch's Adam, a DataLoader."""
    spec = data_spec(config)
    torch.manual_seed(0)
    net = PlainRanker(spec["continuous"], spec["binary"], spec["user_embedding"], len(config.tasks)).train()
    net.to(device)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-4)
    rows, began = 0, time.perf_counter()
    loader = torch.utils.data.DataLoader(ParquetRows(parquet, batch_size), batch_size=None)
    for rows_read in loader:
        batch = rows_read.to(device)
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(net(batch), batch.labels).backward()
        optimizer.step()
        rows += len(batch)
    torch.get_device_module(device).synchronize()
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
    heads = ["", "rows/s", *compared, *(["of the limit"] if limit else []), "waiting for rows", "AUC"]
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
    parser.add_argument("--batch", default="1024", help="sizes for the published set, 4096,16384 for example")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="for the published set")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        if "published" in arguments.sets:
            for size in map(int, arguments.batch.split(",")):
                published(arguments.published_rows, size, arguments.rounds, Path(folder), arguments.device)
        if "narrow" in arguments.sets:
            narrow("share_all", arguments.rows, arguments.rounds, Path(folder))
            narrow("mmoe", arguments.rows, arguments.rounds, Path(folder))


if __name__ == "__main__":
    main()
