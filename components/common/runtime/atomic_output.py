"""Outputs that are there whole or not at all."""

import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_directory(out: str | Path) -> Iterator[Path]:
    """A folder to write into, which takes the place of ``out`` when the block ends without an error.

    What a killed process left behind is removed by the next run to the same place.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for stale in _left_behind(out):
        shutil.rmtree(stale, ignore_errors=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=out.parent))
    partial.chmod(0o755)
    try:
        yield partial
        if out.is_dir():
            shutil.rmtree(out)
        elif out.exists():
            out.unlink()
        os.replace(partial, out)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


@contextmanager
def atomic_file(out: str | Path) -> Iterator[Path]:
    """A file to write, which takes the place of ``out`` when the block ends without an error.

    What a killed process left behind is removed by the next run to the same place.
    """
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    for stale in _left_behind(out):
        stale.unlink(missing_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{out.name}.partial-", dir=out.parent)
    os.close(handle)
    partial = Path(name)
    partial.chmod(0o644)
    try:
        yield partial
        os.replace(partial, out)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _left_behind(out: Path) -> list[Path]:
    return list(out.parent.glob(f".{glob.escape(out.name)}.partial-*"))
