"""Progress in the MLflow run that is active."""

import json
import logging
from pathlib import Path

import pytest

from components.common.registry import connect
from components.train.train import train_model
from tests.components.registries import new_registry
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log

CONFIG = tiny_config(training={"batch_size": 64, "epochs": 2, "log_every_steps": 5})


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    folder = tmp_path_factory.mktemp("sets")
    return build_tiny(folder, CONFIG, write_tiny_log(folder / "log"))


def test_the_active_run_has_each_line_of_the_training_log_once(
    sets: TinySets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    uri = new_registry(tmp_path / "registry")
    client = connect(uri)
    run = client.create_run("0").info.run_id
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    # A second attempt tells of the steps of the first again.
    for attempt in ("first", "second"):
        train_model(sets.snapshot, sets.train, tmp_path / attempt)
    lines = [json.loads(line) for line in (tmp_path / "first/training.jsonl").read_text().splitlines()]
    logged = client.get_metric_history(run, "train/losses/like")
    assert {metric.step: metric.value for metric in logged} == {
        line["step"]: line["losses"]["like"] for line in lines
    }
    assert len(logged) == len(lines)
    assert len(client.get_metric_history(run, "train/learning_rates/shared")) == len(lines)


@pytest.mark.parametrize(("run", "server"), [("0" * 32, None), ("0" * 32, "http://127.0.0.1:9")])
def test_a_run_or_a_server_that_is_not_there_is_told_once_and_training_goes_on(
    run: str,
    server: str | None,
    sets: TinySets,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server or new_registry(tmp_path / "registry"))
    monkeypatch.setenv("MLFLOW_RUN_ID", run)
    with caplog.at_level(logging.WARNING):
        train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert len([record for record in caplog.messages if "event=not_logged" in record]) == 1
