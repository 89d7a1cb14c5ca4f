"""What a step says to whoever reads its last lines."""

import os
from pathlib import Path

import pytest

from components.common.runtime.step import lines_of


def test_a_full_disk_comes_with_what_to_do():
    full = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left on device") as caught:
        os.write(full, b"x")
    os.close(full)
    (line,) = lines_of(caught.value)
    assert line.endswith("No space left on device; make room on the disk, or write elsewhere, and run again")


def test_an_error_that_says_all_itself_is_said_as_it_is(tmp_path: Path):
    assert lines_of(ValueError("a: 1 is too much; at most 0")) == ["a: 1 is too much; at most 0"]
    with pytest.raises(FileNotFoundError) as caught:
        (tmp_path / "none").read_text()
    assert lines_of(caught.value) == [str(caught.value)]


def test_a_bug_is_told_by_its_type():
    assert lines_of(KeyError("x")) == ["KeyError: 'x'"]
    assert lines_of(ZeroDivisionError()) == ["ZeroDivisionError"]
