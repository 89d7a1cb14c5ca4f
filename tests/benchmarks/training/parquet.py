"""Batches out of a Parquet file, as one would write them for a DataLoader."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from recap_model.config.data.features import DENSE_GROUPS
from recap_model.data.dataset.batch import RecapBatch


class ParquetRows(torch.utils.data.IterableDataset):
    """The rows in their order."""

    def __init__(self, path: Path, batch_size: int):
        self._path = path
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[RecapBatch]:
        for rows in pq.ParquetFile(self._path).iter_batches(self._batch_size):
            names = [name for name in (*DENSE_GROUPS, "labels") if name in rows.schema.names]
            yield RecapBatch(**{name: _tensor(rows.column(name)) for name in names})


def _tensor(lists: pa.FixedSizeListArray) -> torch.Tensor:
    return torch.from_numpy(lists.flatten().to_numpy().reshape(len(lists), -1).copy())
