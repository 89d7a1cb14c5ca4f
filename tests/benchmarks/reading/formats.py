"""The same training rows in several file formats: their size, and the rows a second that pyarrow reads of them.

``python -m tests.benchmarks.reading.formats [--rounds 5] [--published 20000] [--narrow 200000]``
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from tests.benchmarks.random_sets import narrow_config, published_config, write_set
from tests.benchmarks.reading.measure import BATCH, Run, medians

ROW_GROUP = 65_536
IPC = "Arrow IPC, memory-mapped"
Write = Callable[[pa.Table, Path], None]
Columns = dict[str, pa.Array | np.ndarray]


def formats() -> dict[str, Write]:
    """How each format is written; of Parquet one thing at a time is other than in the first of its kind."""
    return {
        IPC: ipc,
        f"{IPC}, float16": lambda rows, path: ipc(halved(rows), path),
        "Arrow IPC, lz4": partial(ipc, compression="lz4"),
        "Arrow IPC, zstd": partial(ipc, compression="zstd"),
        "Parquet, lists": parquet,
        "Parquet, lists, float16": lambda rows, path: parquet(halved(rows), path),
        "Parquet, lists, row groups of 8,192": partial(parquet, row_group_size=8192),
        "Parquet, lists, dictionaries": partial(parquet, use_dictionary=True),
        "Parquet, lists, byte stream split": partial(parquet, use_byte_stream_split=True),
        "Parquet, lists, snappy": partial(parquet, compression="snappy"),
        "Parquet, lists, lz4": partial(parquet, compression="lz4"),
        "Parquet, lists, zstd": partial(parquet, compression="zstd"),
        "Parquet, a row's bytes as one value": lambda rows, path: parquet(packed(rows), path),
        "Parquet, a row's bytes as one value, lz4": lambda rows, path: parquet(
            packed(rows), path, compression="lz4"
        ),
        "Parquet, a column an entry": lambda rows, path: parquet(scalars(rows), path),
    }


def ipc(rows: pa.Table, path: Path, compression: str | None = None) -> None:
    """Record batches of 8,192 rows, as prepare has them of narrow rows."""
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_file(path, rows.schema, options=options) as writer:
        writer.write_table(rows, max_chunksize=8192)


def parquet(rows: pa.Table, path: Path, **changes: object) -> None:
    """Plain values without compression, but for ``changes``."""
    plain = {"compression": "none", "use_dictionary": False, "row_group_size": ROW_GROUP}
    pq.write_table(rows, path, **{**plain, **changes})


def halved(rows: pa.Table) -> pa.Table:
    """Floats in 16 bits."""
    columns = {}
    for name in rows.schema.names:
        column = rows.column(name).combine_chunks()
        is_list = pa.types.is_fixed_size_list(column.type)
        values = column.flatten() if is_list else column
        if pa.types.is_float32(values.type):
            values = pa.array(values.to_numpy().astype(np.float16))
            column = pa.FixedSizeListArray.from_arrays(values, column.type.list_size) if is_list else values
        columns[name] = column
    return pa.table(columns)


def packed(rows: pa.Table) -> pa.Table:
    """Each list column as one of binary values, a row's list in each."""

    def binary(name: str, lists: pa.FixedSizeListArray) -> Columns:
        values = lists.flatten()
        entry = values.type.bit_width // 8
        buffer = values.buffers()[1].slice(values.offset * entry)
        kind = pa.binary(entry * lists.type.list_size)
        return {name: pa.Array.from_buffers(kind, len(lists), [None, buffer])}

    return lists_changed(rows, binary)


def scalars(rows: pa.Table) -> pa.Table:
    """Each entry of a list column as a column of its own."""

    def apart(name: str, lists: pa.FixedSizeListArray) -> Columns:
        values = lists.flatten().to_numpy().reshape(len(lists), -1)
        return {f"{name}_{place}": values[:, place].copy() for place in range(values.shape[1])}

    return lists_changed(rows, apart)


def lists_changed(rows: pa.Table, change: Callable[[str, pa.FixedSizeListArray], Columns]) -> pa.Table:
    """The table with other columns instead of each list column."""
    columns: Columns = {}
    for name in rows.schema.names:
        column = rows.column(name).combine_chunks()
        is_list = pa.types.is_fixed_size_list(column.type)
        columns |= change(name, column) if is_list else {name: column}
    return pa.table(columns)


def read(path: Path, threads: bool) -> int:
    """Rows of a file, all of whose columns were copied into arrays; of 16-bit floats ones of 32 bits."""
    return sum(_taken(batch) for batch in _batches(path, threads))


def _batches(path: Path, threads: bool) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".parquet":
        yield from pq.ParquetFile(path).iter_batches(BATCH, use_threads=threads)
        return
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(use_threads=threads))
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def _taken(batch: pa.RecordBatch) -> int:
    """Copy all columns out; those of one entry each are put side by side by type, as a net needs them."""
    beside: dict[np.dtype, list[np.ndarray]] = {}
    for column in batch.columns:
        if pa.types.is_fixed_size_binary(column.type):
            np.frombuffer(column.buffers()[1], dtype=np.uint8).copy()
        elif pa.types.is_fixed_size_list(column.type):
            values = column.flatten().to_numpy()
            values.astype(np.float32 if values.dtype == np.float16 else values.dtype)
        else:
            beside.setdefault(column.to_numpy().dtype, []).append(column.to_numpy())
    for columns in beside.values():
        np.stack(columns, axis=1)
    return batch.num_rows


def table(title: str, config: RecapConfig, rows: int, rounds: int, threads: bool, workplace: Path) -> None:
    """Write the rows of a set in every format, read each, print."""
    manifest = DatasetManifest.read(write_set(workplace / title, config, rows))
    with pa.memory_map(f"{manifest.rows_root}/{manifest.files[0].path}") as source:
        content = pa.ipc.open_file(source).read_all()
        runs: dict[str, Run] = {}
        sizes: dict[str, int] = {}
        for number, (name, write) in enumerate(formats().items()):
            path = workplace / f"{title}-{number}.{'parquet' if name.startswith('Parquet') else 'arrow'}"
            write(content, path)
            runs[name], sizes[name] = partial(read, path, threads), path.stat().st_size
    speeds = medians(runs, rounds)
    print(f"\n{title}: {content.num_rows:,} rows\n\n| | bytes a row | rows/s | of {IPC} |\n|---|---|---|---|")
    for name, speed in speeds.items():
        print(
            f"| {name} | {sizes[name] / content.num_rows:,.0f} | {speed:,.0f} | {speed / speeds[IPC]:.0%} |"
        )


def main() -> None:
    """Print a table for each set."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.reading.formats", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--published", type=int, default=20_000)
    parser.add_argument("--narrow", type=int, default=200_000)
    parser.add_argument("--threads", action="store_true", help="let pyarrow read columns side by side")
    arguments = parser.parse_args()
    for title, config, rows in (
        ("published", published_config(), arguments.published),
        ("narrow", narrow_config(), arguments.narrow),
    ):
        with tempfile.TemporaryDirectory() as folder:
            table(title, config, rows, arguments.rounds, arguments.threads, Path(folder))


if __name__ == "__main__":
    main()
