"""Progress of a local run: one line per step."""

import time
from contextlib import AbstractContextManager
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from pipeline.cli.terminal.output import printable
from pipeline.local.events import Event, StepEnded, StepProgress, StepStarted

_MIN_BAR_COLUMNS = 70  # columns


class LiveSteps(AbstractContextManager["LiveSteps"]):
    """Shows events as progress bars on a terminal, otherwise as one line per finished step."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.durations_s: dict[str, float] = {}  # of the steps that ended, in their order
        self._started_s: dict[str, float] = {}
        self._words: dict[str, str] = {}
        self._bars: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, min_width=9)),
            *([BarColumn(bar_width=24)] if console.width >= _MIN_BAR_COLUMNS else []),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn(
                "{task.fields[words]}", style="dim", markup=False, table_column=Column(no_wrap=True, ratio=1)
            ),
            console=console,
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> "LiveSteps":
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def __call__(self, event: Event) -> None:
        """Show one event."""
        match event:
            case StepStarted(step):
                self._started_s[step] = time.monotonic()
                if self._console.is_terminal:
                    self._bars[step] = self._progress.add_task(step, total=1.0, words="")
            case StepProgress(step, fraction, what):
                self._words[step] = what
                if step in self._bars:
                    self._progress.update(
                        self._bars[step], completed=min(fraction, 0.99), words=printable(what)
                    )
            case StepEnded(step, succeeded):
                self._end(step, succeeded)

    def _end(self, step: str, succeeded: bool) -> None:
        seconds = self.durations_s[step] = time.monotonic() - self._started_s[step]
        if step in self._bars:
            if succeeded:
                self._progress.update(self._bars[step], completed=1.0)
            else:
                self._progress.stop_task(self._bars[step])
            return
        mark = "done" if succeeded else "FAILED"
        words = self._words.get(step, "")
        self._console.print(f"{step:<10} {mark:<6} {seconds:6.1f} s  {words}".rstrip(), soft_wrap=True)
