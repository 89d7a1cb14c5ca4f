"""The optimizer and its learning rates."""

from recap_model.optim.optimizer import Stepper, build_optimizer, set_learning_rates
from recap_model.optim.schedules import rate_at

__all__ = ["Stepper", "build_optimizer", "rate_at", "set_learning_rates"]
