"""Resolve each task's architecture, sampling rates and weights from either kind of config."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recap_model.config import RecapConfig
from recap_model.config.data.features import ListColumn
from recap_model.config.data.sequences import Sequence
from recap_model.config.data.tasks import TaskConfig
from recap_model.config.model.architectures import ArchitectureConfig
from recap_model.config.model.network import ModelConfig
from recap_model.nn.value_link import ValueLink

_RATES = ("pos_downsampling_rate", "neg_downsampling_rate")


@dataclass(frozen=True)
class TaskSpec:
    """The tasks of a model, in the order of its outputs' columns.

    ``values`` has the settings of each value task, None for a binary one;
    ``score_terms`` has for each further term of the score its weight and the numbers of the tasks that it multiplies.
    ``discrete_columns`` and ``continuous_columns`` name the columns of their groups, where the log has them one by
    one; ``sequences`` are those of the features, if the config has them; ``given`` has for each task the number of
    the one it is conditional on, or None.
    """

    model: ModelConfig
    architectures: dict[str, ArchitectureConfig]
    score_weights: list[float]
    values: list[TaskConfig | None]
    score_terms: dict[str, tuple[float, list[int]]]
    positive_rates: list[float]
    negative_rates: list[float]
    discrete_columns: list[str]
    continuous_columns: list[str]
    sequences: dict[str, Sequence]
    given: list[int | None]

    @property
    def tasks(self) -> list[str]:
        return list(self.architectures)


def resolve_tasks(config: RecapConfig | ModelConfig, data_config: Any = None) -> TaskSpec:
    """Read the tasks, in the order of a whole config's ``tasks`` or of a model section's ``tasks``.

    Args:
        data_config: sampling rates that numeric calibration undoes: a mapping (or an object whose ``tasks``
            is one) from a task to something with ``pos_downsampling_rate`` and ``neg_downsampling_rate``. If
            not given, those of a whole config whose ``data.sampling_correction`` is "calibration"; else none.

    Raises:
        ValueError: the config is of neither kind; a task has no architecture, or no entry in ``data_config``; or an
            entry there is of other names, or a rate outside (0, 1].
    """
    if isinstance(config, RecapConfig):
        model, tasks = config.model, list(config.tasks)
        weights = [task.score_weight for task in config.tasks.values()]
        values = [task if task.kind == "value" else None for task in config.tasks.values()]
        terms = {
            name: (term.weight, [tasks.index(task) for task in term.of])
            for name, term in config.score_terms.items()
        }
        columns, continuous = (
            [] if isinstance(group, ListColumn) else list(group)
            for group in (config.features.discrete, config.features.continuous)
        )
        sequences = config.features.all_sequences()
        given = [None if task.given is None else tasks.index(task.given) for task in config.tasks.values()]
        if data_config is None and config.data.sampling_correction == "calibration":
            data_config = config.tasks
    elif isinstance(config, ModelConfig):
        model, tasks, columns, continuous, sequences = config, list(config.tasks), [], [], {}
        weights, terms = [1.0] * len(tasks), {}
        values = [None for _ in tasks]
        given = [None for _ in tasks]
    else:
        raise ValueError(
            f"config: {type(config).__name__}; give a RecapConfig, or its model section, a ModelConfig"
        )
    positive, negative = _sampling_rates(tasks, data_config)
    return TaskSpec(
        model,
        model.architectures(tasks),
        weights,
        values,
        terms,
        positive,
        negative,
        columns,
        continuous,
        sequences,
        given,
    )


def build_value_link(plan: TaskSpec) -> ValueLink | None:
    """The link of a model's tasks; None if all are binary."""
    if not any(plan.values):
        return None
    caps = [None if task is None else task.cap for task in plan.values]
    return ValueLink(caps, [None if task is None else task.value_scale for task in plan.values])


def _sampling_rates(tasks: list[str], data_config: Any) -> tuple[list[float], list[float]]:
    if data_config is None:
        return [1.0] * len(tasks), [1.0] * len(tasks)
    by_task = getattr(data_config, "tasks", data_config)
    missing = [task for task in tasks if task not in by_task]
    if missing:
        raise ValueError(
            f"data_config: no sampling rates for {', '.join(missing)}; give each task's, 1.0 for none"
        )
    rates = [_rates(f"data_config.{task}", by_task[task]) for task in tasks]
    return [positive for positive, _ in rates], [negative for _, negative in rates]


def _rates(where: str, entry: Any) -> tuple[float, float]:
    """The positives' and the negatives' rate of an entry; one that is not given is 1."""
    values = (
        entry if isinstance(entry, Mapping) else {n: getattr(entry, n) for n in _RATES if hasattr(entry, n)}
    )
    if entry != {} and not any(name in values for name in _RATES):
        raise ValueError(f"{where}: {entry!r} has no {' and no '.join(_RATES)}; give one, 1.0 for none")
    given = {name: 1.0 if values.get(name) is None else values[name] for name in _RATES}
    for name, rate in given.items():
        if not isinstance(rate, int | float) or not 0.0 < rate <= 1.0:
            raise ValueError(f"{where}.{name}: {rate!r}: a sampling rate is over 0 and at most 1")
    return given["pos_downsampling_rate"], given["neg_downsampling_rate"]
