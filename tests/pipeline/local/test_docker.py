"""What a step's container may see and do."""

import os
from pathlib import Path

import pytest

from pipeline.local.docker import UNPRIVILEGED, check_images, container_settings


def settings_of(workspace: Path, **changed: str) -> dict:
    for folder in ("log", "run"):
        (workspace / folder).mkdir(exist_ok=True)
    (workspace / "mine.yaml").touch()
    arguments = {
        "config": str(workspace / "mine.yaml"),
        "data_root": str(workspace / "log"),
        "tracking_uri": f"sqlite:///{workspace / 'mlflow.db'}",
    }
    return container_settings(arguments | changed, workspace / "run", workspace)


def mounted(settings: dict) -> dict[str, bool]:
    """The mounted folders, and whether a step may only read them; each lies where it lies outside."""
    assert all(mount["Source"] == mount["Target"] for mount in settings["mounts"])
    return {mount["Target"]: bool(mount.get("ReadOnly")) for mount in settings["mounts"]}


def test_log_and_config_can_be_read_and_only_the_registry_written(tmp_path: Path):
    settings = settings_of(tmp_path)
    expected = {str(tmp_path / "mine.yaml"): True, str(tmp_path / "log"): True, str(tmp_path): False}
    assert mounted(settings) == expected
    assert settings["read_only"]
    assert settings["cap_drop"] == ["ALL"]


def test_a_step_has_a_network_only_where_the_log_or_the_registry_is_remote(tmp_path: Path):
    assert settings_of(tmp_path)["network_mode"] == "none"
    assert settings_of(tmp_path, data_root="s3://logs/impressions")["network_mode"] == "host"
    remote = settings_of(tmp_path, tracking_uri="http://127.0.0.1:5000")
    assert remote["network_mode"] == "host"
    assert mounted(remote).keys() == {str(tmp_path / "mine.yaml"), str(tmp_path / "log")}


def test_a_step_has_credentials_only_where_it_has_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in os.environ if name.startswith(("AWS_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    assert settings_of(tmp_path)["environment"] == {}
    remote = settings_of(tmp_path, data_root="s3://logs/impressions")
    assert remote["environment"] == {"AWS_SECRET_ACCESS_KEY": "secret"}


def test_a_step_is_never_root_and_can_write_what_it_must(tmp_path: Path):
    (tmp_path / "mlflow.db").touch()
    (tmp_path / "artifacts" / "1").mkdir(parents=True)
    settings = settings_of(tmp_path)
    user = int(settings["user"].split(":")[0])
    assert user == (os.geteuid() or UNPRIVILEGED)
    writable = (tmp_path / "run", tmp_path, tmp_path / "mlflow.db", tmp_path / "artifacts" / "1")
    assert {path.stat().st_uid for path in writable} == {user}


def test_training_finds_its_checkpoints_where_an_earlier_run_left_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    left = tmp_path / "checkpoints" / "of-a-training" / "step-00000010"
    left.mkdir(parents=True)
    monkeypatch.setenv("RECAP_CHECKPOINTS", str(tmp_path / "checkpoints"))
    settings = settings_of(tmp_path)
    assert settings["environment"]["RECAP_CHECKPOINTS"] == str(tmp_path / "checkpoints")
    assert mounted(settings)[str(tmp_path / "checkpoints")] is False
    assert left.stat().st_uid == (os.geteuid() or UNPRIVILEGED)


def test_what_is_not_the_registrys_stays_the_callers(tmp_path: Path):
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    settings_of(workspace)
    for path in (workspace / "log", workspace / "mine.yaml", tmp_path):
        assert path.stat().st_uid == os.geteuid()


def test_a_registry_that_the_steps_cannot_follow_to_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"^tracking_uri: sqlite:///mlflow.db is a relative path"):
        settings_of(tmp_path, tracking_uri="sqlite:///mlflow.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs steps as somebody else")
def test_somebody_elses_folder_is_refused_and_left_alone(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "workspace").mkdir()
    with pytest.raises(ValueError, match=rf"^tracking_uri: {elsewhere} is not user {UNPRIVILEGED}'s"):
        settings_of(tmp_path / "workspace", tracking_uri=f"sqlite:///{elsewhere / 'mlflow.db'}")
    assert elsewhere.stat().st_uid == 0


def test_without_an_engine_it_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(ConnectionError, match=r"^no Docker engine answers .*; start one"):
        check_images()


@pytest.fixture(autouse=True)
def no_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECAP_CHECKPOINTS", raising=False)
