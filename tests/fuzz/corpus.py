"""The corpus: valid examples of everything that is read from outside, in the folder of a pipeline's run."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import yaml
from tfrecord import TFRecordWriter

from components.common import registry
from components.common.registry.promotion.promotion_log import record_name
from components.train.train import train_model
from pipeline.cluster.settings import ClusterSettings
from pipeline.local.scoring import Source, score_files
from recap_model.config import load_config
from recap_model.training import Checkpoints
from tests import fork_server
from tests.chaos.harness import prepare_run
from tests.chaos.pipeline_run import PipelineRun
from tests.components.registries import NAME
from tests.components.serve.versions import write_stream
from tests.pipeline.importers import test_census, test_kuairand, test_movielens
from tests.tiny import FIRST_DAY, tiny_rows

CHECKPOINTS = "model.checkpoints"
ANSWER = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n{"done": true}'
OWN = [
    {"type": "expect_column_values_to_be_between", "kwargs": {"column": "likes", "min_value": 0}},
    {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "age_hours", "max_value": 99.0}},
    {
        "type": "expect_column_values_to_be_in_set",
        "kwargs": {"column": "position", "value_set": [0, 1, 2, 3, 4], "mostly": 0.9},
        "severity": "critical",
    },
    {"type": "expect_table_row_count_to_be_between", "kwargs": {"min_value": 1, "max_value": 10_000}},
    {
        "type": "expect_column_pair_values_a_to_be_greater_than_b",
        "kwargs": {"column_A": "impressed_ms", "column_B": "served_ms", "or_equal": True},
    },
]


def write_corpus(folder: Path) -> None:
    """Write the corpus, in processes that then end: a connection to a registry remembers its content."""
    prepare_run(folder)
    fork_server.call(_add, folder)


def _add(folder: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        _add_checkpoints(folder)
        _add_rows(folder)
        _add_registered(folder)
    config = load_config(folder / "config.yaml").model_dump(mode="json", exclude_none=True)
    drift = {"serving_log": str(folder / "serving" / "date=*" / "*.parquet")}
    _write(folder / "served.yaml", yaml.safe_dump({**config, "validation": {"drift": drift}}).encode())
    _write(folder / "cluster.yaml", yaml.safe_dump(ClusterSettings().model_dump(mode="json")).encode())
    _write(folder / "own.json", json.dumps(OWN).encode())
    _write(folder / "answer", ANSWER)
    (folder / "sources").mkdir()
    test_census.source(folder / "sources")
    test_kuairand.source(folder / "sources", test_kuairand.ROWS)
    test_movielens.source(folder / "sources", test_movielens.ROWS)
    writer = TFRecordWriter(str(folder / "sources" / "a.tfrecord"))
    for number in range(5):
        writer.write({"a": ([number, 2], "int"), "b": (0.5, "float"), "c": (b"x" * number, "byte")})
    writer.close()


def _add_checkpoints(folder: Path) -> None:
    """Those of a training that was interrupted before its model was written."""
    clear, Checkpoints.clear = Checkpoints.clear, Checkpoints.finish  # type: ignore[method-assign]
    try:
        train_model(folder / "given" / "snapshot", folder / "given" / "train", folder / "out" / "model")
    finally:
        Checkpoints.clear = clear  # type: ignore[method-assign]
    shutil.move(folder / "out" / CHECKPOINTS, folder / "kept")


def _add_rows(folder: Path) -> None:
    """Rows to score, of which one file is scored already; the log of what was served; a request."""
    for name, rows in (("input", 40), (f"serving/date={FIRST_DAY}", 40), ("request", 12)):
        (folder / name).mkdir(parents=True)
        for file in ("a", "b")[: 1 if name == "request" else 2]:
            pq.write_table(tiny_rows(FIRST_DAY, rows), folder / name / f"{file}.parquet")
    params = {"weights": {"like": 2.0, "reply": 0.5}}
    _write(folder / "request" / "params.json", json.dumps(params).encode())
    rows = pq.read_table(folder / "request" / "a.parquet", partitioning=None)
    shutil.copytree(folder / "request", folder / "body", ignore=shutil.ignore_patterns("*.json"))
    records = {"dataframe_records": rows.to_pylist(), "params": params}
    _write(folder / "body" / "a.json", json.dumps(records, default=str).encode())
    _write(folder / "body" / "a.arrow", write_stream(rows))
    source = Source(folder / "given" / "calibrated", "model")
    score_files(source, str(folder / "input"), folder / "scored", {}, lambda *_: None)
    (folder / "scored" / "b.parquet").unlink()


def _add_registered(folder: Path) -> None:
    """A version as MLflow hands it over, and the tags of all versions."""
    client = registry.connect(PipelineRun(folder).uri)
    shutil.move(registry.fetch(client, NAME, "1", folder / "out" / "fetched"), folder / "version")
    tags = {
        model: {str(one.version): dict(one.tags) for one in registry.versions(client, model)}
        for model in (NAME, record_name(NAME))
    }
    _write(folder / "tags.json", json.dumps(tags).encode())


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
