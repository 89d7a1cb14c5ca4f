"""A model and its loss as one module."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recap_model.config.model.network import StratifierConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.losses import MultiTaskLoss
from recap_model.model.ranking_model import MultiTaskRankingModel

LossFunction = Callable[..., Tensor | tuple[Tensor, Tensor]]


class ModelAndLoss(nn.Module):
    """Rows with labels to a loss, so that one forward pass is all that a wrapper for training has to call.

    Args:
        loss_fn: maps logits, labels and weights, each (rows, tasks), to a scalar, or to a scalar and each
            task's loss (tasks,); `build_loss` makes the config's.
    """

    def __init__(
        self,
        model: MultiTaskRankingModel,
        loss_fn: LossFunction,
        stratifiers: Sequence[StratifierConfig] | None = None,
    ):
        super().__init__()
        self.model = model
        self.loss_fn = loss_fn
        self.stratifiers = list(stratifiers or ())
        self._reads_shared = isinstance(loss_fn, MultiTaskLoss) and loss_fn.reads_shared
        if self._reads_shared:
            model.return_backbone = True

    def forward(self, batch: RecapBatch) -> tuple[Tensor, dict[str, Any]]:
        """The loss, and the model's outputs with these added.

        ``loss`` and ``loss/TASK`` (scalars), ``labels`` and ``weights`` (rows, tasks), and, where stratifiers
        are configured, ``stratifiers``: the discrete column (rows,) of each, by its name.

        Raises:
            ValueError: as the model, or labels or weights are missing or not one column for each task.
        """
        expected = f"(rows, {len(self.model.tasks)})"
        if batch.labels is None:
            raise ValueError(f"labels: missing in the batch; expected shape {expected}")
        outputs: dict[str, Any] = dict(self.model(batch))
        weights = torch.ones_like(batch.labels) if batch.weights is None else batch.weights
        for name, tensor in (("labels", batch.labels), ("weights", weights)):
            if tensor.shape != outputs["logits"].shape:
                raise ValueError(f"{name}: expected shape {expected}, got {tuple(tensor.shape)}")
        shared = {"shared": outputs["backbone"]} if self._reads_shared else {}
        result = self.loss_fn(outputs["logits"], batch.labels, weights, **shared)
        loss, losses = result if isinstance(result, tuple) else (result, None)
        outputs |= {"loss": loss, "labels": batch.labels, "weights": weights}
        if losses is not None:
            outputs |= {f"loss/{task}": losses[number] for number, task in enumerate(self.model.tasks)}
        if self.stratifiers and batch.discrete is not None:
            outputs["stratifiers"] = {item.name: batch.discrete[:, item.index] for item in self.stratifiers}
        return loss, outputs
