"""Binary cross-entropy per task, weighted by row and task; missing labels are masked."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from recap_model.config import RecapConfig
from recap_model.config.data.tasks import TaskConfig
from recap_model.config.model.network import LossConfig, ModelConfig
from recap_model.model.task_spec import resolve_tasks
from recap_model.nn.value_link import ValueLink
from recap_model.task_weighting import FixedWeights, GradientWeights, UncertaintyWeights
from recap_model.value_losses import ValueLoss, ValueTasksLoss

Reduction = Literal["mean", "sum", "min", "max", "median"]

_REDUCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "mean": torch.mean,
    "sum": torch.sum,
    "min": torch.min,
    "max": torch.max,
    "median": torch.median,
}


def weighted_bce(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    pos_weights: Tensor | None = None,
    normalise: bool = False,
    denominators: Tensor | None = None,
) -> Tensor:
    """Each task's mean over labelled rows of ``w * (-c y log p - (1 - y) log(1 - p))``, p = sigmoid(logit).

    Args:
        weights: w, 1 if not given.
        pos_weights: c of each task, 1 if not given.
        normalise: divide by the sum of weights instead of the number of labelled rows.
        denominators: given denominators, instead of either.

    Shape:
        logits, labels, weights: (rows, tasks), NaN being a missing label; pos_weights, denominators: (tasks,);
        returns (tasks,). A task without a labelled row (or with ``normalise`` without weight) has loss 0.

    >>> labels = torch.tensor([[1.0], [0.0], [float("nan")]])
    >>> weighted_bce(torch.zeros(3, 1), labels)
    tensor([0.6931])
    """
    _check_shapes(logits, labels, weights)
    if pos_weights is not None and pos_weights.shape != logits.shape[1:]:
        raise ValueError(
            f"pos_weights: expected shape {tuple(logits.shape[1:])}, one for each task, "
            f"got {tuple(pos_weights.shape)}"
        )
    labelled = ~torch.isnan(labels)
    targets = torch.where(labelled, labels, torch.zeros_like(labels)).to(logits.dtype)
    losses = binary_cross_entropy_with_logits(logits, targets, reduction="none", pos_weight=pos_weights)
    scale = torch.ones_like(logits) if weights is None else weights.to(logits.dtype)
    scale = torch.where(labelled, scale, torch.zeros_like(scale))
    total = (losses * scale).sum(dim=0)
    if denominators is None:
        denominators = loss_denominators(labels, scale, normalise)
    return total / torch.where(denominators > 0, denominators, torch.ones_like(denominators))


def loss_denominators(labels: Tensor, weights: Tensor | None = None, normalise: bool = False) -> Tensor:
    """The denominators of `weighted_bce`, (tasks,): labelled rows, or with ``normalise`` their weights."""
    labelled = ~torch.isnan(labels)
    if not normalise or weights is None:
        return labelled.sum(dim=0)
    return torch.where(labelled, weights, torch.zeros_like(weights)).sum(dim=0)


def reduce_tasks(losses: Tensor, reduction: Reduction) -> Tensor:
    """One loss of the tasks' losses, (tasks,) to a scalar; the median of an even number is the lower one."""
    return _REDUCTIONS[reduction](losses)


