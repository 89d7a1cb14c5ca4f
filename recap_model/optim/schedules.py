"""Learning rate schedules as pure functions of the step."""

import math
from bisect import bisect_right

from recap_model.config.model.optimizer import (
    LearningRate,
    LinearRampToConstantConfig,
    OptimizerConfig,
)

_UNFINISHED = 1.1  # of a run's steps: a cosine that ends later is reported


def rate_at(schedule: LearningRate, step: int, steps: int | None = None) -> float:
    """The rate of the optimizer's step number ``step``, counted from 0.

    A piecewise rate changes at its boundary's own step. A cosine (Loshchilov & Hutter, ICLR 2017, eq. 5,
    arXiv:1608.03983) reaches its final rate at ``final_num_steps`` and stays there.

    Args:
        steps: of the whole run, of which a schedule may be given as fractions.

    Raises ValueError if the schedule has fractions, and ``steps`` is not given.

    >>> ramp = LinearRampToConstantConfig(learning_rate=0.1, num_ramp_steps=4)
    >>> [rate_at(LearningRate(linear_ramp_to_constant=ramp), step) for step in (0, 2, 4, 100)]
    [0.0, 0.05, 0.1, 0.1]
    >>> ramp = LinearRampToConstantConfig(learning_rate=0.1, num_ramp_steps=0.25)
    >>> [rate_at(LearningRate(linear_ramp_to_constant=ramp), step, steps=16) for step in (0, 2, 4, 15)]
    [0.0, 0.05, 0.1, 0.1]
    """
    if schedule.constant is not None:
        return schedule.constant
    if schedule.piecewise_constant is not None:
        pieces = schedule.piecewise_constant
        boundaries = [_step_number(boundary, steps) for boundary in pieces.learning_rate_boundaries]
        return pieces.learning_rate_values[bisect_right(boundaries, step)]
    ramp = schedule.linear_ramp_to_constant or schedule.linear_ramp_to_cosine
    assert ramp is not None
    ramp_steps = _step_number(ramp.num_ramp_steps, steps)
    if step < ramp_steps or isinstance(ramp, LinearRampToConstantConfig):
        return ramp.learning_rate * min(1.0, step / ramp_steps)
    decay_steps = _step_number(ramp.final_num_steps, steps) - ramp_steps
    progress = min(1.0, (step - ramp_steps) / decay_steps) if decay_steps > 0 else 1.0
    fraction = 0.5 * (1.0 + math.cos(math.pi * progress))
    return ramp.final_learning_rate + (ramp.learning_rate - ramp.final_learning_rate) * fraction


def describe_unfinished_decay(config: OptimizerConfig, steps: int) -> str:
    """One line if a run of ``steps`` ends well before a cosine does, so that its last rates are high; else ""."""
    rates = config.multi_task_learning_rates
    schedules = {
        "single_task_learning_rate": config.single_task_learning_rate,
        "embeddings.learning_rate": config.embeddings and config.embeddings.learning_rate,
        "multi_task_learning_rates.backbone_learning_rate": rates and rates.backbone_learning_rate,
    }
    for task, tower in (rates.tower_learning_rates if rates else {}).items():
        schedules[f"multi_task_learning_rates.tower_learning_rates.{task}"] = tower
    for name, schedule in schedules.items():
        cosine = schedule and schedule.linear_ramp_to_cosine
        if cosine and schedule and _step_number(cosine.final_num_steps, steps) > _UNFINISHED * steps:
            last = rate_at(schedule, steps - 1, steps)
            return (
                f"optimizer.{name}.linear_ramp_to_cosine: final_num_steps is {cosine.final_num_steps}, the run has "
                f"{steps} steps, so its last rate is {last:.2g}; give final_num_steps: auto"
            )
    return ""


def _step_number(count: float | str, steps: int | None) -> int:
    """A number of steps; of a fraction of the run, and of "auto", by the run's ``steps``."""
    if isinstance(count, int):
        return count
    if steps is None:
        raise ValueError(f"learning rate: {count} is of the run's steps; give their number")
    return steps if isinstance(count, str) else max(1, round(count * steps))
