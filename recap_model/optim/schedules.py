"""Learning rate schedules as pure functions of the step."""

import math
from bisect import bisect_right

from recap_model.config.model.optimizer import (
    LearningRate,
    LinearRampToConstantConfig,
    LinearRampToCosineConfig,
)


def rate_at(schedule: LearningRate, step: int) -> float:
    """The rate of the optimizer's step number ``step``, counted from 0.

    A piecewise rate changes at its boundary's own step. A cosine (Loshchilov & Hutter, ICLR 2017, eq. 5,
    arXiv:1608.03983) reaches its final rate at ``final_num_steps`` and stays there.

    >>> ramp = LinearRampToConstantConfig(learning_rate=0.1, num_ramp_steps=4)
    >>> [rate_at(LearningRate(linear_ramp_to_constant=ramp), step) for step in (0, 2, 4, 100)]
    [0.0, 0.05, 0.1, 0.1]
    """
    if schedule.constant is not None:
        return schedule.constant
    if schedule.piecewise_constant is not None:
        pieces = schedule.piecewise_constant
        return pieces.learning_rate_values[bisect_right(pieces.learning_rate_boundaries, step)]
    if schedule.linear_ramp_to_constant is not None:
        return _ramp(schedule.linear_ramp_to_constant, step)
    assert schedule.linear_ramp_to_cosine is not None
    return _ramp_to_cosine(schedule.linear_ramp_to_cosine, step)


def _ramp(config: LinearRampToConstantConfig | LinearRampToCosineConfig, step: int) -> float:
    return config.learning_rate * min(1.0, step / config.num_ramp_steps)


def _ramp_to_cosine(config: LinearRampToCosineConfig, step: int) -> float:
    if step < config.num_ramp_steps:
        return _ramp(config, step)
    progress = (step - config.num_ramp_steps) / (config.final_num_steps - config.num_ramp_steps)
    fraction = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return config.final_learning_rate + (config.learning_rate - config.final_learning_rate) * fraction
