"""Outputs are there whole or not at all."""

from pathlib import Path

import pytest

from components.common.runtime.atomic_output import atomic_directory, atomic_file


def test_a_folder_appears_when_its_block_ends(tmp_path: Path):
    out = tmp_path / "out"
    with atomic_directory(out) as folder:
        (folder / "part").write_text("rows")
        assert not out.exists()
    assert (out / "part").read_text() == "rows"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing_and_spares_what_was_there(tmp_path: Path, error: type[BaseException]):
    out = tmp_path / "out"
    with atomic_directory(out) as folder:
        (folder / "part").write_text("old")
    with pytest.raises(error), atomic_directory(out) as folder:  # noqa: PT012 - the error is raised inside
        (folder / "part").write_text("new")
        raise error
    assert (out / "part").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_run_left_is_removed(tmp_path: Path):
    stale = tmp_path / ".out.partial-killed"
    stale.mkdir()
    with atomic_directory(tmp_path / "out"):
        pass
    assert not stale.exists()


def test_a_file_appears_when_its_block_ends(tmp_path: Path):
    out = tmp_path / "deep" / "report.html"
    with pytest.raises(ValueError, match="no"), atomic_file(out) as path:  # noqa: PT012 - as above
        path.write_text("half")
        raise ValueError("no")
    assert list(out.parent.iterdir()) == []
    with atomic_file(out) as path:
        path.write_text("whole")
    assert out.read_text() == "whole"


@pytest.mark.parametrize("name", ["report.html", "report [1].html"])
def test_a_file_that_a_killed_run_left_half_written_is_removed(tmp_path: Path, name: str):
    (tmp_path / f".{name}.partial-killed").write_text("half")
    other = tmp_path / ".other.html.partial-at-work"
    other.write_text("half")
    with atomic_file(tmp_path / name) as path:
        path.write_text("whole")
    assert sorted(tmp_path.iterdir()) == sorted([other, tmp_path / name])
