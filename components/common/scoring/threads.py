"""Choose the number of threads that score batches in parallel."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from components.common.runtime.process_pool import cores

_MAX_THREADS = 16  # each holds a batch's activations


@contextmanager
def scoring_threads(device: torch.device | None = None) -> Iterator[int]:
    """The number of threads to score by: one for each core, or two that keep a GPU busy.

    Torch computes each batch with one thread, so that scores are the same bits on any number of cores.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield min(cores(), _MAX_THREADS) if device is None or device.type == "cpu" else 2
    finally:
        torch.set_num_threads(before)
