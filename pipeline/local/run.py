"""Run the pipeline on this machine with kfp's local runners."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import TextIOBase
from pathlib import Path
from typing import Any, TextIO

from pipeline.graphs import RETRAIN, Pipeline
from pipeline.local.events import Event
from pipeline.local.step_processes import Steps, patch_kfp_runners, printable, step_starter
from pipeline.local.step_starter import StepStarter


@dataclass
class StepFailedError(Exception):
    """A step failed; ``lines`` are its error messages."""

    step: str
    lines: list[str]
    log: Path


class _OutputError(BaseException):
    """``on_event`` cannot write its output. A BaseException, because kfp and logging would ignore an Exception."""

    def __init__(self, reason: OSError) -> None:
        self.reason = reason


class _PrintableLog(TextIOBase):
    """A stream that writes to the log without terminal escape sequences."""

    def __init__(self, log: TextIO) -> None:
        self.log = log

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.log.write(printable(text))
        return len(text)

    def flush(self) -> None:
        self.log.flush()


def run_pipeline(
    arguments: dict[str, Any],
    root: str | Path,
    log: str | Path,
    on_event: Callable[[Event], None],
    containers: dict[str, Any] | None = None,
    until: str = "",
    pipeline: Pipeline = RETRAIN,
) -> Path:
    """Run every step in its own process; returns the folder with one folder of outputs per step.

    Args:
        arguments: the pipeline's parameters.
        root: empty or new folder for this run's outputs.
        log: file for everything that kfp and the steps print.
        on_event: called as steps start, make progress and end.
        containers: settings of a container for each step (`pipeline.local.docker`); processes if None.
        until: the last step to run; the pipeline's last if empty.
        pipeline: what is run.

    Raises:
        StepFailedError: a step failed; the exception has its error messages.
        OSError: raised by ``on_event``, which ends the run.
    """
    root, log = Path(root), Path(log)
    root.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", buffering=1, encoding="utf-8") as stream:
        steps = Steps(stream, _end_run_on_output_error(on_event))
        try:
            names = pipeline.names(until)
            with _capture_output(stream), contextlib.closing(step_starter(steps, names)) as starter:
                if containers is None:
                    starter.prepare()
                _run(arguments, root, steps, starter, containers, pipeline.build(names[-1]))
        except RuntimeError as error:
            raise StepFailedError(steps.step, steps.errors or [printable(str(error))], log) from None
        except _OutputError as refused:
            raise refused.reason from None
    return next(folder for folder in root.iterdir() if folder.name.startswith(pipeline.name))


def _end_run_on_output_error(on_event: Callable[[Event], None]) -> Callable[[Event], None]:
    def on_progress(event: Event) -> None:
        try:
            on_event(event)
        except OSError as error:
            raise _OutputError(error) from None

    return on_progress


def _run(
    arguments: dict[str, Any],
    root: Path,
    steps: Steps,
    starter: StepStarter,
    containers: dict[str, Any] | None,
    graph: Any,
) -> None:
    from kfp import local

    with patch_kfp_runners(steps, starter):
        runner = local.SubprocessRunner(use_venv=False)
        if containers is not None:
            runner = local.DockerRunner(**containers)
        local.init(runner, pipeline_root=str(root), workspace_root=str(root / "workspace"))
        graph(**arguments)


@contextlib.contextmanager
def _capture_output(log: TextIO) -> Iterator[None]:
    """Redirect kfp's output to ``log`` and ignore its warnings."""
    with contextlib.redirect_stdout(_PrintableLog(log)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
