"""Shuffled order of an epoch's rows: runs of neighbouring rows within windows of record batches."""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_WINDOW_RECORD_BATCHES = 8

Numbers = NDArray[np.int64]


class BatchRows(NamedTuple):
    """The rows of a batch, by record batch, for few and large copies.

    Attributes:
        whole: record batches, and of each the numbers of the runs that are whole; they come first.
        cut: of shorter runs the record batch, the first row, and how many rows.
        total: how many rows in all.
        near: the record batches around, which later batches may read too.
    """

    whole: list[tuple[int, Numbers]]
    cut: list[tuple[int, int, int]]
    total: int
    near: set[int]


class _Runs(NamedTuple):
    """Neighbouring rows: run n is ``lengths[n]`` rows of record batch ``parts[n]``, from row ``firsts[n]`` on."""

    parts: Numbers
    firsts: Numbers
    lengths: Numbers

    def at(self, chosen: Numbers | NDArray[np.bool_]) -> "_Runs":
        return _Runs(self.parts[chosen], self.firsts[chosen], self.lengths[chosen])


class EpochOrder(NamedTuple):
    """How an epoch's rows become batches.

    Runs are permuted among a window of permuted record batches, then cut into batches; a batch goes on from a window
    into the next, so that all but the last have ``batch_size`` rows.

    Attributes:
        lengths: rows of each record batch.
        run: rows that stay together; the last run of a record batch may be shorter.
        shard: (number, of how many): the rows of each batch that are given.
        least: a batch of fewer rows is left out.
    """

    lengths: Numbers
    run: int
    batch_size: int
    shard: tuple[int, int] = (0, 1)
    min_rows: int = 1

    def batches(self, random: np.random.Generator | None, skip: int = 0) -> Iterator[BatchRows]:
        """An epoch, without its first ``skip`` batches; rows are in their order without ``random``."""
        count = len(self.lengths)
        order = np.arange(count) if random is None else random.permutation(count)
        runs = self._runs(order[:0])
        for start in range(0, count, _WINDOW_RECORD_BATCHES):
            window = order[start : start + _WINDOW_RECORD_BATCHES]
            near = {*runs.parts.tolist(), *window.tolist()}
            fresh = self._runs(window)
            if random is not None:
                fresh = fresh.at(random.permutation(len(fresh.parts)))
            runs = _Runs(*(np.concatenate(pair) for pair in zip(runs, fresh, strict=True)))
            rows = int(runs.lengths.sum())
            is_last = start + _WINDOW_RECORD_BATCHES >= count
            whole = rows if is_last else rows - rows % self.batch_size
            starts = np.arange(0, whole, self.batch_size)
            sizes = np.minimum(self.batch_size, whole - starts)
            wanted = (np.arange(len(starts)) >= skip) & (sizes >= self.min_rows)
            skip = max(0, skip - len(starts))
            yield from self._cut(runs, starts[wanted], sizes[wanted], near, random is not None)
            runs, _ = _between(runs, np.array([whole]), np.array([rows]))

    def _runs(self, window: Numbers) -> _Runs:
        """The rows of some record batches in runs, in their order."""
        counts = -(-self.lengths[window] // self.run)
        parts = np.repeat(window, counts)
        firsts = (np.arange(len(parts)) - np.repeat(np.cumsum(counts) - counts, counts)) * self.run
        return _Runs(parts, firsts, np.minimum(self.run, self.lengths[parts] - firsts))

    def _cut(
        self, runs: _Runs, starts: Numbers, sizes: Numbers, near: set[int], shuffled: bool
    ) -> Iterator[BatchRows]:
        """The batches of a window, all planned at once, as numpy takes longer to call than to count."""
        if not len(starts):
            return
        number, of = self.shard
        ends = starts + (number + 1) * sizes // of
        starts = starts + number * sizes // of
        runs, batch = _between(runs, starts, ends)
        kind = batch * 2 + ((runs.lengths < self.run) if shuffled else 1)
        if shuffled:
            count, longest = len(self.lengths), int(self.lengths.max(initial=1))
            order = np.argsort((kind * count + runs.parts) * longest + runs.firsts)
            runs, kind = runs.at(order), kind[order]
        numbers, parts = runs.firsts // self.run, runs.parts.tolist()
        bounds = np.searchsorted(kind, np.arange(2 * len(starts) + 1)).tolist()
        changes = np.flatnonzero(np.diff(runs.parts) | np.diff(kind)) + 1
        groups = np.searchsorted(changes, bounds, side="right").tolist()
        changed, totals = changes.tolist(), (ends - starts).tolist()
        for place, total in enumerate(totals):
            begin, cut, end = bounds[2 * place : 2 * place + 3]
            edges = [begin, *changed[groups[2 * place] : groups[2 * place + 1]]]
            whole = [(parts[a], numbers[a:b]) for a, b in pairwise([*edges, cut]) if a < b]
            short = (array[cut:end].tolist() for array in runs)
            yield BatchRows(whole, list(zip(*short, strict=True)), total, near)


def _between(runs: _Runs, starts: Numbers, ends: Numbers) -> tuple[_Runs, Numbers]:
    """The rows in some intervals of all runs' rows, and of each run the number of its interval."""
    run_ends = np.cumsum(runs.lengths)
    run_starts = run_ends - runs.lengths
    points = np.sort(np.concatenate([run_starts, starts, ends, run_ends[-1:]]))
    lengths = np.diff(points)
    points, lengths = points[:-1][lengths > 0], lengths[lengths > 0]
    interval = np.searchsorted(starts, points, side="right") - 1
    inside = (interval >= 0) & (points < ends[interval])
    points, lengths, interval = points[inside], lengths[inside], interval[inside]
    source = np.searchsorted(run_ends, points, side="right")
    return _Runs(runs.parts[source], runs.firsts[source] + points - run_starts[source], lengths), interval
