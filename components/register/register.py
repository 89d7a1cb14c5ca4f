"""Register a run's model as one version of the registry: its lineage, its artifacts, and a proof that it loads."""

import hashlib
import json
import logging
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from components.artifacts import registry
from components.artifacts.decision import Decision
from components.artifacts.door import progress
from components.artifacts.log import open_parquet
from components.artifacts.model import MANIFEST_NAME as MODEL_MANIFEST_NAME
from components.artifacts.model import ModelManifest
from components.artifacts.output import whole_folder
from components.artifacts.proof import prove, store_rows
from components.artifacts.snapshot import Snapshot
from components.artifacts.version import VERSION_NAME, Proof, RegisteredVersion
from components.register.headline import headline_metrics
from components.register.package import package
from components.register.pyfunc import RecapPyfunc
from recap_model.config import RecapConfig

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_PROOF_ROWS = 200
_REPORT_NAME, _METRICS_NAME = "report.html", "metrics.json"
_FROM_EVALUATION = (_REPORT_NAME, _METRICS_NAME, "decision.json")
_PROFILES = ("profile.parquet", "verdict.json")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Run:
    """What is registered: one pipeline run's outputs."""

    snapshot: Snapshot
    config: RecapConfig
    decision: Decision
    model: Path
    evaluation: Path
    validated: Path

    @property
    def window(self) -> str:
        return f"{self.snapshot.first_day}..{self.snapshot.last_day}"

    @property
    def name(self) -> str:
        return self.config.registry.model_name

    def lineage(self) -> dict[str, str]:
        """Tags of the version, and of its MLflow run."""
        compared = self.decision.champion
        return {
            registry.PIPELINE_RUN_TAG: self.snapshot.run_id,
            registry.WINDOW_TAG: self.window,
            registry.OUTCOME_TAG: self.decision.outcome,
            registry.DECISION_TAG: self.decision.digest,
            "recap.data_digest": self.snapshot.digest,
            "recap.config_digest": self.snapshot.config_digest,
            "recap.source_revision": self.snapshot.source_revision,
            registry.COMPARED_TAG: compared.version if compared else "none",
        }


def register_version(
    snapshot: str | Path, model: str | Path, evaluation: str | Path, validated: str | Path, out: str | Path
) -> RegisteredVersion:
    """Register the model, whatever the decision on it was, and prove that the version loads and scores.

    A run has one version: registering again, also after the process was killed anywhere in between, finds what
    is there and goes on from it. The newest version that passed its proof gets the alias ``challenger``.

    Raises:
        FileNotFoundError: an input is not a finished one.
        ValueError: the registry does not answer, the run already registered something else, or the version
            failed its proof; it then has no alias.
    """
    frozen, config = Snapshot.read(snapshot)
    run = _Run(frozen, config, Decision.read(evaluation), Path(model), Path(evaluation), Path(validated))
    _check_belongs(run)
    client = registry.connect(frozen.tracking_uri)
    found = registry.find_version(client, run.name, frozen.run_id) or _create(client, run)
    if found.tags.get(registry.DECISION_TAG) != run.decision.digest:
        raise ValueError(
            f"{run.name} version {found.version}: run {frozen.run_id} registered it with another decision; "
            "start a new run, or hand over the evaluation that it was registered with"
        )
    progress(0.6, 1, f"proving version {found.version}")
    proof = _prove(client, run.name, found)
    _set_challenger(client, run.name, str(found.version))
    with registry.in_one_line(client):
        client.set_terminated(found.run_id)
    version = RegisteredVersion(
        name=run.name,
        version=str(found.version),
        run_id=found.run_id,
        pipeline_run=frozen.run_id,
        tracking_uri=frozen.tracking_uri,
        model_uri=f"models:/{run.name}/{found.version}",
        model_digest=found.tags[registry.DIGEST_TAG],
        decision_digest=run.decision.digest,
        proof=proof,
    )
    with whole_folder(out) as folder:
        (folder / VERSION_NAME).write_text(version.model_dump_json(indent=1))
    log.info("name=%s version=%s outcome=%s", run.name, version.version, run.decision.outcome)
    return version


def _check_belongs(run: _Run) -> None:
    """Raise ValueError unless the decision is on this model, and on this snapshot's data."""
    ModelManifest.read(run.model)
    manifest = hashlib.sha256((run.model / MODEL_MANIFEST_NAME).read_bytes()).hexdigest()
    if run.decision.candidate != manifest:
        raise ValueError(
            f"{run.evaluation}: its decision is on another model than {run.model}; run evaluate on it"
        )
    if (run.decision.snapshot, run.decision.run_id) != (run.snapshot.digest, run.snapshot.run_id):
        raise ValueError(
            f"{run.evaluation}: its decision is of run {run.decision.run_id}, the snapshot of run "
            f"{run.snapshot.run_id}; hand over outputs of one run"
        )


