"""How many GPUs a run's training holds."""

from pathlib import Path

from components.common.artifacts.snapshot import Snapshot
from recap_model.config.steps.training import TrainJobConfig
from recap_model.training import choose_device


def count_gpus(snapshot: str | Path) -> int:
    """GPUs of all processes, also of a training job's nodes; 0 for training on CPUs."""
    _, config = Snapshot.read(snapshot)
    distribution = config.training.distribution
    if isinstance(distribution, TrainJobConfig):
        return distribution.nodes * distribution.gpus_per_node
    if choose_device(config.training).type != "cuda":
        return 0
    return distribution.processes if distribution is not None else 1
