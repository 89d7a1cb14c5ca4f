"""File systems that fill."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def mounted_tmpfs(folder: Path, size: str) -> Iterator[None]:
    """Mount a tmpfs of a size, such as ``1m``, on an empty folder. Raises OSError without the right to."""
    options = f"size={size},mode=755"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PermissionError(done.stderr)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@contextmanager
def nearly_full(folder: Path, free_bytes: int) -> Iterator[None]:
    """Replace a folder by a copy of it on a file system with few bytes left."""
    original = folder.with_name(f"{folder.name}.original")
    folder.rename(original)
    folder.mkdir()
    try:
        with mounted_tmpfs(folder, "64m"):
            shutil.copytree(original, folder, dirs_exist_ok=True)
            state = os.statvfs(folder)
            (folder / "filler").write_bytes(bytes(state.f_bavail * state.f_frsize - free_bytes))
            yield
    finally:
        folder.rmdir()
        original.rename(folder)
