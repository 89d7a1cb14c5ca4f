"""The records of watched days: a file for each day among the artifacts of the version's MLflow run."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from components.common.artifacts.watch_record import WatchRecord
from components.common.registry.connection import RegistryError, first_line, registry_errors
from components.common.registry.run_metrics import Number, log_metrics
from recap_model.json_files import read_model

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FOLDER = "watch"


def read_watch_records(client: "MlflowClient", name: str, version: str, run_id: str) -> list[WatchRecord]:
    """All records of a version, by day, the oldest first.

    Raises RegistryError if the registry does not answer or a record was altered.
    """
    import mlflow.artifacts

    with registry_errors(client), tempfile.TemporaryDirectory(prefix="recap-watch-") as folder:
        paths = [item.path for item in client.list_artifacts(run_id, _FOLDER) if not item.is_dir]
        if not paths:
            return []
        try:
            local = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=_FOLDER, dst_path=folder, tracking_uri=client.tracking_uri
            )
            records = [read_model(path, WatchRecord, "watch") for path in sorted(Path(local).glob("*.json"))]
        except (ValueError, OSError) as error:
            raise RegistryError(
                f"{name} version {version}: a record of a watched day in its run's artifacts cannot be read "
                f"({first_line(str(error))}); delete the file, and watch that day again"
            ) from None
    return sorted((one for one in records if one.version == version), key=lambda one: one.day)


def write_watch_record(client: "MlflowClient", run_id: str, record: WatchRecord) -> None:
    """Store a record in place of an earlier one of its day, after its metrics by day. Idempotent."""
    with registry_errors(client):
        log_metrics(client, run_id, _numbers(record))
        client.log_text(run_id, record.model_dump_json(indent=1), f"{_FOLDER}/{record.day}.json")


def _numbers(record: WatchRecord) -> list[Number]:
    """What the MLflow run shows: each task's metrics and the evidence, by days since the version's newest."""
    named = {f"watch/{name}": value for name, value in record.evaluation.headline().items()}
    named["watch/evidence"] = record.decay.now
    return [(name, value, record.day_number) for name, value in named.items()]
