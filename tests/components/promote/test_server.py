"""The registry's steps against a real MLflow server on loopback, which keeps the artifacts itself."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.artifacts import registry
from components.artifacts.registry import RegistryError
from components.promote.by_hand import roll_back
from components.promote.promote import promote_version
from tests.components.registries import NAME, new_registry, register, run_outputs

pytestmark = pytest.mark.slow
_STARTS_WITHIN_S = 90


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URI of a server that proxies artifacts."""
    folder = tmp_path_factory.mktemp("server")
    database = new_registry(folder)
    port = _free_port()
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server", "--backend-store-uri", database]
    command += [
        "--artifacts-destination",
        str(folder / "artifacts"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [*command, "--workers", "1"], cwd=folder, env=os.environ, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        yield _wait(f"http://127.0.0.1:{port}", process, folder / "log")
    finally:
        process.terminate()
        process.wait(30)


def _wait(uri: str, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            registry.connect(uri)
            return uri
        except RegistryError:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"mlflow server did not start: {log.read_text()[-2000:]}")
            time.sleep(0.5)


def test_a_version_is_registered_proven_promoted_and_rolled_back(server: str, tmp_path: Path):
    client = registry.connect(server)
    for number, against in ((1, None), (2, "1")):
        folder = tmp_path / str(number)
        inputs = run_outputs(folder, server, f"run-{number}", against=against, seed=number)
        version = register(inputs, folder / "version")
        assert version.proof.worst_difference <= 1e-6
        assert promote_version(folder / "version", inputs.evaluation, folder / "promotion").promoted
    assert registry.aliases(client, NAME) == {"champion": "2", "previous": "1"}
    assert client.get_model_version_download_uri(NAME, "2").startswith("mlflow-artifacts:")
    assert registry.champion(client, NAME).version == "2"
    assert roll_back(client, NAME).to == "1"
    assert registry.aliases(client, NAME) == {"champion": "1", "previous": "2"}
