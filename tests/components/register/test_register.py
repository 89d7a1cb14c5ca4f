"""What a version and its MLflow run hold: lineage, data sets, metrics, pages."""

import hashlib
import json
from pathlib import Path
from xml.etree import ElementTree

import mlflow.data
import pytest

from components.common import registry
from components.common.artifacts.registered_version import RegisteredVersion
from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import check_validated
from components.common.html.charts import Axis, Bar, bar_chart
from components.common.html.render import render
from components.common.html.tables import Table
from components.register.register import register_version
from recap_model.data.dataset.manifest import DatasetManifest
from tests.components.registries import NAME, TRAINED, Inputs, new_registry, register, run_outputs

STEPS = ("resolve", "validate", "prepare", "train", "calibrate", "evaluate")


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
