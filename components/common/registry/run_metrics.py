"""A training's progress as metrics of an MLflow run, by the same names while it runs and once it is registered."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

_METRICS_AT_ONCE = 1000

Number = tuple[str, float, int]


def curve(said: Mapping[str, Any]) -> Iterator[Number]:
    """Name, value and step of each number in a line of the training log."""
    step = said["step"]
    yield "train/loss", said["loss"], step
    yield "train/rows_per_s", said["rows_per_s"], step
    for group in ("losses", "learning_rates"):
        for task, number in said[group].items():
            yield f"train/{group}/{task}", number, step


def log_metrics(client: "MlflowClient", run_id: str, metrics: Iterable[Number]) -> None:
    """Log numbers by name and step, so that logging them again changes nothing."""
    from mlflow.entities import Metric

    # MLflow keeps one of several equal entries, so those of a second attempt have the first one's time.
    timestamp = client.get_run(run_id).info.start_time
    entries = [Metric(name, float(number), timestamp, step) for name, number, step in metrics]
    for start in range(0, len(entries), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=entries[start : start + _METRICS_AT_ONCE])