def _create(client: "MlflowClient", run: _Run) -> "ModelVersion":
    """Log the run, then create its version in one call, tags and all: it is there with its lineage or not at all."""
    progress(0.1, 1, "packaging the model")
    with tempfile.TemporaryDirectory(prefix="recap-register-") as temporary:
        folder = Path(temporary) / "model"
        digest = _assemble(run, folder)
        progress(0.4, 1, "uploading the version")
        with registry.in_one_line(client):
            run_id = _start_run(client, run)
            client.log_artifacts(run_id, str(folder), "model")
            client.log_artifact(run_id, str(run.evaluation / _REPORT_NAME))
            _create_registered_model(client, run.name)
            source = f"{client.get_run(run_id).info.artifact_uri}/model"
            tags = {**run.lineage(), registry.DIGEST_TAG: digest}
            return client.create_model_version(run.name, source, run_id, tags=tags)


def _assemble(run: _Run, folder: Path) -> str:
    """Everything that the version holds; returns the digest of it."""
    rows = _first_rows(run.snapshot, run.config.features.columns())
    scorer = RecapPyfunc(str(run.model))

    def add(inside: Path) -> None:
        store_rows(inside, rows, scorer.predict(rows))
        for name in _FROM_EVALUATION:
            _copy(run.evaluation / name, inside / "evaluation" / name)
        for name in _PROFILES:
            if (run.validated / name).is_file():
                _copy(run.validated / name, inside / "profile" / name)

    return package(run.model, rows, scorer.model.tasks, folder, add)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(f"{source}: not there; run the step that writes it again")
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)


def _first_rows(snapshot: Snapshot, columns: list[str]) -> pa.Table:
    """The first rows of the newest partition that has any."""
    for part in reversed(snapshot.partitions):
        for file in part.files:
            if not file.rows:
                continue
            with open_parquet(snapshot, file) as parquet:
                return pa.Table.from_batches([next(parquet.iter_batches(_PROOF_ROWS, columns=columns))])
    raise ValueError("snapshot: none of its files has a row; run resolve on a window with data")


def _start_run(client: "MlflowClient", run: _Run) -> str:
    """The MLflow run of this pipeline run, found or created, with parameters and metrics."""
    experiment = _experiment(client, run.config.registry.experiment, run.snapshot.tracking_uri)
    wanted = f"tags.`{registry.PIPELINE_RUN_TAG}` = '{run.snapshot.run_id}'"
    found = client.search_runs([experiment], wanted, max_results=1)
    if found:
        run_id = found[0].info.run_id
    else:
        created = client.create_run(experiment, run_name=f"{run.name} {run.window}", tags=run.lineage())
        run_id = created.info.run_id
    for name, value in _parameters(run).items():
        client.log_param(run_id, name, value)
    metrics = json.loads((run.evaluation / _METRICS_NAME).read_text())
    for name, number in headline_metrics(metrics).items():
        client.log_metric(run_id, name, number, step=0)
    return run_id


def _parameters(run: _Run) -> dict[str, object]:
    return {
        "window": run.window,
        "log_rows": run.snapshot.rows,
        "tasks": len(run.config.tasks),
        "batch_size": run.config.training.batch_size,
        "epochs": run.config.training.epochs,
        "seed": run.config.training.seed,
    }


def _experiment(client: "MlflowClient", name: str, tracking_uri: str) -> str:
    """The experiment's id; created, with a fixed place for its artifacts, if need be."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=registry.artifact_location(tracking_uri))
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            found = client.get_experiment_by_name(name)
    if found.lifecycle_stage != "active":
        raise ValueError(
            f"registry.experiment: {name!r} is deleted in MLflow; restore it with mlflow experiments restore "
            f"-x {found.experiment_id}, or name another one"
        )
    return found.experiment_id


def _create_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _prove(client: "MlflowClient", name: str, found: "ModelVersion") -> Proof:
    """The version's proof: the recorded one, or a new one, recorded on it whether it passes or not."""
    recorded = found.tags.get(registry.PROOF_TAG, "")
    if recorded.startswith("{"):
        return Proof.model_validate_json(recorded)
    try:
        proof = prove(client, name, str(found.version))
    except registry.RegistryError as failure:
        with registry.in_one_line(client):
            client.set_model_version_tag(name, found.version, registry.PROOF_TAG, f"failed: {failure}"[:5000])
            client.set_terminated(found.run_id, "FAILED")
        raise
    with registry.in_one_line(client):
        client.set_model_version_tag(name, found.version, registry.PROOF_TAG, proof.model_dump_json())
        for metric, number in proof.model_dump().items():
            client.log_metric(found.run_id, f"proof/{metric}", float(number), step=0)
    return proof


def _set_challenger(client: "MlflowClient", name: str, version: str) -> None:
    """Give a version the alias ``challenger`` unless it has an alias, or a newer one is challenger."""
    held = registry.aliases(client, name)
    if version in held.values() or int(held.get("challenger", 0)) > int(version):
        return
    registry.move_alias(client, name, "challenger", version)
