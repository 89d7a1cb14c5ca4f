"""The registry: what cannot be reached or was altered is one line; aliases and versions are read as they are."""

import contextlib
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.common import registry
from components.common.registry import RegistryError
from tests.components.registries import new_registry


@pytest.fixture
def client(tmp_path: Path):
    return registry.connect(new_registry(tmp_path / "workspace"))


def _version(client, folder: Path, name: str = "m", **tags: str) -> str:
    """Register a folder as it is; returns the version."""
    folder.mkdir(parents=True, exist_ok=True)
    if not registry.versions(client, name):
        client.create_registered_model(name)
    return str(client.create_model_version(name, folder.as_uri(), tags=tags).version)


def test_the_environment_names_the_registry_before_the_workspace_does(monkeypatch, tmp_path: Path):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert registry.default_tracking_uri(tmp_path) == f"sqlite:///{tmp_path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow:5000")
    assert registry.default_tracking_uri(tmp_path) == "http://mlflow:5000"


def test_artifacts_lie_beside_the_database_and_where_a_server_puts_them():
    assert registry.artifact_location("sqlite:////w/mlflow.db") == "file:///w/artifacts"
    assert registry.artifact_location("https://mlflow:5000") is None
    with pytest.raises(RegistryError, match="a database alone does not define where artifacts are"):
        registry.artifact_location("postgresql://host/db")


_SECONDS = 30  # MLflow by itself tries for minutes; a slow machine imports its client for some of these


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://127.0.0.1:9", r"does not answer \(127.0.0.1 port 9: connection refused\); start it"),
        ("http://nohost.invalid", r"does not answer \(nohost.invalid port 80: unknown host\)"),
        ("postgresql://someone@127.0.0.1:9/db", "postgresql://someone@127.0.0.1:9/db: no driver"),
        ("postgresql://someone:secret@127.0.0.1:9/db", "the address holds a password"),
        ("somewhere", "'somewhere' is not a registry.s URI"),
        ("sqlite://", "'sqlite://' names no file"),
        ("nodatabase://host/db", "no driver for this database .*; install it"),
        (
            "sqlite:////proc/nowhere/mlflow.db",
            "/proc/nowhere/mlflow.db: the registry's database cannot be created",
        ),
    ],
)
def test_a_registry_that_does_not_answer_is_one_line_within_seconds(uri: str, words: str):
    start = time.monotonic()
    with pytest.raises(RegistryError, match=words) as raised:
        registry.connect(uri)
    assert time.monotonic() - start < _SECONDS
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)


