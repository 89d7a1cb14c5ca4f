"""Registering twice, or after a kill at any call of the registry, gives one version."""

import os
from pathlib import Path
from typing import Any

import pytest

from components.common import registry
from components.common.artifacts.registered_version import RegisteredVersion
from tests.components.registries import NAME, Inputs, new_registry, register, run_outputs


def test_registering_twice_gives_one_version(
    version: RegisteredVersion, inputs: Inputs, client, tmp_path: Path
):
    assert register(inputs, tmp_path / "again") == version
    assert len(registry.versions(client, NAME)) == 1


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
    assert len(nested) == 7  # the pipeline, and six steps
    assert len(set(nested)) == 2
    assert registry.aliases(client, NAME) == {"candidate": "1"}
    registry.fetch(client, NAME, "1", tmp_path / "to")


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
