"""Reads a dataset's rows as batches: memory-mapped Arrow, shuffled by (seed, epoch) or in order."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from recap_model.config import RecapConfig
from recap_model.config.features import DENSE_GROUPS
from recap_model.data.batch import RecapBatch
from recap_model.data.buffers import Buffers
from recap_model.data.lists import PREFIX, Lists, padded
from recap_model.data.manifest import DatasetManifest
from recap_model.data.record_batches import RecordBatches

_WINDOW_RECORD_BATCHES = 8

_BLOCK_BYTES, _BLOCKS_IN_A_BATCH, _BLOCKS = 16_384, 128, 8192
# A row's place as one number: its record batch above these bits, its place in it below.
_ROW_BITS = 32

Weighting = Literal["natural", "training"]
Arrays = dict[str, NDArray[np.generic]]
ListsByName = dict[str, Lists]
Numbers = NDArray[np.int64]


class DatasetReader:
    """The rows of one dataset, batch by batch.

    Memory is bounded by a batch and a window of record batches: rows are gathered from memory-mapped files, or
    from record batches that are fetched as the window reaches them. An epoch's order follows from (seed, epoch)
    alone: record batches of all files are permuted, and rows within a window of them.

    Args:
        folder: a dataset, as build writes it.
        tasks: the model's tasks; the labels' columns come in their order, found by name.
        batch_size: rows in a batch; the last one of an epoch may have fewer.
        config: gives the log's own sampling rates.
        weighting: "natural" weighs rows back to the distribution before any sampling; "training" does so only
            where ``data.sampling_correction`` is "weights".
        seed: of the shuffle; rows come in the order of the files without one.
        held_out: share of rows at the start of each record batch that are none of the epoch's rows (or, with
            ``only_held_out``, all of them). Build has shuffled a training set's record batches.
        shard: (number, of how many): of every batch the rows that are this one's, in nearly equal parts.
        min_rows: a last batch of fewer rows, over all shards, is left out; and one that has none for a shard.

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
    ) -> None:
        self.manifest = DatasetManifest.read(folder)
        self.batch_size = batch_size
        self.seed = seed
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
        self._positive_weights = torch.tensor(positive)
        self._negative_weights = torch.tensor(negative)
        self._record_batches = RecordBatches(self.manifest)
        lengths = self._record_batches.lengths
        held = np.round(lengths * held_out).astype(np.int64)
        self._firsts = np.zeros_like(held) if only_held_out else held
        self._lengths = held if only_held_out else lengths - held
        self._block = self._block_rows(batch_size)
        self._shard = shard
        self._min_rows = max(min_rows, shard[1])

    @property
    def rows(self) -> int:
        """Rows in an epoch, over all shards."""
        return int(self._lengths.sum())

    @property
    def steps(self) -> int:
        """Batches in an epoch that `batches` fills across record batches."""
        whole, rest = divmod(self.rows, self.batch_size)
        return whole + (rest >= self._min_rows)

    def batches(self, epoch: int = 0, skip: int = 0) -> Iterator[RecapBatch]:
        """One epoch, without its first ``skip`` batches, which are not read.

        (seed, epoch, skip) is the position of a reader: from it the same batches come again.
        """
        loaded: dict[int, tuple[Arrays, ListsByName]] = {}
        buffers = Buffers()
        number, of = self._shard
        for count, (window, parts, rows) in enumerate(self._order(epoch)):
            if count < skip or len(parts) < self._min_rows:
                continue
            first, last = number * len(parts) // of, (number + 1) * len(parts) // of
            yield self._gather(parts[first:last], rows[first:last], loaded, buffers)
            for part in [part for part in loaded if part not in window]:
                del loaded[part]

    def batches_with_rows(self) -> Iterator[tuple[pa.RecordBatch, RecapBatch]]:
        """Every row in the order of the files, as Arrow (ids and timestamps too) and as tensors."""
        for number in range(len(self._lengths)):
            record_batch = self._record_batches[number]
            for start in range(0, record_batch.num_rows, self.batch_size):
                rows = record_batch.slice(start, self.batch_size)
                arrays = {name: array.copy() for name, array in _arrays(rows).items()}
                every = np.arange(rows.num_rows)
                sparse = {name: padded([(lists, every)]) for name, lists in self._lists(rows).items()}
                yield rows, self._to_batch(arrays, sparse)

    def _block_rows(self, batch_size: int) -> int:
        """Rows that stay together: enough to be read at speed, if a batch still is of many places.

        Build has shuffled the rows of a record batch, so that neighbours have no more in common than others.
        """
        if not self.rows:
            return 1
        row_bytes = sum(file.bytes for file in self.manifest.files) / max(self.manifest.rows, 1)
        together = min(_BLOCK_BYTES / row_bytes, batch_size / _BLOCKS_IN_A_BATCH, self.rows / _BLOCKS)
        return max(1, int(together))

    def _order(self, epoch: int) -> Iterator[tuple[set[int], Numbers, Numbers]]:
        """For each batch: the record batches around it, and of every row its record batch and place in it."""
        random = None if self.seed is None else np.random.default_rng([self.seed, epoch])
        count = len(self._lengths)
        order = np.arange(count) if random is None else random.permutation(count)
        parts = rows = np.empty(0, dtype=np.int64)
        for start in range(0, count, _WINDOW_RECORD_BATCHES):
            window = order[start : start + _WINDOW_RECORD_BATCHES]
            near = set(parts.tolist()) | set(window.tolist())
            parts = np.concatenate([parts, np.repeat(window, self._lengths[window])])
            places = (self._firsts[part] + np.arange(self._lengths[part]) for part in window)
            rows = np.concatenate([rows, *places])
            if random is not None:
                shuffle = _in_blocks(random, len(parts), self._block)
                parts, rows = parts[shuffle], rows[shuffle]
            last = start + _WINDOW_RECORD_BATCHES >= count
            whole = len(parts) if last else len(parts) - len(parts) % self.batch_size
            for first in range(0, whole, self.batch_size):
                yield near, parts[first : first + self.batch_size], rows[first : first + self.batch_size]
            parts, rows = parts[whole:], rows[whole:]

    def _gather(
        self,
        parts: Numbers,
        rows: Numbers,
        loaded: dict[int, tuple[Arrays, ListsByName]],
        buffers: Buffers,
    ) -> RecapBatch:
        """The rows as tensors, in the order of the files, which a model does not see."""
        gathered: Arrays = {}
        chosen: dict[str, list[tuple[Lists, Numbers]]] = {name: [] for name in self.manifest.sparse}
        places = np.sort((parts << _ROW_BITS) + rows)
        parts, rows = places >> _ROW_BITS, places & ((1 << _ROW_BITS) - 1)
        starts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist()]
        for start, end in zip(starts, [*starts[1:], len(parts)], strict=True):
            part = int(parts[start])
            self._record_batches.check(part)
            if part not in loaded:
                record_batch = self._record_batches[part]
                loaded[part] = _arrays(record_batch), self._lists(record_batch)
            arrays, sparse = loaded[part]
            for name, lists in sparse.items():
                chosen[name].append((lists, rows[start:end]))
            for name, array in arrays.items():
                if name not in gathered:
                    gathered[name] = buffers.empty(name, (len(parts), *array.shape[1:]), array.dtype)
                # The numbers are in range; with any other mode numpy would copy once more.
                np.take(array, rows[start:end], axis=0, out=gathered[name][start:end], mode="clip")
        return self._to_batch(gathered, {name: padded(lists) for name, lists in chosen.items()})

    def _lists(self, batch: pa.RecordBatch) -> ListsByName:
        return {name: Lists.of(batch.column(PREFIX + name)) for name in self.manifest.sparse}

    def _to_batch(self, arrays: Arrays, sparse: dict[str, Numbers]) -> RecapBatch:
        groups: dict[str, Any] = {
            name: torch.from_numpy(arrays[name]) for name in DENSE_GROUPS if name in arrays
        }
        labels = torch.from_numpy(arrays["labels"])[:, self._label_columns]
        by_label = torch.where(labels > 0.5, self._positive_weights, self._negative_weights)
        weights = torch.from_numpy(arrays["weight"]).unsqueeze(1) * by_label
        groups |= {"labels": labels, "weights": weights.masked_fill(labels.isnan(), 0.0)}
        lists = {name: torch.from_numpy(ids) for name, ids in sparse.items()}
        return RecapBatch(**groups, sparse=lists or None)

    def verify(self) -> None:
        """Compare every file's content with the manifest. Raises ValueError naming the first that differs."""
        self._record_batches.verify()


def _in_blocks(random: np.random.Generator, count: int, block: int) -> Numbers:
    """A permutation of 0 to count - 1 that keeps runs of ``block`` numbers, and a last shorter one, together."""
    firsts = random.permutation(-(-count // block)) * block
    numbers = (firsts[:, None] + np.arange(block)).ravel()
    return numbers[numbers < count]


def _arrays(batch: pa.RecordBatch) -> Arrays:
    """The groups, labels and weights of rows, without a copy: (rows, width), or (rows,) for the weight."""
    arrays: Arrays = {}
    for name in (*DENSE_GROUPS, "labels"):
        if name in batch.schema.names:
            column = batch.column(name)
            arrays[name] = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
    arrays["weight"] = batch.column("weight").to_numpy()
    return arrays
