"""Create, find and prune the run folders of a workspace, also while other runs are active."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from components.common.runtime.atomic_output import find_abandoned, remove_abandoned
from components.common.runtime.environment import environment
from components.common.runtime.locks import locked_folder

# Checkpoints of a killed training; the next run with the same config and data resumes from them.
CHECKPOINTS = "checkpoints"
EVALUATION_REPORT = "evaluation.html"
_STAMP = "%Y-%m-%dT%H-%M-%S-%f"
_RUNS, _LOCK, _TEMPORARY, _REMOVED = "runs", ".running", "tmp", ".removed-"


@dataclass(frozen=True)
class RunFolder:
    """The files of one run: step outputs, log, reports."""

    path: Path

    @property
    def steps(self) -> Path:
        return self.path / "steps"

    @property
    def log(self) -> Path:
        return self.path / "run.log"

    @property
    def reports(self) -> Path:
        return self.path / "reports"

    @contextmanager
    def lock_if_idle(self) -> Iterator[bool]:
        """Lock the run if no process executes it; yields whether that succeeded."""
        with ExitStack() as stack:
            try:
                lock = stack.enter_context((self.path / _LOCK).open("a"))
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                idle = True
            except OSError:  # it is locked, or another user's
                idle = False
            yield idle

    @contextmanager
    def temporary_files(self) -> Iterator[None]:
        """Keep temporary files of child processes in the run's folder, and remove them at its end or when pruning.

        A killed step leaves temporary files, and kfp leaves a folder per step.
        """
        folder = self.path / _TEMPORARY
        folder.mkdir()
        # The cache of torch.compile is useful to later runs and stays in its usual place.
        compiled = (
            os.environ.get("TORCHINDUCTOR_CACHE_DIR")
            or f"{tempfile.gettempdir()}/torchinductor_{os.getuid()}"
        )
        try:
            with environment({"TMPDIR": str(folder.resolve()), "TORCHINDUCTOR_CACHE_DIR": compiled}):
                yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_run(workspace: Path) -> Iterator[RunFolder]:
    """Create a run folder that `prune_runs` keeps as long as the block, or the process, lasts.

    Its name is the time in UTC, or, if the clock was set back, the successor of the newest run's name: names sort by
    start order. Partial outputs of killed runs are removed.
    """
    runs = workspace / _RUNS
    runs.mkdir(parents=True, exist_ok=True)
    with locked_folder(runs):
        before = _run_folders(workspace)
        for run in before:
            remove_leftovers(run)
        newest = max(map(_named_time, before), default=datetime.min)
        now = datetime.now(UTC).replace(tzinfo=None)
        path = runs / max(now, newest + timedelta(microseconds=1)).strftime(_STAMP)
        path.mkdir()
        lock = (path / _LOCK).open("w")
        fcntl.flock(lock, fcntl.LOCK_EX)
    with lock:
        yield RunFolder(path)


def remove_leftovers(run: Path, dry_run: bool = False) -> list[tuple[Path, int]]:
    """Remove a killed run's temporary files and partial outputs that no process is writing.

    Returns:
        Removed (or removable) paths and their sizes in bytes; empty if the run is active.
    """
    folder = RunFolder(run)
    with folder.lock_if_idle() as idle:
        if not idle:
            return []
        temporary = run / _TEMPORARY
        abandoned = [*([temporary] if temporary.is_dir() else []), *find_abandoned(folder.steps)]
        removed = [(path, _size_bytes(path)) for path in abandoned]
        for path in () if dry_run else abandoned:
            if path == temporary:
                shutil.rmtree(path, ignore_errors=True)
            else:
                remove_abandoned(path)
    return removed


def newest_run(workspace: Path) -> RunFolder:
    """The newest run that was evaluated. Raises FileNotFoundError if there is none."""
    finished = [path for path in _run_folders(workspace) if (path / "reports" / EVALUATION_REPORT).is_file()]
    if not finished:
        raise FileNotFoundError(f"{workspace}: no run with an evaluation; start one with recap run")
    return RunFolder(finished[-1])


def prune_runs(workspace: Path, keep: int, dry_run: bool = False) -> list[tuple[Path, int]]:
    """Remove all but the newest ``keep`` runs, leftovers of killed runs, and checkpoints that no kept run wrote.

    A folder is renamed before it is removed, so that an interrupted call leaves no partial run; the next call
    removes what is left of it. Runs that are still going stay, with all checkpoints, and so does what is no run, such
    as a link to one, or a run's folder with files that no run writes.

    Returns:
        What was removed (or would be), with the bytes that it held.

    Raises:
        OSError: a folder cannot be removed; all others are.
    """
    with locked_folder(workspace / _RUNS):
        runs = _run_folders(workspace)
        going = [path for path in runs if _is_in_use(path)]
        kept = [path for path in runs if path in runs[-keep:] or path in going or _holds_other_files(path)]
        half_removed = [path for path in (workspace / _RUNS).glob(f"{_REMOVED}*") if _is_folder(path)]
        old = [path for path in runs if path not in kept] + half_removed
        since = min((_start_time_s(path) for path in kept), default=0.0)
        old += [
            path
            for path in (workspace / CHECKPOINTS).glob("*")
            if not going and _are_checkpoints(path, since)
        ]
        removed = [(path, _size_bytes(path)) for path in old]
        removed += [item for path in kept for item in remove_leftovers(path, dry_run)]
        failures = [] if dry_run else [failure for path in old if (failure := _remove(path, workspace))]
    if failures:
        raise failures[0]
    return removed


def _remove(path: Path, workspace: Path) -> OSError | None:
    try:
        if not path.name.startswith(_REMOVED):
            path = path.rename(workspace / _RUNS / f"{_REMOVED}{path.name}")
        shutil.rmtree(path)
    except OSError as error:
        return error
    return None


def _start_time_s(run: Path) -> float:
    """Upper bound of a run's start, in seconds since 1970; its name may be later than its files' times."""
    lock, named = run / _LOCK, _named_time(run).replace(tzinfo=UTC).timestamp()
    return min(named, lock.stat().st_mtime) if lock.is_file() else named


def _run_folders(workspace: Path) -> list[Path]:
    """All run folders, oldest first."""
    return sorted(path for path in (workspace / _RUNS).glob("*") if _is_run(path))


def _named_time(run: Path) -> datetime:
    return datetime.strptime(run.name, _STAMP)


def _is_run(path: Path) -> bool:
    try:
        _named_time(path)
    except ValueError:
        return False
    return _is_folder(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _holds_other_files(run: Path) -> bool:
    """Whether a run's folder contains files that no run writes, such as a user's notes."""
    written = {"steps", "run.log", "reports", _LOCK, _TEMPORARY}
    return any(path.name not in written for path in run.iterdir())


def _are_checkpoints(folder: Path, before: float) -> bool:
    """Whether a folder contains only training checkpoints and was last written before that time."""
    if not _is_folder(folder) or folder.stat().st_mtime >= before:
        return False
    return all(
        path.suffix in (".checkpoint", ".partial") or path.name == ".lock" for path in folder.iterdir()
    )


def _is_in_use(run: Path) -> bool:
    with RunFolder(run).lock_if_idle() as idle:
        return not idle


def _size_bytes(path: Path) -> int:
    """Size of a file, or of all files in a folder, in bytes."""
    inside = (Path(top) / name for top, _, names in os.walk(path) for name in names)
    return sum(each.lstat().st_size for each in ([path] if path.is_file() else inside))
