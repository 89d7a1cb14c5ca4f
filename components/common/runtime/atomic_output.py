"""Atomic file and directory writes.

An output is written under a temporary name in the same folder, ``.NAME.partial-XXXXXXXX``, and renamed when it is
complete. The writing process holds a lock (flock) on it: a partial output without a lock was left by a killed process
and may be removed.

A directory written here contains a marker file, `MARK_NAME`, that lists its files. Only a directory whose entire
content is listed in its marker is ever replaced or removed.
"""

import contextlib
import fcntl
import glob
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

MARK_NAME = ".recap-output"
_FORMAT = "recap-output/1"
_PARTIAL = re.compile(r"\..+\.partial-\w+")


@contextlib.contextmanager
def atomic_directory(out: str | Path) -> Iterator[Path]:
    """A temporary directory to write into, renamed to ``out`` when the block ends without an error.

    Partial outputs that killed processes left for the same ``out`` are removed first.

    Raises:
        NotADirectoryError: ``out`` is a file.
        FileExistsError: ``out`` contains something that was not written here; it is left unchanged.
    """
    out = _resolved(out)
    _check_replaceable(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_of(out)
    partial, lock = _create_locked(out, directory=True)
    try:
        yield partial
        _write_mark(partial)
        _check_replaceable(out)
        _replace_directory(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    finally:
        os.close(lock)


@contextlib.contextmanager
def atomic_file(out: str | Path) -> Iterator[Path]:
    """A temporary file to write, renamed to ``out`` when the block ends without an error; replaces a file.

    Partial outputs that killed processes left for the same ``out`` are removed first.

    Raises FileExistsError if ``out`` is a directory, a device or a pipe.
    """
    out = _resolved(out)
    if out.exists() and not out.is_file():
        raise FileExistsError(f"{out}: not a regular file; give the path of a file")
    out.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_of(out)
    partial, lock = _create_locked(out, directory=False)
    try:
        yield partial
        os.replace(partial, out)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(lock)


def remove_directory(out: str | Path) -> None:
    """Remove a directory that `atomic_directory` wrote; one that contains anything else is kept."""
    if (out := _resolved(out)).is_dir() and _first_foreign(out) is None:
        shutil.rmtree(out, ignore_errors=True)


def find_abandoned(folder: str | Path) -> list[Path]:
    """Partial outputs anywhere under a directory that no process is writing."""
    abandoned = []
    for top, directories, files in os.walk(folder):
        partial = [name for name in (*directories, *files) if _PARTIAL.fullmatch(name)]
        directories[:] = [name for name in directories if name not in partial]
        abandoned += [path for name in partial if _is_abandoned(path := Path(top, name))]
    return sorted(abandoned)


def remove_abandoned(partial: Path) -> None:
    """Remove a partial output unless a process is writing it."""
    _is_abandoned(partial, remove=True)


def _is_abandoned(partial: Path, remove: bool = False) -> bool:
    """Whether a partial output has no lock; if ``remove``, it is removed before another process can lock it."""
    try:
        lock = os.open(partial, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # A filesystem without locks raises another OSError: the owner is unknown, so the output is kept.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        mode = os.fstat(lock).st_mode
        if remove and stat.S_ISDIR(mode):
            shutil.rmtree(partial, ignore_errors=True)
        elif remove and stat.S_ISREG(mode):
            partial.unlink(missing_ok=True)
        return stat.S_ISDIR(mode) or stat.S_ISREG(mode)
    finally:
        os.close(lock)


def _remove_abandoned_of(out: Path) -> None:
    for partial in out.parent.glob(f".{glob.escape(out.name)}.partial-*"):
        if _PARTIAL.fullmatch(partial.name):
            remove_abandoned(partial)


def _create_locked(out: Path, *, directory: bool) -> tuple[Path, int]:
    """A new partial output and the descriptor that holds its lock."""
    while True:
        prefix = f".{out.name}.partial-"
        if directory:
            partial = Path(tempfile.mkdtemp(prefix=prefix, dir=out.parent))
            lock = os.open(partial, os.O_RDONLY | os.O_DIRECTORY)
        else:
            lock, name = tempfile.mkstemp(prefix=prefix, dir=out.parent)
            partial = Path(name)
        # On a filesystem without locks no output is ever considered abandoned.
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Another process may have removed it before it was locked.
        if partial.exists():
            partial.chmod(0o755 if directory else 0o644)
            return partial, lock
        os.close(lock)


def _resolved(out: str | Path) -> Path:
    """The path itself, or its target if it is a link: the link is kept, and the rename stays on one filesystem."""
    out = Path(out)
    return out.resolve() if out.is_symlink() else out


def _check_replaceable(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise NotADirectoryError(f"{out}: not a directory; give a new or empty directory")
    foreign = _first_foreign(out)
    if foreign is not None:
        raise FileExistsError(
            f"{out}: holds {foreign!r}, which is not marked as Recap's output; give a new or empty directory, or "
            "remove this one"
        )


def _replace_directory(partial: Path, out: Path) -> None:
    """Rename ``partial`` to ``out``; an existing output is renamed first, so that a kill leaves none half removed."""
    if not out.is_dir() or not any(out.iterdir()):
        os.replace(partial, out)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    os.replace(out, aside)
    try:
        os.replace(partial, out)
    except BaseException:
        os.replace(aside, out)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _first_foreign(folder: Path) -> str | None:
    """The first path in the directory that its marker does not list; None if all are listed."""
    listed = _read_mark(folder)
    # The top level first, so that a home directory is refused without walking it.
    top = {path.name for path in folder.iterdir()} - {MARK_NAME}
    return min(top - listed, default=None) or min(_content(folder) - listed, default=None)


def _content(folder: Path) -> set[str]:
    """Relative paths of all files and directories in it, without the marker."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")} - {MARK_NAME}


def _write_mark(folder: Path) -> None:
    content = {"format": _FORMAT, "files": sorted(_content(folder))}
    (folder / MARK_NAME).write_text(json.dumps(content, indent=1))


def _read_mark(folder: Path) -> set[str]:
    """The paths that the marker lists; empty if the marker is missing or unreadable."""
    mark = folder / MARK_NAME
    try:
        content = json.loads(mark.read_bytes()) if mark.is_file() else None
    except ValueError:
        return set()
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        return set()
    return {str(name) for name in content["files"]} if isinstance(content.get("files"), list) else set()
