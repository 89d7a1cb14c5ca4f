"""A store that fails now and then is asked again; one that is gone is one line."""

from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from components.common.artifacts.snapshot import Snapshot
from components.common.storage import retrying
from components.common.storage.parquet import count_rows
from components.prepare.rows import read_file
from components.resolve.resolve import resolve_run
from recap_model.data.log.schema import log_columns
from tests.tiny import tiny_config, write_tiny_log


class FlakyStore(MemoryFileSystem):
    """Every third request fails, or with ``gone`` every one."""

    protocol = "flaky"
    cachable = False
    requests = 0
    gone = False

    def _fail(self) -> None:
        FlakyStore.requests += 1
        if self.gone or FlakyStore.requests % 3 == 1:
            raise ConnectionResetError("connection reset by peer")

    @classmethod
    def _strip_protocol(cls, path):
        return super()._strip_protocol(path.replace("flaky://", "memory://"))

    def ls(self, path, detail=True, **options):
        self._fail()
        return super().ls(path, detail, **options)

    def info(self, path, **options):
        if self.gone:
            self._fail()
        return super().info(path, **options)

    def _open(self, path, mode="rb", **options):
        self._fail()
        file = super()._open(path, mode, **options)
        return FlakyFile(self, path, file.getvalue()) if mode == "rb" else file


class FlakyFile(MemoryFile):
    def read(self, size=-1):
        self.fs._fail()
        return super().read(size)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A log in a flaky store."""
    fsspec.register_implementation("flaky", FlakyStore, clobber=True)
    monkeypatch.setattr(retrying, "_PAUSES_S", (0.0, 0.0, 0.0))
    monkeypatch.setattr(FlakyStore, "gone", False)
    here = write_tiny_log(tmp_path / "log", days=2, rows=20)
    memory = MemoryFileSystem()
    for file in here.rglob("*.parquet"):
        memory.pipe(f"/log/{file.relative_to(here)}", file.read_bytes())
    yield "flaky://log"
    memory.rm("/log", recursive=True)


def resolve(root: str, folder: Path) -> Snapshot:
    config = folder / "config.yaml"
    config.write_text(tiny_config().to_yaml())
    uri = f"sqlite:///{folder}/mlflow.db"
    return resolve_run(config, root, folder / "snapshot", tracking_uri=uri, run_id="r", days=2)


def test_what_fails_every_third_time_is_read_as_if_it_did_not(store: str, tmp_path: Path):
    frozen = resolve(store, tmp_path)
    assert [file.path for file in frozen.files] == [
        file.path for file in resolve(str(tmp_path / "log"), tmp_path).files
    ]
    frozen = count_rows(frozen)
    file = frozen.partitions[1].files[0]
    columns = [column for column in log_columns(tiny_config()) if column.name == "request_id"]
    requests = [batch.column(0).to_pylist() for batch in read_file(frozen, file, columns, verify=True)]
    assert len(requests[0]) == 20


def test_a_store_that_is_gone_while_the_log_is_read_is_one_line(
    store: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    frozen = resolve(store, tmp_path)
    monkeypatch.setattr(FlakyStore, "gone", True)
    file = frozen.partitions[0].files[0]
    gone = r"^date=2026-03-01/part-00000\.parquet: the store stopped answering \(connection reset by peer\)"
    with pytest.raises(ConnectionError, match=gone):
        list(read_file(frozen, file, []))
    with pytest.raises(ConnectionError, match="the store does not answer"):
        resolve(store, tmp_path)
