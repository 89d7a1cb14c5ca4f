"""What a step cost: time, CPU time, peak memory, rows per second, GPU hours; carried by an artifact's metadata.

The step's own process measures itself, so that it is the same on this machine and on a cluster. What the nodes of a
training job or Spark's executors use is not counted, but for the hours of GPUs.
"""

import resource
import time
from collections.abc import Mapping
from typing import Any

PREFIX = "cost/"
"""Of the metrics of a version's MLflow run: ``cost/STEP/FIGURE``."""

_UNITS = {
    "wall_s": "s",
    "cpu_s": "s CPU",
    "peak_memory_mib": "MiB",
    "rows_per_s": "rows/s",
    "gpu_hours": "GPU h",
}
_METADATA = "cost_"


class CostMeter:
    """Measures from its creation on.

    Attributes:
        rows: that the step read, if it counts them.
        gpus: that it held.
    """

    def __init__(self) -> None:
        self.rows: int | None = None
        self.gpus = 0
        self._began_s, self._cpu_s = time.monotonic(), _cpu_s()

    def figures(self) -> dict[str, float]:
        """The figures up to now; memory is of the largest process, also of those that have ended."""
        wall_s = time.monotonic() - self._began_s
        kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        figures = {
            "wall_s": round(wall_s, 3),
            "cpu_s": round(_cpu_s() - self._cpu_s, 3),
            "peak_memory_mib": round(max(resource.getrusage(kind).ru_maxrss for kind in kinds) / 1024, 1),
        }
        if self.rows is not None:
            figures["rows_per_s"] = round(self.rows / max(wall_s, 1e-3), 1)
        if self.gpus:
            figures["gpu_hours"] = round(self.gpus * wall_s / 3600, 4)
        return figures

    def metadata(self) -> dict[str, float]:
        """The figures, as metadata of an artifact."""
        return {f"{_METADATA}{name}": value for name, value in self.figures().items()}


def read_metadata(metadata: Mapping[str, Any]) -> dict[str, float]:
    """The figures in an artifact's metadata; empty without any."""
    return {
        name: float(metadata[f"{_METADATA}{name}"]) for name in _UNITS if f"{_METADATA}{name}" in metadata
    }


def cost_metrics(step: str, figures: Mapping[str, float]) -> list[tuple[str, float, int]]:
    """A step's figures as metrics of its version's MLflow run: name, value, 0."""
    return [(f"{PREFIX}{step}/{name}", value, 0) for name, value in figures.items()]


def read_metrics(metrics: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """The figures of each step among the metrics of an MLflow run, in the order of the steps' names there.

    >>> read_metrics({"auc/like": 0.7, "cost/train/wall_s": 5.0})
    {'train': {'wall_s': 5.0}}
    """
    steps: dict[str, dict[str, float]] = {}
    for name, value in metrics.items():
        if name.startswith(PREFIX):
            step, _, figure = name.removeprefix(PREFIX).partition("/")
            steps.setdefault(step, {})[figure] = value
    return steps


def describe(figures: Mapping[str, float]) -> str:
    """The figures in a line.

    >>> describe({"wall_s": 5.04, "cpu_s": 9.0, "rows_per_s": 1200.0})
    '5 s, 9 s CPU, 1,200 rows/s'
    """
    return ", ".join(f"{_round(figures[name])} {unit}" for name, unit in _UNITS.items() if name in figures)


def _round(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or abs(value - round(value)) < 0.05 else f"{value:,.2g}"


def _cpu_s() -> float:
    """CPU time of this process and of its children that have ended."""
    used = [resource.getrusage(kind) for kind in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
