"""Batches on a GPU, each copied there while the one before is trained on."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import torch

from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.prefetch import Rows


class OnDevice:
    """The batches of ``rows`` on a device, one of them ahead.

    The copies are queued apart from the device's arithmetic, so that neither waits for the other. ``rows`` are to lie
    in page-locked memory, or the copies hold up the process.
    """

    def __init__(self, rows: Rows, device: torch.device):
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
