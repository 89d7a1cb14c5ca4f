"""Registering: one version for each run, with its lineage, and no alias without a proof."""

import dataclasses
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import mlflow.data
import pandas as pd
import pytest

from components.common import registry
from components.common.artifacts.registered_version import RegisteredVersion
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import check_validated
from components.common.html.charts import Axis, Bar, bar_chart
from components.common.html.render import render
from components.common.html.tables import Table
from components.common.registry import RegistryError
from components.common.registry.load_test.check import load_and_score
from components.register.register import register_version
from recap_model.data.dataset.manifest import DatasetManifest
from tests.components.registries import NAME, PROOF, TRAINED, Inputs, new_registry, register, run_outputs

STEPS = ("resolve", "validate", "prepare", "train", "calibrate", "evaluate")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="module")
def uri(place: Path) -> str:
    return new_registry(place / "workspace")


@pytest.fixture(scope="module")
def inputs(place: Path, uri: str) -> Inputs:
    return run_outputs(place / "run", uri)


@pytest.fixture(scope="module")
def version(place: Path, inputs: Inputs) -> RegisteredVersion:
    return register(inputs, place / "version")


@pytest.fixture(scope="module")
def client(uri: str):
    return registry.connect(uri)


@pytest.fixture
def proven(monkeypatch) -> None:
    """Proofs take seconds; where they are not the subject they are taken for granted."""
    monkeypatch.setattr("components.register.register.load_and_score", lambda *_: PROOF)


def test_a_version_is_registered_with_its_lineage(version: RegisteredVersion, inputs: Inputs, client):
    tags = registry.get_version(client, NAME, version.version).tags
    decision = json.loads((inputs.evaluation / "decision.json").read_text())
    assert tags["recap.pipeline_run"] == "run-1"
    assert tags["recap.window"] == "2026-03-01..2026-03-02"
    assert tags["recap.decision_digest"] == decision["digest"] == version.decision_digest
    assert tags["recap.outcome"] == "PROMOTE"
    assert tags["recap.compared_with"] == "none"
    assert tags["recap.proof"] == "passed"
    assert len(tags) == 7
    lineage = json.loads(registry.fetch_file(client, NAME, version.version, registry.LINEAGE_PATH))
    frozen = check_validated(inputs.validated, Snapshot.read(inputs.snapshot)[0])
    assert lineage["data_digest"] == frozen.data_digest != decision["snapshot"]
    assert lineage["images"] is None


def test_the_data_sets_are_mlflows_own_with_name_source_and_digest(
    version: RegisteredVersion, inputs: Inputs, client
):
    logged = client.get_run(version.run_id).inputs.dataset_inputs
    found = {one.tags[0].value: one.dataset for one in logged}
    assert {context: one.digest for context, one in found.items()} == {
        "training": "t",
        "test": DatasetManifest.read(inputs.test_set).fingerprint[:36],
    }
    snapshot, _ = Snapshot.read(inputs.snapshot)
    assert found["test"].name == "tiny test"
    assert mlflow.data.get_source(found["test"]).uri == snapshot.data_root
    assert json.loads(found["test"].profile)["rows"] == DatasetManifest.read(inputs.test_set).rows


def test_the_lineage_names_images_and_parent_and_where_the_scores_stay(tmp_path: Path, monkeypatch, proven):
    images = json.dumps({"trainer": "registry.example/recap-trainer@sha256:0"})
    monkeypatch.setenv("RECAP_IMAGES", images)
    uri = new_registry(tmp_path / "workspace")
    inputs = run_outputs(tmp_path / "run", uri, warm_start="tiny version 4")
    places = (inputs.snapshot, inputs.model, inputs.evaluation, inputs.validated, inputs.test_set)
    register_version(*places, tmp_path / "version", evaluation_uri="s3://bucket/run/evaluation")
    lineage = json.loads(registry.fetch_file(registry.connect(uri), NAME, "1", registry.LINEAGE_PATH))
    assert lineage["images"] == json.loads(images)
    assert lineage["parent"] == "tiny version 4"
    assert lineage["scores"] == "s3://bucket/run/evaluation/scores.parquet"


