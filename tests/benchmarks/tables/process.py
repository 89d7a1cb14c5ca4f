"""One of two processes that read and train embedding tables, for `tests.benchmarks.tables`."""

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recap_model.config.model.inputs import LargeEmbeddingsConfig
from recap_model.distributed.rowwise_adagrad import TableOptimizer, with_sparse_gradients
from recap_model.distributed.sharded_tables import ShardingPlan, shard_tables
from recap_model.nn.inputs.large_embeddings import LargeEmbeddings

TABLES, WIDTH, LIST, ROWS, RATE = 4, 64, 20, 2048, 0.1
NAMES = [f"t{number}" for number in range(TABLES)]
_WARM_UP = 3

Step = Callable[[list[Tensor], bool], Tensor]
"""Reads lists of ids, (rows, list) of each table, and learns from them if told so: (rows, all widths)."""


def main(variant: str, entries: int, steps: int, out: Path) -> None:
    """Take steps of plain SGD; the first process writes seconds a step, and what is read at the end."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    library, _, kind = variant.partition(" ")
    step = _torchrec(entries) if library == "TorchRec" else _ours(entries, kind)
    random = torch.Generator().manual_seed(rank)
    seconds = []
    for number in range(_WARM_UP + steps):
        ids = _ids(entries, random)
        dist.barrier()
        began = time.perf_counter()
        step(ids, True)
        if number >= _WARM_UP:
            seconds.append(time.perf_counter() - began)
    read = step(_ids(entries, torch.Generator().manual_seed(99)), False)
    if rank == 0:
        found = {"seconds": statistics.median(seconds), "read": read[:50].tolist()}
        out.write_text(json.dumps(found))
    dist.destroy_process_group()


def _ids(entries: int, random: torch.Generator) -> list[Tensor]:
    """Ids of which the lower ones come more often."""
    return [
        (entries ** torch.rand(ROWS, LIST, generator=random)).long().clamp(max=entries - 1) for _ in NAMES
    ]


def _start(table: int, entries: int) -> Tensor:
    """The whole of a table as it starts, the same in all processes: (entries, width)."""
    return torch.randn(entries, WIDTH, generator=torch.Generator().manual_seed(table)) * 0.1


def _ours(entries: int, kind: str) -> Step:
    tables = [{"name": name, "num_embeddings": entries, "embedding_dim": WIDTH} for name in NAMES]
    config = LargeEmbeddingsConfig.model_validate({"tables": tables})
    with shard_tables(_plan(kind)):
        module = LargeEmbeddings(config)
    parts = [part.table for part in module.tables]  # type: ignore[union-attr]
    for number, (table, part) in enumerate(zip(module.tables, parts, strict=True)):
        with torch.no_grad():
            part.weight.copy_(_start(number, entries)[table.first : table.first + len(part.weight)])  # type: ignore[union-attr,operator,misc,index]
    optimizer = TableOptimizer(with_sparse_gradients(parts), lr=RATE, algorithm="sgd")  # type: ignore[arg-type]
    # Shared tables' gradients are the mean over processes as they come.
    forward: nn.Module = DistributedDataParallel(module) if module.plan is None else module

    def step(ids: list[Tensor], learn: bool) -> Tensor:
        read = torch.cat(forward(dict(zip(NAMES, ids, strict=True))), dim=1)
        if learn:
            _loss(read).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return read.detach()

    return step


def _plan(kind: str) -> ShardingPlan | None:
    if kind == "replicated":
        return None
    chosen: dict[str, Literal["row_wise", "table_wise"]] = {
        "row_wise": "row_wise",
        "table_wise": "table_wise",
    }
    return ShardingPlan(chosen[kind], dist.get_rank(), dist.get_world_size())


def _torchrec(entries: int) -> Step:
    """``DistributedModelParallel`` of an ``EmbeddingBagCollection`` with its fused SGD, each table in one process."""
    from torchrec import EmbeddingBagCollection, EmbeddingBagConfig, KeyedJaggedTensor, PoolingType
    from torchrec.distributed import DistributedModelParallel
    from torchrec.distributed.embeddingbag import EmbeddingBagCollectionSharder
    from torchrec.distributed.planner import EmbeddingShardingPlanner, ParameterConstraints, Topology
    from torchrec.optim.apply_optimizer_in_backward import apply_optimizer_in_backward

    configs = [
        EmbeddingBagConfig(
            name=name,
            num_embeddings=entries,
            embedding_dim=WIDTH,
            feature_names=[name],
            pooling=PoolingType.SUM,
        )
        for name in NAMES
    ]
    collection = EmbeddingBagCollection(tables=configs, device=torch.device("meta"))
    apply_optimizer_in_backward(torch.optim.SGD, collection.parameters(), {"lr": RATE})
    sharders: list[Any] = [EmbeddingBagCollectionSharder()]
    planner = EmbeddingShardingPlanner(
        topology=Topology(world_size=dist.get_world_size(), compute_device="cpu"),
        constraints={name: ParameterConstraints(sharding_types=["table_wise"]) for name in NAMES},
    )
    plan = planner.collective_plan(collection, sharders, dist.group.WORLD)
    module = DistributedModelParallel(collection, device=torch.device("cpu"), plan=plan, sharders=sharders)
    for number, name in enumerate(NAMES):
        for part in module.state_dict()[f"embedding_bags.{name}.weight"].local_shards():
            part.tensor.copy_(_start(number, entries))

    def step(ids: list[Tensor], learn: bool) -> Tensor:
        lists = KeyedJaggedTensor(
            keys=NAMES,
            values=torch.cat([part.flatten() for part in ids]),
            lengths=torch.full((TABLES * ROWS,), LIST),
        )
        found = module(lists).to_dict()
        read = torch.cat([found[name] for name in NAMES], dim=1)
        if learn:
            _loss(read).backward()
        return read.detach()

    return step


def _loss(read: Tensor) -> Tensor:
    return (read - 1).square().mean() * 100


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
