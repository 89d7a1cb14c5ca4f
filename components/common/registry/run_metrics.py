"""Training progress as metrics of an MLflow run, with the same names during training and after registration."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient

_METRICS_AT_ONCE = 1000

Number = tuple[str, float, int]


def training_metrics(record: Mapping[str, Any]) -> Iterator[Number]:
    """Name, value and step of each number in a record of the training log."""
    step = record["step"]
    yield "train/loss", record["loss"], step
    yield "train/rows_per_s", record["rows_per_s"], step
    for name in ("held_out_loss", "gradient_norm"):
        if record.get(name) is not None:
            yield f"train/{name}", record[name], step
    for name in ("losses", "learning_rates"):
        for task, number in record[name].items():
            yield f"train/{name}/{task}", number, step


def log_metrics(client: "MlflowClient", run_id: str, metrics: Iterable[Number]) -> None:
    """Log metrics by name and step; idempotent."""
    from mlflow.entities import Metric

    # MLflow keeps one of several equal entries, so a retry uses the first attempt's timestamp.
    timestamp = client.get_run(run_id).info.start_time
    entries = [Metric(name, float(number), timestamp, step) for name, number, step in metrics]
    for start in range(0, len(entries), _METRICS_AT_ONCE):
        client.log_batch(run_id, metrics=entries[start : start + _METRICS_AT_ONCE])
