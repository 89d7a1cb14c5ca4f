"""Training: the loop, precision, checkpoints, early stopping, progress."""

from recap_model.distributed.process_group import ProcessGroup, init_process_group
from recap_model.training.checkpoint import Checkpoints
from recap_model.training.early_stopping import mean_losses
from recap_model.training.ema import WeightAverage
from recap_model.training.loop import TrainingInterruptedError, train
from recap_model.training.nonfinite import NonFiniteLossError
from recap_model.training.precision import choose_bf16, choose_device
from recap_model.training.progress import Progress
from recap_model.training.state import TrainState, planned_steps

__all__ = [
    "Checkpoints",
    "NonFiniteLossError",
    "ProcessGroup",
    "Progress",
    "TrainState",
    "TrainingInterruptedError",
    "WeightAverage",
    "choose_bf16",
    "choose_device",
    "init_process_group",
    "mean_losses",
    "planned_steps",
    "train",
]
