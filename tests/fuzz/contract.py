"""What must hold of every reader, whatever it is given."""

import contextlib
import faulthandler
import io
import pickle
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

import torch

from components.validate.result import ValidationFailed
from recap_model.config import ConfigError

LONGEST_S = 30
"""A case that takes longer hangs."""

_ROOM = 4 << 30
_LONGEST_LINE = 1000
_IN_LINES = (ConfigError, ValidationFailed)  # of which each of several faults has a line
_OURS = ("builtins", "recap_model", "components", "pipeline")


class _Broken(BaseException):
    """Not to be caught by what reads."""


def held(what: str, folder: Path, read: Callable[[Path], object]) -> str:
    """Read files below a folder, one of which was altered. Returns what was said about it; "" if it was taken.

    Raises AssertionError if the reader raised anything but a ValueError or an OSError in a line of ours, printed a
    traceback, loaded a pickle, wrote anything outside its folder ``out``, took over `LONGEST_S`, or asked
    for more than 4 GiB.
    """
    before, said = _listing(folder), io.StringIO()
    raised: BaseException | None = None
    try:
        with (
            contextlib.redirect_stdout(said),
            contextlib.redirect_stderr(said),
            _no_pickle(),
            _in_bounds(),
        ):
            read(folder)
    except (Exception, _Broken) as error:  # noqa: BLE001 - what kind it is, is the question
        raised = error
    changed = _listing(folder) ^ before
    assert not changed, f"{what}: wrote {sorted(map(str, changed))}"
    assert "Traceback" not in said.getvalue(), f"{what}: printed {said.getvalue()[-2000:]}"
    return "" if raised is None else _in_words_of_ours(what, raised)


def _in_words_of_ours(what: str, error: BaseException) -> str:
    kind, words = f"{type(error).__module__}.{type(error).__name__}", str(error)
    ours = kind.partition(".")[0] in _OURS and not isinstance(error, UnicodeError)
    if not isinstance(error, ValueError | OSError) or not ours or words.startswith("[Errno"):
        raise AssertionError(f"{what}: {kind}: {words}") from error
    assert words, f"{what}: {kind} without a word"
    assert all(len(line) < _LONGEST_LINE for line in words.splitlines()), f"{what}: a long line: {words}"
    assert isinstance(error, _IN_LINES) or len(words.splitlines()) == 1, f"{what}: several lines: {words}"
    return words


class _Unpickler(pickle.Unpickler):
    def __init__(self, *_: Any, **__: Any) -> None:
        _refuse()


@contextlib.contextmanager
def _no_pickle() -> Iterator[None]:
    """Whoever loads one runs its author's code."""
    load = torch.load

    def load_weights(*arguments: Any, weights_only: bool = False, **options: Any) -> Any:
        return load(*arguments, weights_only=True, **options) if weights_only else _refuse()

    with (
        mock.patch.object(pickle, "load", _refuse),
        mock.patch.object(pickle, "loads", _refuse),
        mock.patch.object(pickle, "Unpickler", _Unpickler),
        mock.patch.object(torch, "load", load_weights),
    ):
        yield


def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise _Broken("a pickle is loaded")


@contextlib.contextmanager
def _in_bounds() -> Iterator[None]:
    """A bound on the block's time, and on the memory that it takes beyond what there is."""

    def ring(*_: object) -> NoReturn:
        raise _Broken(f"takes longer than {LONGEST_S} s")

    limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    # Where C code does not come back to Python, and the bell is not heard.
    faulthandler.dump_traceback_later(4 * LONGEST_S, exit=True, file=sys.__stderr__)
    rung = signal.signal(signal.SIGALRM, ring)
    signal.alarm(LONGEST_S)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _ROOM, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, rung)
        faulthandler.cancel_dump_traceback_later()


def _listing(folder: Path) -> set[Path]:
    """All but what is in the folder's ``out``, and what SQLite leaves beside an open database."""
    paths = {*folder.rglob("*"), *folder.parent.iterdir()}
    return {path for path in paths if folder / "out" not in path.parents and ".db-" not in path.name}
