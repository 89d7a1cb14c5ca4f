"""Register a run's model as a version with lineage and artifacts, and load-test it."""

import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from components.common import registry
from components.common.artifacts.decision import DECISION_NAME
from components.common.artifacts.evaluation import METRICS_NAME, REPORT_NAME, SCORES_NAME
from components.common.artifacts.registered_version import VERSION_NAME, LoadTestResult, RegisteredVersion
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import RESULT_NAME
from components.common.registry.load_test.check import LoadTestProcess, load_and_score, store_rows
from components.common.registry.load_test.record import read_load_test, record_failure, record_load_test
from components.common.registry.run_metrics import log_metrics
from components.common.runtime.atomic_output import atomic_directory
from components.common.runtime.cost import CostMeter, cost_metrics
from components.common.runtime.step import progress
from components.common.storage.parquet import open_parquet
from components.register.load_test_rows import scored_rows
from components.register.package import package
from components.register.run_outputs import RunOutputs, read_outputs
from components.register.tracking import start_run
from recap_model import export_onnx, load_model
from recap_model.scoring import history_columns

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_PROOF_ROWS = 200
_EXAMPLE_ROWS = 3
_CREATED_WITHIN_S = 60
_FROM_EVALUATION = (REPORT_NAME, METRICS_NAME, DECISION_NAME)
_DESCRIPTION = (
    "A version for each run of the pipeline, including rejected ones. The alias champion is the one in production. "
    "Move it with recap promote or recap rollback only, which check the version and record the promotion."
)
_PROFILE_FOLDER, _PROFILE_NAME = registry.PROFILE_PATH.split("/")
_PROFILES = (_PROFILE_NAME, RESULT_NAME)

log = logging.getLogger(__name__)


def register_version(
    snapshot: str | Path,
    model: str | Path,
    evaluation: str | Path,
    validated: str | Path,
    test_set: str | Path,
    out: str | Path,
    reports: Mapping[str, str | Path] | None = None,
    evaluation_uri: str | None = None,
    costs: Mapping[str, Mapping[str, float]] | None = None,
    meter: CostMeter | None = None,
    ahead: LoadTestProcess | None = None,
) -> RegisteredVersion:
    """Register the model, for any outcome of its decision, and load-test the version.

    Idempotent: a run has one version, and a repeated or interrupted registration resumes from what exists. The newest
    version that passed its load test gets the alias ``candidate``.

    Args:
        reports: pages of the other steps, by name, for the MLflow run.
        evaluation_uri: the evaluation's permanent location; its path if not given.
        costs: of the steps before, by their names, as `CostMeter` measures them.
        meter: of this step.
        ahead: a process for the load test, which imports what the version requires while the version is made.

    Raises:
        FileNotFoundError: an input is missing or incomplete.
        ValueError: the registry does not answer, the run already registered another decision, or the version failed
            its load test, so that it gets no alias.
    """
    run = read_outputs(snapshot, model, evaluation, validated, test_set, reports or {})
    client = registry.connect(run.snapshot.tracking_uri)
    registered = registry.find_version(client, run.name, run.snapshot.run_id)
    if registered is None:
        registered = _create(client, run, evaluation_uri or str(run.evaluation.resolve()))
    if registered.tags.get(registry.DECISION_TAG) != run.decision.digest:
        raise ValueError(
            f"{run.name} version {registered.version}: run {run.snapshot.run_id} registered it with another "
            "decision; start a new run, or give the evaluation that it was registered with"
        )
    progress(0.6, 1, f"load-testing version {registered.version}")
    load_test = _load_test(client, run.name, registered, ahead)
    _set_candidate(client, run.name, str(registered.version))
    spent = {**(costs or {}), **({"register": meter.figures()} if meter else {})}
    with registry.registry_errors(client):
        log_metrics(
            client, registered.run_id, [one for step in spent for one in cost_metrics(step, spent[step])]
        )
        client.set_terminated(registered.run_id)
    version = RegisteredVersion(
        name=run.name,
        version=str(registered.version),
        run_id=registered.run_id,
        pipeline_run=run.snapshot.run_id,
        tracking_uri=run.snapshot.tracking_uri,
        model_uri=f"models:/{run.name}/{registered.version}",
        model_digest=registered.tags[registry.DIGEST_TAG],
        decision_digest=run.decision.digest,
        proof=load_test,
        require_approval=run.config.registry.require_approval,
    )
    with atomic_directory(out) as folder:
        (folder / VERSION_NAME).write_text(version.model_dump_json(indent=1))
    log.info("name=%s version=%s outcome=%s", run.name, version.version, run.decision.outcome)
    return version


