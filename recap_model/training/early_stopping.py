"""Early stopping on the loss of held-out rows."""

from typing import Any

import torch
from torch import Tensor

from recap_model.config.steps.training import EarlyStoppingConfig
from recap_model.data.dataset.prefetch import BatchSource
from recap_model.distributed.process_group import ProcessGroup
from recap_model.model.model_and_loss import ModelAndLoss
from recap_model.training.ema import WeightAverage


class EarlyStopping:
    """Tracks the best weights by held-out loss, and stops when patience is exhausted.

    Attributes:
        loss: the lowest so far; infinite before the first evaluation.
        step: at which it was.
        last: the losses of the last evaluation: all tasks together as ``loss``, each under its name.
    """

    def __init__(
        self, config: EarlyStoppingConfig, rows: BatchSource, process_group: ProcessGroup | None = None
    ):
        self._config = config
        self._rows = rows
        self._process_group = process_group or ProcessGroup()
        self.loss = float("inf")
        self.last: dict[str, float] = {}
        self.step = 0
        self._evaluations_since_best = 0
        self._best: dict[str, Tensor] = {}

    def due(self, step: int) -> bool:
        """Whether to evaluate after this step."""
        return step % self._config.every_steps == 0

    @property
    def patience_exhausted(self) -> bool:
        """Whether patience is exhausted."""
        return self._evaluations_since_best >= self._config.patience

    def evaluate(self, step: int, module: ModelAndLoss, average: WeightAverage | None, bf16: bool) -> float:
        """Evaluate the held-out loss of the weights that training would return now (the EMA's, if any)."""
        if average is None:
            return self._evaluate(step, module, bf16)
        with average.applied(module.model):
            return self._evaluate(step, module, bf16)

    def _evaluate(self, step: int, module: ModelAndLoss, bf16: bool) -> float:
        # One process's word, since all of them must go on, or end, together.
        losses = mean_losses(module, self._rows, bf16, self._process_group)
        self.last = self._process_group.gather(losses)[0]
        loss, self._evaluations_since_best = self.last["loss"], self._evaluations_since_best + 1
        if loss < self.loss:
            self.loss, self.step, self._evaluations_since_best = loss, step, 0
            self._best = {name: tensor.clone() for name, tensor in module.state_dict().items()}
        return loss

    def restore_best(self, module: ModelAndLoss) -> None:
        """Give the module the weights of the lowest loss, if there was an evaluation."""
        if self._best:
            module.load_state_dict(self._best)

    def state_dict(self) -> dict[str, Any]:
        """All that changes, the best weights among it."""
        return {
            "loss": self.loss,
            "last": self.last,
            "step": self.step,
            "since": self._evaluations_since_best,
            "best": self._best,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        self.loss, self.step = state["loss"], state["step"]
        # Of an earlier revision's checkpoint it is the loss of all tasks alone.
        self.last = state["last"] if isinstance(state["last"], dict) else {}
        self._evaluations_since_best, self._best = state["since"], state["best"]


@torch.no_grad()
def mean_losses(
    module: ModelAndLoss, rows: BatchSource, bf16: bool = False, process_group: ProcessGroup | None = None
) -> dict[str, float]:
    """The losses of rows in evaluation mode, means over batches weighted by their rows.

    ``loss`` is that of all tasks together; each task's is under its name.
    """
    training = module.training
    module.eval()
    totals, count = dict.fromkeys(("loss", *module.model.tasks), 0.0), 0
    device = next(module.parameters()).device
    for batch in rows.batches(0):
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            loss, outputs = module(batch.to(device))
        (length,) = (process_group or ProcessGroup()).sum_counts(len(batch))
        totals["loss"] += loss.item() * length
        for task in module.model.tasks:
            totals[task] += outputs[f"loss/{task}"].item() * length
        count += length
    module.train(training)
    return {name: total / count if count else float("nan") for name, total in totals.items()}