class MultiTaskLoss(nn.Module):
    """`weighted_bce` of each task, weighted by task, reduced to one loss.

    Args:
        task_weighting: weighs the tasks' losses; all count the same if not given.
        value_losses: of the value tasks, instead of the cross-entropy.

    Attributes:
        denominators: given denominators, (tasks,), while the rows are a micro-batch; else None.

    Shape:
        logits, labels, weights: (rows, tasks); shared: what the tasks share, of which `GradientWeights` has need;
        returns a scalar and each task's own loss, before it is weighted, (tasks,).
    """

    pos_weights: Tensor

    def __init__(
        self,
        pos_weights: Sequence[float],
        reduction: Reduction = "mean",
        normalise: bool = False,
        task_weighting: nn.Module | None = None,
        value_losses: "ValueLosses | None" = None,
    ):
        super().__init__()
        self.value_losses = value_losses
        self.reduction: Reduction = reduction
        self.normalise = normalise
        self.task_weighting = task_weighting
        self.denominators: Tensor | None = None
        self.register_buffer("pos_weights", torch.tensor(pos_weights), persistent=False)

    @property
    def reads_shared(self) -> bool:
        """Whether it has to be given what the tasks share."""
        return isinstance(self.task_weighting, GradientWeights)

    def forward(
        self, logits: Tensor, labels: Tensor, weights: Tensor | None = None, shared: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        losses = self._task_losses(logits, labels, weights)
        counted = losses if self.task_weighting is None else self.task_weighting(losses, shared)
        return reduce_tasks(counted, self.reduction), losses

    def _task_losses(self, logits: Tensor, labels: Tensor, weights: Tensor | None) -> Tensor:
        if self.value_losses is None:
            return weighted_bce(logits, labels, weights, self.pos_weights, self.normalise, self.denominators)
        denominators = self.denominators
        if denominators is None:
            denominators = loss_denominators(labels, weights, self.normalise)
        # A value is no probability: its column has no label for the cross-entropy.
        is_value = self.value_losses.is_value
        binary = torch.where(is_value, torch.full_like(labels, torch.nan), labels)
        entropies = weighted_bce(logits, binary, weights, self.pos_weights, self.normalise, denominators)
        return torch.where(is_value, self.value_losses(logits, labels, weights, denominators), entropies)


class ValueLosses(nn.Module):
    """Each value task's loss of the value that the link makes of its logit; 0 for binary tasks.

    Args:
        tasks: settings of each value task, None for a binary one.

    Shape:
        logits, labels, weights: (rows, tasks); denominators: (tasks,); returns (tasks,).
    """

    is_value: Tensor
    columns: Tensor

    def __init__(self, tasks: Sequence[TaskConfig | None]):
        super().__init__()
        values = [task for task in tasks if task is not None]
        columns = [number for number, task in enumerate(tasks) if task is not None]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)
        self.link = ValueLink([task.cap for task in values], [task.value_scale for task in values])
        self.loss = ValueTasksLoss(
            [ValueLoss(task.loss or "huber", task.value_scale or 1.0, task.power or 1.5) for task in values]
        )
        self.register_buffer("is_value", torch.tensor([task is not None for task in tasks]), persistent=False)

    def forward(self, logits: Tensor, labels: Tensor, weights: Tensor | None, denominators: Tensor) -> Tensor:
        # Not `logits[:, columns]`, whose gradient sorts the indices.
        chosen, label = (tensor.index_select(1, self.columns) for tensor in (logits, labels))
        weight = None if weights is None else weights.index_select(1, self.columns)
        losses = self.loss(self.link(chosen), label, weight, denominators.index_select(0, self.columns))
        return torch.zeros_like(logits[0]).index_copy(0, self.columns, losses)


def build_loss(config: RecapConfig | ModelConfig) -> MultiTaskLoss:
    """The loss of a config: ``model.loss``, with each task's ``pos_weight``.

    Raises ValueError if ``task_weights`` names an unknown task.
    """
    plan = resolve_tasks(config)
    pos_weights = [tower.pos_weight for tower in plan.architectures.values()]
    loss = plan.model.loss
    weighting = _task_weighting(loss, plan.tasks)
    losses = ValueLosses(plan.values) if any(plan.values) else None
    return MultiTaskLoss(pos_weights, loss.task_reduction, loss.normalise, weighting, losses)


def _task_weighting(config: LossConfig, tasks: list[str]) -> nn.Module | None:
    for task in config.task_weights:
        if task not in tasks:
            raise ValueError(f"model.loss.task_weights: unknown task {task!r}; tasks: {', '.join(tasks)}")
    if config.task_weighting == "uncertainty":
        return UncertaintyWeights(len(tasks))
    if config.task_weighting == "gradient":
        return GradientWeights(len(tasks))
    if not config.task_weights:
        return None
    return FixedWeights([config.task_weights.get(task, 1.0) for task in tasks])


def _check_shapes(logits: Tensor, labels: Tensor, weights: Tensor | None) -> None:
    for name, tensor in (("labels", labels), ("weights", weights)):
        if tensor is not None and tensor.shape != logits.shape:
            raise ValueError(
                f"{name}: expected shape {tuple(logits.shape)}, a column for each task, "
                f"got {tuple(tensor.shape)}"
            )
