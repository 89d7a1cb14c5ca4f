"""Pieces: rows of one item for one shard, serialised; how an exchange moves rows, whatever moves them."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.engine.protocol import Sink, ToShards

_BUFFER_BYTES = 32 << 20
# Of 4 MB the JVM of a Spark with a small heap takes half as much time again: they bypass its young generation.
_PIECE_BYTES = 256 << 10


class Piece(NamedTuple):
    """Some of an item's rows for a shard, as an Arrow IPC stream. A shard's pieces are in the order of the rows."""

    shard: int
    content: pa.Buffer


def cut_pieces(
    rows: Generator[ToShards, None, Any], shards: int, returned: Callable[[Any], None]
) -> Iterator[Piece]:
    """The rows of one item as pieces; ``returned`` gets what the generator returns.

    Rows are gathered up to 32 MB first, so that pieces are not tiny if there are many shards.
    """
    waiting: list[pa.RecordBatch] = []
    numbers: list[NDArray[np.int64]] = []
    size = 0
    while True:
        try:
            batch, to = next(rows)
        except StopIteration as end:
            yield from _by_shard(waiting, numbers)
            returned(end.value)
            return
        if waiting and batch.schema != waiting[0].schema:
            yield from _by_shard(waiting, numbers)
            numbers, size = [], 0
        if batch.num_rows:
            waiting.append(batch)
            numbers.append(shard_numbers(batch, to, shards))
            size += batch.nbytes
        if size >= _BUFFER_BYTES:
            yield from _by_shard(waiting, numbers)
            numbers, size = [], 0


def shard_numbers(
    batch: pa.RecordBatch, to: NDArray[np.integer[Any]] | int, shards: int
) -> NDArray[np.int64]:
    """The shard of each row, (rows,). Raises IndexError for one that is not among the shards."""
    numbers = np.broadcast_to(np.asarray(to, dtype=np.int64), batch.num_rows)
    if len(numbers) and not 0 <= numbers.min() <= numbers.max() < shards:
        raise IndexError(f"shard numbers from {numbers.min()} to {numbers.max()}; there are {shards} shards")
    return numbers


def split_by_shard(batch: pa.RecordBatch, numbers: NDArray[np.int64]) -> Iterator[tuple[int, pa.RecordBatch]]:
    """A batch's rows of each shard, in their order."""
    if (numbers[1:] < numbers[:-1]).any():
        order = np.argsort(numbers, kind="stable")
        batch, numbers = batch.take(pa.array(order)), numbers[order]
    firsts = np.flatnonzero(np.concatenate([[True], numbers[1:] != numbers[:-1]])).tolist()
    for first, end in zip(firsts, [*firsts[1:], len(numbers)], strict=True):
        yield int(numbers[first]), batch.slice(first, end - first)


def _by_shard(waiting: list[pa.RecordBatch], numbers: list[NDArray[np.int64]]) -> Iterator[Piece]:
    if not waiting:
        return
    for shard, rows in split_by_shard(_take_all(waiting), np.concatenate(numbers)):
        step = max(1, rows.num_rows * _PIECE_BYTES // max(rows.nbytes, 1))
        for first in range(0, rows.num_rows, step):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, rows.schema) as stream:
                stream.write_batch(rows.slice(first, step))
            yield Piece(shard, sink.getvalue())


def _take_all(waiting: list[pa.RecordBatch]) -> pa.RecordBatch:
    """The waiting rows as one batch; none waits any more, so that their memory is free before the next copy."""
    batch = waiting[0] if len(waiting) == 1 else pa.concat_batches(waiting)
    waiting.clear()
    return batch


def write_shard(pieces: Iterable[bytes | pa.Buffer], keys: Sequence[str], sink: Sink[Any]) -> Any:
    """Write the pieces of a shard, in their order, to its sink; returns the sink's result."""
    batches = (batch for content in pieces for batch in pa.ipc.open_stream(content))
    if keys:
        table = pa.Table.from_batches(list(batches))
        batches = iter(table.sort_by([(key, "ascending") for key in keys]).to_batches())
    for batch in batches:
        sink.write(batch)
    return sink.close()
