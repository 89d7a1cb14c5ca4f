"""Secrets of the environment are in nothing that a run prints or writes."""

import os
import sqlite3
import subprocess
from pathlib import Path

import pytest

from tests.fork_server import run_recap
from tests.tiny import tiny_config, write_tiny_log

pytestmark = pytest.mark.slow
CANARY = "canary-51d0c2e9"
SECRETS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_TRACKING_TOKEN",
    "RECAP_WEBHOOK_SECRET",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "config.yaml").write_text(tiny_config().to_yaml())
    write_tiny_log(folder / "log", days=5, rows=400)
    return folder


def _recap(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    secrets = dict.fromkeys(SECRETS, CANARY)
    # A webhook's address is one as well; nobody answers at this one.
    secrets["RECAP_WEBHOOK_URL"] = f"http://127.0.0.1:9/{CANARY}"
    environment = {**os.environ, **secrets, "RECAP_LOG_LEVEL": "DEBUG"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    return run_recap(*arguments, cwd=place, environment=environment)


def _holding(folder: Path) -> list[str]:
    return [
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and CANARY.encode() in path.read_bytes()
    ]


def test_a_run_neither_prints_nor_keeps_a_secret_of_the_environment(place: Path):
    done = _recap(place, "run", "--config", "config.yaml", "--data", "log")
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    written = [path for path in (place / ".recap").rglob("*") if path.is_file()]
    assert len(written) > 50
    assert _holding(place) == []
    with sqlite3.connect(place / ".recap" / "mlflow.db") as database:
        assert CANARY not in "\n".join(database.iterdump())


def test_a_pipeline_compiled_for_a_cluster_names_secrets_and_holds_none(place: Path):
    done = _recap(place, "compile", "--out", "compiled")
    assert done.returncode == 0, done.stderr
    compiled = "".join(path.read_text() for path in (place / "compiled").iterdir())
    assert CANARY not in compiled


def test_an_address_with_a_password_is_refused_before_anything_is_written(place: Path):
    for option in ("--data", "--tracking-uri"):
        given = {
            "--data": "log",
            "--tracking-uri": "sqlite:///x.db",
            option: f"http://someone:{CANARY}@host/x",
        }
        pairs = [word for pair in given.items() for word in pair]
        done = _recap(place, "run", "--config", "config.yaml", "--workspace", "refused", *pairs)
        assert done.returncode == 1
        assert CANARY not in done.stdout + done.stderr
        assert "holds a password" in done.stderr
        assert not (place / "refused").exists()
