"""The local engine: processes of this machine; exchanged rows are spilled to files in a temporary folder."""

import functools
import os
import pickle
import tempfile
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

from components.common.engine.pieces import cut_pieces, shard_numbers, split_by_shard, write_shard
from components.common.engine.protocol import (
    Exchanged,
    Item,
    Merge,
    Sink,
    State,
    ToShards,
    no_report,
)
from components.common.runtime.process_pool import ProcessPool

_ITEMS_OF_ONE_PROCESS = 16
_ITEMS_PER_PROCESS = 4
_OPEN_SINKS = 32

Kernel = Callable[[Any], Generator[ToShards, None, Any]]
MakeSink = Callable[[int], Sink[Any]]
Index = dict[int, list[tuple[int, int]]]
"""By shard, offset and size of its pieces in a file, in order."""


class LocalEngine:
    """Processes of this machine.

    One process does its work itself, and writes rows to their sinks as they come if there are no keys and few shards.
    Otherwise each item's rows are spilled to a file, and then the shards are written.

    Args:
        processes: how many.
        spill_folder: an existing folder for the temporary files; the system's (TMPDIR) if None.
    """

    def __init__(self, processes: int, spill_folder: Path | None = None) -> None:
        self._pool = ProcessPool(processes)
        self._spill_folder = spill_folder
        # More items than processes, to balance their load; of one process, to report progress.
        self.item_count = processes * _ITEMS_PER_PROCESS if processes > 1 else _ITEMS_OF_ONE_PROCESS

    def __enter__(self) -> Self:
        self._pool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.__exit__(*error)

    def map(
        self,
        items: Sequence[Item],
        kernel: Callable[[Item], State],
        merge: Merge[State],
        done: Callable[[int], None] = no_report,
    ) -> State:
        """See `Engine.map`."""
        return _merged(self._map(kernel, items), merge, done)

    def exchange(
        self,
        items: Sequence[Item],
        kernel: Callable[[Item], Generator[ToShards, None, State]],
        shards: int,
        sink: MakeSink,
        keys: Sequence[str] = (),
        merge: Merge[State] | None = None,
        done: Callable[[int], None] = no_report,
    ) -> Exchanged:
        """See `Engine.exchange`."""
        if self._pool.processes == 1 and not keys and shards <= _OPEN_SINKS:
            return _exchange_directly(items, kernel, shards, sink, merge, done)
        return self._exchange_by_files(items, kernel, shards, sink, keys, merge, done)

    def _map(self, work: Callable[[Any], Any], items: Sequence[Any]) -> Iterator[Any]:
        if self._pool.processes == 1:
            return map(work, items)
        pickled = pickle.dumps(work)
        return self._pool.map(_call, [(pickled, item) for item in items])

    def _exchange_by_files(
        self,
        items: Sequence[Any],
        kernel: Kernel,
        shards: int,
        sink: MakeSink,
        keys: Sequence[str],
        merge: Merge[Any] | None,
        done: Callable[[int], None],
    ) -> Exchanged:
        with tempfile.TemporaryDirectory(prefix="recap-", dir=self._spill_folder) as folder:
            paths = [f"{folder}/{number:06d}" for number in range(len(items))]
            spill = functools.partial(_spill, kernel, shards, merge is not None)
            indexes: list[Index] = []

            def states() -> Iterator[Any]:
                for index, state in self._map(spill, list(zip(items, paths, strict=True))):
                    indexes.append(index)
                    yield state

            state = _merged(states(), merge, done)
            work = [
                (shard, pieces)
                for shard in range(shards)
                if (pieces := [(path, index[shard]) for path, index in _having(shard, paths, indexes)])
            ]
            results: list[Any] = [None] * shards
            written = self._map(functools.partial(_write, sink, tuple(keys)), work)
            for (shard, _), result in zip(work, written, strict=True):
                results[shard] = result
            return Exchanged(state, results)


def _having(shard: int, paths: list[str], indexes: list[Index]) -> Iterator[tuple[str, Index]]:
    return ((path, index) for path, index in zip(paths, indexes, strict=True) if shard in index)


def _merged(states: Iterator[Any], merge: Merge[Any] | None, done: Callable[[int], None]) -> Any:
    merged = None
    for number, state in enumerate(states):
        merged = merge(merged, state) if merge is not None and number else state
        done(number + 1)
    return merged


@functools.lru_cache(maxsize=1)
def _unpickled(work: bytes) -> Callable[[Any], Any]:
    loaded: Callable[[Any], Any] = pickle.loads(work)
    return loaded


def _call(work: bytes, item: Any) -> Any:
    return _unpickled(work)(item)


def _spill(kernel: Kernel, shards: int, stateful: bool, work: tuple[Any, str]) -> tuple[Index, Any]:
    item, path = work
    with open(path, "wb") as file:
        return _append(file, kernel(item), shards, stateful)


def _append(
    file: BinaryIO, rows: Generator[ToShards, None, Any], shards: int, stateful: bool
) -> tuple[Index, Any]:
    """Append the rows' pieces to a file; returns where they are, and what the generator returns."""
    index: Index = {}
    states: list[Any] = []
    for shard, content in cut_pieces(rows, shards, states.append):
        index.setdefault(shard, []).append((file.tell(), content.size))
        file.write(content)
    return index, states[0] if stateful else None


def _write(
    sink: MakeSink, keys: Sequence[str], work: tuple[int, list[tuple[str, list[tuple[int, int]]]]]
) -> Any:
    shard, files = work

    def pieces() -> Iterator[bytes]:
        for path, parts in files:
            with open(path, "rb", buffering=0) as file:
                for offset, size in parts:
                    yield os.pread(file.fileno(), size, offset)

    return write_shard(pieces(), keys, sink(shard))


def _exchange_directly(
    items: Sequence[Any],
    kernel: Kernel,
    shards: int,
    sink: MakeSink,
    merge: Merge[Any] | None,
    done: Callable[[int], None],
) -> Exchanged:
    sinks: dict[int, Sink[Any]] = {}

    def state_of(item: Any) -> Any:
        rows = kernel(item)
        while True:
            try:
                batch, to = next(rows)
            except StopIteration as end:
                return end.value
            if not batch.num_rows:
                continue
            for shard, chosen in split_by_shard(batch, shard_numbers(batch, to, shards)):
                if shard not in sinks:
                    sinks[shard] = sink(shard)
                sinks[shard].write(chosen)

    state = _merged(map(state_of, items), merge, done)
    return Exchanged(
        state if merge else None,
        [sinks[shard].close() if shard in sinks else None for shard in range(shards)],
    )
