"""Read a dataset's rows as batches: memory-mapped Arrow, shuffled by (seed, epoch) or in order."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from recap_model.config import RecapConfig
from recap_model.config.data.features import DENSE_GROUPS
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.gather import BufferPool, CopyQueue
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.prefetch import map_ahead
from recap_model.data.dataset.record_batches import RecordBatches
from recap_model.data.dataset.sequences import RaggedColumns, pad_sequence
from recap_model.data.dataset.shuffle import BatchRows, EpochOrder, Numbers
from recap_model.data.log.id_lists import PREFIX, IdLists, pad_lists

_RUN_BYTES, _RUNS_IN_A_BATCH, _RUNS = 16_384, 128, 8192

Weighting = Literal["natural", "training"]
Arrays = dict[str, NDArray[np.generic]]
ListsByName = dict[str, IdLists]
RaggedByName = dict[str, RaggedColumns]
Result = TypeVar("Result")


class Part(NamedTuple):
    """A record batch that is read from: dense rows from ``first`` on, the same as runs, all lists and sequences.

    Shape:
        arrays: (rows, width); runs: (whole runs, rows in a run * width).
    """

    first: int
    arrays: Arrays
    runs: Arrays
    lists: ListsByName
    sequences: RaggedByName


class DatasetReader:
    """The rows of one dataset, batch by batch.

    Memory is bounded by a batch and a window of record batches: rows are gathered from memory-mapped files, or
    from record batches that are fetched as the window reaches them. An epoch's order follows from (seed, epoch)
    alone: record batches of all files are permuted, and short runs of rows within a window of them.

    Args:
        folder: a dataset, as prepare writes it.
        tasks: the model's tasks; the labels' columns come in their order, found by name.
        batch_size: rows in a batch; the last one of an epoch may have fewer.
        config: gives the log's own sampling rates.
        weighting: "natural" weighs rows back to the distribution before any sampling; "training" does so only
            where ``data.sampling_correction`` is "weights".
        seed: of the shuffle; rows come in the order of the files without one.
        held_out: fraction of rows at the start of each record batch that are none of the epoch's rows (or, with
            ``only_held_out``, all of them). Prepare has shuffled a training set's record batches.
        shard: (number, of how many): of every batch the rows that are this one's, in nearly equal parts.
        min_rows: a last batch of fewer rows, over all shards, is left out; and one that has none for a shard.
        threads: that copy the rows of a batch in parallel.
        pin: have the batches in page-locked memory, from which a GPU copies without waiting.

    Raises:
        FileNotFoundError: no dataset, or one of its files is not there.
        ValueError: a file is not the one in the manifest, or a task has no labels; the message names it.
    """

    def __init__(
        self,
        folder: str | Path,
        tasks: list[str],
        batch_size: int,
        *,
        config: RecapConfig,
        weighting: Weighting = "natural",
        seed: int | None = None,
        held_out: float = 0.0,
        only_held_out: bool = False,
        shard: tuple[int, int] = (0, 1),
        min_rows: int = 1,
        threads: int = 1,
        pin: bool = False,
    ) -> None:
        self.manifest = DatasetManifest.read(folder)
        self.batch_size = batch_size
        self.seed = seed
        self._threads = threads
        self._pin = pin
        missing = [task for task in tasks if task not in self.manifest.tasks]
        if missing:
            raise ValueError(
                f"{folder}: no labels for task {', '.join(missing)}; it has {', '.join(self.manifest.tasks)}"
            )
        self._label_columns = [self.manifest.tasks.index(task) for task in tasks]
        undo = weighting == "natural" or config.data.sampling_correction == "weights"
        rates = [config.tasks[task] for task in tasks]
        positive = [1.0 / rate.pos_downsampling_rate if undo else 1.0 for rate in rates]
        negative = [1.0 / rate.neg_downsampling_rate if undo else 1.0 for rate in rates]
        self._positive_weights = np.array(positive, dtype=np.float32)
        self._negative_weights = np.array(negative, dtype=np.float32)
        self._reweights = any(weight != 1.0 for weight in positive + negative)
        self._record_batches = RecordBatches(self.manifest)
        lengths = self._record_batches.lengths
        held = np.round(lengths * held_out).astype(np.int64)
        self._firsts = np.zeros_like(held) if only_held_out else held
        self._lengths = held if only_held_out else lengths - held
        self._run = self._run_rows()
        self._order = EpochOrder(self._lengths, self._run, batch_size, shard, max(min_rows, shard[1]))

    @property
    def rows(self) -> int:
        """Rows in an epoch, over all shards."""
        return int(self._lengths.sum())

    @property
    def steps(self) -> int:
        """Batches in an epoch that `batches` fills across record batches."""
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + (rest >= self._order.min_rows)

    def batches(self, epoch: int = 0, skip: int = 0) -> Iterator[RecapBatch]:
        """One epoch, without its first ``skip`` batches, which are not read.

        (seed, epoch, skip) is the position of a reader: from it the same batches come again.
        """
        random = None if self.seed is None else np.random.default_rng([self.seed, epoch])
        loaded: dict[int, Part] = {}
        buffers = BufferPool(self._pin)
        with CopyQueue(self._threads) as copy_queue:
            for rows in self._order.batches(random, skip):
                yield self._gather(rows, loaded, buffers, copy_queue)
                if len(loaded) > len(rows.near):
                    for part in [part for part in loaded if part not in rows.near]:
                        del loaded[part]

    def batches_with_rows(self) -> Iterator[tuple[pa.RecordBatch, RecapBatch]]:
        """Every row in the order of the files, as Arrow (ids and timestamps too) and as tensors."""
        for rows in self._slices(map(self._record_batches.__getitem__, range(len(self._lengths)))):
            yield rows, self._to_tensors(rows)

    def map_batches(
        self, work: Callable[[pa.RecordBatch, RecapBatch], Result], threads: int
    ) -> Iterator[Result]:
        """``work`` of each batch of `batches_with_rows`, in order, by several threads.

        Each thread also reads, so that files in a store are fetched in parallel. Results do not depend on the number
        of threads if ``work`` does not. At most ``threads`` record batches and twice as many batches are in memory.
        """
        with ThreadPoolExecutor(threads) as pool:
            record_batches = map_ahead(
                pool, self._record_batches.__getitem__, range(len(self._lengths)), threads - 1
            )
            slices = self._slices(record_batches)
            yield from map_ahead(
                pool, lambda rows: work(rows, self._to_tensors(rows)), slices, 2 * threads - 1
            )

    def _slices(self, record_batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for record_batch in record_batches:
            for start in range(0, record_batch.num_rows, self.batch_size):
                yield record_batch.slice(start, self.batch_size)

    def _to_tensors(self, rows: pa.RecordBatch) -> RecapBatch:
        arrays, lists, sequences = self._read(rows)
        every = np.arange(rows.num_rows)
        sparse = {name: pad_lists([(column, every)]) for name, column in lists.items()}
        padded = {
            name: pad_sequence([(ragged, every)], self.manifest.sequences[name])
            for name, ragged in sequences.items()
        }
        groups = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
        return _to_batch(groups, sparse, padded)

    def _run_rows(self) -> int:
        """Rows that stay together: enough to be read at speed, if a batch still is of many places.

        Prepare has shuffled the rows of a record batch, so that neighbours have no more in common than others.
        """
        longest = int(self._lengths.max(initial=1))
        if self.seed is None or not self.rows:
            return longest
        row_bytes = sum(file.bytes for file in self.manifest.files) / max(self.manifest.rows, 1)
        together = min(_RUN_BYTES / row_bytes, self.batch_size / _RUNS_IN_A_BATCH, self.rows / _RUNS)
        return min(max(1, int(together)), longest)

    def _gather(
        self, rows: BatchRows, loaded: dict[int, Part], buffers: BufferPool, copy_queue: CopyQueue
    ) -> RecapBatch:
        """The rows as tensors: whole runs first, as a model does not see their order."""
        numbers = {number for number, _ in rows.whole} | {number for number, _, _ in rows.cut}
        self._record_batches.check(numbers)
        for number in numbers - loaded.keys():
            loaded[number] = self._load(number)
        runs = sum(len(places) for _, places in rows.whole)
        gathered: dict[str, Tensor] = {}
        for name, array in loaded[next(iter(numbers))].arrays.items():
            width = array.shape[1]
            gathered[name] = buffers.empty(name, (rows.total, width), array.dtype)
            out = gathered[name].numpy()
            at, out_runs = 0, out[: runs * self._run].reshape(runs, self._run * width)
            for number, places in rows.whole:
                end = at + len(places)
                copy_queue.add(loaded[number].runs[name], places, out_runs[at:end])
                at = end
            at *= self._run
            for number, first, length in rows.cut:
                copy_queue.add(
                    loaded[number].arrays[name][first : first + length], None, out[at : at + length]
                )
                at += length
        copy_queue.run()
        lists, sequences = self._padded(rows, loaded, buffers)
        return _to_batch(gathered, lists, sequences, self._pin)

    def _padded(
        self, rows: BatchRows, loaded: dict[int, Part], buffers: BufferPool
    ) -> tuple[dict[str, Numbers], dict[str, Arrays]]:
        """The lists and the sequences of the rows."""
        if not self.manifest.sparse and not self.manifest.sequences:
            return {}, {}
        in_run = np.arange(self._run)
        places = [(number, (runs[:, np.newaxis] * self._run + in_run).ravel()) for number, runs in rows.whole]
        places += [(number, np.arange(first, first + length)) for number, first, length in rows.cut]
        chosen = [(loaded[number], at + loaded[number].first) for number, at in places]
        lists = {
            name: pad_lists([(part.lists[name], at) for part, at in chosen]) for name in self.manifest.sparse
        }
        sequences = {
            name: pad_sequence(
                [(part.sequences[name], at) for part, at in chosen],
                sequence,
                lambda shape, dtype: buffers.empty(dtype.str, shape, dtype).numpy(),
            )
            for name, sequence in self.manifest.sequences.items()
        }
        return lists, sequences

    def _load(self, number: int) -> Part:
        first = int(self._firsts[number])
        arrays, lists, sequences = self._read(self._record_batches[number])
        last = first + int(self._lengths[number])
        arrays = {name: array[first:last] for name, array in arrays.items()}
        count = (last - first) // self._run
        runs = {
            name: array[: count * self._run].reshape(count, -1) for name, array in arrays.items() if count
        }
        return Part(first, arrays, runs, lists, sequences)

    def _read(self, rows: pa.RecordBatch) -> tuple[Arrays, ListsByName, RaggedByName]:
        """The groups, labels and weights of rows, (rows, width), their lists and sequences, mostly without a copy."""
        arrays: Arrays = {}
        for name in (*DENSE_GROUPS, "labels"):
            if name in rows.schema.names:
                arrays[name] = _as_matrix(rows.column(name))
        if self._label_columns != list(range(arrays["labels"].shape[1])):
            arrays["labels"] = arrays["labels"][:, self._label_columns]
        arrays["weights"] = self._weights(arrays["labels"], rows.column("weight").to_numpy())
        lists = {name: IdLists.of(rows.column(PREFIX + name)) for name in self.manifest.sparse}
        sequences = {
            name: RaggedColumns.of(rows, name, sequence) for name, sequence in self.manifest.sequences.items()
        }
        return arrays, lists, sequences

    def _weights(self, labels: NDArray[Any], weight: NDArray[Any]) -> NDArray[np.float32]:
        """Each label's weight, 0 where it is missing: (rows, tasks)."""
        # All in one dimension, as numpy is slow where the last one is short.
        weights: NDArray[np.float32] = np.repeat(weight, labels.shape[1])
        if self._reweights:
            each = np.where(labels > 0.5, self._positive_weights, self._negative_weights)
            weights *= each.ravel()
        missing = np.isnan(labels).ravel()
        if missing.any():
            weights[missing] = 0.0
        return weights.reshape(labels.shape)

    def verify(self) -> None:
        """Compare every file's content with the manifest. Raises ValueError naming the first that differs."""
        self._record_batches.verify()


def _as_matrix(column: pa.FixedSizeListArray) -> NDArray[np.generic]:
    """Lists without nulls as (rows, entries), without a copy, which `flatten` takes longer to find out."""
    width = column.type.list_size
    return column.values.to_numpy().reshape(-1, width)[column.offset : column.offset + len(column)]


def _to_batch(
    groups: dict[str, Tensor], lists: dict[str, Numbers], sequences: dict[str, Arrays], pin: bool = False
) -> RecapBatch:
    def tensor(array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).pin_memory() if pin else torch.from_numpy(array)

    sparse = {name: tensor(ids) for name, ids in lists.items()}
    histories = {
        name: {key: tensor(array) for key, array in arrays.items()} for name, arrays in sequences.items()
    }
    return RecapBatch(**groups, sparse=sparse or None, sequences=histories or None)
