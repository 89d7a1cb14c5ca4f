"""Reads a dataset's rows as batches: memory-mapped Arrow, shuffled by (seed, epoch) or in order."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from pyarrow.fs import FileSystem

from recap_model.config import RecapConfig
from recap_model.config.features import DENSE_GROUPS
from recap_model.data.batch import RecapBatch
from recap_model.data.manifest import DatasetManifest, RowFile

_WINDOW_RECORD_BATCHES = 8
_DIGEST_CHUNK_BYTES = 1 << 20

Weighting = Literal["natural", "training"]
Arrays = dict[str, NDArray[np.generic]]


class DatasetReader:
    """The rows of one dataset, batch by batch.

    Memory is bounded by a batch: rows are gathered from memory-mapped files. An epoch's order follows from
    (seed, epoch) alone: record batches of all files are permuted, and rows within a window of them.

    Args:
        folder: a dataset, as build writes it.
        tasks: the model's tasks; the labels' columns come in their order, found by name.
        batch_size: rows in a batch; the last one of an epoch may have fewer.
        config: gives the log's own sampling rates.
        weighting: "natural" weighs rows back to the distribution before any sampling; "training" does so only
            where ``data.sampling_correction`` is "weights".
        seed: of the shuffle; rows come in the order of the files without one.

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
        self._files = [_open(self.manifest.rows_root, file) for file in self.manifest.files]
        self._record_batches = [
            file.get_batch(number) for file in self._files for number in range(file.num_record_batches)
        ]
        self._lengths = np.array([batch.num_rows for batch in self._record_batches], dtype=np.int64)

    @property
    def rows(self) -> int:
        """Rows in an epoch."""
        return int(self._lengths.sum())

    @property
    def steps(self) -> int:
        """Batches in a shuffled epoch."""
        return -(-self.rows // self.batch_size)

    def batches(self, epoch: int = 0, skip: int = 0) -> Iterator[RecapBatch]:
        """One epoch, without its first ``skip`` batches, which are not read."""
        if self.seed is None:
            yield from (batch for _, batch in self.batches_with_rows())
            return
        for number, (parts, rows) in enumerate(self._shuffled(epoch)):
            if number >= skip:
                yield self._gather(parts, rows)

    def batches_with_rows(self) -> Iterator[tuple[pa.RecordBatch, RecapBatch]]:
        """Every row in the order of the files, as Arrow (ids and timestamps too) and as tensors."""
        for record_batch in self._record_batches:
            for start in range(0, record_batch.num_rows, self.batch_size):
                rows = record_batch.slice(start, self.batch_size)
                arrays = {name: array.copy() for name, array in _arrays(rows).items()}
                yield rows, self._to_batch(arrays)

    def _shuffled(self, epoch: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """For each batch: the record batch and the row in it, of every row."""
        random = np.random.default_rng([self.seed or 0, epoch])
        order = random.permutation(len(self._lengths))
        parts = rows = np.empty(0, dtype=np.int64)
        for start in range(0, len(order), _WINDOW_RECORD_BATCHES):
            window = order[start : start + _WINDOW_RECORD_BATCHES]
            parts = np.concatenate([parts, np.repeat(window, self._lengths[window])])
            rows = np.concatenate([rows, *(np.arange(self._lengths[part]) for part in window)])
            shuffle = random.permutation(len(parts))
            parts, rows = parts[shuffle], rows[shuffle]
            last = start + _WINDOW_RECORD_BATCHES >= len(order)
            whole = len(parts) if last else len(parts) - len(parts) % self.batch_size
            for first in range(0, whole, self.batch_size):
                yield parts[first : first + self.batch_size], rows[first : first + self.batch_size]
            parts, rows = parts[whole:], rows[whole:]

    def _gather(self, parts: NDArray[np.int64], rows: NDArray[np.int64]) -> RecapBatch:
        gathered: Arrays = {}
        for part in np.unique(parts):
            here = np.flatnonzero(parts == part)
            for name, array in _arrays(self._record_batches[part]).items():
                if name not in gathered:
                    gathered[name] = np.empty((len(parts), *array.shape[1:]), dtype=array.dtype)
                gathered[name][here] = array[rows[here]]
        return self._to_batch(gathered)

    def _to_batch(self, arrays: Arrays) -> RecapBatch:
        groups: dict[str, Any] = {
            name: torch.from_numpy(arrays[name]) for name in DENSE_GROUPS if name in arrays
        }
        labels = torch.from_numpy(arrays["labels"])[:, self._label_columns]
        by_label = torch.where(labels > 0.5, self._positive_weights, self._negative_weights)
        weights = torch.from_numpy(arrays["weight"]).unsqueeze(1) * by_label
        groups |= {"labels": labels, "weights": weights.masked_fill(labels.isnan(), 0.0)}
        return RecapBatch(**groups)

    def verify(self) -> None:
        """Compare every file's content with the manifest. Raises ValueError naming the first that differs."""
        for file in self.manifest.files:
            digest = hashlib.sha256()
            with _source(self.manifest.rows_root, file.path) as stream:
                while chunk := stream.read(_DIGEST_CHUNK_BYTES):
                    digest.update(chunk)
            if digest.hexdigest() != file.sha256:
                raise ValueError(
                    f"{self.manifest.rows_root}/{file.path}: changed since build wrote it; build again"
                )


def _arrays(batch: pa.RecordBatch) -> Arrays:
    """The groups, labels and weights of rows, without a copy: (rows, width), or (rows,) for the weight."""
    arrays: Arrays = {}
    for name in (*DENSE_GROUPS, "labels"):
        if name in batch.schema.names:
            column = batch.column(name)
            arrays[name] = column.flatten().to_numpy().reshape(len(column), column.type.list_size)
    arrays["weight"] = batch.column("weight").to_numpy()
    return arrays


def _source(root: str, path: str) -> pa.NativeFile:
    if "://" not in root:
        return pa.memory_map(f"{root}/{path}")
    filesystem, base = FileSystem.from_uri(root)
    return filesystem.open_input_file(f"{base}/{path}")


def _open(root: str, file: RowFile) -> pa.ipc.RecordBatchFileReader:
    where = f"{root}/{file.path}"
    try:
        source = _source(root, file.path)
    except FileNotFoundError:
        raise FileNotFoundError(f"{where}: the dataset's rows are not there; run build again") from None
    except (OSError, pa.ArrowException) as error:
        raise ValueError(f"{where}: cannot be read ({error}); run build again") from None
    if source.size() != file.bytes:
        raise ValueError(
            f"{where}: has {source.size()} bytes, the manifest says {file.bytes}; run build again"
        )
    try:
        return pa.ipc.open_file(source)
    except pa.ArrowException as error:
        raise ValueError(f"{where}: not Arrow IPC ({error}); run build again") from None
