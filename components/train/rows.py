"""The rows that a process trains on, and those held out to stop early by."""

from pathlib import Path

from recap_model.config import RecapConfig
from recap_model.data.on_device import OnDevice
from recap_model.data.prefetch import Prefetched, Rows
from recap_model.data.reader import DatasetReader
from recap_model.training import World
from recap_model.training.threads import reading_threads


def training_rows(train_set: Path, config: RecapConfig, world: World) -> tuple[Rows, Rows | None]:
    """This process's part of every batch, made ahead by a thread; and of the held-out rows, if there are any.

    Of a GPU's process the batches are on the GPU.

    Raises ValueError if ``training.early_stopping`` is given, and its share of the rows is none of them.
    """
    training = config.training
    on_gpu = world.device.type == "cuda"
    early = training.early_stopping
    share = 0.0 if early is None else early.share
    reader = DatasetReader(
        train_set,
        list(config.tasks),
        training.batch_size,
        config=config,
        weighting="training",
        seed=training.seed,
        held_out=share,
        shard=world.shard,
        # Batch norm needs two rows in each part of a batch.
        min_rows=2 * world.size * training.micro_batches,
        threads=reading_threads(world.device),
        pin=on_gpu,
    )
    rows: Rows = Prefetched(reader)
    if on_gpu:
        rows = OnDevice(rows, world.device)
    if early is None:
        return rows, None
    held_out = DatasetReader(
        train_set,
        list(config.tasks),
        training.batch_size,
        config=config,
        weighting="training",
        held_out=share,
        only_held_out=True,
        shard=world.shard,
        min_rows=world.size,
    )
    if not held_out.steps:
        raise ValueError(
            f"training.early_stopping.share: {share} of {reader.rows:,} training rows holds out none; raise it"
        )
    return rows, held_out
