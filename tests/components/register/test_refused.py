"""Inputs of which no version is registered."""

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

from components.common import registry
from components.common.artifacts.registered_version import RegisteredVersion
from tests.components.registries import NAME, Inputs, new_registry, register, run_outputs


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
