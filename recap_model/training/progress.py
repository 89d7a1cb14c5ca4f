"""How far training is: losses, rates and speed between two reports."""

import time
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Progress:
    """Where training stands after a step, with means over the steps since the last report.

    ``learning_rates`` has the rate of each task's tower, and under ``shared`` that of what they share.
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
        self._totals: dict[str, Tensor] = {}
        self.count = 0
        self._rows = 0

    def add(self, rows: int, losses: dict[str, Tensor]) -> None:
        """Count a step's rows and its losses: ``loss``, and each task's under its name."""
        for name, loss in losses.items():
            self._totals[name] = self._totals[name] + loss if name in self._totals else loss
        self.count += 1
        self._rows += rows

    def read(self, step: int, epoch: int, rows: int, learning_rates: dict[str, float]) -> Progress:
        """The progress since the last reading; the next one starts from here."""
        means = {name: total.item() / self.count for name, total in self._totals.items()}
        now = time.perf_counter()
        progress = Progress(
            step=step,
            steps=self.steps,
            epoch=epoch,
            rows=rows,
            loss=means.pop("loss"),
            losses=means,
            learning_rates=learning_rates,
            rows_per_s=self._rows / max(now - self._since, 1e-9),
            seconds_left=(now - self._began) / step * (self.steps - step),
        )
        self._since, self._totals, self.count, self._rows = now, {}, 0, 0
        return progress
