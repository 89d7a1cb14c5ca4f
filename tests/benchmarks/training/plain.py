"""The narrow net as one would write it by hand for speed, in plain torch over the same files."""

import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from recap_model.data.dataset.manifest import DatasetManifest
from tests.benchmarks.random_sets import CATEGORICAL, DENSE, EMBEDDING, IDS, TASKS
from tests.benchmarks.training.ours import Trained, mean_auc

Batch = tuple[Tensor, Tensor, Tensor]


def hand_written(kind: str, bf16: bool, batch_size: int, train_set: Path, test_set: Path | None) -> Trained:
    """One epoch: one table for all columns, read outside of autograd, row-wise Adagrad by hand, fused Adam."""
    torch.manual_seed(0)
    net = Net(kind)
    table, squares = torch.randn(CATEGORICAL * IDS, EMBEDDING) * 0.01, torch.zeros(CATEGORICAL * IDS)
    starts = torch.arange(CATEGORICAL) * IDS
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3, fused=True)
    rows, began = 0, time.perf_counter()
    for dense, ids, labels in ahead(shuffled(train_set, batch_size)):
        places = (ids + starts).reshape(-1)
        entries = table.index_select(0, places).requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = net(torch.cat([log1p(dense), entries.view(len(dense), -1)], dim=1))
        optimizer.zero_grad(set_to_none=True)
        binary_cross_entropy_with_logits(logits.float(), labels).backward()
        optimizer.step()
        assert entries.grad is not None
        squares.index_add_(0, places, entries.grad.square().mean(dim=1))
        size = squares.index_select(0, places).sqrt_().add_(1e-8)
        table.index_add_(0, places, entries.grad.div_(size.unsqueeze(1)), alpha=-0.05)
        rows += len(dense)
    speed = rows / (time.perf_counter() - began)
    if test_set is None:
        return Trained(speed, None, None)
    scores, labels = [], []
    with torch.no_grad():
        for dense, ids, label in shuffled(test_set, batch_size):
            entries = table[(ids + starts).reshape(-1)].view(len(dense), -1)
            scores.append(net(torch.cat([log1p(dense), entries], dim=1)))
            labels.append(label)
    return Trained(speed, None, mean_auc(torch.cat(scores), torch.cat(labels)))


class Net(nn.Module):
    """The dense part: a trunk of 512, 256, 128, or four of them behind gates, and a tower of 64 for each task."""

    def __init__(self, kind: str):
        super().__init__()
        width, experts = DENSE + CATEGORICAL * EMBEDDING, 1 if kind == "share_all" else 4
        self.experts = nn.ModuleList(trunk(width) for _ in range(experts))
        self.gates = nn.Linear(width, TASKS * experts) if experts > 1 else None
        self.towers = nn.ModuleList(
            nn.Sequential(nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 1)) for _ in range(TASKS)
        )

    def forward(self, x: Tensor) -> Tensor:
        outputs = [expert(x) for expert in self.experts]
        shared = [outputs[0]] * TASKS
        if self.gates is not None:
            gates = self.gates(x).view(len(x), TASKS, -1).softmax(dim=2)
            shared = list(torch.bmm(gates.to(outputs[0].dtype), torch.stack(outputs, dim=1)).unbind(dim=1))
        return torch.cat([tower(part) for tower, part in zip(self.towers, shared, strict=True)], dim=1)


def trunk(width: int) -> nn.Module:
    """Three layers, each with a ReLU."""
    layers = [
        nn.Linear(width, 512),
        nn.ReLU(),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
    ]
    return nn.Sequential(*layers)


def log1p(x: Tensor) -> Tensor:
    """The signed log that our net takes of dense columns."""
    return torch.sign(x) * torch.log1p(torch.abs(x))


def shuffled(folder: Path, batch_size: int) -> Iterator[Batch]:
    """Record batches in random order, each cut into shuffled batches."""
    random, manifest = np.random.default_rng(1), DatasetManifest.read(folder)
    readers = [
        pa.ipc.open_file(pa.memory_map(f"{manifest.rows_root}/{file.path}")) for file in manifest.files
    ]
    places = [(reader, number) for reader in readers for number in range(reader.num_record_batches)]
    for place in random.permutation(len(places)):
        reader, number = places[place]
        batch = reader.get_batch(number)
        groups = [batch.column(name).flatten().to_numpy() for name in ("continuous", "discrete", "labels")]
        arrays = [group.reshape(batch.num_rows, -1) for group in groups]
        order = random.permutation(batch.num_rows)
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            dense, ids, labels = (torch.from_numpy(array[rows]) for array in arrays)
            yield dense, ids, labels


def ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The same, made by a thread."""
    ready: queue.Queue[Batch | None] = queue.Queue(4)

    def fill() -> None:
        for batch in batches:
            ready.put(batch)
        ready.put(None)

    threading.Thread(target=fill, daemon=True).start()
    while (batch := ready.get()) is not None:
        yield batch
