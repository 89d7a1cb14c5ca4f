"""Adam over groups of parameters, each with a learning rate of its own."""

from typing import Any

from torch import nn
from torch.optim import Adam, AdamW, Optimizer

from recap_model.config.optimizer import LearningRate, OptimizerConfig
from recap_model.model import MultiTaskRankingModel
from recap_model.optim.schedules import rate_at

_FUSED_ON = ("cpu", "cuda")


def build_optimizer(model: nn.Module, config: OptimizerConfig) -> Optimizer:
    """Adam, or AdamW where weights decay, with a group for each tower and one for what the towers share.

    Each group has the key ``task``: the tower's task, or None for what is shared. Weights of linear layers
    decay, in a group of their own; biases, norms and embeddings never do. Rates are those of step 0;
    `set_learning_rates` moves them on.

    Args:
        model: a `MultiTaskRankingModel`, or a module that holds one.

    Raises:
        ValueError: a tower, or what the towers share, has no learning rate, or a rate's name is no task.
    """
    ranking = next((part for part in model.modules() if isinstance(part, MultiTaskRankingModel)), None)
    if ranking is None:
        raise ValueError(f"build_optimizer: {type(model).__name__} holds no MultiTaskRankingModel")
    by_task = {task: named for task, named in ranking.parameters_by_task().items() if named}
    _check_rates(config, list(ranking.tasks), shared=None in by_task)
    decaying = {id(part.weight) for part in ranking.modules() if isinstance(part, nn.Linear)}
    decay = config.adam.weight_decay
    groups: list[dict[str, Any]] = []
    for task, named in by_task.items():
        weights = [parameter for parameter in named.values() if decay and id(parameter) in decaying]
        others = [parameter for parameter in named.values() if not decay or id(parameter) not in decaying]
        rate = rate_at(_schedule(config, task), 0)
        for parameters, group_decay in ((weights, decay), (others, 0.0)):
            if parameters:
                groups.append({"params": parameters, "task": task, "lr": rate, "weight_decay": group_decay})
    kind = AdamW if decay else Adam
    fused = all(parameter.device.type in _FUSED_ON for parameter in ranking.parameters())
    adam = config.adam
    return kind(groups, betas=(adam.beta_1, adam.beta_2), eps=adam.epsilon, fused=fused)


def set_learning_rates(optimizer: Optimizer, config: OptimizerConfig, step: int) -> None:
    """Give each group of `build_optimizer` its rate for the step number ``step``, counted from 0."""
    for group in optimizer.param_groups:
        group["lr"] = rate_at(_schedule(config, group["task"]), step)


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
                f"{where}.tower_learning_rates: {task!r} is no task; they are {', '.join(tasks)}"
            )
    if shared and rates.backbone_learning_rate is None:
        raise ValueError(f"{where}.backbone_learning_rate: needed by the parameters that the towers share")
