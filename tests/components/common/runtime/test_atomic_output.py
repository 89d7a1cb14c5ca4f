"""Atomic writes: complete or absent, and nothing is removed that was not written by them."""

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.common.runtime.atomic_output import (
    MARK_NAME,
    atomic_directory,
    atomic_file,
    find_abandoned,
    remove_abandoned,
    remove_directory,
)


def write(out: Path, content: str = "rows") -> None:
    with atomic_directory(out) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "part").write_text(content)


def test_a_folder_appears_when_its_block_ends_and_replaces_one_of_before(tmp_path: Path):
    out = tmp_path / "out"
    for content in ("old", "new"):
        with atomic_directory(out) as folder:
            (folder / "part").write_text(content)
            assert not out.exists() or (out / "part").read_text() == "old"
        assert (out / "part").read_text() == content
    assert {path.name for path in out.iterdir()} == {"part", MARK_NAME}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing_and_spares_what_was_there(tmp_path: Path, error: type[BaseException]):
    out = tmp_path / "out"
    write(out, "old")
    with pytest.raises(error), atomic_directory(out) as folder:  # noqa: PT012 - the error is raised inside
        (folder / "part").write_text("new")
        raise error
    assert (out / "deep" / "part").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "name", [".git/HEAD", ".ssh/id", "_notes.txt", "date=2026-03-01/x", "deep/mine", ".x"]
)
@pytest.mark.parametrize("marked", [False, True])
def test_what_was_not_written_here_is_never_removed(tmp_path: Path, name: str, marked: bool):
    out = tmp_path / "out"
    if marked:
        write(out)
    (out / name).parent.mkdir(parents=True, exist_ok=True)
    (out / name).write_text("precious")
    with pytest.raises(FileExistsError, match="not marked as Recap's output"):
        write(out)
    remove_directory(out)
    assert (out / name).read_text() == "precious"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_is_put_there_meanwhile_is_kept_too(tmp_path: Path):
    out = tmp_path / "out"
    with pytest.raises(FileExistsError, match="holds 'notes'"), atomic_directory(out):  # noqa: PT012
        out.mkdir()
        (out / "notes").write_text("precious")
    assert (out / "notes").read_text() == "precious"


def test_an_empty_directory_and_a_link_to_one_are_written_into(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "deep" / "part").read_text() == "rows"
    write(tmp_path / "link", "new")
    assert (tmp_path / "empty" / "deep" / "part").read_text() == "new"
    remove_directory(tmp_path / "link")
    assert not (tmp_path / "empty").exists()


def test_a_directory_does_not_replace_a_file_nor_a_file_a_directory_or_a_pipe(tmp_path: Path):
    (tmp_path / "file").write_text("precious")
    with pytest.raises(NotADirectoryError, match="not a directory"):
        write(tmp_path / "file")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(FileExistsError, match="not a regular file"), atomic_file(path):
            pass
    assert (tmp_path / "file").read_text() == "precious"


def test_a_file_appears_when_its_block_ends(tmp_path: Path):
    out = tmp_path / "deep" / "report [1].html"
    with pytest.raises(ValueError, match="no"), atomic_file(out) as path:  # noqa: PT012 - as above
        path.write_text("half")
        raise ValueError("no")
    assert list(out.parent.iterdir()) == []
    with atomic_file(out) as path:
        path.write_text("whole")
    assert out.read_text() == "whole"


WRITER = """
import sys, time
from components.common.runtime.atomic_output import atomic_file, atomic_directory
with atomic_directory(sys.argv[1] + "/model") as folder, atomic_file(sys.argv[1] + "/page") as file:
    (folder / "part").write_text("half")
    print("writing", flush=True)
    time.sleep(60)
"""


def test_partial_outputs_of_a_killed_process_are_removed_and_those_of_a_living_one_are_not(tmp_path: Path):
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        write(tmp_path / "model")
        with atomic_file(tmp_path / "page"):
            pass
        partial = [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        assert len(partial) == 2
        assert find_abandoned(tmp_path) == []
        writer.kill()
    assert find_abandoned(tmp_path) == sorted(partial)
    (tmp_path / ".other.partial-killed").mkdir()
    write(tmp_path / "model")
    with atomic_file(tmp_path / "page"):
        pass
    assert find_abandoned(tmp_path) == [tmp_path / ".other.partial-killed"]
    remove_abandoned(tmp_path / ".other.partial-killed")
    assert {path.name for path in tmp_path.iterdir()} == {"model", "page"}


def test_an_output_that_is_removed_before_it_is_locked_is_created_again(tmp_path: Path, monkeypatch):
    """Another process takes it for abandoned in the moment between its creation and its lock."""
    lock, removed = fcntl.flock, []

    def flock(handle: int, kind: int) -> None:
        if not removed:
            removed.extend(path for path in tmp_path.iterdir())
            removed[0].rmdir()
        lock(handle, kind)

    monkeypatch.setattr(fcntl, "flock", flock)
    write(tmp_path / "out")
    assert removed
    assert (tmp_path / "out" / "deep" / "part").read_text() == "rows"
