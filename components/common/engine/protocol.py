"""The two verbs of an engine, and what a caller gives them."""

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple, Protocol, Self, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Item = TypeVar("Item")
State = TypeVar("State")
Result = TypeVar("Result")
Result_co = TypeVar("Result_co", covariant=True)

Merge = Callable[[State, State], State]


class ToShards(NamedTuple):
    """Rows that an exchange brings to shards.

    Attributes:
        rows: a record batch, of any Arrow types; all rows of a shard have the same schema.
        shards: the shard number of each row, (rows,) integers from 0; or one number for all of them.
    """

    rows: pa.RecordBatch
    shards: NDArray[np.integer[Any]] | int


class Sink(Protocol[Result_co]):
    """Writes the rows of one shard, in the process that they arrive in."""

    def write(self, rows: pa.RecordBatch) -> None:
        """Take the next rows of the shard. Batches are cut anywhere: the output must not depend on their sizes."""

    def close(self) -> Result_co:
        """Finish after the last row; returns a small picklable result (a file's name and digest, say).

        Not called if an exchange fails. A sink may be run twice, also at the same time (Spark repeats a lost task),
        so a file must appear only when it is complete: write under another name and rename.
        """


class Exchanged(NamedTuple):
    """The outcome of an exchange.

    Attributes:
        state: what the kernels returned, merged in the items' order; None without ``merge``.
        results: of each shard's sink, in the order of the shards; None for a shard without rows.
    """

    state: Any
    results: list[Any]


class Engine(Protocol):
    """Runs kernels over items. Use it as a context manager; it starts nothing before it is needed.

    Kernels, sinks, merges and items are pickled: use functions of a module, `functools.partial` of one, or instances
    of a module's class, and keep what all items share (snapshot, config) in the kernel. On Spark they run on other
    machines: read and write by URI, or by paths that all machines share. An error that a kernel or a sink raises is
    raised here as it is; a process or executor that is lost is a ChildProcessError in one line, unless the engine has
    repeated its work.
    """

    item_count: int
    """Into how many items work should be cut, at most (`split_files(snapshot, engine.item_count)`)."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...

    def map(
        self,
        items: Sequence[Item],
        kernel: Callable[[Item], State],
        merge: Merge[State],
        done: Callable[[int], None] = ...,
    ) -> State:
        """Apply ``kernel`` to each item and merge the states in the items' order.

        Args:
            items: at least one.
            merge: ``merge(first, later)`` returns both as one, and may change and return ``first``. It must be
                associative, as an engine merges neighbours wherever they are; a sum of floats is not, so collect its
                summands. To have the list of all results, return lists and merge by ``operator.add``.
            done: called with the number of items that are done, where the engine knows it.
        """

    def exchange(
        self,
        items: Sequence[Item],
        kernel: Callable[[Item], Generator[ToShards, None, State]],
        shards: int,
        sink: Callable[[int], Sink[Any]],
        keys: Sequence[str] = (),
        merge: Merge[State] | None = None,
        done: Callable[[int], None] = ...,
    ) -> Exchanged:
        """Bring the rows that ``kernel`` yields of each item to shards, and write each shard by a sink.

        Args:
            kernel: a generator that yields rows with their shard numbers, and may return a state.
            shards: their number. One task writes a shard, so they should have about as many rows each.
            sink: makes the sink of a shard, given its number; not called for a shard without rows.
            keys: columns that a shard's rows are sorted by, ascending, nulls last. Rows of equal keys, and without
                keys all rows, come in the order in which the items, in their order, yield them. With keys a shard is
                held in memory, so choose their number such that one fits (2,000,000 rows of a few narrow columns);
                without keys memory is bounded by batches.
            merge: of what the kernels return, as in `map`; it is discarded without.
        """


def no_report(done: int) -> None:
    """Report no progress."""
