"""Libraries in a process as a user starts it: no telemetry, and no home folder needed."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import socket, sys
def refuse(host, *rest, **settings):
    raise OSError(f"looked up {host}")
socket.getaddrinfo = refuse
from components.common.registry import connect
client = connect(f"sqlite:///{sys.argv[1]}/mlflow.db")
client.create_registered_model("m")
from mlflow.telemetry.client import get_telemetry_client
print(get_telemetry_client())
"""


def test_a_plain_process_sends_nothing_home_and_writes_nothing_there(tmp_path: Path):
    # Under pytest and CI MLflow switches its telemetry off by itself.
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)],
        env={**kept, "HOME": str(home), "MLFLOW_CONFIGURE_LOGGING": "false"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["None"]
    assert list(home.rglob("*")) == []


NO_HOME = """
import pwd
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {uid}")
pwd.getpwuid = unknown
import components, pathlib
pathlib.Path.home()  # as MLflow and Great Expectations do when they are imported
"""


def test_a_user_without_a_home_folder_is_given_one_that_is_not_there():
    kept = {name: value for name, value in os.environ.items() if name != "HOME"}
    subprocess.run([sys.executable, "-c", NO_HOME], env=kept, check=True)
