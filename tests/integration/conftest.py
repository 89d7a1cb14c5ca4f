"""The command line as a user calls it: in a process of its own, on a tiny log."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fork_server import run_recap
from tests.tiny import tiny_config, write_tiny_log

Recap = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``config.yaml`` and ``log``: six days of 400 rows."""
    folder = tmp_path_factory.mktemp("workplace")
    (folder / "config.yaml").write_text(tiny_config().to_yaml())
    write_tiny_log(folder / "log", days=6, rows=400)
    return folder


@pytest.fixture(scope="module")
def recap(workplace: Path) -> Recap:
    """Run ``recap ARGUMENTS`` inside the workplace."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "200"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        return run_recap(*arguments, cwd=workplace, environment=environment)

    return run
