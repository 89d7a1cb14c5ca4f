"""The log and the datasets' rows in an object store: a server of the S3 protocol on loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recap_model.data.dataset.manifest import DatasetManifest
from tests.datasets import build_tiny
from tests.integration.conftest import Recap
from tests.tiny import tiny_config, write_tiny_log

SERVE = """
import logging
import collections, sys, time
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
logging.getLogger("werkzeug").setLevel(logging.ERROR)
store, asked, kind = DomainDispatcherApplication(create_backend_app), collections.Counter(), sys.argv[1]
def answer(environ, start):
    key = environ["REQUEST_METHOD"], environ["PATH_INFO"]
    asked[key] += 1
    if kind == "unreadable" and key[0] == "GET" and key[1].endswith(".parquet"):
        start("403 Forbidden", [("Content-Length", "0")])
        return [b""]
    if kind == "badly":
        time.sleep(0.05)
    if kind == "badly" and asked[key] <= 2:
        start("503 Service Unavailable", [("Content-Length", "0")])
        return [b""]
    return store(environ, start)
server = make_server("127.0.0.1", 0, answer, threaded=True)
print(server.server_port, flush=True)
server.serve_forever()
"""
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where the server listens."""
    with _serving("well") as uri:
        yield uri


@contextmanager
def _serving(kind: str) -> Iterator[str]:
    command = [sys.executable, "-W", "ignore", "-c", SERVE, kind]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **pipes, text=True) as server:
        assert server.stdout is not None
        yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        server.kill()


def on_store(endpoint: str, *arguments: str) -> None:
    """Call a function of `tests.integration.object_store`."""
    environment = {**os.environ, **CREDENTIALS, "AWS_ENDPOINT_URL": endpoint, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-m", "tests.integration.object_store", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_log_in_a_bucket_makes_the_same_sets_and_the_same_model(tmp_path: Path, endpoint: str):
    log, here, there = (str(tmp_path / name) for name in ("log", "here", "there"))
    write_tiny_log(Path(log), days=5, rows=200)
    newest = Path(log, "date=2026-03-05")
    (newest / "part-00000.parquet").rename(newest / "000000_0")
    on_store(endpoint, "copy_log", log, "recap")
    on_store(endpoint, "build_and_train", here, log, "")
    on_store(endpoint, "build_and_train", there, "s3://recap/log", "s3://recap/run")
    assert list(Path(here).rglob("*.arrow"))
    assert not list(Path(there).rglob("*.arrow"))
    for name in ("fingerprints.json", "model/weights.safetensors"):
        assert (Path(here) / name).read_bytes() == (Path(there) / name).read_bytes()


def test_an_object_that_is_replaced_by_one_of_the_same_size_is_refused(tmp_path: Path, endpoint: str):
    log = write_tiny_log(tmp_path / "log", days=5, rows=20)
    on_store(endpoint, "copy_log", str(log), "replaced")
    on_store(endpoint, "change_after_resolve", str(tmp_path / "there"), "s3://replaced/log")


def test_resolve_reads_no_object(tmp_path: Path):
    log = write_tiny_log(tmp_path / "log", days=5, rows=20)
    with _serving("unreadable") as uri:
        on_store(uri, "copy_log", str(log), "recap")
        on_store(uri, "resolve_only", str(tmp_path / "there"), "s3://recap/log")


@pytest.mark.slow
def test_a_store_that_is_slow_and_fails_twice_at_each_address_makes_the_same_sets(tmp_path: Path):
    log = write_tiny_log(tmp_path / "log", days=5, rows=200)
    here = build_tiny(tmp_path / "here", tiny_config(), log)
    with _serving("badly") as uri:
        on_store(uri, "copy_log", str(log), "recap")
        on_store(uri, "resolve_and_build", str(tmp_path / "there"), "s3://recap/log")
    for split in ("train", "calibration", "test"):
        ours, theirs = (
            DatasetManifest.read(folder / split) for folder in (here.train.parent, tmp_path / "there")
        )
        assert ours.fingerprint == theirs.fingerprint


def test_a_bucket_of_googles_store_that_does_not_answer_is_one_line(recap: Recap):
    root = "gs://anonymous@recap/log?scheme=http&endpoint_override=127.0.0.1:9&retry_limit_seconds=1"
    done = recap("run", "--config", "config.yaml", "--data", root)
    assert done.returncode == 1
    assert "the store does not answer" in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("root", "message"),
    [
        ("s3://recap/nothing", "s3://recap/nothing: no such data root; give the folder with"),
        ("s3://no-such-bucket/log", "s3://no-such-bucket/log: no such data root; give the folder with"),
    ],
)
def test_a_log_that_is_not_there_is_one_line(
    recap: Recap, endpoint: str, monkeypatch: pytest.MonkeyPatch, root: str, message: str
):
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    done = recap("run", "--config", "config.yaml", "--data", root)
    assert done.returncode == 1
    assert done.stderr.splitlines()[0].startswith(f"recap: resolve: {message}")


def test_a_store_that_does_not_answer_is_one_line(recap: Recap, monkeypatch: pytest.MonkeyPatch):
    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    done = recap("run", "--config", "config.yaml", "--data", "s3://recap/log")
    assert done.returncode == 1
    assert done.stderr.startswith("recap: resolve: s3://recap/log: the store does not answer")
    _, log, page = done.stderr.splitlines()
    assert "run.log" in log
    assert "index.html" in page
