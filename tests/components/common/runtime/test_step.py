"""What a step says to whoever reads its last lines."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.common.runtime.step import error_lines


def test_a_full_disk_comes_with_what_to_do():
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left on device") as caught:
        os.write(full, b"x")
    os.close(full)
    (line,) = error_lines(caught.value)
    assert line.endswith("No space left on device; free disk space, or write elsewhere, and run again")


def test_an_error_that_says_all_itself_is_said_as_it_is():
    assert error_lines(ValueError("a: 1 is too much; at most 0")) == ["a: 1 is too much; at most 0"]


def test_an_error_of_the_system_names_the_path_first(tmp_path: Path):
    (tmp_path / "file").touch()
    for path, words in (
        (tmp_path / "none", "No such file or directory; check the path"),
        (tmp_path / "file" / "x", "Not a directory; a parent of this path is a file; use another path"),
        (tmp_path, "Is a directory; this is a folder; give a file"),
    ):
        with pytest.raises(OSError, match=r"Errno") as caught:
            path.read_text()
        assert error_lines(caught.value) == [f"{path}: {words}"]


def test_a_bug_is_told_by_its_type():
    assert error_lines(KeyError("x")) == ["KeyError: 'x'"]
    assert error_lines(ZeroDivisionError()) == ["ZeroDivisionError"]


def refuse(source: str, target: str) -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")


def copied_to_a_full_disk(folder: Path) -> None:
    for name in ("a", "b"):
        (folder / "from" / name).mkdir(parents=True)
        (folder / "from" / name / "file").touch()
    shutil.copytree(folder / "from", folder / "to", copy_function=refuse)


def raised(error: Exception) -> Callable[[Path], None]:
    def work(_: Path) -> None:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "line"),
    [
        (copied_to_a_full_disk, r"^\[Errno 28\] No space left on device; free disk space"),
        (
            raised(ValueError("registry sqlite:///a: database or disk is full")),
            r"disk is full; free disk space",
        ),
        (
            raised(RuntimeError("I/O error: No space left on device (os error 28)")),
            r"\(os error 28\); free disk",
        ),
        (
            raised(OSError("a checkpoint cannot be written (No space left on device); make room")),
            r"make room$",
        ),
        (raised(MemoryError()), r"^MemoryError; give the step more memory"),
        (raised(RuntimeError("can't start new thread")), r"ulimit -u"),
        (raised(OSError(24, "Too many open files")), r"ulimit -n"),
    ],
)
def test_a_limit_that_a_library_met_is_one_line_with_what_to_do(
    work: Callable[[Path], None], line: str, tmp_path: Path
):
    with pytest.raises((OSError, RuntimeError, ValueError, MemoryError)) as caught:
        work(tmp_path)
    (said,) = error_lines(caught.value)
    assert re.search(line, said), said
