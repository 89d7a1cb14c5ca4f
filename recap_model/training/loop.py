"""The training loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.utils import get_total_norm

from recap_model.config import RecapConfig
from recap_model.config.training import TrainingConfig
from recap_model.data.batch import RecapBatch
from recap_model.model_and_loss import ModelAndLoss
from recap_model.optim import Stepper, build_optimizer, set_learning_rates
from recap_model.training.average import WeightAverage
from recap_model.training.diagnosis import explain
from recap_model.training.precision import choose_bf16
from recap_model.training.progress import Meter, Progress

Report = Callable[[Progress], None]


class Rows(Protocol):
    """What training needs of a reader: an epoch's batches, in an order that follows from its number."""

    @property
    def steps(self) -> int: ...

    def batches(self, epoch: int) -> Iterator[RecapBatch]: ...


@dataclass
class TrainState:
    """All that changes from step to step; with the random state, a loop could go on from it.

    ``step`` counts optimizer steps, ``batch`` the batches read in this ``epoch``, ``rows`` the rows trained on.
    """

    module: ModelAndLoss
    optimizer: Stepper
    average: WeightAverage | None
    device: torch.device
    bf16: bool
    epoch: int = 0
    batch: int = 0
    step: int = 0
    rows: int = 0


def train(module: ModelAndLoss, rows: Rows, config: RecapConfig, report: Report) -> TrainState:
    """Train a model where its parameters lie, and leave it in evaluation mode.

    With the same random seed, rows and config, the same weights come out, bit for bit, on the same hardware
    and number of threads.

    Args:
        report: called with the progress after the first step, the last one, and every
            ``training.log_every_steps``.

    Raises:
        NonFiniteLossError: a loss or a gradient is NaN or infinite; the weights are those before that step.
        ValueError: there is no batch to train on.
    """
    state = begin(module, config)
    meter = Meter(planned_steps(rows, config.training))
    for batch in _batches(rows, state, config.training):
        losses = take_step(state, batch, config)
        meter.add(len(batch), losses)
        if state.step == 1 or state.step % config.training.log_every_steps == 0:
            report(meter.read(state.step, state.epoch, state.rows, _learning_rates(state.optimizer)))
    if state.step == 0:
        raise ValueError("training set: fewer than two rows, so there is no batch to train on")
    if meter.count:
        report(meter.read(state.step, state.epoch, state.rows, _learning_rates(state.optimizer)))
    if state.average is not None:
        state.average.copy_to(module.model)
    module.eval()
    return state


def begin(module: ModelAndLoss, config: RecapConfig) -> TrainState:
    """The state before the first step."""
    device = next(module.parameters()).device
    decay = config.training.ema_decay
    return TrainState(
        module=module.train(),
        optimizer=build_optimizer(module, config.optimizer),
        average=None if decay is None else WeightAverage(module.model, decay),
        device=device,
        bf16=choose_bf16(config.training, device, module),
    )


def planned_steps(rows: Rows, training: TrainingConfig) -> int:
    """Steps that training will take, if no batch is left out."""
    planned = training.epochs * rows.steps
    return planned if training.max_steps is None else min(planned, training.max_steps)


def take_step(state: TrainState, batch: RecapBatch, config: RecapConfig) -> dict[str, Tensor]:
    """One optimizer step; returns the loss as ``loss`` and each task's under its name.

    Raises NonFiniteLossError before the weights change.
    """
    batch = batch.to(state.device, non_blocking=True)
    set_learning_rates(state.optimizer, config.optimizer, state.step)
    with torch.autocast(state.device.type, torch.bfloat16, enabled=state.bf16):
        loss, outputs = state.module(batch)
    losses = {task: outputs[f"loss/{task}"].detach() for task in state.module.model.tasks}
    if not loss.isfinite():
        raise explain(state.step + 1, batch, losses, config.features)
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    _check_and_clip(state, batch, losses, config)
    state.optimizer.step()
    state.step += 1
    state.rows += len(batch)
    if state.average is not None:
        state.average.update(state.module.model)
    return {"loss": loss.detach(), **losses}


def _check_and_clip(
    state: TrainState, batch: RecapBatch, losses: dict[str, Tensor], config: RecapConfig
) -> None:
    gradients = [parameter.grad for parameter in state.module.parameters() if parameter.grad is not None]
    # Of a table that only the entries read have a gradient of, these are all there is.
    values = [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]
    norm = get_total_norm(values)
    # A gradient can overflow where the loss did not; taken in, it would show a step later, on innocent rows.
    if not norm.isfinite():
        raise explain(state.step + 1, batch, losses, config.features)
    limit = config.training.gradient_clip_norm
    if limit is not None and norm > limit:
        for value in values:
            value.mul_(limit / norm)


def _batches(rows: Rows, state: TrainState, training: TrainingConfig) -> Iterator[RecapBatch]:
    for state.epoch in range(training.epochs):
        state.batch = 0
        for batch in rows.batches(state.epoch):
            if state.step == training.max_steps:
                return
            state.batch += 1
            # Batch norm has no variance of a single row; it can only be the last one of an epoch.
            if len(batch) > 1:
                yield batch


def _learning_rates(optimizer: Stepper) -> dict[str, float]:
    return {
        "embedding tables" if group.get("tables") else group["task"] or "shared": group["lr"]
        for group in optimizer.param_groups
    }