def test_each_step_is_a_run_nested_in_the_pipelines(version: RegisteredVersion, client):
    run = client.get_run(version.run_id)
    wanted = f"tags.`mlflow.parentRunId` = '{version.run_id}'"
    children = {child.info.run_name: child for child in client.search_runs([run.info.experiment_id], wanted)}
    assert tuple(sorted(children)) == tuple(sorted(STEPS))
    assert {child.info.status for child in children.values()} == {"FINISHED"}
    assert children["resolve"].data.metrics["rows"] == 100
    assert children["validate"].data.params["drift"] == "drifted"
    assert children["validate"].data.metrics["columns_drifted"] == 2
    assert children["train"].data.metrics["losses/like"] == TRAINED["losses"]["like"]
    assert children["evaluate"].data.params["outcome"] == "PROMOTE"
    assert children["evaluate"].data.metrics["auc/like"] == 0.75


def test_the_proof_is_of_a_fresh_process_and_measures_it(version: RegisteredVersion):
    assert version.proof.rows == 50
    assert version.proof.worst_difference <= 1e-5
    assert version.proof.load_s > 0
    assert version.proof.peak_memory_mib > 50


def test_a_proven_version_is_candidate(version: RegisteredVersion, client):
    assert registry.aliases(client, NAME) == {"candidate": version.version}


def test_the_mlflow_run_has_finite_headline_metrics_and_the_report(version: RegisteredVersion, client):
    run = client.get_run(version.run_id)
    assert run.data.metrics["auc/like"] == 0.75
    assert "auc/reply" not in run.data.metrics
    assert run.info.status == "FINISHED"
    assert {item.path for item in client.list_artifacts(version.run_id)} == {"model", "reports"}
    assert {item.path for item in client.list_artifacts(version.run_id, "model/evaluation")} == {
        f"model/evaluation/{name}" for name in ("decision.json", "metrics.json", "report.html")
    }


def test_a_version_lists_every_file_of_the_log_that_it_comes_from(
    version: RegisteredVersion, client, tmp_path: Path
):
    folder = registry.fetch(client, NAME, version.version, tmp_path)
    snapshot = Snapshot.model_validate_json((folder / registry.SNAPSHOT_PATH).read_text())
    files = [file for part in snapshot.partitions for file in part.files]
    assert len(files) == 2
    for file in files:
        content = (Path(snapshot.data_root) / file.path).read_bytes()
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_the_mlflow_run_has_trainings_curves_and_the_other_steps_pages(tmp_path: Path, proven):
    uri = new_registry(tmp_path / "workspace")
    inputs = run_outputs(tmp_path / "run", uri)
    page = tmp_path / "curves"
    drawn = bar_chart("loss <now>", [Bar("like", 0.5)], Axis("loss"))
    page.write_text(
        render(
            "tests.components.common.html/page.html",
            title="curves",
            lead="",
            table=Table((), ()),
            charts=[drawn],
        )
    )
    places = (inputs.snapshot, inputs.model, inputs.evaluation, inputs.validated, inputs.test_set)
    version = register_version(*places, tmp_path / "version", {"training": page})
    client = registry.connect(uri)
    (loss,) = client.get_metric_history(version.run_id, "train/losses/like")
    assert (loss.step, loss.value) == (TRAINED["step"], TRAINED["losses"]["like"])
    assert client.get_run(version.run_id).data.metrics["train/learning_rates/shared"] == 0.01
    assert {item.path for item in client.list_artifacts(version.run_id, "reports")} == {
        "reports/evaluation.html",
        "reports/training.html",
    }
    (figure,) = client.list_artifacts(version.run_id, "figures")
    assert figure.path == "figures/training-01.svg"
    file = Path(client.download_artifacts(version.run_id, figure.path, str(tmp_path)))
    assert ElementTree.parse(file).getroot().get("width") == "600"
    described = client.get_model_version(NAME, version.version).description
    assert described == client.get_run(version.run_id).data.tags["mlflow.note.content"]
    image = f"get-artifact?path=figures%2Ftraining-01.svg&run_uuid={version.run_id}"
    assert described.endswith(f"**loss &lt;now&gt;**\n\n![]({image})")
    assert f"/runs/{version.run_id}/artifacts/reports/evaluation.html)" in described


