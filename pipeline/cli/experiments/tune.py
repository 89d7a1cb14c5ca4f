"""``recap tune``: search better settings for a config."""

import contextlib
import importlib.util
import json
import shlex
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from io import TextIOBase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from pipeline.cli.experiments.local_steps import steps_in_process
from pipeline.cli.run_options import (
    ConfigOption,
    DataOption,
    DaysOption,
    EndDateOption,
    TrackingOption,
    pipeline_arguments,
)
from pipeline.cli.terminal.output import new_console
from pipeline.cli.workspace import DEFAULT_WORKSPACE, WorkspaceOption, config_path

if TYPE_CHECKING:
    from pipeline.cli.terminal.progress import LiveSteps

DEFAULT_TRIALS = 30


def tune(
    config: ConfigOption,
    data: DataOption,
    trials: Annotated[
        int | None,
        typer.Option(min=2, help=f"Trials of the study, over all calls; {DEFAULT_TRIALS} without --hours."),
    ] = None,
    hours: Annotated[
        float | None, typer.Option(min=0.0, help="Start no trial after this many hours of the call.")
    ] = None,
    space: Annotated[
        Path | None,
        typer.Option(help="YAML of field paths with their ranges, over the default search space."),
    ] = None,
    end_date: EndDateOption = "",
    days: DaysOption = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: TrackingOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Search better settings on validation rows, cut off the training rows. Nothing is registered.

    The same command goes on with its study after an interruption, or joins it while it runs. The first trial is the
    config as it is; the result is a diff of its text. Calibration and test rows are not read.

    Example: `recap tune --config mine.yaml --data log --hours 2`
    """
    from pipeline.cli.terminal.progress import LiveSteps
    from pipeline.experiments.tune.result.conclude import conclude
    from pipeline.experiments.tune.space.changed_space import read_space
    from pipeline.experiments.tune.space.default_space import default_space
    from pipeline.experiments.tune.study.study import Study
    from pipeline.experiments.tune.study.trial_runs import TrialRuns
    from pipeline.local.events import StepProgress
    from recap_model.config import load_config
    from recap_model.data.dataset.manifest import DatasetManifest

    began = time.monotonic()
    if importlib.util.find_spec("optuna") is None:
        raise ValueError("recap tune needs the extra tune; pip install 'recap[tune]'")
    path = config_path(config)
    settings = load_config(path)
    arguments = pipeline_arguments(
        path, settings, data, tracking_uri, workspace, end_date=end_date, days=days
    )
    limit = trials if trials is not None or hours is not None else DEFAULT_TRIALS
    console = new_console(stderr=as_json)
    studies = workspace / "tune"
    studies.mkdir(parents=True, exist_ok=True)
    if space is not None:
        read_space(default_space(settings, 0), space)  # an error in it is reported before the work begins
    with LiveSteps(console) as live:
        folder = _open_study(space, path, arguments, studies, live)
        log = folder / "tune.log"
        console.print(f"recap tune: {path.stem} on {data}; study in {folder}", soft_wrap=True)
        with steps_in_process(log), log.open("a", buffering=1, encoding="utf-8") as stream:
            from pipeline.experiments.tune.study.prepared_sets import prepare_study

            frozen = prepare_study(folder / "frozen", folder, lambda name: _live_step(name, live, stream))
            searched = default_space(settings, DatasetManifest.read(frozen.train).rows)
            searched = searched if space is None else read_space(searched, space)
            runs = TrialRuns(
                arguments["tracking_uri"],
                f"{settings.registry.experiment}-tune",
                folder.name,
                f"{path.stem} {folder.name.rpartition('-')[2]}",
            )

            def report(done: int, what: str) -> None:
                fraction = (
                    done / limit if limit else (time.monotonic() - began) / max(3600 * (hours or 1.0), 1.0)
                )
                live(StepProgress("tune", fraction, f"{done} trials done; {what}"))

            with _live_step("tune", live, stream):
                study = Study(searched, frozen, runs, folder / "trials")
                records = study.run(limit, None if hours is None else began + 3600 * hours, report)
            result = conclude(searched, records, runs, path.read_text(), path.name, folder)
    if as_json:
        print(json.dumps(result, indent=1))
        return
    _print_result(result, console, path, data)


def _open_study(
    space: Path | None, path: Path, arguments: dict[str, Any], studies: Path, live: "LiveSteps"
) -> Path:
    """Resolve the data; returns the folder of the study of this config, data and space."""
    from components.common.runtime.atomic_output import atomic_directory
    from components.common.runtime.locks import locked_folder
    from pipeline.experiments.tune.study.prepared_sets import freeze
    from pipeline.experiments.tune.study.trial_runs import study_key

    run_id = f"tune-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    with tempfile.TemporaryDirectory(prefix=".resolve-", dir=studies) as scratch:
        log = Path(scratch) / "resolve.log"
        with steps_in_process(log), log.open("a", encoding="utf-8") as stream:
            resolved = freeze(
                arguments, Path(scratch) / "snapshot", run_id, lambda name: _live_step(name, live, stream)
            )
        changed_space = space.read_text() if space is not None else ""
        folder = studies / f"{path.stem}-{study_key(resolved, changed_space, str(studies.resolve()))}"
        with locked_folder(studies):
            if not (folder / "frozen").is_dir():
                folder.mkdir(exist_ok=True)
                with atomic_directory(folder / "frozen") as frozen:
                    shutil.copytree(resolved, frozen, dirs_exist_ok=True)
    return folder


@contextlib.contextmanager
def _live_step(name: str, live: "LiveSteps", log: TextIO) -> Iterator[None]:
    """Show what a block's steps print of their progress as one step; the rest goes to ``log``."""
    from pipeline.local.events import StepEnded, StepStarted

    live(StepStarted(name))
    try:
        with contextlib.redirect_stdout(_StepOutput(name, live, log)):
            yield
    except BaseException:
        live(StepEnded(name, False))
        raise
    live(StepEnded(name, True))


class _StepOutput(TextIOBase):
    """Standard output of a step in this process: its progress becomes events, all else is logged."""

    def __init__(self, name: str, live: "LiveSteps", log: TextIO) -> None:
        self._name, self._live, self._log = name, live, log

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        from components.common.runtime.step import PROGRESS_MARK
        from pipeline.local.events import StepProgress

        for line in text.splitlines():
            if line.startswith(PROGRESS_MARK):
                fraction, _, what = line.removeprefix(PROGRESS_MARK).strip().partition(" ")
                if self._name != "tune":
                    self._live(StepProgress(self._name, float(fraction), what))
            elif line.strip():
                self._log.write(f"{line}\n")
        return len(text)


def _print_result(result: dict[str, Any], console: Any, path: Path, data: str) -> None:
    lines = ["", result["result"]]
    if result["winner"]:
        lines += ["", *result["diff"].splitlines(), ""]
        if not result["comments_kept"]:
            lines.append("The config's comments could not be kept in the text; the diff is of all of it.")
        command = f"recap compare {shlex.quote(str(path))} {shlex.quote(result['config'])}"
        lines.append(f"Config:           {result['config']}")
        lines.append(f"On test rows:     {command} --data {shlex.quote(data)} --seeds 3")
    lines.append(f"Report:           {result['report']}")
    if running := result["trials"]["running"]:
        lines.append(f"{running} trials run in other processes; repeat the command for the final result")
    for line in lines:
        console.print(line, soft_wrap=True)