class _Answers(BaseHTTPRequestHandler):
    """To any request: it went well, and this content."""

    content = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.content)))
        self.end_headers()
        self.wfile.write(self.content)

    def log_message(self, format: str, *arguments: object) -> None:
        """Keep quiet."""


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "registered-models/search: the response is empty; check"),
        (b"<html>", "was not in a valid JSON format"),
        (b'{"registered_models": "x"}', "Failed to parse registered_models field"),
    ],
)
def test_an_answer_that_is_none_is_one_line(content: bytes, words: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_Answers, "content", content)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as server:
        threading.Thread(target=server.serve_forever).start()
        try:
            with pytest.raises(RegistryError, match=words):
                registry.connect(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()


@pytest.mark.parametrize(
    ("scheme", "answer", "words"),
    [
        ("http", None, "timed out"),
        ("http", b"", "the connection was closed before a response"),
        ("https", b"HTTP/1.1 200 OK\r\n\r\n", "TLS: .*MLFLOW_TRACKING_SERVER_CERT_PATH"),
        (
            "http",
            b"HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno",
            "not authenticated .401.; set MLFLOW_",
        ),
    ],
)
def test_a_server_that_refuses_or_breaks_off_is_said_so(
    scheme: str, answer: bytes | None, words: str, monkeypatch: pytest.MonkeyPatch
):
    if answer is None:
        monkeypatch.setattr("components.common.registry.connection._ANSWER_TIMEOUT_S", 0.2)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    one, _ = listener.accept()
                    with one:
                        one.recv(9999)
                        if answer is None:
                            time.sleep(0.5)
                        else:
                            one.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        port = listener.getsockname()[1]
        try:
            with pytest.raises(RegistryError, match=words) as raised:
                registry.connect(f"{scheme}://127.0.0.1:{port}")
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
    assert str(port) in str(raised.value)


def test_a_file_that_is_no_database_is_one_line(tmp_path: Path):
    (tmp_path / "mlflow.db").write_text("no database, but a text that is long enough to look at" * 100)
    with pytest.raises(RegistryError, match="file is not a database"):
        registry.connect(f"sqlite:///{tmp_path}/mlflow.db")


def test_a_model_that_is_not_registered_has_no_champion_and_no_versions(client):
    assert registry.champion(client, "m") is None
    assert registry.aliases(client, "m") == {}
    assert registry.versions(client, "m") == []


def test_an_alias_moves_and_goes(client, tmp_path: Path):
    for _ in range(2):
        _version(client, tmp_path / "v")
    registry.move_alias(client, "m", "champion", "1")
    assert registry.champion(client, "m").version == "1"
    registry.move_alias(client, "m", "champion", "2")
    assert registry.aliases(client, "m") == {"champion": "2"}
    registry.move_alias(client, "m", "champion", None)
    assert registry.champion(client, "m") is None


def test_an_alias_to_a_version_that_is_not_there_is_one_line(client, tmp_path: Path):
    _version(client, tmp_path / "v")
    with pytest.raises(RegistryError, match="registry sqlite"):
        registry.move_alias(client, "m", "champion", "7")
    with pytest.raises(RegistryError, match="m: has no version 7"):
        registry.get_version(client, "m", "7")


def test_versions_come_newest_first_by_number(client, tmp_path: Path):
    for _ in range(11):
        _version(client, tmp_path / "v")
    assert [version.version for version in registry.versions(client, "m")] == [*range(11, 0, -1)]


def test_a_run_finds_its_own_version(client, tmp_path: Path):
    for run in ("a", "b"):
        _version(client, tmp_path / "v", **{registry.PIPELINE_RUN_TAG: run})
    assert str(registry.find_version(client, "m", "b").version) == "2"
    assert registry.find_version(client, "m", "c") is None


@pytest.fixture
def stored(client, tmp_path: Path) -> Path:
    """The folder of version 1 of m, with digests."""
    folder = tmp_path / "v"
    (folder / registry.MODEL_PATH).mkdir(parents=True)
    (folder / registry.MODEL_PATH / "config.json").write_text("{}")
    (folder / "MLmodel").write_text("x")
    (folder / "code").mkdir()
    for name in ("module.py", "__pycache__"):
        (folder / "code" / name).touch()
    _version(client, folder, **{registry.DIGEST_TAG: registry.write_digests(folder)})
    return folder


def test_a_version_is_downloaded_whole(client, stored: Path, tmp_path: Path):
    folder = registry.download(client, "m", "1", tmp_path / "to")
    assert (folder / "config.json").read_text() == "{}"


def test_what_loading_leaves_in_a_store_is_no_alteration(client, stored: Path, tmp_path: Path):
    (stored / "registered_model_meta").write_text("model_name: m")
    registry.download(client, "m", "1", tmp_path / "to")


def _cache(folder: Path) -> None:
    (folder / "code" / "__pycache__").unlink()
    (folder / "code" / "__pycache__").mkdir()
    (folder / "code" / "__pycache__" / "module.cpython-311.pyc").touch()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda folder: (folder / "MLmodel").write_text("y"), "m version 1: MLmodel was altered"),
        (lambda folder: (folder / "MLmodel").unlink(), "m version 1: MLmodel was lost"),
        (lambda folder: (folder / "code.py").write_text("y"), "m version 1: code.py was added"),
        (lambda folder: (folder / "code" / "x.pyc").touch(), "m version 1: code/x.pyc was added"),
        (_cache, "m version 1: code/__pycache__ was altered"),
        (lambda folder: os.mkfifo(folder / "pipe"), "m version 1: .*pipe is not a regular file"),
        (
            lambda folder: (folder / "zero").symlink_to("/dev/zero"),
            "m version 1: .*zero is not a regular file",
        ),
        (lambda folder: (folder / "root").symlink_to("/"), "m version 1: .*root is not a regular file"),
        (
            lambda folder: (folder / registry.DIGESTS_NAME).write_text("{}"),
            "digests.json was altered or lost",
        ),
        (lambda folder: (folder / registry.DIGESTS_NAME).unlink(), "digests.json was altered or lost"),
    ],
)
def test_an_altered_version_is_not_handed_out(client, stored: Path, tmp_path: Path, change, words):
    change(stored)
    with pytest.raises(RegistryError, match=words):
        registry.download(client, "m", "1", tmp_path / "to")


def test_a_version_of_somebody_else_is_not_handed_out(client, tmp_path: Path):
    _version(client, tmp_path / "v")
    with pytest.raises(RegistryError, match="this pipeline did not register it"):
        registry.download(client, "m", "1", tmp_path / "to")


def test_a_version_whose_artifacts_are_gone_is_one_line(client, stored: Path, tmp_path: Path):
    stored.rename(tmp_path / "gone")
    with pytest.raises(RegistryError, match="m version 1") as raised:
        registry.download(client, "m", "1", tmp_path / "to")
    assert "\n" not in str(raised.value)
