"""What a model needs to know of each task, read out of either kind of config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recap_model.config import RecapConfig
from recap_model.config.architectures import ArchitectureConfig
from recap_model.config.features import ListColumn
from recap_model.config.model import ModelConfig


@dataclass(frozen=True)
class TaskPlan:
    """The tasks of a model, in the order of its outputs' columns.

    ``discrete_columns`` names the columns of the discrete group, where the log has them one by one; ``given`` has
    for each task the number of the one it is conditional on, or None.
    """

    model: ModelConfig
    architectures: dict[str, ArchitectureConfig]
    score_weights: list[float]
    positive_rates: list[float]
    negative_rates: list[float]
    discrete_columns: list[str]
    given: list[int | None]

    @property
    def tasks(self) -> list[str]:
        return list(self.architectures)


def plan_tasks(config: RecapConfig | ModelConfig, data_config: Any = None) -> TaskPlan:
    """Read the tasks, in the order of a whole config's ``tasks`` or of a model section's ``tasks``.

    Args:
        data_config: sampling rates that numeric calibration undoes: a mapping (or an object whose ``tasks``
            is one) from a task to something with ``pos_downsampling_rate`` and ``neg_downsampling_rate``. If
            not given, those of a whole config whose ``data.sampling_correction`` is "calibration"; else none.

    Raises:
        ValueError: a task has no architecture, or no entry in ``data_config``.
    """
    if isinstance(config, RecapConfig):
        model, tasks = config.model, list(config.tasks)
        weights = [task.score_weight for task in config.tasks.values()]
        discrete = config.features.discrete
        columns = [] if isinstance(discrete, ListColumn) else list(discrete)
        given = [None if task.given is None else tasks.index(task.given) for task in config.tasks.values()]
        if data_config is None and config.data.sampling_correction == "calibration":
            data_config = config.tasks
    else:
        model, tasks, columns = config, list(config.tasks), []
        weights = [1.0] * len(tasks)
        given = [None for _ in tasks]
    positive, negative = _sampling_rates(tasks, data_config)
    return TaskPlan(model, model.architectures(tasks), weights, positive, negative, columns, given)


def _sampling_rates(tasks: list[str], data_config: Any) -> tuple[list[float], list[float]]:
    if data_config is None:
        return [1.0] * len(tasks), [1.0] * len(tasks)
    by_task = getattr(data_config, "tasks", data_config)
    lacking = [task for task in tasks if task not in by_task]
    if lacking:
        raise ValueError(
            f"data_config: no sampling rates for {', '.join(lacking)}; give each task's, 1.0 for none"
        )
    entries = [by_task[task] for task in tasks]
    positive = [_rate(entry, "pos_downsampling_rate") for entry in entries]
    return positive, [_rate(entry, "neg_downsampling_rate") for entry in entries]


def _rate(entry: Any, name: str) -> float:
    value = entry.get(name) if isinstance(entry, Mapping) else getattr(entry, name, None)
    return 1.0 if value is None else float(value)
