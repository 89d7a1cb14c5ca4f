"""Training with lists of ids, in one process or several (run with ``python -m``)."""

import faulthandler
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.nn.functional import pad

from recap_model import RecapBatch, RecapConfig
from recap_model.distributed.sharded_tables import ShardingPlan, shard_tables
from recap_model.training import (
    Checkpoints,
    ProcessGroup,
    TrainingInterruptedError,
    init_process_group,
    train,
)
from tests.recap_model.training.few_rows import FewRows, new_module
from tests.tiny import tiny_config

TABLES = [
    {"name": "seen", "num_embeddings": 211, "embedding_dim": 3},
    {"name": "liked", "num_embeddings": 107, "embedding_dim": 2, "hash": True},
    {"name": "author", "num_embeddings": 55, "embedding_dim": 4},
]

HISTORY = {
    "width": 4,
    "inputs": {"item": {"table": "both"}},
    "candidate": {"item": 1},
    # Smooth: a kink that float noise crosses would show in tables, whose first steps are of one size.
    "reader": {"attention_config": {}},
}
SHARED = {"both": {"num_embeddings": 90, "embedding_dim": 3, "hash": True, "hashes": 2}}


def config_of(embeddings: str | None, **training: Any) -> RecapConfig:
    """Three tables, and one for a discrete column, two lists and a sequence; they learn as ``embeddings`` says."""
    content = tiny_config().model_dump(exclude_none=True)
    content["features"] |= {"sparse": [str(table["name"]) for table in TABLES]}
    content["features"] |= {"sequences": {"history": {"columns": {"item": "hist_ids"}}}}
    ids = [{"table": "both", "column": column} for column in ("seen", 1, "author")]
    content["model"] |= {"large_embeddings": {"tables": TABLES}, "tables": SHARED, "ids": ids}
    content["model"] |= {"sequences": {"history": HISTORY}}
    content["optimizer"] = {"single_task_learning_rate": {"constant": 0.01}, "adam": {"epsilon": 1e-3}}
    if embeddings is not None:
        rate = {"algorithm": embeddings, "learning_rate": {"constant": 0.05}}
        content["optimizer"]["embeddings"] = rate
    content["training"] = {"batch_size": 32, "epochs": 2, **training}
    return RecapConfig.model_validate(content)


class Lists(FewRows):
    """127 rows with lists of up to six ids; process ``rank`` of ``size`` has its part of each batch."""

    def __init__(self, process_group: ProcessGroup):
        random = torch.Generator().manual_seed(4)
        sparse = {}
        for table in TABLES:
            ids = torch.randint(-1, 60, (128, 6), generator=random)
            sparse[str(table["name"])] = ids
        length = torch.randint(0, 6, (128,), generator=random)
        events = torch.randint(-1, 60, (128, 5), generator=random)
        events = events.masked_fill(torch.arange(5) >= length.unsqueeze(1), -1)
        sequences = {"history": {"item": events, "length": length}}
        super().__init__(sparse=sparse, sequences=sequences)  # type: ignore[arg-type]
        self.all, self.process_group = self.all[slice(0, 127)], process_group

    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
        for batch in super().batches(epoch, skip):
            own = batch[torch.arange(self.process_group.rank, len(batch), self.process_group.size)]
            # Each process's longest list is of another length.
            longer = {
                name: pad(ids, (0, self.process_group.rank), value=-1)
                for name, ids in (own.sparse or {}).items()
            }
            yield replace(own, sparse=longer)


class HeldOut(Lists):
    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
        yield self.all[torch.arange(self.process_group.rank, 30, self.process_group.size)]


def run(
    config: RecapConfig, kind: str, folder: Path | None, stop_after: int | None, process_group: ProcessGroup
) -> Any:
    """Train from the newest checkpoint of ``folder``; returns the state, and how many entries are held here."""
    plan = (
        None
        if kind == "replicated" or process_group.size == 1
        else ShardingPlan(kind, process_group.rank, process_group.size)
    )
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == stop_after

    torch.manual_seed(config.training.seed)
    with shard_tables(plan):
        module = new_module(config)
    inputs = module.model.inputs
    tables = [*inputs.large_embeddings.tables, *inputs.shared_tables.tables.values()]
    held = [len(table.table.weight) for table in tables]
    state = train(
        module,
        Lists(process_group),
        config,
        lambda progress: None,
        held_out=HeldOut(process_group) if config.training.early_stopping else None,
        checkpoints=None if folder is None else Checkpoints(folder),
        process_group=process_group,
        stop=stop,
    )
    return state, held


def main(kind: str, config: str, folder: str, stop_after: str, out: str) -> None:
    # Where one waits for ever, it says where, and ends.
    faulthandler.dump_traceback_later(60, exit=True)
    with init_process_group(torch.device("cpu")) as process_group, suppress(TrainingInterruptedError):
        parsed = RecapConfig.model_validate(json.loads(config))
        found = _weights(
            parsed, kind, Path(folder) if folder else None, int(stop_after) or None, process_group
        )
        if process_group.rank == 0:
            torch.save(found, out)


def _weights(
    config: RecapConfig, kind: str, folder: Path | None, stop_after: int | None, process_group: ProcessGroup
) -> Any:
    """In a function of its own: nothing that talks to other processes may outlive `init_process_group`."""
    state, held = run(config, kind, folder, stop_after, process_group)
    return {"weights": state.module.state_dict(), "held": process_group.gather(held)}


if __name__ == "__main__":
    main(*sys.argv[1:])
