"""Run the pipeline on this machine with kfp's local runners: a line per step here, the raw log in a file."""

import contextlib
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from components.common.runtime.step import ERROR_MARK, PROGRESS_MARK

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([\w-]+)'")
_ENDED = re.compile(r"Task '([\w-]+)' finished with status (\w+)")


@dataclass(frozen=True)
class StepStarted:
    step: str


@dataclass(frozen=True)
class StepProgress:
    """``share`` of the step's work that is done, 0 to 1, and a few words on it."""

    step: str
    share: float
    what: str


@dataclass(frozen=True)
class StepEnded:
    step: str
    succeeded: bool


Event = StepStarted | StepProgress | StepEnded


@dataclass
class StepFailedError(Exception):
    """A step ended the run; ``lines`` are its own words."""

    step: str
    lines: list[str]
    log: Path


class _LogReader(TextIOBase):
    """Takes what kfp and the steps print: keeps all of it in a file, and tells of what happens."""

    def __init__(self, log: TextIO, on_event: Callable[[Event], None]) -> None:
        self.log = log
        self.on_event = on_event
        self.step = ""
        self.said: list[str] = []
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(_ANSI.sub("", line).rstrip())
        return len(text)

    def flush(self) -> None:
        self.log.flush()

    def _line(self, line: str) -> None:
        stripped = line.strip()
        if stripped.startswith(PROGRESS_MARK):
            _, share, what = stripped.split(" ", 2)
            self.on_event(StepProgress(self.step, float(share), what))
            return
        self.log.write(line + "\n")
        if stripped.startswith(ERROR_MARK):
            _, _, message = stripped.removeprefix(ERROR_MARK).strip().partition(": ")
            self.said.append(message)
        elif started := _STARTED.search(line):
            if started[1] == self.step:
                # The step is run again; what it failed with the last time is not how it ends.
                self.said.clear()
            self.step = started[1]
            self.on_event(StepStarted(self.step))
        elif ended := _ENDED.search(line):
            self.on_event(StepEnded(ended[1], ended[2] == "SUCCESS"))


def run_pipeline(
    arguments: dict[str, Any],
    root: str | Path,
    log: str | Path,
    on_event: Callable[[Event], None],
    containers: dict[str, Any] | None = None,
) -> Path:
    """Run every step in a process of its own; returns the folder that holds a folder for each step's outputs.

    Args:
        arguments: the pipeline's parameters.
        root: where this run's outputs go; it holds nothing yet.
        log: file for everything that kfp and the steps print.
        on_event: called as steps start, get on and end.
        containers: settings of a container for each step (`pipeline.local.docker`); processes if None.

    Raises:
        StepFailedError: a step failed; what it had to say is in the exception.
    """
    from kfp import local

    from pipeline.local.kfp_patches import steps_to_their_end
    from pipeline.retrain import retrain

    root, log = Path(root), Path(log)
    root.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as stream:
        reader = _LogReader(stream, on_event)
        try:
            with _quiet(reader), steps_to_their_end():
                runner = local.SubprocessRunner(use_venv=False)
                if containers is not None:
                    runner = local.DockerRunner(**containers)
                local.init(runner, pipeline_root=str(root), workspace_root=str(root / "workspace"))
                retrain(**arguments)
        except RuntimeError as error:
            raise StepFailedError(reader.step, reader.said or [str(error)], log) from None
    return next(folder for folder in root.iterdir() if folder.name.startswith("recap-retrain"))


@contextlib.contextmanager
def _quiet(reader: _LogReader) -> Iterator[None]:
    """Everything that kfp and the steps print goes to ``reader``, kfp's warnings nowhere."""
    with contextlib.redirect_stdout(reader), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
