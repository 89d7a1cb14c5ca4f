"""The folder where runs on this machine keep what they make."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

CONFIGS = Path(__file__).parent.parent / "configs"

WorkspaceOption = Annotated[Path, typer.Option(help="Folder that keeps the registry and the runs.")]
DEFAULT_WORKSPACE = Path(".recap")


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


def new_run(workspace: Path) -> RunFolder:
    """A fresh folder for a run, named by its start in UTC."""
    stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H-%M-%S-%f")
    path = workspace / "runs" / stamp
    path.mkdir(parents=True)
    return RunFolder(path)


def newest_run(workspace: Path) -> RunFolder:
    """The newest run that has reports. Raises FileNotFoundError if there is none."""
    found = sorted((workspace / "runs").glob("*/reports"))
    if not found:
        raise FileNotFoundError(f"{workspace}: no finished run here; start one with recap run")
    return RunFolder(found[-1].parent)


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
    names = ", ".join(sorted(path.stem for path in CONFIGS.glob("*.yaml")))
    raise FileNotFoundError(f"{name_or_file}: no such config file; those that come along are {names}")
