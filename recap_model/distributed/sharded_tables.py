"""Sharded embedding tables: the sharding plan, and look-ups across processes."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

Bounds = tuple[int, int]

_CHUNK_NUMBERS = 1 << 22
NO_ENTRY = -1


@dataclass(frozen=True)
class ShardingPlan:
    """How large tables are sharded over ``size`` processes, of which this is ``rank``.

    ``row_wise`` splits every table into equal ranges of entries; ``table_wise`` places each table on one process,
    the largest first, on the least loaded one (Graham, "Bounds on multiprocessing timing anomalies", SIAM
    J. Appl. Math. 17, 1969). The names are TorchRec's.
    """

    sharding_type: Literal["row_wise", "table_wise"]
    rank: int
    size: int

    def bounds(self, shapes: Sequence[tuple[int, int]]) -> list[list[Bounds]]:
        """For each table of (entries, width): what each process holds, from its first entry to behind its last."""
        if self.sharding_type == "row_wise":
            return [_row_ranges(entries, self.size) for entries, _ in shapes]
        held = [0] * self.size
        bounds_by_table: list[list[Bounds]] = [[(0, 0)] * self.size for _ in shapes]
        for number in sorted(range(len(shapes)), key=lambda one: -math.prod(shapes[one])):
            owner = held.index(min(held))
            held[owner] += math.prod(shapes[number])
            bounds_by_table[number][owner] = (0, shapes[number][0])
        return bounds_by_table


_plan: ContextVar[ShardingPlan | None] = ContextVar("_share", default=None)


@contextmanager
def shard_tables(plan: ShardingPlan | None) -> Iterator[None]:
    """Models built inside the block hold only this process's shard of their large tables; None disables sharding."""
    token = _plan.set(plan)
    try:
        yield
    finally:
        _plan.reset(token)


def current_sharding_plan() -> ShardingPlan | None:
    """The plan of the enclosing `shard_tables` block."""
    return _plan.get()


def init_shard(entries: int, width: int, bounds: Bounds) -> Tensor:
    """Initialise the entries within ``bounds`` as ``xavier_uniform_`` of the full table would, in the shard's memory.

    It takes as many random numbers from torch's generator as the whole table does. Returns (last - first, width).
    """
    first, last = bounds
    part, bound = torch.empty(last - first, width), math.sqrt(6.0 / (entries + width))
    rows = max(1, _CHUNK_NUMBERS // width)
    for start in range(0, entries, rows):
        chunk = torch.empty(min(rows, entries - start), width).uniform_(-bound, bound)
        begin, end = max(first, start), min(last, start + len(chunk))
        if begin < end:
            part[begin - first : end - first] = chunk[begin - start : end - start]
    return part


def look_up_sharded(
    entries: Sequence[Tensor], tables: Sequence[nn.Embedding], bounds: Sequence[Sequence[Bounds]], rank: int
) -> list[Tensor]:
    """Sum-pooled look-ups in sharded tables, for this process's rows.

    Every process gets the entries that all of them ask for, sums those that it holds, and gets back the sums of its
    own rows. Each must call this for every batch, and ``backward`` as often. Gradients of held entries come from all
    processes' rows and are divided by their number, as `DistributedDataParallel` does with the others.

    Args:
        entries: of each table (rows, longest list) int64, -1 where there is none.
        tables: this process's shards.
        bounds: of each table, what each process holds.

    Returns:
        (rows, width) for each table.
    """
    asked, rows = _gather_entries(entries)
    own = [
        _sum_held_entries(part, table, held[rank])
        for part, table, held in zip(asked, tables, bounds, strict=True)
    ]
    processes = len(bounds[0])
    holders = [[r for r, (first, last) in enumerate(held) if first < last] for held in bounds]
    widths = [table.embedding_dim for table in tables]
    mine = [sums.view(processes, rows, -1) for sums, held in zip(own, holders, strict=True) if rank in held]
    empty = own[0].new_zeros(processes, rows, 0)
    # A part without entries takes part in the backward pass too, or the other processes would wait for this one.
    sent = torch.cat([*mine, empty], dim=2) + sum(
        table.weight.sum() for table in tables if not len(table.weight)
    )
    of_rank = [
        [number for number, held in enumerate(holders) if process in held] for process in range(processes)
    ]
    flat = _AllToAll.apply(sent, [rows * sum(widths[n] for n in numbers) for numbers in of_rank])
    return _sum_by_table(flat, of_rank, widths, rows, len(entries[0]))


def _sum_by_table(
    flat: Tensor, of_rank: list[list[int]], widths: list[int], rows: int, wanted: int
) -> list[Tensor]:
    """Each table's sums out of what every process sent, in the order of the processes."""
    totals: dict[int, Tensor] = {}
    start = 0
    for numbers in of_rank:
        width = sum(widths[number] for number in numbers)
        received = flat[start : start + rows * width].view(rows, width)
        start += rows * width
        parts = received.split([widths[number] for number in numbers], dim=1) if numbers else ()
        for number, part in zip(numbers, parts, strict=True):
            totals[number] = totals[number] + part if number in totals else part
    return [totals[number][:wanted] for number in range(len(widths))]


def _row_ranges(entries: int, size: int) -> list[Bounds]:
    each = -(-entries // size)
    return [(min(entries, rank * each), min(entries, (rank + 1) * each)) for rank in range(size)]


def _gather_entries(entries: Sequence[Tensor]) -> tuple[list[Tensor], int]:
    """What all processes ask of each table, (processes * rows, longest list), and the most rows that one has."""
    rows, device = len(entries[0]), entries[0].device
    shape = torch.tensor([rows, *(part.shape[1] for part in entries)], device=device)
    shapes = [torch.empty_like(shape) for _ in range(dist.get_world_size())]
    dist.all_gather(shapes, shape)
    most, *longest = torch.stack(shapes).amax(dim=0).tolist()
    sent = torch.full((most, sum(longest)), NO_ENTRY, device=device)
    for place, part in zip(sent.split(longest, dim=1), entries, strict=True):
        place[:rows, : part.shape[1]] = part
    received = [torch.empty_like(sent) for _ in shapes]
    dist.all_gather(received, sent)
    return list(torch.cat(received).split(longest, dim=1)), most


def _sum_held_entries(asked: Tensor, table: nn.Embedding, bounds: Bounds) -> Tensor:
    """Of each row the sum of the entries that are held here: (rows, width)."""
    first, last = bounds
    if first == last:
        return table.weight.new_zeros(len(asked), table.embedding_dim)
    held = (asked >= first) & (asked < last)
    counts = held.sum(dim=1)
    return embedding_bag(
        asked[held] - first, table.weight, counts.cumsum(0) - counts, mode="sum", sparse=table.sparse
    )


class _AllToAll(torch.autograd.Function):
    """Part r of ``sent`` goes to process r; what came, one process behind the other, so many numbers of each."""

    @staticmethod
    def forward(ctx: Any, sent: Tensor, counts: list[int]) -> Tensor:
        ctx.counts, ctx.shape = counts, sent.shape
        received = sent.new_empty(sum(counts))
        own = [sent[0].numel()] * len(counts)
        dist.all_to_all_single(received, sent.contiguous().view(-1), counts, own)
        return received

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        own = [math.prod(ctx.shape[1:])] * len(ctx.counts)
        back = gradients[0].new_empty(sum(own))
        dist.all_to_all_single(back, gradients[0].contiguous(), own, ctx.counts)
        return back.view(ctx.shape) / len(ctx.counts), None
