"""Prefetch batches: read by a thread, and copied to a GPU, while others are trained on; work ahead on threads."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import chain
from queue import Full, Queue
from typing import Any, Protocol, TypeVar

import torch

from recap_model.data.dataset.batch import RecapBatch

_DEPTH = 4
_POLL_S = 0.1

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    executor: Executor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """``work`` of each item, in order, run by ``executor`` on at most ``ahead`` items before the one that is due."""
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(executor.submit(work, item))
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()


class BatchSource(Protocol):
    """A reader as training uses it: an epoch's batches, in an order determined by the epoch."""

    @property
    def steps(self) -> int: ...

    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]: ...


class Prefetcher:
    """Prefetches the batches of ``rows`` on a thread."""

    def __init__(self, rows: BatchSource, depth: int = _DEPTH):
        self._rows = rows
        self._depth = depth

    @property
    def steps(self) -> int:
        return self._rows.steps

    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
        """The same batches; what reading raises is raised where the batch was due."""
        ready: Queue[RecapBatch | BaseException | None] = Queue(self._depth)
        left = threading.Event()
        thread = threading.Thread(target=self._fill, args=(ready, left, epoch, skip), daemon=True)
        thread.start()
        try:
            while (item := ready.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            left.set()
            thread.join()

    def _fill(
        self,
        ready: "Queue[RecapBatch | BaseException | None]",
        left: threading.Event,
        epoch: int,
        skip: int,
    ) -> None:
        def offer(item: RecapBatch | BaseException | None) -> None:
            while not left.is_set():
                try:
                    return ready.put(item, timeout=_POLL_S)
                except Full:
                    continue

        try:
            for batch in self._rows.batches(epoch, skip):
                offer(batch)
                if left.is_set():
                    return
            offer(None)
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that reads
            offer(error)


class DevicePrefetcher:
    """Prefetches the batches of ``rows`` to a device, one batch ahead.

    The copies are queued apart from the device's arithmetic, so that neither waits for the other. ``rows`` are to lie
    in page-locked memory, or the copies block the process.
    """

    def __init__(self, rows: BatchSource, device: torch.device):
        self._rows = rows
        self._device = device

    @property
    def steps(self) -> int:
        return self._rows.steps

    def batches(self, epoch: int, skip: int = 0) -> Iterator[RecapBatch]:
        """The same batches, each of them to be done with when the next but one is asked for."""
        device = torch.get_device_module(self._device)
        copying = device.Stream()
        ahead: tuple[RecapBatch, Any] | None = None
        for batch in chain(self._rows.batches(epoch, skip), [None]):
            following = None
            if batch is not None:
                # The copy may be given the memory of a batch that steps which are queued still read.
                copying.wait_stream(device.current_stream())
                with device.stream(copying):
                    following = batch.to(self._device, non_blocking=True), copying.record_event()
            if ahead is not None:
                copied, done = ahead
                device.current_stream().wait_event(done)
                yield copied
            ahead = following
