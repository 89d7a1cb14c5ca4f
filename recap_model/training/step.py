"""One optimizer step: gradient accumulation over micro-batches, finiteness check, clipping, update."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from recap_model.config import RecapConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.losses import MultiTaskLoss, loss_denominators
from recap_model.optim import set_learning_rates
from recap_model.training.nonfinite import describe_nonfinite
from recap_model.training.progress import GRADIENT_NORM
from recap_model.training.state import TrainState


def take_step(state: TrainState, batch: RecapBatch, config: RecapConfig) -> dict[str, Tensor]:
    """One optimizer step; returns the loss as ``loss``, each task's under its name, and the gradient's norm.

    Raises NonFiniteLossError before the weights change.
    """
    batch = batch.to(state.device, non_blocking=True)
    set_learning_rates(state.optimizer, config.optimizer, state.step, state.steps)
    state.optimizer.zero_grad(set_to_none=True)
    losses = _add_gradients(state, batch, config)
    norm = _check_and_clip(state, batch, losses, config)
    state.optimizer.step()
    state.step += 1
    if state.average is not None:
        state.average.update(state.module.model)
    return {**losses, GRADIENT_NORM: norm}


def _add_gradients(state: TrainState, batch: RecapBatch, config: RecapConfig) -> dict[str, Tensor]:
    """Accumulate a batch's gradients over micro-batches, each weighted by its fraction of the rows."""
    total: dict[str, Tensor] = {}
    bounds = _micro_batch_bounds(len(batch), config.training.micro_batches)
    denominators = _loss_denominators(state, batch) if len(bounds) > 1 else None
    for number, (first, last) in enumerate(bounds, start=1):
        whole = len(bounds) == 1
        micro_batch = batch if whole else batch[slice(first, last)]
        fraction = 1.0 if whole else (last - first) / len(batch)
        with (
            _use_denominators(state, None if denominators is None else denominators * fraction),
            torch.autocast(state.device.type, torch.bfloat16, enabled=state.bf16),
        ):
            loss, outputs = state.forward(micro_batch)
        losses = {task: outputs[f"loss/{task}"].detach() for task in state.module.model.tasks}
        if not loss.isfinite():
            raise describe_nonfinite(state.step + 1, micro_batch, losses, config.features)
        if number < len(bounds):
            with state.no_sync():
                (loss * fraction).backward()
        else:
            (loss if whole else loss * fraction).backward()
        for name, value in {"loss": loss.detach(), **losses}.items():
            total[name] = total[name] + value * fraction if name in total else value * fraction
    return total


def _loss_denominators(state: TrainState, batch: RecapBatch) -> Tensor | None:
    """The loss's denominator of each task, (tasks,), over the global batch: a micro-batch may have few labels."""
    loss = state.module.loss_fn
    if not isinstance(loss, MultiTaskLoss) or batch.labels is None:
        return None
    return state.process_group.all_reduce(loss_denominators(batch.labels, batch.weights, loss.normalise))


@contextmanager
def _use_denominators(state: TrainState, denominators: Tensor | None) -> Iterator[None]:
    """Make the loss divide by these denominators, if any, inside the block."""
    loss = state.module.loss_fn
    if not isinstance(loss, MultiTaskLoss):
        yield
        return
    loss.denominators = denominators
    try:
        yield
    finally:
        loss.denominators = None


def _micro_batch_bounds(rows: int, parts: int) -> list[tuple[int, int]]:
    """Bounds of micro-batches of nearly equal size, two rows or more each."""
    parts = max(1, min(parts, rows // 2))
    return [(number * rows // parts, (number + 1) * rows // parts) for number in range(parts)]


def _check_and_clip(
    state: TrainState, batch: RecapBatch, losses: dict[str, Tensor], config: RecapConfig
) -> Tensor:
    """Clip the gradients; returns their norm before it."""
    parts = state.tables.parameters() if state.tables is not None else []
    held = _gradients(parts)
    apart = {id(parameter) for parameter in parts}
    values = _gradients([weight for weight in state.module.parameters() if id(weight) not in apart])
    norm = get_total_norm(values)
    if parts:
        norm = torch.hypot(norm, state.process_group.global_norm(get_total_norm(held)))
    # A gradient can overflow where the loss did not; taken in, it would show a step later, on innocent rows.
    if not norm.isfinite():
        tasks = {name: loss for name, loss in losses.items() if name != "loss"}
        raise describe_nonfinite(state.step + 1, batch, tasks, config.features)
    limit = config.training.gradient_clip_norm
    if limit is not None and norm > limit:
        for value in values + held:
            value.mul_(limit / norm)
    return norm


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    # Of a table that only the entries read have a gradient of, these are all there is.
    return [gradient._values() if gradient.is_sparse else gradient for gradient in gradients]
