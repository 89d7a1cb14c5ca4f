"""Rows a second of our reader, beside pyarrow alone over the same files and over the same rows as Parquet.

``python -m tests.benchmarks.reading [--rounds 5] [--published 200000] [--narrow 2000000]``
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.prefetch import Prefetcher
from recap_model.data.dataset.reader import DatasetReader
from tests.benchmarks.random_sets import narrow_config, published_config, write_parquet, write_set
from tests.benchmarks.reading.measure import BATCH, Run, medians

WINDOW = 8  # record batches, as our reader has them


def arrow_alone(folder: Path) -> int:
    """Every column of every record batch copied out of the mapped files, in their order."""
    manifest, rows = DatasetManifest.read(folder), 0
    for file in manifest.files:
        with pa.memory_map(f"{manifest.rows_root}/{file.path}") as source:
            reader = pa.ipc.open_file(source)
            for number in range(reader.num_record_batches):
                rows += _copied(reader.get_batch(number))
    return rows


def arrow_shuffled(folder: Path) -> int:
    """What our reader is for, by pyarrow alone: batches of rows taken at random from windows of record batches."""
    manifest, rows, random = DatasetManifest.read(folder), 0, np.random.default_rng(1)
    files = [pa.ipc.open_file(pa.memory_map(f"{manifest.rows_root}/{file.path}")) for file in manifest.files]
    parts = [file.get_batch(number) for file in files for number in range(file.num_record_batches)]
    order = random.permutation(len(parts))
    for start in range(0, len(parts), WINDOW):
        window = pa.Table.from_batches([parts[number] for number in order[start : start + WINDOW]])
        places = random.permutation(window.num_rows)
        for first in range(0, len(places), BATCH):
            rows += window.take(places[first : first + BATCH]).num_rows
    return rows


def parquet_alone(path: Path) -> int:
    """The same of a Parquet file, in batches of the training's size."""
    return sum(_copied(batch) for batch in pq.ParquetFile(path).iter_batches(BATCH))


def stacked_parquet(path: Path) -> int:
    """A Parquet file of scalar columns, which are put side by side into one array for each batch."""
    rows = 0
    for batch in pq.ParquetFile(path).iter_batches(BATCH):
        floats = [column.to_numpy() for column in batch.columns]
        rows += len(np.stack(floats, axis=1))
    return rows


def _copied(batch: pa.RecordBatch) -> int:
    for column in batch.columns:
        flat = column.flatten() if pa.types.is_fixed_size_list(column.type) else column
        flat.to_numpy().copy()
    return batch.num_rows


def ours(folder: Path, config: RecapConfig, seed: int | None, ahead: bool = False, threads: int = 1) -> int:
    """An epoch of our reader, as tensors with labels and weights by task."""
    reader = DatasetReader(
        folder,
        list(config.tasks),
        BATCH,
        config=config,
        weighting="training",
        seed=seed,
        threads=threads,
    )
    rows = Prefetcher(reader) if ahead else reader
    return sum(len(batch) for batch in rows.batches(0))


def table(title: str, config: RecapConfig, rows: int, rounds: int, workplace: Path) -> None:
    """Write a set, measure, print."""
    folder = write_set(workplace / title, config, rows)
    lists = write_parquet(folder, workplace / f"{title}.lists.parquet")
    scalars = write_parquet(folder, workplace / f"{title}.scalars.parquet", lists=False)
    runs: dict[str, Run] = {
        "pyarrow alone, Arrow IPC in order": lambda: arrow_alone(folder),
        "pyarrow alone, Arrow IPC shuffled": lambda: arrow_shuffled(folder),
        "ours, in order": lambda: ours(folder, config, None),
        "ours, shuffled": lambda: ours(folder, config, 1),
        "ours, shuffled, ahead in a thread": lambda: ours(folder, config, 1, ahead=True),
        "ours, shuffled, ahead, copied by two threads": lambda: ours(
            folder, config, 1, ahead=True, threads=2
        ),
        "pyarrow alone, Parquet, lists": lambda: parquet_alone(lists),
        "pyarrow alone, Parquet, a column an entry, stacked": lambda: stacked_parquet(scalars),
    }
    manifest = DatasetManifest.read(folder)
    row_bytes = sum(file.bytes for file in manifest.files) / rows
    speeds = medians(runs, rounds)
    limit = speeds["pyarrow alone, Arrow IPC in order"]
    print(f"\n{title}: {rows:,} rows of {row_bytes:,.0f} bytes, batches of {BATCH}\n")
    print("| | rows/s | GB/s | of pyarrow alone |\n|---|---|---|---|")
    for name, speed in speeds.items():
        print(f"| {name} | {speed:,.0f} | {speed * row_bytes / 1e9:.2f} | {speed / limit:.0%} |")


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reading", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--published", type=int, default=200_000)
    parser.add_argument("--narrow", type=int, default=2_000_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table("published", published_config(), arguments.published, arguments.rounds, Path(folder))
        table("narrow", narrow_config(), arguments.narrow, arguments.rounds, Path(folder))


if __name__ == "__main__":
    main()
