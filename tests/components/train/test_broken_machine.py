"""Training on a machine that fails: a disk that fills, a file that is cut off, while it trains."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.train.train import train_model
from recap_model.training import Checkpoints
from tests.chaos.disk import mounted_tmpfs
from tests.components.train.configs import resumable_config
from tests.components.train.training_process import same_model, start_training
from tests.datasets import TinySets, build_tiny
from tests.tiny import write_tiny_log

CONFIG = resumable_config(epochs=12)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    folder = tmp_path_factory.mktemp("sets")
    return build_tiny(folder, CONFIG, write_tiny_log(folder / "log"))


@pytest.fixture(scope="module")
def undisturbed(sets: TinySets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "model"
    train_model(sets.snapshot, sets.train, out)
    return out


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with contextlib.ExitStack() as mounted:
        try:
            mounted.enter_context(mounted_tmpfs(folder, "1m"))
        except (FileNotFoundError, PermissionError):
            pytest.skip("mounting a tmpfs needs root and CAP_SYS_ADMIN")
        yield folder


def test_a_disk_that_fills_ends_training_in_a_line_and_the_last_checkpoint_stays(
    sets: TinySets, undisturbed: Path, small_disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RECAP_CHECKPOINTS", str(small_disk))
    process = start_training(sets, tmp_path / "model")
    process.wait_for_file(small_disk, "*.checkpoint")
    filler = small_disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))
    ended = process.wait()
    assert ended.status == 1
    (line,) = ended.errors
    assert "a checkpoint cannot be written (" in line
    assert line.endswith("make room there")
    assert not (tmp_path / "model").exists()
    (folder,) = (path for path in small_disk.iterdir() if path.is_dir())
    kept = Checkpoints(folder).read_newest()
    assert kept is not None
    assert kept["position"]["step"] % CONFIG.training.checkpoint.every_steps == 0
    filler.unlink()
    train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert same_model(tmp_path / "model", undisturbed)


def test_a_file_that_is_cut_off_while_training_is_named_and_the_last_checkpoint_stays(
    sets: TinySets, undisturbed: Path, tmp_path: Path
):
    rows = next(sets.train.with_name("train.rows").glob("*.arrow"))
    content = rows.read_bytes()
    process = start_training(sets, tmp_path / "model")
    process.wait_for_file(tmp_path, "*.checkpoint")
    # Of the last page: a read of a page that is gone altogether, in the moment after it was looked for, is a SIGBUS.
    os.truncate(rows, len(content) - 8)
    ended = process.wait()
    assert ended.status == 1
    (line,) = ended.errors
    assert (
        f"{rows.name}: has {len(content) - 8} bytes, the manifest says {len(content)}; run prepare again"
        in line
    )
    assert not (tmp_path / "model").exists()
    assert list(tmp_path.rglob("*.checkpoint"))
    rows.write_bytes(content)
    train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert same_model(tmp_path / "model", undisturbed)
