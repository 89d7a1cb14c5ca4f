"""What a step's container may see and do."""

import os
from pathlib import Path

import pytest

from pipeline.containers import UNPRIVILEGED, check_images, container_settings


def settings_of(tmp_path: Path, **changed: str) -> dict:
    (tmp_path / "run").mkdir(exist_ok=True)
    arguments = {
        "config": str(tmp_path / "configs" / "mine.yaml"),
        "data_root": str(tmp_path / "log"),
        "tracking_uri": f"sqlite:///{tmp_path / 'registry' / 'mlflow.db'}",
    }
    return container_settings(arguments | changed, tmp_path / "run")


def mounted(settings: dict) -> dict[str, bool]:
    """The mounted folders, and whether a step may only read them; each lies where it lies outside."""
    assert all(mount["Source"] == mount["Target"] for mount in settings["mounts"])
    return {mount["Target"]: bool(mount.get("ReadOnly")) for mount in settings["mounts"]}


def test_log_and_config_can_be_read_and_only_the_registry_written(tmp_path: Path):
    settings = settings_of(tmp_path)
    expected = {
        str(tmp_path / "configs"): True,
        str(tmp_path / "log"): True,
        str(tmp_path / "registry"): False,
    }
    assert mounted(settings) == expected
    assert settings["read_only"]
    assert settings["cap_drop"] == ["ALL"]


def test_a_step_has_a_network_only_where_the_log_or_the_registry_is_remote(tmp_path: Path):
    assert settings_of(tmp_path)["network_mode"] == "none"
    assert settings_of(tmp_path, data_root="s3://logs/impressions")["network_mode"] == "host"
    remote = settings_of(tmp_path, tracking_uri="http://127.0.0.1:5000")
    assert remote["network_mode"] == "host"
    assert mounted(remote).keys() == {str(tmp_path / "configs"), str(tmp_path / "log")}


def test_a_step_is_never_root_and_can_write_what_it_must(tmp_path: Path):
    settings = settings_of(tmp_path)
    user = int(settings["user"].split(":")[0])
    assert user == (os.geteuid() or UNPRIVILEGED)
    assert {path.stat().st_uid for path in (tmp_path / "run", tmp_path / "registry")} == {user}


def test_without_an_engine_it_says_so_in_a_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    with pytest.raises(ConnectionError, match=r"^no Docker engine answers .*; start one"):
        check_images()
