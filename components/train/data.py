"""The training rows of a process, and the rows held out for early stopping."""

import functools
import os
from pathlib import Path

from components.common.runtime.process_pool import cores
from recap_model.config import RecapConfig
from recap_model.data.dataset.prefetch import BatchSource, DevicePrefetcher, Prefetcher
from recap_model.data.dataset.reader import DatasetReader
from recap_model.training import ProcessGroup

_MOST_READING = 8


def training_rows(
    train_set: Path, config: RecapConfig, process_group: ProcessGroup
) -> tuple[BatchSource, BatchSource | None]:
    """This process's part of every batch, made ahead by a thread; and of the held-out rows, if there are any.

    Of a GPU's process the batches are on the GPU.

    Raises ValueError if ``training.early_stopping`` is given, and its share of the rows is none of them.
    """
    training = config.training
    on_gpu = process_group.device.type == "cuda"
    early = training.early_stopping
    share = 0.0 if early is None else early.share
    open_reader = functools.partial(
        DatasetReader,
        train_set,
        list(config.tasks),
        training.batch_size,
        config=config,
        weighting="training",
        held_out=share,
        shard=process_group.shard,
    )
    reader = open_reader(
        seed=training.seed,
        # Batch norm needs two rows in each part of a batch.
        min_rows=2 * process_group.size * training.micro_batches,
        threads=_reading_threads(process_group),
        pin=on_gpu,
    )
    rows: BatchSource = Prefetcher(reader)
    if on_gpu:
        rows = DevicePrefetcher(rows, process_group.device)
    if early is None:
        return rows, None
    held_out = open_reader(only_held_out=True, min_rows=process_group.size)
    if not held_out.steps:
        raise ValueError(
            f"training.early_stopping.share: {share} of {reader.rows:,} training rows holds out none; raise it"
        )
    return rows, held_out


def _reading_threads(process_group: ProcessGroup) -> int:
    """Threads that copy rows for a process that trains.

    One where the CPU also trains, and needs its cores; on a GPU this process's share of the node's cores, up to 8: a
    GPU takes in rows faster than one thread copies them.
    """
    if process_group.device.type == "cpu":
        return 1
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if process_group.size > 1 else 1
    return max(1, min(cores() // processes, _MOST_READING))
