"""Bytes a second of sets with sequences, written and read, beside a set of the same columns without.

``python -m tests.benchmarks.reading.sequences [--rounds 5] [--rows 100000]``
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow.fs import LocalFileSystem

from components.prepare.rows import Rows
from components.prepare.shards.writer import ShardWriter
from recap_model.config import RecapConfig, data_spec
from recap_model.config.data.sequences import Sequence
from recap_model.data.dataset.manifest import MANIFEST_NAME, DatasetManifest
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.log.sequences import column_name
from tests.benchmarks.random_sets import narrow_config, random_rows
from tests.benchmarks.reading.measure import BATCH

COLUMNS = {
    "item": {"column": "item", "kind": "id"},
    "author": {"column": "author", "kind": "id"},
    "actions": {"column": "actions", "kind": "actions", "values": list("abcdefgh")},
    "dwell": {"column": "dwell", "kind": "number"},
    "time": {"column": "time", "kind": "time"},
}


def with_histories(rows: Rows, longest: int, full: bool) -> Rows:
    """Rows with histories of ``longest`` events, or of 0 to ``longest``."""
    random = np.random.default_rng(int(rows.number[0]))
    lengths = np.full(len(rows), longest) if full else random.integers(0, longest + 1, len(rows))
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    events = int(lengths.sum())
    for key, column in COLUMNS.items():
        numbers = column["kind"] in ("number", "time")
        values = random.random(events, np.float32) if numbers else random.integers(0, 200, events)
        rows.sequences[column_name("history", key)] = pa.ListArray.from_arrays(offsets, pa.array(values))
    return rows


def write(folder: Path, config: RecapConfig, chunks: Iterator[Rows], longest: int) -> float:
    """Write a set; returns the seconds of processor time that the writer took."""
    folder.mkdir()
    writer = ShardWriter(LocalFileSystem(), str(folder), 0, seed=1)
    rows, seconds = 0, 0.0
    for chunk in chunks:
        rows += len(chunk)
        began = time.process_time()
        writer.add(chunk)
        seconds += time.process_time() - began
    began = time.process_time()
    written = writer.close()
    seconds += time.process_time() - began
    assert written is not None
    sequences = {"history": Sequence.model_validate({"columns": COLUMNS, "max_length": max(longest, 1)})}
    manifest = DatasetManifest.model_validate(
        {
            "split": "train",
            "rows_root": ".",
            "files": [written.file.model_dump()],
            "rows": rows,
            "groups": data_spec(config),
            "sequences": sequences if longest else {},
            "tasks": list(config.tasks),
            "counts": {task: {"rows": rows, "positives": 1} for task in config.tasks},
            "window": ("2026-01-01", "2026-01-07"),
            "snapshot": "random",
            "fingerprint": "random",
        }
    )
    (folder / MANIFEST_NAME).write_text(manifest.model_dump_json())
    return seconds


def read(folder: Path, config: RecapConfig) -> tuple[float, int]:
    """Seconds of processor time of an epoch, and the bytes of its batches."""
    reader = DatasetReader(folder, list(config.tasks), BATCH, config=config, weighting="training", seed=1)
    began, size = time.process_time(), 0
    for batch in reader.batches():
        size += sum(tensor.nbytes for tensor in batch.tensors().values())
        for history in (batch.sequences or {}).values():
            size += sum(tensor.nbytes for tensor in history.values())
    return time.process_time() - began, size


def main() -> None:
    """Print a row for each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    arguments = parser.parse_args()
    config = narrow_config()
    print("| set | bytes a row | written GB/s | read, file GB/s | read, batch GB/s |\n|---|---|---|---|---|")
    for name, longest, full in (
        ("no sequence", 0, True),
        ("10 events", 10, True),
        ("50 events", 50, True),
        ("0 to 50 events", 50, False),
    ):
        with tempfile.TemporaryDirectory() as workplace:
            folder = Path(workplace) / "set"
            write(Path(workplace) / "warm", config, random_rows(config, 16_384, 0), 0)
            chunks = random_rows(config, arguments.rows, 0)
            if longest:
                chunks = (with_histories(rows, longest, full) for rows in chunks)
            seconds = write(folder, config, chunks, longest)
            size = sum(file.bytes for file in DatasetManifest.read(folder).files)
            read(folder, config)
            runs = [read(folder, config) for _ in range(arguments.rounds)]
            median = statistics.median(taken for taken, _ in runs)
            print(
                f"| {name} | {size / arguments.rows:,.0f} | {size / seconds / 1e9:.2f} | {size / median / 1e9:.2f} | "
                f"{runs[0][1] / median / 1e9:.2f} |"
            )


if __name__ == "__main__":
    main()