def test_the_proof_holds_the_version_to_the_scores_that_evaluate_gave(
    version: RegisteredVersion, inputs: Inputs, client, tmp_path: Path
):
    folder = registry.fetch(client, NAME, version.version, tmp_path / "to")
    stored = pd.read_parquet(folder / "proof" / "scores.parquet")
    judged = pd.read_parquet(inputs.evaluation / "scores.parquet")
    assert stored["like"].tolist() == judged["candidate/like"].tolist()
    assert stored["score"].tolist() == judged["score/candidate"].tolist()


@pytest.mark.usefixtures("proven")
def test_scores_of_other_rows_than_the_test_sets_register_nothing(tmp_path: Path):
    inputs = run_outputs(tmp_path / "run", new_registry(tmp_path / "workspace"))
    path = inputs.evaluation / "scores.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    with pytest.raises(ValueError, match=r"scores.parquet: has scores of 49 rows, the test set of 50"):
        register(inputs, tmp_path / "version")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="run evaluate again"):
        register(inputs, tmp_path / "version")


@pytest.mark.usefixtures("proven")
def test_a_version_holds_an_onnx_graph_if_the_config_asks_for_one(tmp_path: Path):
    uri = new_registry(tmp_path / "workspace")
    version = register(run_outputs(tmp_path / "run", uri, onnx=True), tmp_path / "version")
    folder = registry.fetch(registry.connect(uri), NAME, version.version, tmp_path / "to")
    assert (folder / registry.ONNX_PATH).stat().st_size > 1000


def test_artifacts_lie_in_the_workspace(version: RegisteredVersion, client, place: Path):
    source = client.get_model_version_download_uri(NAME, version.version)
    assert source.startswith((place / "workspace" / "artifacts").as_uri())


def test_version_json_reads_back(version: RegisteredVersion, place: Path):
    assert RegisteredVersion.read(place / "version") == version
    with pytest.raises(FileNotFoundError, match="run register again"):
        RegisteredVersion.read(place)


def test_registering_twice_gives_one_version(
    version: RegisteredVersion, inputs: Inputs, client, tmp_path: Path
):
    assert register(inputs, tmp_path / "again") == version
    assert len(registry.versions(client, NAME)) == 1