def _create(client: "MlflowClient", run: RunOutputs, evaluation_uri: str) -> "ModelVersion":
    """Log the run, then create its version with all tags in one call, so that no version lacks its lineage."""
    progress(0.1, 1, "packaging the model")
    with tempfile.TemporaryDirectory(prefix="recap-register-") as temporary:
        folder = Path(temporary) / "model"
        scores = f"{evaluation_uri.rstrip('/')}/{SCORES_NAME}"
        digest = _assemble(run, folder, scores)
        progress(0.4, 1, "uploading the version")
        with registry.registry_errors(client):
            run_id, description = start_run(client, run)
            client.log_artifacts(run_id, str(folder), "model")
            _create_registered_model(client, run.name)
            source = f"{client.get_run(run_id).info.artifact_uri}/model"
            tags = {**run.tags(), registry.DIGEST_TAG: digest}
            return _create_version(client, run, source, run_id, tags, description)


def _create_version(
    client: "MlflowClient", run: RunOutputs, source: str, run_id: str, tags: dict[str, str], description: str
) -> "ModelVersion":
    """Create a version without retries: if only the response was lost, a retry would create a second one."""
    from mlflow.exceptions import MlflowException

    try:
        with registry.patience(_CREATED_WITHIN_S, tries=1):
            return client.create_model_version(run.name, source, run_id, tags=tags, description=description)
    except MlflowException:
        registered = registry.find_version(client, run.name, run.snapshot.run_id)
        if registered is None:
            raise
        return registered


def _assemble(run: RunOutputs, folder: Path, scores: str) -> str:
    """Write the version's artifacts; returns their digest."""

    def add(inside: Path) -> None:
        store_rows(inside, *scored_rows(run, _PROOF_ROWS))
        for name in _FROM_EVALUATION:
            _copy(run.evaluation / name, inside / "evaluation" / name)
        _write(inside / registry.SNAPSHOT_PATH, run.snapshot.model_dump_json(indent=1))
        _write(inside / registry.LINEAGE_PATH, json.dumps(run.lineage(scores), indent=1))
        for name in _PROFILES:
            if (run.validated / name).is_file():
                _copy(run.validated / name, inside / _PROFILE_FOLDER / name)
        if run.config.registry.onnx:
            path = inside / registry.ONNX_PATH
            path.parent.mkdir()
            origin = {"model": run.name, "window": run.window, "pipeline_run": run.snapshot.run_id}
            export_onnx(load_model(run.model), path, origin)

    example = _example(run)
    return package(run.model, example, run.config, folder, add)


def _example(run: RunOutputs) -> pa.Table:
    """Rows of the log, with the model's feature columns; histories that prepare made are those of test rows."""
    features = run.config.features
    derived = [f"{name}.{key}" for name, made in features.derived_sequences.items() for key in made.columns]
    logged = [name for name in history_columns(features) if name not in derived]
    rows = _first_rows(run.snapshot, list(dict.fromkeys([*features.columns(), *logged])))
    if not derived:
        return rows
    tested, _ = scored_rows(run, _EXAMPLE_ROWS)
    rows = rows.slice(0, len(tested))
    for name in derived:
        rows = rows.append_column(name, tested.column(name).slice(0, len(rows)))
    return rows


def _write(target: Path, content: str) -> None:
    target.parent.mkdir(exist_ok=True)
    target.write_text(content)


def _copy(source: Path, target: Path) -> None:
    if not source.is_file():
        raise FileNotFoundError(f"{source}: not found; run the step that writes it again")
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)


def _first_rows(snapshot: Snapshot, columns: list[str]) -> pa.Table:
    """The first rows of the newest partition with rows."""
    for partition in reversed(snapshot.partitions):
        for file in partition.files:
            if not file.rows:
                continue
            with open_parquet(snapshot, file) as parquet:
                return pa.Table.from_batches([next(parquet.iter_batches(_EXAMPLE_ROWS, columns=columns))])
    raise ValueError("snapshot: its files have no rows; run resolve on a window with data")


def _create_registered_model(client: "MlflowClient", name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name, description=_DESCRIPTION)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


def _load_test(
    client: "MlflowClient", name: str, registered: "ModelVersion", ahead: LoadTestProcess | None
) -> LoadTestResult:
    """The version's load test: the recorded one, or a new one, whose outcome is recorded."""
    recorded = read_load_test(client, registered)
    if recorded is not None:
        return recorded
    try:
        result = load_and_score(client, name, str(registered.version), ahead)
    except registry.RegistryError as failure:
        record_failure(client, registered, failure)
        raise
    record_load_test(client, registered, result)
    return result


def _set_candidate(client: "MlflowClient", name: str, version: str) -> None:
    """Set the alias ``candidate`` to a version unless it has an alias, or a newer version is candidate."""
    held = registry.aliases(client, name)
    if version in held.values() or int(held.get("candidate", 0)) > int(version):
        return
    registry.move_alias(client, name, "candidate", version)
