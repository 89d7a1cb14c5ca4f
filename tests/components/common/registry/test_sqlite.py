"""The database of a registry: created whole or not at all, by one process at a time, whatever its path holds."""

import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import pytest

from components.common import registry
from components.common.registry import RegistryError

FORK = multiprocessing.get_context("fork")


def connect(folder: Path, file_limit: int | None = None) -> None:
    """In a process of its own: create the registry's database."""
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, file_limit))
    try:
        registry.connect(registry.default_tracking_uri(folder))
    except RegistryError as error:
        (folder / "error").write_text(str(error))


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_a_database_whose_creation_was_killed_is_created_by_the_next_of_several_at_once(tmp_path: Path):
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - once, and not in each process

    killed = FORK.Process(target=connect, args=(tmp_path,))
    killed.start()
    while not any(path.stat().st_size for path in tmp_path.glob(".mlflow.db.partial-*")):
        time.sleep(0.001)
    os.kill(killed.pid, signal.SIGKILL)
    killed.join()
    assert not (tmp_path / "mlflow.db").exists()
    both = [FORK.Process(target=connect, args=(tmp_path,)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [path.name for path in tmp_path.iterdir()] == ["mlflow.db"]
    assert [process.exitcode for process in both] == [0, 0]


def test_a_full_disk_leaves_no_database(tmp_path: Path):
    process = FORK.Process(target=connect, args=(tmp_path, 20_000))
    process.start()
    process.join()
    assert [path.name for path in tmp_path.iterdir()] == ["error"]
    assert "the registry's database cannot be created" in (tmp_path / "error").read_text()


def test_a_database_that_an_earlier_version_left_incomplete_is_named(tmp_path: Path):
    import sqlite3

    path = tmp_path / "mlflow.db"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE experiments (experiment_id INTEGER)")
        database.execute("CREATE TABLE metrics (key TEXT, step INTEGER)")
    database.close()
    with pytest.raises(
        RegistryError, match=r"mlflow\.db: the creation of this database was interrupted, .* remove"
    ):
        registry.connect(registry.sqlite_uri(path))


@pytest.mark.parametrize("name", ["job%2Fx", "a b?c#d", "50%", "é [prod]", "x'y\"z", "a\nb"])
def test_a_registry_is_where_its_workspace_is_whatever_the_name(name: str, tmp_path: Path):
    uri = registry.default_tracking_uri(tmp_path / name)
    assert registry.sqlite_path(uri) == tmp_path / name / "mlflow.db"
    assert registry.artifact_location(uri) == (tmp_path / name / "artifacts").as_uri()
    import sqlalchemy

    assert sqlalchemy.make_url(uri).database == str(tmp_path / name / "mlflow.db")
