"""The checkpoint folder of a training, which a repeated step resumes from."""

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from components.common.artifacts.snapshot import Snapshot, config_digest
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.training import Checkpoints, ProcessGroup
from recap_model.training.checkpoint import LOCK_NAME

CHECKPOINTS_VARIABLE = "RECAP_CHECKPOINTS"

log = logging.getLogger(__name__)


@contextmanager
def checkpoints_of(
    out: Path, snapshot: Snapshot, config: RecapConfig, dataset: DatasetManifest, process_group: ProcessGroup
) -> Iterator[Checkpoints]:
    """The checkpoints of a training, identified by its config, data, warm start and version of torch.

    They lie beside the step's output, or, if that does not outlive the process, in the folder of the environment
    variable ``RECAP_CHECKPOINTS``. Checkpoints of other trainings are neither used nor changed. Concurrent trainings
    of the same config and data have a folder each, locked while they run; a new one resumes from the first unlocked
    folder.
    """
    champion = snapshot.champion.version if snapshot.champion is not None else None
    origin = [
        config_digest(config),
        dataset.fingerprint,
        champion if config.training.warm_start == "champion" else None,
        torch.__version__,
    ]
    name = hashlib.sha256(json.dumps(origin).encode()).hexdigest()[:32]
    given = os.environ.get(CHECKPOINTS_VARIABLE)
    root = Path(given) if given else out.with_name(f"{out.name}.checkpoints")
    if process_group.rank > 0:
        yield Checkpoints(root / process_group.gather("")[0], config.training.checkpoint.keep)
        return
    folder, lock = _lock_free_folder(root, name)
    checkpoints = Checkpoints(folder, config.training.checkpoint.keep)
    try:
        process_group.gather(folder.name)
        yield checkpoints
    finally:
        with suppress(OSError):
            checkpoints.finish()
        if not checkpoints.files():
            checkpoints.clear()
        os.close(lock)
        with suppress(OSError):  # may contain another training's checkpoints
            root.rmdir()


def _lock_free_folder(root: Path, name: str) -> tuple[Path, int]:
    """An unlocked folder, preferably one with checkpoints; and its lock's handle."""
    made = sorted(path for path in root.glob(f"{name}*") if Checkpoints(path).files())
    new = (root / (name if number == 1 else f"{name}-{number}") for number in range(1, 1000))
    for folder in (*made, *new):
        if (lock := _lock(folder)) is not None:
            return folder, lock
    raise FileExistsError(
        f"{root}: every folder of this training's checkpoints is in use; wait until one has ended"
    )


def _lock(folder: Path) -> int | None:
    """The handle of a folder's lock, or None if another process has it."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            lock = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:  # its owner has just removed the folder
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except OSError as error:
            log.warning("event=no_lock folder=%s reason=%r", folder, error.strerror)
            return lock
        with suppress(FileNotFoundError):
            if os.stat(folder / LOCK_NAME).st_ino == os.fstat(lock).st_ino:
                return lock
        os.close(lock)