def test_a_version_loads_elsewhere_with_its_own_code(version: RegisteredVersion, client, tmp_path: Path):
    folder = registry.fetch(client, NAME, version.version, tmp_path / "to")
    code = (
        f"import mlflow.pyfunc; mlflow.pyfunc.load_model({str(folder)!r}); "
        "import recap_model, recap_model.serving as loader; "
        "print(recap_model.__file__); print(loader.__file__)"
    )
    command = [sys.executable, "-P", "-W", "ignore", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert all(line.startswith(str(folder)) for line in done.stdout.splitlines())


def test_a_run_does_not_register_a_second_decision(
    version: RegisteredVersion, place: Path, uri: str, tmp_path: Path
):
    changed = run_outputs(tmp_path / "run", uri, outcome="HOLD")
    with pytest.raises(ValueError, match="run run-1 registered it with another decision"):
        register(changed, tmp_path / "version")
    assert not (tmp_path / "version").exists()


def test_a_decision_on_another_model_is_refused(inputs: Inputs, uri: str, tmp_path: Path):
    other = run_outputs(tmp_path / "run", uri, seed=1)
    mixed = dataclasses.replace(inputs, model=other.model)
    with pytest.raises(ValueError, match="its decision is on another model"):
        register(mixed, tmp_path / "version")


def test_a_decision_of_another_run_is_refused(inputs: Inputs, uri: str, tmp_path: Path):
    other = run_outputs(tmp_path / "run", uri, run_id="run-9")
    mixed = dataclasses.replace(inputs, model=other.model, evaluation=other.evaluation)
    with pytest.raises(ValueError, match="its decision is of run run-9, the snapshot of run run-1"):
        register(mixed, tmp_path / "version")


def test_an_evaluation_without_its_report_registers_nothing(tmp_path: Path):
    uri = new_registry(tmp_path / "workspace")
    inputs = run_outputs(tmp_path / "run", uri)
    (inputs.evaluation / "report.html").unlink()
    with pytest.raises(FileNotFoundError, match=r"report\.html"):
        register(inputs, tmp_path / "version")
    assert registry.versions(registry.connect(uri), NAME) == []


@pytest.mark.usefixtures("proven")
def test_rejected_runs_have_a_version_too_and_the_newest_is_candidate(tmp_path: Path):
    uri = new_registry(tmp_path / "workspace")
    first = run_outputs(tmp_path / "1", uri, "run-1", "HOLD")
    second = run_outputs(tmp_path / "2", uri, "run-2", "ERROR")
    register(first, tmp_path / "1" / "version")
    register(second, tmp_path / "2" / "version")
    client = registry.connect(uri)
    assert [found.tags["recap.outcome"] for found in registry.versions(client, NAME)] == ["ERROR", "HOLD"]
    register(first, tmp_path / "1" / "version")
    assert registry.aliases(client, NAME) == {"candidate": "2"}


class _Killed(BaseException):
    """Stands for a process that ends at once."""


CALLS = (
    "create_experiment",
    "create_run",
    "log_batch",
    "log_artifacts",
    "create_registered_model",
    "create_model_version",
)
LATE_CALLS = ("set_model_version_tag", "set_registered_model_alias", "set_terminated")


@pytest.mark.usefixtures("proven")
@pytest.mark.parametrize("call", [*CALLS, *LATE_CALLS])
@pytest.mark.parametrize("done", [False, True], ids=["before", "after"])
def test_killed_at_any_call_and_run_again_there_is_one_version(
    call: str, done: bool, tmp_path: Path, monkeypatch
):
    from mlflow import MlflowClient

    uri = new_registry(tmp_path / "workspace")
    inputs = run_outputs(tmp_path / "run", uri)
    real = getattr(MlflowClient, call)

    def killed(*args, **kwargs):
        if done:
            real(*args, **kwargs)
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, call, killed)
        with pytest.raises(_Killed):
            register(inputs, tmp_path / "version")
    assert not (tmp_path / "version").exists()
    register(inputs, tmp_path / "version")
    client = registry.connect(uri)
    assert [str(found.version) for found in registry.versions(client, NAME)] == ["1"]
    experiment = client.get_experiment_by_name("tiny").experiment_id
    nested = [run.data.tags.get("mlflow.parentRunId") for run in client.search_runs([experiment])]
    assert len(nested) == 1 + len(STEPS)
    assert len(set(nested)) == 2
    assert registry.aliases(client, NAME) == {"candidate": "1"}
    registry.fetch(client, NAME, "1", tmp_path / "to")


def test_a_version_that_fails_its_proof_has_no_alias_and_fails_the_step(tmp_path: Path, monkeypatch):
    uri = new_registry(tmp_path / "workspace")
    inputs = run_outputs(tmp_path / "run", uri)
    real = pd.DataFrame.to_parquet

    def shifted(frame: pd.DataFrame, path: Path) -> None:
        real(frame + 1e-3, path)

    with monkeypatch.context() as patched:
        patched.setattr(pd.DataFrame, "to_parquet", shifted)
        with pytest.raises(
            RegistryError, match=r"tiny version 1: scores after loading differ from .* by 0\.001"
        ) as raised:
            register(inputs, tmp_path / "version")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "version").exists()
    client = registry.connect(uri)
    assert registry.aliases(client, NAME) == {}
    found = registry.get_version(client, NAME, "1")
    assert found.tags["recap.proof"].startswith("failed: tiny version 1: scores after loading differ")
    assert client.get_run(found.run_id).info.status == "FAILED"


