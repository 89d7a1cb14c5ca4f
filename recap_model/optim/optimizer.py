"""Build Adam with a learning rate per tower, and the optimizer of embedding tables."""

from collections.abc import Mapping
from typing import Any, Protocol

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from recap_model.config.model.optimizer import LearningRate, OptimizerConfig
from recap_model.distributed.rowwise_adagrad import TableOptimizer, with_sparse_gradients
from recap_model.losses import MultiTaskLoss
from recap_model.model.ranking_model import MultiTaskRankingModel
from recap_model.nn.inputs.small_embeddings import IdEmbedding, SmallEmbeddings
from recap_model.optim.schedules import rate_at

_FUSED_ON = ("cpu", "cuda")


class Stepper(Protocol):
    """What training needs of an optimizer; torch's own have it too."""

    @property
    def param_groups(self) -> list[dict[str, Any]]: ...

    def step(self) -> object: ...

    def zero_grad(self, set_to_none: bool = True) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


class CombinedOptimizer:
    """Two optimizers as one: of the dense part, and of the embedding tables."""

    def __init__(self, dense: Optimizer, tables: Optimizer):
        self.parts: Mapping[str, Optimizer] = {"dense": dense, "tables": tables}

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of both; a change to one is a change to the optimizer's."""
        return [group for part in self.parts.values() for group in part.param_groups]

    def step(self) -> None:
        """One step of each."""
        for part in self.parts.values():
            part.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients."""
        for part in self.parts.values():
            part.zero_grad(set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The state of both, under ``dense`` and ``tables``."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the state of both. Raises KeyError if it is of another kind of optimizer."""
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Stepper:
    """Adam, or AdamW where weights decay, with a group for each tower and one for what the towers share.

    Each group has the key ``task``: the tower's task, or None for what is shared, a loss's own parameters among
    that. Weights of linear layers decay, in a group of their own; biases, norms and embeddings never do. Where
    ``optimizer.embeddings`` is given, embedding tables are a group with the key ``tables``, updated by a
    `TableOptimizer`. Rates are those of step 0; `set_learning_rates` moves them on.

    Args:
        model: a `MultiTaskRankingModel`, or a module that holds one.

    Raises:
        ValueError: a tower, or what the towers share, has no learning rate, or a rate names an unknown task; or there
            is no table for ``optimizer.embeddings``.
    """
    ranking = next((part for part in model.modules() if isinstance(part, MultiTaskRankingModel)), None)
    if ranking is None:
        raise ValueError(f"build_optimizer: {type(model).__name__} holds no MultiTaskRankingModel")
    by_task = ranking.parameters_by_task()
    by_task[None] |= _loss_parameters(model)
    tables = _table_optimizer(ranking, config)
    if tables is not None:
        table_weights = {id(weight) for group in tables.param_groups for weight in group["params"]}
        by_task[None] = {
            name: weight for name, weight in by_task[None].items() if id(weight) not in table_weights
        }
    by_task = {task: named for task, named in by_task.items() if named}
    _check_rates(config, list(ranking.tasks), shared=None in by_task)
    dense = _adam(ranking, by_task, config)
    return dense if tables is None else CombinedOptimizer(dense, tables)


def set_learning_rates(
    optimizer: Stepper, config: OptimizerConfig, step: int, steps: int | None = None
) -> None:
    """Give each group of `build_optimizer` its rate for the step number ``step``, counted from 0, of ``steps``.

    Raises ValueError if a schedule has fractions of the run, and ``steps`` is not given.
    """
    for group in optimizer.param_groups:
        tables = config.embeddings if group.get("tables") else None
        schedule = _schedule(config, group["task"]) if tables is None else tables.learning_rate
        group["lr"] = rate_at(schedule, step, steps)


def _adam(
    ranking: MultiTaskRankingModel,
    by_task: Mapping[str | None, dict[str, nn.Parameter]],
    config: OptimizerConfig,
) -> Optimizer:
    decaying = {id(part.weight) for part in ranking.modules() if isinstance(part, nn.Linear)}
    decay = config.adam.weight_decay
    groups: list[dict[str, Any]] = []
    for task, named in by_task.items():
        weights = [parameter for parameter in named.values() if decay and id(parameter) in decaying]
        others = [parameter for parameter in named.values() if not decay or id(parameter) not in decaying]
        rate = rate_at(_schedule(config, task), 0, steps=1)
        for parameters, group_decay in ((weights, decay), (others, 0.0)):
            if parameters:
                groups.append({"params": parameters, "task": task, "lr": rate, "weight_decay": group_decay})
    kind = AdamW if decay else Adam
    fused = all(parameter.device.type in _FUSED_ON for parameter in ranking.parameters())
    adam = config.adam
    return kind(groups, betas=(adam.beta_1, adam.beta_2), eps=adam.epsilon, fused=fused)


def _table_optimizer(ranking: MultiTaskRankingModel, config: OptimizerConfig) -> TableOptimizer | None:
    settings = config.embeddings
    if settings is None:
        return None
    tables = [
        table
        for part in ranking.inputs.modules()
        if isinstance(part, IdEmbedding | SmallEmbeddings)
        for table in part.modules()
        if isinstance(table, nn.Embedding)
    ]
    if not tables:
        raise ValueError(
            "optimizer.embeddings: the model has no table; remove it, or give model.small_embeddings, "
            "model.large_embeddings or model.tables"
        )
    group = {"params": with_sparse_gradients(tables), "task": None, "tables": True}
    return TableOptimizer(
        [group], rate_at(settings.learning_rate, 0, steps=1), settings.algorithm, settings.epsilon
    )


def _loss_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    losses = (part for part in model.modules() if isinstance(part, MultiTaskLoss))
    return {f"loss.{name}": parameter for part in losses for name, parameter in part.named_parameters()}


def _schedule(config: OptimizerConfig, task: str | None) -> LearningRate:
    if config.single_task_learning_rate is not None:
        return config.single_task_learning_rate
    assert config.multi_task_learning_rates is not None
    rates = config.multi_task_learning_rates
    schedule = rates.backbone_learning_rate if task is None else rates.tower_learning_rates[task]
    assert schedule is not None
    return schedule


def _check_rates(config: OptimizerConfig, tasks: list[str], shared: bool) -> None:
    rates = config.multi_task_learning_rates
    if rates is None:
        return
    where = "optimizer.multi_task_learning_rates"
    for task in tasks:
        if task not in rates.tower_learning_rates:
            raise ValueError(
                f"{where}.tower_learning_rates: no rate for {task}; a tower never takes a default"
            )
    for task in rates.tower_learning_rates:
        if task not in tasks:
            raise ValueError(
                f"{where}.tower_learning_rates: unknown task {task!r}; tasks: {', '.join(tasks)}"
            )
    if shared and rates.backbone_learning_rate is None:
        raise ValueError(f"{where}.backbone_learning_rate: needed by the parameters that the towers share")
