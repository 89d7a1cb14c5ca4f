"""The state of training: everything that changes from step to step, and its checkpointing."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from recap_model.config import RecapConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.prefetch import BatchSource
from recap_model.distributed.batch_norm import convert_batch_norms
from recap_model.distributed.gather_tables import TableGatherer
from recap_model.distributed.process_group import ProcessGroup, use_global_loss
from recap_model.model.model_and_loss import ModelAndLoss
from recap_model.optim import Stepper, build_optimizer
from recap_model.optim.schedules import describe_unfinished_decay
from recap_model.training.early_stopping import EarlyStopping
from recap_model.training.ema import WeightAverage
from recap_model.training.precision import choose_bf16
from recap_model.training.progress import Meter, Progress

log = logging.getLogger(__name__)

Forward = Callable[[RecapBatch], tuple[Tensor, dict[str, Any]]]


@dataclass
class TrainState:
    """All that changes from step to step, and what a step is taken with.

    ``step`` counts optimizer steps, of the run's planned ``steps``, ``batch`` the batches read in this ``epoch``,
    ``rows`` the rows trained on, over all processes. ``forward`` calls ``module``, over all processes too.
    """

    module: ModelAndLoss
    forward: Forward
    optimizer: Stepper
    average: WeightAverage | None
    stopping: EarlyStopping | None
    meter: Meter
    device: torch.device
    bf16: bool
    process_group: ProcessGroup
    steps: int
    tables: TableGatherer | None = None
    epoch: int = 0
    batch: int = 0
    step: int = 0
    rows: int = 0
    reports: list[Progress] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values from which training goes on bit for bit; every process must call it.

        Sharded tables are gathered on rank 0 only.
        """
        state = {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "average": self.average and self.average.state_dict(),
            "stopping": self.stopping and self.stopping.state_dict(),
            "meter": self.meter.state_dict(),
            "position": {"epoch": self.epoch, "batch": self.batch, "step": self.step, "rows": self.rows},
            "reports": [asdict(report) for report in self.reports],
            "random": self.process_group.gather(_random_state(self.device)),
        }
        return state if self.tables is None else self.tables.gather_state(state, self.optimizer)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave, in as many processes or in others."""
        if self.tables is not None:
            state = self.tables.shard_state(state, self.optimizer)
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        if self.stopping is not None:
            self.stopping.load_state_dict(state["stopping"])
        for name, value in state["position"].items():
            setattr(self, name, value)
        self.meter.load_state_dict(state["meter"], self.step)
        self.reports = [Progress(**report) for report in state["reports"]]
        if self.process_group.rank < len(state["random"]):
            _set_random_state(state["random"][self.process_group.rank], self.device)

    def no_sync(self) -> contextlib.AbstractContextManager[Any]:
        """A block without gradient synchronisation (DDP's ``no_sync``)."""
        if isinstance(self.forward, DistributedDataParallel):
            return self.forward.no_sync()
        return contextlib.nullcontext()


def _compile(module: ModelAndLoss) -> None:
    """Let torch.compile fuse the net around tables with sparse gradients, which inductor does not lower."""
    for table in module.modules():
        if isinstance(table, nn.Embedding) and table.sparse:
            table.forward = torch.compiler.disable(table.forward)  # type: ignore[method-assign]
    module.compile()


def begin(
    module: ModelAndLoss,
    rows: BatchSource,
    config: RecapConfig,
    process_group: ProcessGroup,
    held_out: BatchSource | None = None,
) -> TrainState:
    """The state before the first step."""
    training = config.training
    device = next(module.parameters()).device
    early, decay = training.early_stopping, training.ema_decay
    forward: Forward = module.train()
    tables, steps = None, planned_steps(rows, config)
    reason = describe_unfinished_decay(config.optimizer, steps)
    if reason and process_group.rank == 0:
        log.warning("event=unfinished_decay reason=%r", reason)
    # Before the processes' wrapper is made, which has to know which gradients are sparse.
    optimizer = build_optimizer(module, config.optimizer)
    use_global_loss(module.loss_fn, process_group, -(-training.batch_size // process_group.size))
    if training.compile:
        _compile(module)
    if process_group.size > 1:
        convert_batch_norms(module)
        tables = TableGatherer(module, process_group)
        # Their gradients come from the rows of all processes, and no other process has those entries.
        DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(module, tables.names)
        forward = DistributedDataParallel(module)
        # Drop-out must not drop the same places in every process.
        torch.manual_seed(training.seed + process_group.rank)
    return TrainState(
        module=module,
        forward=forward,
        optimizer=optimizer,
        average=None if decay is None else WeightAverage(module.model, decay),
        stopping=None if early is None or held_out is None else EarlyStopping(early, held_out, process_group),
        meter=Meter(steps),
        device=device,
        bf16=choose_bf16(training, device, module),
        process_group=process_group,
        steps=steps,
        tables=tables if tables is not None and tables.names else None,
    )


def planned_steps(rows: BatchSource, config: RecapConfig) -> int:
    """Steps that training will take, if no batch is left out and it does not end early."""
    training = config.training
    planned = training.epochs * rows.steps
    return planned if training.max_steps is None else min(planned, training.max_steps)


def _random_state(device: torch.device) -> dict[str, Tensor]:
    state = {"cpu": torch.get_rng_state()}
    return state | {"cuda": torch.cuda.get_rng_state(device)} if device.type == "cuda" else state


def _set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
