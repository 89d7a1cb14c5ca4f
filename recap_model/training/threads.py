"""Choose the number of CPU threads of training."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from recap_model.config.steps.training import TrainingConfig

THREADS_PAY_FROM_WEIGHTS = 250_000
"""Parameters from which a second thread is worth having. Below, a step is over in a millisecond or two, and threads
that wait for each other made training ten times slower where the cores were shared with other work."""


@contextmanager
def cpu_threads(config: TrainingConfig, model: nn.Module) -> Iterator[None]:
    """Train with ``training.threads``, or with one thread if the model is small, and go back to as many as before."""
    before = torch.get_num_threads()
    small = sum(parameter.numel() for parameter in model.parameters()) < THREADS_PAY_FROM_WEIGHTS
    torch.set_num_threads(config.threads or (1 if small else before))
    try:
        yield
    finally:
        torch.set_num_threads(before)
