"""Checkpoints: atomic, checksummed files from which training resumes."""

import contextlib
import logging
import os
import pickle
import zipfile
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recap_model.config.reading.errors import first_reason

LOCK_NAME = ".lock"
"""Of a file beside them, which the training that has the folder locks."""

_SUFFIX, _PARTIAL = ".checkpoint", ".partial"

log = logging.getLogger(__name__)


class Checkpoints:
    """A folder of one training's checkpoints, the newest few of which are kept.

    Writes are atomic (temporary file, fsync, rename) and asynchronous: a thread writes a copy of the state. A file's
    records have checksums, and reading one executes no pickled code (``torch.load(weights_only=True)``).

    Args:
        folder: of this training alone; made when the first checkpoint is written.
        keep: number of files that stay.
    """

    def __init__(self, folder: str | Path, keep: int = 2):
        self.folder = Path(folder)
        self.keep = keep
        self._writer = ThreadPoolExecutor(1, "checkpoint")
        self._writing: Future[None] | None = None

    def write(self, step: int, state: dict[str, Any]) -> None:
        """Write a state of tensors and plain values, once the one before is on disk.

        Raises OSError if the one before could not be written.
        """
        self.finish()
        self._writing = self._writer.submit(self._write, step, _copy(state))

    def finish(self) -> None:
        """Wait until all is on disk. Raises OSError, in one line, if it could not be written."""
        writing, self._writing = self._writing, None
        if writing is None:
            return
        try:
            writing.result()
        # torch reports a full disk as a RuntimeError of its zip writer.
        except (OSError, RuntimeError) as error:
            reason = first_reason(error)
            raise OSError(
                f"{self.folder}: a checkpoint cannot be written ({reason}); make room there"
            ) from None

    def read_newest(self, mapped: bool = False) -> dict[str, Any] | None:
        """The newest state whose file is undamaged; None if there is none. Tensors are on the CPU.

        With ``mapped`` they stay in the file until they are read, for who wants a part of them only.
        """
        for path in reversed(self.files()):
            if (state := _read(path, mapped)) is not None:
                return state
        return None

    def clear(self) -> None:
        """Remove all checkpoints, and the folder if it holds nothing else."""
        self.finish()
        with contextlib.suppress(OSError):
            for path in (*self.files(), *self.folder.glob(f"*{_PARTIAL}"), self.folder / LOCK_NAME):
                path.unlink(missing_ok=True)
            self.folder.rmdir()

    def files(self) -> list[Path]:
        """Complete checkpoints, the oldest first."""
        return sorted(self.folder.glob(f"*{_SUFFIX}"))

    def _write(self, step: int, state: dict[str, Any]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{step:012d}{_SUFFIX}"
        partial = path.with_suffix(_PARTIAL)
        with partial.open("wb") as stream:
            torch.save(state, stream)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
        _sync_folder(self.folder)
        for old in self.files()[: -self.keep]:
            old.unlink()


def _copy(state: Any) -> Any:
    """The same values, with tensors of their own on the CPU."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {key: _copy(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return type(state)(_copy(value) for value in state)
    return state


def _read(path: Path, mapped: bool) -> dict[str, Any] | None:
    try:
        with zipfile.ZipFile(path) as records:
            if records.testzip() is not None:
                raise ValueError("a record's checksum is wrong")
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except (OSError, RuntimeError, EOFError, ValueError, zipfile.BadZipFile, pickle.UnpicklingError) as error:
        log.warning("event=damaged_checkpoint file=%s reason=%r", path, first_reason(error))
        return None
    return state


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
