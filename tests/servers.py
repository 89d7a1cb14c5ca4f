"""Real servers on loopback for tests and benchmarks: MLflow's, with SQLite or PostgreSQL, and a served version."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from components.common import registry
from components.common.registry import RegistryError

_STARTS_WITHIN_S = 120
_POSTGRES_PLACES = ("/usr/lib/postgresql/*/bin", "/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Process:
    """A server's process, which can be stopped and started again on its port."""

    def __init__(
        self, command: list[str], folder: Path, answers: Callable[[], bool], **environment: str
    ) -> None:
        self.command, self.log, self.answers = command, folder / "server.log", answers
        self.environment = {**os.environ, **environment}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it answers."""
        with self.log.open("a") as log:
            # A session of its own: servers start workers, which have to end with them.
            self.process = subprocess.Popen(
                self.command,
                cwd=self.log.parent,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: {self.log.read_text()[-2000:]}")
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill it and its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(30)
            self.process = None


@contextmanager
def mlflow_server(folder: Path, database: str) -> Iterator[tuple[str, Process]]:
    """A tracking server that proxies artifacts: its URI, and its process."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--backend-store-uri", database]
    command += ["--artifacts-destination", str(folder / "artifacts"), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--workers", "1"]
    # Its job queues are seven more processes, which nobody here asks for.
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    process = Process(command, folder, lambda: _connects(uri), **environment)
    process.start()
    try:
        yield uri, process
    finally:
        process.stop()


def _connects(uri: str) -> bool:
    try:
        registry.connect(uri)
    except RegistryError:
        return False
    return True


@contextmanager
def served(model: str, folder: Path) -> Iterator[str]:
    """``mlflow models serve`` of a version's folder in this environment: the URI to post to."""
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "models", "serve", "--model-uri", model]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", str(port)]
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    process = Process(command, folder, lambda: _pings(uri), PATH=programs)
    process.start()
    try:
        yield f"{uri}/invocations"
    finally:
        process.stop()


def _pings(uri: str) -> bool:
    try:
        return requests.get(f"{uri}/ping", timeout=5).ok
    except requests.RequestException:
        return False


def postgres_binaries() -> Path | None:
    """The folder of PostgreSQL's initdb and pg_ctl; None where there is none."""
    places = [place for pattern in _POSTGRES_PLACES for place in sorted(Path("/").glob(pattern.lstrip("/")))]
    return next((place for place in reversed(places) if (place / "initdb").is_file()), None)


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL that keeps nothing: the URI of an empty database. It refuses to run as root, so it does not."""
    binaries = postgres_binaries()
    assert binaries is not None
    folder = Path(tempfile.mkdtemp(prefix="recap-postgres-", dir="/tmp"))
    port, user = free_port(), _unprivileged(folder)

    def run(name: str, *arguments: str) -> None:
        with (folder / "log").open("a") as log:
            subprocess.run(
                [binaries / name, "--pgdata", folder / "data", *arguments],
                check=True,
                cwd=folder,
                stdout=log,
                stderr=log,
                **user,
            )

    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    try:
        run("initdb", "--username", "recap", "--auth", "trust", "--no-sync")
        run("pg_ctl", "--options", options, "--log", str(folder / "postgres.log"), "--wait", "start")
        try:
            yield f"postgresql+psycopg2://recap@127.0.0.1:{port}/postgres"
        finally:
            run("pg_ctl", "--mode", "immediate", "stop")
    finally:
        shutil.rmtree(folder)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Whom `subprocess.run` runs a command as where this process is root; the folder becomes theirs."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
