"""Names of all kinds go through a whole run: the steps, pages, MLflow, files of scores, an ONNX graph."""

import html
from pathlib import Path

import onnxruntime
import pyarrow.parquet as pq
import pytest

from components.calibrate.calibrate import calibrate_model
from components.common.registry import connect, default_tracking_uri
from components.evaluate.evaluate import evaluate_model
from components.prepare.prepare import prepare_datasets
from components.promote.promote import promote_version
from components.register.register import register_version
from components.resolve.resolve import resolve_run
from components.train.train import train_model
from components.validate.validate import validate_snapshot
from pipeline.local.scoring import find_model, score_files
from recap_model.config import RecapConfig, parse_config
from tests.components.registries import new_registry
from tests.tiny import sparse_config, with_lists, write_tiny_log

pytestmark = pytest.mark.slow

_COLUMNS = {
    "age_hours": "weight",
    "likes": "a b@c[0]%d'e\"f#g?h",
    "replies": "a.b",
    "has_video": "[/red]<b>&amp;",
    "position": "score",
    "topic": "thèmes/日本 `x` \\ $HOME {0}",
    "user_embedding": "type",
    "seen": "seen.by: one,two;*",
    "request_id": "a",
    "user_id": "-1=x",
    "post_id": "date",
    "impressed_ms": "label/score",
    "served_ms": "*",
    "engaged_ms": "x" * 500,
    "like": "like?",
    "reply": "metadata",
}
_TASKS = {"like": "shared", "reply": "a/b: c-d.é 1"}
_SLICE = "new [bold] ' \" / <i>"
_MODEL = "tiny [v1] (é)+&."


def _config() -> RecapConfig:
    content = sparse_config().model_dump(mode="json", exclude_none=True)
    features = content["features"]
    for group in ("continuous", "binary", "discrete", "sparse"):
        features[group] = [_COLUMNS[name] for name in features[group]]
    features["user_embedding"]["column"] = _COLUMNS["user_embedding"]
    features["derived"] = {"x/y [1]": {"kind": "ratio", "of": [_COLUMNS["likes"], _COLUMNS["replies"]]}}
    features["continuous"].append("x/y [1]")
    for kind in ("ids", "timestamps"):
        features[kind] = {key: _COLUMNS[name] for key, name in features[kind].items()}
    content["model"]["large_embeddings"]["tables"][0]["name"] = _COLUMNS["seen"]
    content["model"]["small_embeddings"] = {
        "tables": [
            {"name": "t.a/b 'c", "num_embeddings": 9, "embedding_dim": 2, "index": 1},
            {"name": "train", "num_embeddings": 9, "embedding_dim": 2, "index": 0, "min_count": 1},
        ]
    }
    content["model"]["stratifiers"] = [{"name": _SLICE, "index": 1, "value": 2}]
    content["tasks"] = {_TASKS[name]: {"label": _COLUMNS[name]} for name in _TASKS}
    content["evaluation"]["slices"] = [{"name": _SLICE, "column": _COLUMNS["topic"], "value": 2}]
    content["evaluation"]["gate"] |= {"min_slice_rows": 1, "floors": {"max_ece": 9.0}}
    content["calibration"]["on_one_class"] = "keep"
    inputs = [_COLUMNS[name] for name in ("age_hours", "likes", "replies", "has_video", "topic")]
    inputs = [_COLUMNS[name] for name in ("age_hours", "likes", "replies", "has_video", "topic")]
    content["validation"]["columns"] = {name: {"max_null_rate": 1.0} for name in inputs}
    expectation = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": _COLUMNS["likes"], "min_value": 0},
    }
    content["validation"]["expectations"] = [expectation]
    content["registry"] = {"model_name": _MODEL, "experiment": "tiny [x] 'y' %z", "onnx": True}
    content["training"]["epochs"] = 1
    return parse_config(content)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("names")
    write_tiny_log(folder / "log", days=5, rows=150)
    for path in (folder / "log").rglob("*.parquet"):
        rows = with_lists(pq.read_table(path))
        pq.write_table(rows.rename_columns([_COLUMNS[name] for name in rows.column_names]), path)
    (folder / "config.yaml").write_text(_config().to_yaml())
    uri = new_registry(folder / "registry")
    config, log = folder / "config.yaml", str(folder / "log")
    snapshot, validated, evaluation, version = (
        folder / name for name in ("snapshot", "validated", "evaluation", "version")
    )
    train, calibration, test = (folder / name for name in ("train", "calibration", "test"))
    resolve_run(config, log, snapshot, tracking_uri=uri, run_id="r1")
    validate_snapshot(snapshot, validated, folder / "data.html")
    prepare_datasets(snapshot, validated, train, calibration, test)
    train_model(snapshot, train, folder / "model", folder / "curves.html")
    calibrate_model(
        snapshot, folder / "model", calibration, folder / "calibrated", folder / "reliability.html"
    )
    evaluate_model(snapshot, folder / "calibrated", test, validated, evaluation, folder / "report.html")
    register_version(snapshot, folder / "calibrated", evaluation, validated, test, version)
    promote_version(version, evaluation, folder / "promotion")
    # The next run compares its log with the profile of this champion.
    resolve_run(config, log, folder / "next", tracking_uri=uri, run_id="r2")
    validate_snapshot(folder / "next", folder / "next_validated", folder / "drift.html")
    return folder


def test_pages_show_every_name_as_it_is(place: Path):
    config = _config()
    columns = [name for name in config.features.columns() if name not in config.features.sparse]
    pages = {path.stem: path.read_text() for path in place.glob("*.html")}
    shown = {name: html.unescape(page) for name, page in pages.items()}
    for page in ("data", "drift"):
        assert [name for name in columns if name not in shown[page]] == []
    for page in ("curves", "reliability", "report", "drift"):
        assert [task for task in config.tasks if task not in shown[page]] == []
    assert _SLICE in shown["report"]
    assert [name for name, page in pages.items() if _COLUMNS["has_video"] in page] == []


def test_scores_of_files_and_inputs_of_the_onnx_graph_have_the_log_s_names(place: Path):
    uri = default_tracking_uri(place / "registry")
    source = find_model(f"models:/{_MODEL}@champion", uri, place / "scratch")
    rows = next((place / "log").rglob("*.parquet"))
    score_files(source, str(rows), place / "scores", {}, lambda done, name: None)
    ids = [_COLUMNS[name] for name in ("request_id", "user_id", "post_id")]
    scores = pq.read_schema(place / "scores" / rows.name)
    assert scores.names == [*ids, *_TASKS.values(), "score"]
    graph = next((place / "registry").rglob("*.onnx"))
    inputs = {one.name for one in onnxruntime.InferenceSession(graph).get_inputs()}
    assert inputs == {"continuous", "binary", "discrete", "user_embedding", _COLUMNS["seen"]}


def test_mlflow_has_a_metric_for_each_task(place: Path):
    client = connect(default_tracking_uri(place / "registry"))
    run = client.get_run(client.get_model_version(_MODEL, "1").run_id)
    assert {f"auc/{task}" for task in _TASKS.values()} <= set(run.data.metrics)
