"""Progress of training: losses, learning rates and throughput since the last report."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor

from recap_model.data.dataset.batch import RecapBatch

GRADIENT_NORM = "gradient norm"  # its name among a step's losses


@dataclass(frozen=True)
class Progress:
    """Where training stands after a step, with means over the steps since the last report.

    ``learning_rates`` has the rate of each task's tower, and under ``shared`` that of what they share.
    ``waiting`` is the fraction of time spent waiting for rows; ``gradient_norm`` the mean norm before clipping;
    ``held_out_loss`` and, by task, ``held_out_losses`` are the last evaluation of early stopping.
    """

    step: int
    steps: int
    epoch: int
    rows: int
    loss: float
    losses: dict[str, float]
    learning_rates: dict[str, float]
    rows_per_s: float
    seconds_left: float
    waiting: float = 0.0
    held_out_loss: float | None = None
    held_out_losses: dict[str, float] | None = None
    gradient_norm: float | None = None

    def line(self) -> str:
        """The progress in a few words."""
        minutes, seconds = divmod(round(self.seconds_left), 60)
        left = f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
        return (
            f"step {self.step}/{self.steps}, loss {self.loss:.4f}, {self.rows_per_s:,.0f} rows/s, {left} left"
        )


class Meter:
    """Adds up losses on the device, so that only a report waits for it."""

    def __init__(self, steps: int):
        self.steps = steps
        self._began = self._since = time.perf_counter()
        self._began_at = 0
        self._totals: dict[str, Tensor] = {}
        self._waited_s = 0.0
        self.count = 0
        self._rows = 0

    def timed(self, batches: Iterator[RecapBatch]) -> Iterator[RecapBatch]:
        """The same batches; the time until each is there counts as waiting."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self._waited_s += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    def add(self, rows: int, losses: dict[str, Tensor]) -> None:
        """Count a step's rows and its losses: ``loss``, each task's under its name, and `GRADIENT_NORM`."""
        for name, loss in losses.items():
            self._totals[name] = self._totals[name] + loss if name in self._totals else loss
        self.count += 1
        self._rows += rows

    def read(
        self,
        step: int,
        epoch: int,
        rows: int,
        learning_rates: dict[str, float],
        held_out: Mapping[str, float] = MappingProxyType({}),
    ) -> Progress:
        """The progress since the last reading; the next one starts from here."""
        means = {name: total.item() / self.count for name, total in self._totals.items()}
        norm = means.pop(GRADIENT_NORM, None)
        now = time.perf_counter()
        seconds = max(now - self._since, 1e-9)
        progress = Progress(
            step=step,
            steps=self.steps,
            epoch=epoch,
            rows=rows,
            loss=means.pop("loss"),
            losses=means,
            learning_rates=learning_rates,
            rows_per_s=self._rows / seconds,
            seconds_left=(now - self._began) / max(step - self._began_at, 1) * (self.steps - step),
            waiting=self._waited_s / seconds,
            held_out_loss=held_out.get("loss"),
            held_out_losses={name: loss for name, loss in held_out.items() if name != "loss"} or None,
            gradient_norm=norm,
        )
        self._since, self._totals, self.count, self._rows, self._waited_s = now, {}, 0, 0, 0.0
        return progress

    def state_dict(self) -> dict[str, Any]:
        """What was added since the last reading."""
        return {"totals": self._totals, "count": self.count, "rows": self._rows}

    def load_state_dict(self, state: dict[str, Any], step: int) -> None:
        """Go on from what `state_dict` gave after ``step``."""
        self._totals, self.count, self._rows = state["totals"], state["count"], state["rows"]
        self._began_at = step
