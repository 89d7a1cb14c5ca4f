"""A real MLflow server on loopback that can be stopped and started again on the same data."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from components.artifacts import registry

_STARTS_WITHIN_S = 90


class RegistryServer:
    """The month's registry: SQLite and proxied artifacts in ``folder``, always on the same port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir()
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self._port: int = listener.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self._folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(self._folder / "artifacts")]
        command += ["--host", "127.0.0.1", "--port", str(self._port)]
        with (self._folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, env=os.environ, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while True:
            try:
                registry.connect(self.uri)
                return
            except registry.RegistryError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{self._folder / 'server.log'}: the server does not start") from error
                time.sleep(0.3)

    def kill(self) -> None:
        """End the server and its workers at once."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
