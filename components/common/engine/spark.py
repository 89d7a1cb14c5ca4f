"""The Spark engine: the same kernels, scheduled by PySpark's DataFrame API (no RDDs, so Spark Connect works too).

Rows travel as pieces (see `components.common.engine.pieces`), a binary cell each: Spark partitions and sorts pieces,
and never converts a value.
"""

import functools
import pickle
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from components.common.engine.pieces import cut_pieces, write_shard
from components.common.engine.protocol import (
    Exchanged,
    Item,
    Merge,
    Sink,
    State,
    ToShards,
    no_report,
)
from components.common.engine.spark_errors import explained, shipping_errors
from components.common.engine.spark_session import choose_master, open_session

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_ITEMS = 10_000
# A task costs about 0.2 s besides its items; several a core balance their load, and limit what a lost one repeats.
_TASKS_PER_CORE = 8
_STATE_PARTITIONS = 4

# Of what kernels and sinks send: to which partition, of which item, the how manieth of it, and a pickle or a piece.
_SENT = pa.schema(
    [("to", pa.int32()), ("item", pa.int32()), ("number", pa.int32()), ("content", pa.binary())]
)
_SENT_DDL = "to int, item int, number int, content binary"


class SparkEngine:
    """Executors of a Spark cluster, or of this machine (``local[N]``).

    Args:
        master: a Spark master, or the address of a Spark Connect server (``sc://host:port``); None as in
            `recap_model.config.data.engine.SparkEngineConfig`.
        conf: Spark's settings.
    """

    item_count = _ITEMS

    def __init__(self, master: str | None, conf: Mapping[str, str]) -> None:
        self._master, self._conf = choose_master(master), conf
        self._session: SparkSession | None = None
        self._close: Callable[[], None] = lambda: None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def map(
        self,
        items: Sequence[Item],
        kernel: Callable[[Item], State],
        merge: Merge[State],
        done: Callable[[int], None] = no_report,
    ) -> State:
        """See `Engine.map`."""

        def no_rows(item: Item) -> Generator[ToShards, None, State]:
            yield from ()
            return kernel(item)

        state: State = self.exchange(items, no_rows, 0, _no_sink, (), merge, done).state
        return state

    def exchange(
        self,
        items: Sequence[Item],
        kernel: Callable[[Item], Generator[ToShards, None, State]],
        shards: int,
        sink: Callable[[int], Sink[Any]],
        keys: Sequence[str] = (),
        merge: Merge[State] | None = None,
        done: Callable[[int], None] = no_report,
    ) -> Exchanged:
        """See `Engine.exchange`."""
        partitions = shards + (_STATE_PARTITIONS if merge else 0)
        send = functools.partial(_send, kernel, list(items), shards, merge is not None)
        receive = functools.partial(_receive, shards, sink, tuple(keys), merge)
        numbers = self._numbers(len(items))
        with explained(self._master):
            sent = numbers.mapInArrow(_shipped(send), _SENT_DDL)
            sorted_pieces = sent.repartitionById(partitions, "to").sortWithinPartitions(
                "to", "item", "number"
            )
            received = _rows(sorted_pieces.mapInArrow(_shipped(receive), _SENT_DDL))
        results: list[Any] = [None] * shards
        states: list[Any] = []
        for to, content in sorted(received):
            if to < shards:
                results[to] = pickle.loads(content)
            else:
                states.append(pickle.loads(content))
        done(len(items))
        return Exchanged(functools.reduce(merge, states) if merge and states else None, results)

    def read_frame(
        self, items: Sequence[Item], kernel: Callable[[Item], Iterator[pa.RecordBatch]], schema: pa.Schema
    ) -> "DataFrame":
        """A DataFrame of the rows that ``kernel`` yields of each item, in ``schema``.

        It is not kept: each of Spark's actions on it runs the kernel again.
        """
        from pyspark.sql.pandas.types import from_arrow_schema

        items = list(items)

        def read(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for item in (number for batch in batches for number in batch.column(0).to_pylist()):
                yield from kernel(items[item])

        numbers = self._numbers(len(items))
        with explained(self._master):
            return numbers.mapInArrow(_shipped(read), from_arrow_schema(schema))

    def _numbers(self, items: int) -> "DataFrame":
        """The numbers of the items, in as many partitions as there should be tasks."""
        session, tasks = self._open(), items
        with explained(self._master):
            if not self._master.startswith("sc://"):  # a server of Spark Connect does not tell its cores
                tasks = min(items, _TASKS_PER_CORE * session.sparkContext.defaultParallelism)
            return session.range(0, items, 1, tasks)

    def _open(self) -> "SparkSession":
        if self._session is None:
            self._session, self._close = open_session(self._master, self._conf)
        return self._session


def _rows(frame: "DataFrame") -> list[tuple[int, bytes]]:
    return [(row["to"], bytes(row["content"])) for row in frame.select("to", "content").collect()]


def _no_sink(shard: int) -> Sink[None]:
    raise IndexError(f"shard {shard} of a map, which has none")


def _shipped(
    work: Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]],
) -> Callable[[Iterable[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    return lambda batches: shipping_errors(work, batches)


def _send(
    kernel: Callable[[Any], Generator[ToShards, None, Any]],
    items: Sequence[Any],
    shards: int,
    stateful: bool,
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Run the kernel on the items of a partition, by their numbers; yields a batch for each piece and state."""
    for item in (number for batch in batches for number in batch.column(0).to_pylist()):
        states: list[Any] = []
        for number, (shard, content) in enumerate(cut_pieces(kernel(items[item]), shards, states.append)):
            yield _sent(shard, item, number, content)
        if stateful:
            yield _sent(shards + item * _STATE_PARTITIONS // len(items), item, 0, pickle.dumps(states[0]))


def _receive(
    shards: int,
    sink: Callable[[int], Sink[Any]],
    keys: tuple[str, ...],
    merge: Merge[Any] | None,
    batches: Iterable[pa.RecordBatch],
) -> Iterator[pa.RecordBatch]:
    """Write the shards of a partition by their sinks, and merge its states; yields the pickled results."""
    received = _cells(batches)
    first = next(received, None)
    while first is not None:
        to, content = first
        rest: list[tuple[int, bytes]] = []

        def of_this(to: int = to, content: bytes = content, rest: list[Any] = rest) -> Iterator[bytes]:
            yield content
            for other, more in received:
                if other != to:
                    rest.append((other, more))
                    return
                yield more

        if to < shards:
            result = write_shard(of_this(), keys, sink(to))
        else:
            assert merge is not None
            result = functools.reduce(merge, (pickle.loads(state) for state in of_this()))
        yield _sent(to, 0, 0, pickle.dumps(result))
        first = rest[0] if rest else None


def _cells(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, bytes]]:
    for batch in batches:
        to, content = batch.column("to").to_pylist(), batch.column("content")
        for number, shard in enumerate(to):
            yield shard, content[number].as_buffer()


def _sent(to: int, item: int, number: int, content: bytes | pa.Buffer) -> pa.RecordBatch:
    columns = [pa.array([value], pa.int32()) for value in (to, item, number)]
    size = len(content)
    offsets = pa.py_buffer(size.to_bytes(4, "little").rjust(8, b"\0"))
    cell = pa.Array.from_buffers(pa.binary(), 1, [None, offsets, pa.py_buffer(content)])
    return pa.record_batch([*columns, cell], schema=_SENT)
