"""The training loop."""

import logging
import time
from collections.abc import Callable, Iterator

from recap_model.config import RecapConfig
from recap_model.config.reading.errors import first_reason
from recap_model.config.steps.training import CheckpointConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.prefetch import BatchSource
from recap_model.distributed.process_group import ProcessGroup
from recap_model.model.model_and_loss import ModelAndLoss
from recap_model.optim import Stepper
from recap_model.training.checkpoint import Checkpoints
from recap_model.training.progress import Progress
from recap_model.training.state import TrainState, begin
from recap_model.training.step import take_step

Report = Callable[[Progress], None]
Watch = Callable[[TrainState], None]

log = logging.getLogger(__name__)


class TrainingInterruptedError(Exception):
    """Training was preempted; the last checkpoint, if checkpoints are written, holds its state."""


def train(
    module: ModelAndLoss,
    rows: BatchSource,
    config: RecapConfig,
    report: Report,
    *,
    held_out: BatchSource | None = None,
    checkpoints: Checkpoints | None = None,
    process_group: ProcessGroup | None = None,
    stop: Callable[[], bool] = lambda: False,
    watch: Watch = lambda state: None,
) -> TrainState:
    """Train a model where its parameters lie, and leave it in evaluation mode.

    Sharded tables (`shard_tables`) are gathered in rank 0's model at the end.

    With the same random seed, rows and config, the same weights come out, bit for bit, on the same hardware
    and number of threads, in one go or in several.

    Args:
        report: called with the progress after the first step, the last one, and every
            ``training.log_every_steps``; when training goes on from a checkpoint, with the earlier ones first.
        held_out: rows on which ``training.early_stopping`` evaluates the loss.
        checkpoints: resume from the newest, and write new ones.
        process_group: each process calls this with its shard of the rows.
        stop: asked after each step whether to write a checkpoint and end.
        watch: called after each step; it ends training, without a checkpoint, by raising an exception.

    Raises:
        NonFiniteLossError: a loss or a gradient is NaN or infinite; the weights are those before that step.
        TrainingInterruptedError: ``stop`` said so.
        ValueError: there is no batch to train on.
    """
    state = begin(module, rows, config, process_group or ProcessGroup(), held_out)
    _resume(state, checkpoints, report)
    due = _Clock(config.training.checkpoint)
    for batch in state.meter.timed(_batches(rows, state, config)):
        losses = take_step(state, batch, config)
        trained, stopped, written = state.process_group.sum_counts(len(batch), stop(), due(state.step))
        state.rows += trained
        state.meter.add(trained, losses)
        if state.stopping is not None and state.stopping.due(state.step):
            state.stopping.evaluate(state.step, module, state.average, state.bf16)
        if state.step == 1 or state.step % config.training.log_every_steps == 0:
            _report(state, report)
        if checkpoints is not None and (stopped or written):
            _write(state, checkpoints)
            due = _Clock(config.training.checkpoint)
        if stopped:
            raise _interrupted(state, checkpoints)
        watch(state)
    if state.step == 0:
        raise ValueError("training set: fewer than two rows, so there is no batch to train on")
    if state.meter.count:
        _report(state, report)
    _end(state, checkpoints)
    return state


def _batches(rows: BatchSource, state: TrainState, config: RecapConfig) -> Iterator[RecapBatch]:
    """The batches that are left, from where the state stands."""
    for epoch in range(state.epoch, config.training.epochs):
        state.batch = state.batch if epoch == state.epoch else 0
        state.epoch = epoch
        for batch in rows.batches(epoch, state.batch):
            stop_early = state.stopping is not None and state.stopping.patience_exhausted
            if stop_early or state.step == config.training.max_steps:
                return
            state.batch += 1
            # Batch norm has no variance of a single row; it can only be the last one of an epoch.
            if len(batch) > 1:
                yield batch


def _resume(state: TrainState, checkpoints: Checkpoints | None, report: Report) -> None:
    saved = checkpoints and checkpoints.read_newest(mapped=state.tables is not None)
    if checkpoints and saved:
        try:
            state.load_state_dict(saved)
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise ValueError(
                f"{checkpoints.folder}: its newest checkpoint is not of this training "
                f"({type(error).__name__}: {first_reason(error)}); remove the folder, and training starts anew"
            ) from None
    steps = state.process_group.gather(state.step)
    if min(steps) != max(steps):
        # Each would wait for the others in another step, for ever.
        raise ValueError(
            f"checkpoints: the processes see those of steps {min(steps)} to {max(steps)}; they are to lie in one "
            "folder that all nodes see (RECAP_CHECKPOINTS)"
        )
    if not saved:
        return
    log.info("event=resume step=%d epoch=%d rows=%d", state.step, state.epoch, state.rows)
    for progress in state.reports:
        report(progress)


def _report(state: TrainState, report: Report) -> None:
    rates = _learning_rates(state.optimizer)
    held_out = state.stopping.last if state.stopping is not None else {}
    progress = state.meter.read(state.step, state.epoch, state.rows, rates, held_out)
    state.reports.append(progress)
    report(progress)


def _write(state: TrainState, checkpoints: Checkpoints) -> None:
    content = state.state_dict()
    if state.process_group.rank == 0:
        checkpoints.write(state.step, content)


def _interrupted(state: TrainState, checkpoints: Checkpoints | None) -> TrainingInterruptedError:
    where = "there is no checkpoint of it"
    if checkpoints is not None:
        checkpoints.finish()
        where = f"the checkpoint in {checkpoints.folder} has all of it; run the step again to go on"
    return TrainingInterruptedError(f"asked to stop after step {state.step}; {where}")


def _end(state: TrainState, checkpoints: Checkpoints | None) -> None:
    """Finish: apply the EMA, restore the best weights, gather sharded tables."""
    if checkpoints is not None:
        checkpoints.finish()
    if state.stopping is not None and not state.stopping.due(state.step):
        state.stopping.evaluate(state.step, state.module, state.average, state.bf16)
    if state.average is not None:
        state.average.copy_to(state.module.model)
    if state.stopping is not None:
        state.stopping.restore_best(state.module)
        log.info("event=best held_out_loss=%.6f step=%d", state.stopping.loss, state.stopping.step)
    if state.tables is not None:
        state.tables.unshard()
    state.module.eval()


def _learning_rates(optimizer: Stepper) -> dict[str, float]:
    return {
        "embedding tables" if group.get("tables") else group["task"] or "shared": group["lr"]
        for group in optimizer.param_groups
    }


class _Clock:
    """Decides after which step a checkpoint is due."""

    def __init__(self, config: CheckpointConfig):
        self._config = config
        self._began = time.monotonic()

    def __call__(self, step: int) -> bool:
        if self._config.every_steps is not None:
            return step % self._config.every_steps == 0
        return time.monotonic() - self._began >= 60 * self._config.every_minutes
