"""The folder where runs on this machine keep what they make."""

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from components.common.runtime.atomic_output import find_abandoned, remove_abandoned
from components.common.runtime.environment import environment

CONFIGS = Path(__file__).parent.parent / "configs"

WorkspaceOption = Annotated[
    Path, typer.Option(file_okay=False, help="Folder that keeps the registry and the runs.")
]
TRACKING_URI = ("--tracking-uri", "--registry")
UriOption = Annotated[
    str,
    typer.Option(*TRACKING_URI, help="MLflow's URI; else MLFLOW_TRACKING_URI, or SQLite in the workspace."),
]
NameOption = Annotated[
    str, typer.Option("--name", help="The registered model: registry.model_name of the config.")
]
DEFAULT_NAME = "recap"
DEFAULT_WORKSPACE = Path(".recap")
# A training that is killed leaves its checkpoints there, and the next run of the same data takes them up.
CHECKPOINTS = "checkpoints"
_STAMP = "%Y-%m-%dT%H-%M-%S-%f"
_RUNS, _LOCK, _TEMPORARY, _REMOVED = "runs", ".running", "tmp", ".removed-"


@dataclass(frozen=True)
class RunFolder:
    """What one run keeps: its steps' outputs, its log, its reports."""

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
    def in_use(self) -> Iterator[None]:
        """As long as the block, or the process, lasts, nothing of the folder is removed."""
        with (self.path / _LOCK).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def unless_in_use(self) -> Iterator[bool]:
        """Whether no process runs this run; none begins to in the block."""
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
        """In the block, temporary files of what is started are the run's: they go at its end, or when it is pruned.

        A step that is killed leaves its own behind, and kfp a folder for each step.
        """
        folder = self.path / _TEMPORARY
        folder.mkdir()
        # What torch.compile keeps is of use to the next run, so it stays where it would be.
        compiled = (
            os.environ.get("TORCHINDUCTOR_CACHE_DIR")
            or f"{tempfile.gettempdir()}/torchinductor_{os.getuid()}"
        )
        try:
            with environment({"TMPDIR": str(folder.resolve()), "TORCHINDUCTOR_CACHE_DIR": compiled}):
                yield
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def new_run(workspace: Path) -> RunFolder:
    """A fresh folder for a run, named by its start in UTC; what killed runs left half-written is removed."""
    for run in _runs(workspace):
        remove_leftovers(run)
    stamp = datetime.now(UTC).strftime(_STAMP)
    path = workspace / _RUNS / stamp
    path.mkdir(parents=True)
    return RunFolder(path)


def remove_leftovers(run: Path, dry_run: bool = False) -> list[tuple[Path, int]]:
    """Remove what a killed run left: temporary files, and partial outputs that no process is writing.

    Returns:
        What was removed (or would be), with the bytes that it held; nothing if the run is still going.
    """
    folder = RunFolder(run)
    with folder.unless_in_use() as idle:
        if not idle:
            return []
        temporary = run / _TEMPORARY
        found = [*([temporary] if temporary.is_dir() else []), *find_abandoned(folder.steps)]
        removed = [(path, _bytes_in(path)) for path in found]
        for path in () if dry_run else found:
            if path == temporary:
                shutil.rmtree(path, ignore_errors=True)
            else:
                remove_abandoned(path)
    return removed


def newest_run(workspace: Path) -> RunFolder:
    """The newest run that has reports. Raises FileNotFoundError if there is none."""
    found = sorted((workspace / _RUNS).glob("*/reports"))
    if not found:
        raise FileNotFoundError(f"{workspace}: no finished run here; start one with recap run")
    return RunFolder(found[-1].parent)


def prune_runs(workspace: Path, keep: int, dry_run: bool = False) -> list[tuple[Path, int]]:
    """Remove all but the newest ``keep`` runs, what killed runs left, and checkpoints that no kept run has written.

    A folder is renamed before it is removed, so that an interrupted call leaves no half of a run; the next call
    removes what is left of it. Runs that are still going stay, and so does what is no run, a run's folder with files
    that no run writes included.

    Returns:
        What was removed (or would be), with the bytes that it held.
    """
    with _alone(workspace / _RUNS):
        runs = _runs(workspace)
        kept = [path for path in runs if path in runs[-keep:] or _is_in_use(path) or _holds_other_files(path)]
        since = min((_begun(path) for path in kept), default=0.0)
        checkpoints = [path for path in (workspace / CHECKPOINTS).glob("*") if _are_checkpoints(path, since)]
        half_removed = [path for path in (workspace / _RUNS).glob(f"{_REMOVED}*") if _is_folder(path)]
        old = [path for path in runs if path not in kept] + checkpoints + half_removed
        removed = [(path, _bytes_in(path)) for path in old]
        removed += [item for path in kept for item in remove_leftovers(path, dry_run)]
        for path in () if dry_run else old:
            if not path.name.startswith(_REMOVED):
                path = path.rename(workspace / _RUNS / f"{_REMOVED}{path.name}")
            shutil.rmtree(path)
    return removed


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Of those that prune a folder at once, one after the other is in the block."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _begun(run: Path) -> float:
    """When a run began, in seconds since 1970, by the name of its folder."""
    return datetime.strptime(run.name, _STAMP).replace(tzinfo=UTC).timestamp()


def _runs(workspace: Path) -> list[Path]:
    """The folders of runs, the oldest first."""
    return sorted(path for path in (workspace / _RUNS).glob("*") if _is_run(path))


def _is_run(path: Path) -> bool:
    try:
        _begun(path)
    except ValueError:
        return False
    return _is_folder(path)


def _is_folder(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()


def _holds_other_files(run: Path) -> bool:
    """Whether something lies in a run's folder that no run writes: a user's notes, say."""
    written = {"steps", "run.log", "reports", _LOCK, _TEMPORARY}
    return any(path.name not in written for path in run.iterdir())


def _are_checkpoints(folder: Path, before: float) -> bool:
    """Whether it is a folder of a training's checkpoints and nothing else, last written before that time."""
    if not _is_folder(folder) or folder.stat().st_mtime >= before:
        return False
    return all(
        path.suffix in (".checkpoint", ".partial") or path.name == ".lock" for path in folder.iterdir()
    )


def _is_in_use(run: Path) -> bool:
    with RunFolder(run).unless_in_use() as idle:
        return not idle


def _bytes_in(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    inside = (Path(top) / name for top, _, names in os.walk(path) for name in names)
    return sum(each.lstat().st_size for each in ([path] if path.is_file() else inside))


def complete_config(incomplete: str) -> list[str]:
    """What a shell may complete a config's name to: the package's own, and YAML files by their path."""
    files = [*glob.glob(f"{glob.escape(incomplete)}*.yaml"), *glob.glob(f"{glob.escape(incomplete)}*/")]
    return sorted(name for name in (*_packaged(), *files) if name.startswith(incomplete))


def _packaged() -> list[str]:
    return sorted(path.stem for path in CONFIGS.glob("*.yaml"))


def config_path(name_or_file: str) -> Path:
    """The file of a config that is given by a path, or by the name of one that comes with the package.

    Raises FileNotFoundError naming the packaged configs if it is neither.
    """
    given = Path(name_or_file)
    if given.is_file():
        return given
    packaged = CONFIGS / f"{name_or_file}.yaml"
    if packaged.is_file():
        return packaged
    names = ", ".join(_packaged())
    raise FileNotFoundError(f"{name_or_file}: no such config file; those of the package are {names}")