def test_a_version_that_was_altered_by_a_byte_fails_its_proof(version: RegisteredVersion, client):
    source = Path(client.get_model_version_download_uri(NAME, version.version).removeprefix("file://"))
    weights = source / registry.MODEL_PATH / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        with pytest.raises(
            RegistryError, match=r"tiny version 1: data/model/weights.safetensors was altered"
        ):
            load_and_score(client, NAME, version.version)
    finally:
        weights.write_bytes(content)


def test_a_version_with_the_loader_of_the_release_before_is_proven(
    version: RegisteredVersion, client, tmp_path: Path
):
    folder = registry.fetch(client, NAME, version.version, tmp_path / "to")
    for guard in list(folder.rglob("__pycache__")):
        guard.unlink()
    loader = folder / "code" / "components" / "register" / "pyfunc.py"
    loader.parent.mkdir(parents=True)
    (folder / "code" / "recap_model" / "serving.py").rename(loader)
    for package in (loader.parent, loader.parents[1]):
        (package / "__init__.py").touch()
    description = (folder / "MLmodel").read_text()
    (folder / "MLmodel").write_text(description.replace("recap_model.serving", "components.register.pyfunc"))
    tags = {registry.DIGEST_TAG: registry.write_digests(folder)}
    client.create_registered_model("older")
    client.create_model_version("older", folder.as_uri(), tags=tags)
    subprocess.run([sys.executable, "-m", "compileall", "-q", folder / "code"], check=True)
    assert load_and_score(client, "older", "1").rows == version.proof.rows


def test_a_deleted_experiment_is_one_line(tmp_path: Path):
    uri = new_registry(tmp_path / "workspace")
    client = registry.connect(uri)
    client.delete_experiment(client.create_experiment("tiny"))
    with pytest.raises(ValueError, match=r"registry\.experiment: 'tiny' is deleted in MLflow; restore it"):
        register(run_outputs(tmp_path / "run", uri), tmp_path / "version")


def test_a_changed_decision_registers_nothing(inputs: Inputs, uri: str, tmp_path: Path):
    changed = run_outputs(tmp_path / "run", uri, run_id="run-5", outcome="HOLD")
    path = changed.evaluation / "decision.json"
    path.write_text(path.read_text().replace('"HOLD"', '"PROMOTE"'))
    with pytest.raises(ValueError, match="changed after it was decided"):
        register(changed, tmp_path / "version")


def test_metrics_that_are_none_are_refused_in_a_line(uri: str, tmp_path: Path):
    altered = run_outputs(tmp_path / "run", uri, run_id="run-6")
    (altered.evaluation / "metrics.json").write_text('{"tasks": []}')
    with pytest.raises(
        ValueError, match=r"metrics\.json: not what evaluate writes: tasks: .*; run evaluate again"
    ):
        register(altered, tmp_path / "version")


def test_a_version_whose_answer_got_lost_is_found_and_no_other_is_made(
    uri: str, client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    create = MlflowClient.create_model_version

    def lost(*arguments: Any, **fields: Any) -> None:
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
        create(*arguments, **fields)
        raise MlflowException("Read timed out.")

    monkeypatch.setattr(MlflowClient, "create_model_version", lost)
    before = registry.versions(client, NAME)
    made = register(run_outputs(tmp_path / "run", uri, run_id="run-7"), tmp_path / "version")
    after = registry.versions(client, NAME)
    assert [str(one.version) for one in after[: len(after) - len(before)]] == [made.version]
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "3"
