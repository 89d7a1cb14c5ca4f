"""Kernels and sinks that the tests of engines run, also on executors."""

import operator
import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any
from zipimport import zipimporter

import numpy as np
import pyarrow as pa

from components.common.engine import Engine, Exchanged, ToShards

SHARDS = 7
ROWS_OF_ITEM = 1000
ITEMS = 7

concatenate = operator.add


def square(number: int) -> list[int]:
    return [number * number]


def rows_of(item: int) -> pa.RecordBatch:
    """Rows with types that only Arrow has, NaNs with a payload, nulls, and keys with duplicates."""
    random = np.random.default_rng(item)
    number = np.arange(ROWS_OF_ITEM) + item * ROWS_OF_ITEM
    pairs = random.normal(size=(ROWS_OF_ITEM, 2)).astype(np.float32)
    pairs.view(np.uint32)[::5, 1] = 0x7FC00123
    user = random.integers(0, 50, ROWS_OF_ITEM)
    return pa.record_batch(
        {
            "number": number,
            "user": pa.array(user.astype(np.uint64) + np.uint64(2**63), mask=user == 3),
            "pair": pa.FixedSizeListArray.from_arrays(pa.array(pairs.ravel()), 2),
            "ids": pa.array([list(range(each % 4)) if each % 7 else None for each in number.tolist()]),
            "text": pa.array(
                [f"ü{each}" for each in user.tolist()], pa.dictionary(pa.int8(), pa.string())
            ).cast(pa.large_string()),
        }
    )


def send(item: int) -> Generator[ToShards, None, list[int]]:
    """Rows by user, in two batches and an empty one; one shard gets none."""
    rows = rows_of(item)
    shards = rows["number"].to_numpy() * 7919 % (SHARDS - 1)
    for first, end in ((0, 600), (600, 600), (600, ROWS_OF_ITEM)):
        yield ToShards(rows.slice(first, end - first), shards[first:end])
    return [item]


class Collect:
    """Keeps the rows of a shard."""

    def __init__(self, shard: int) -> None:
        self.shard = shard
        self.batches: list[pa.RecordBatch] = []

    def write(self, rows: pa.RecordBatch) -> None:
        self.batches.append(rows)

    def close(self) -> tuple[int, bytes]:
        table = pa.Table.from_batches(self.batches).combine_chunks()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return self.shard, sink.getvalue().to_pybytes()


def exchanged(engine: Engine, keys: tuple[str, ...] = (), send: Any = send) -> Exchanged:
    return engine.exchange(list(range(ITEMS)), send, SHARDS, Collect, keys, concatenate)


def expected(shard: int, keys: tuple[str, ...]) -> pa.Table:
    rows = pa.Table.from_batches([rows_of(item) for item in range(ITEMS)])
    rows = rows.filter(pa.array(rows["number"].to_numpy() * 7919 % (SHARDS - 1) == shard))
    return rows.sort_by([(key, "ascending") for key in (*keys, "number")])


def fail_at_five(item: int) -> list[int]:
    if item == 5:
        raise FileNotFoundError("part-5.parquet: no such file; run resolve again")
    return [item]


def send_and_fail(item: int) -> Generator[ToShards, None, list[int]]:
    yield from send(item)
    return fail_at_five(item)


class FailingSink(Collect):
    """A sink whose disk is full."""

    def close(self) -> tuple[int, bytes]:
        raise OSError(28, "No space left on device", f"shard-{self.shard}")


class DieOnce:
    """A kernel that ends its process by SIGKILL the first time it gets to item 5."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, item: int) -> Generator[ToShards, None, list[int]]:
        for each in send(item):
            yield each
            if item == 5 and not self.mark.exists():
                self.mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
        return [item]


def zip_importers(item: int) -> list[str]:
    """Paths that this process imports from a zip file."""
    return [path for path, finder in sys.path_importer_cache.items() if isinstance(finder, zipimporter)]


def count(item: int) -> int:
    return 1


def kill_executor(worker: bool = False) -> None:
    """Kill the JVM that this process works for, its daemon's parent; or the worker that started the JVM."""
    process = os.getppid()
    for _ in range(1 + worker):
        stat = Path(f"/proc/{process}/stat").read_text()
        process = int(stat.rpartition(")")[2].split()[1])
    os.kill(process, signal.SIGKILL)


class KillExecutorOnce:
    """A kernel, of either verb, that loses its executor, or its worker, the first time it gets to item 5."""

    def __init__(self, mark: Path, kernel: Any, worker: bool = False) -> None:
        self.mark = mark
        self.kernel = kernel
        self.worker = worker

    def __call__(self, item: int) -> Any:
        if item == 5 and not self.mark.exists():
            self.mark.touch()
            kill_executor(self.worker)
        return self.kernel(item)


class SinkOfLostExecutor(Collect):
    """A sink that loses its executor the first time it has got rows."""

    def __init__(self, mark: Path, shard: int) -> None:
        super().__init__(shard)
        self.mark = mark

    def close(self) -> tuple[int, bytes]:
        if not self.mark.exists():
            self.mark.touch()
            kill_executor()
        return super().close()
