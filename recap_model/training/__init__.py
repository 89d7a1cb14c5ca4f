"""Training: the loop, its precision, its progress, and what it says when a loss is not finite."""

from recap_model.training.average import WeightAverage
from recap_model.training.diagnosis import NonFiniteLossError
from recap_model.training.loop import TrainState, planned_steps, train
from recap_model.training.precision import choose_bf16, choose_device
from recap_model.training.progress import Progress

__all__ = [
    "NonFiniteLossError",
    "Progress",
    "TrainState",
    "WeightAverage",
    "choose_bf16",
    "choose_device",
    "planned_steps",
    "train",
]
