"""``recap run``: run the whole pipeline on this machine."""

import contextlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.steps import STEPS
from pipeline.cli.run_options import (
    ConfigOption,
    DataOption,
    DaysOption,
    EndDateOption,
    TrackingOption,
    pipeline_arguments,
    print_failure,
)
from pipeline.cli.terminal.output import new_console, print_error
from pipeline.cli.terminal.run_result import print_result, registry_options
from pipeline.cli.workspace import DEFAULT_WORKSPACE, WorkspaceOption, config_path
from pipeline.local.run_folders import CHECKPOINTS, RunFolder, new_run

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.local.run import StepFailedError

_STEP_NAMES = [step.name for step in STEPS]


def _check_step(name: str) -> str:
    if name not in _STEP_NAMES:
        raise typer.BadParameter(f"{name!r}: unknown step; steps: {', '.join(_STEP_NAMES)}")
    return name


def run(
    data: DataOption,
    config: ConfigOption = "sample",
    end_date: EndDateOption = "",
    days: DaysOption = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: TrackingOption = "",
    until: Annotated[
        str,
        typer.Option(
            metavar="STEP",
            callback=_check_step,
            autocompletion=lambda incomplete: [name for name in _STEP_NAMES if name.startswith(incomplete)],
            help="Stop after this step; before register, no version is made and the champion stays.",
        ),
    ] = _STEP_NAMES[-1],
    containers: Annotated[
        bool, typer.Option(help="Run each step in its container image; `make images` builds them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run every step on this machine: resolve, validate, prepare, train, calibrate, evaluate, register, promote.

    Example: `recap sample --out log && recap run --config sample --data log`
    """
    # Created before the steps run, because sys.stdout is redirected to the log meanwhile.
    console = new_console(stderr=as_json)
    result = run_once(
        console,
        data,
        config,
        workspace,
        tracking_uri,
        end_date,
        days,
        until,
        containers=containers,
        quiet=as_json,
    )
    if as_json:
        print(json.dumps(result, indent=1))


def run_once(
    console: "Console",
    data: str,
    config: str,
    workspace: Path,
    tracking_uri: str,
    end_date: str = "",
    days: int = 0,
    until: str = _STEP_NAMES[-1],
    containers: bool = False,
    quiet: bool = False,
) -> dict[str, Any]:
    """Run the steps, with their progress and, unless ``quiet``, the decision on the console; as ``recap run``.

    Returns the result, as ``recap run --json`` prints it. Raises typer.Exit after printing the error of a step.
    """
    from components.common.registry import default_tracking_uri
    from pipeline.cli.terminal.progress import LiveSteps
    from pipeline.local.docker import check_images, container_settings
    from pipeline.local.run import StepFailedError, run_pipeline
    from recap_model.config import load_config

    path = config_path(config)
    settings = load_config(path)
    if containers:
        check_images()
    arguments = pipeline_arguments(
        path, settings, data, tracking_uri, workspace, end_date=end_date, days=days
    )
    with new_run(workspace) as folder:
        console.print(f"recap run: {path.stem} on {data}; log in {folder.log}", soft_wrap=True)
        os.environ.setdefault("RECAP_CHECKPOINTS", str((workspace / CHECKPOINTS).resolve()))
        inside = container_settings(arguments, folder.steps, workspace) if containers else None
        try:
            with folder.temporary_files(), LiveSteps(console) as live:
                outputs = run_pipeline(arguments, folder.steps, folder.log, live, inside, until)
        except StepFailedError as failure:
            print_failure(failure)
            # The step's error may be a full disk, which has no room for pages either.
            with contextlib.suppress(OSError):
                print_error(*_collect_failed_pages(failure, folder, live.durations_s))
            raise typer.Exit(1) from None
        result = _collect_reports(outputs, folder, until, live.durations_s)
    if not quiet:
        usual = default_tracking_uri(workspace)
        print_result(result, console, registry_options(workspace, arguments["tracking_uri"], usual))
    return result


def _collect_failed_pages(
    failure: "StepFailedError", folder: RunFolder, durations_s: dict[str, float]
) -> list[str]:
    """Copy the pages of a run that failed; returns a line that names the one that shows the failure."""
    from pipeline.local.run_pages import FailedStep, collect_pages

    outputs = next(folder.steps.glob("recap-retrain*"), None)
    if outputs is None:
        return []
    folder.reports.mkdir()
    pages = collect_pages(outputs, folder.reports, durations_s, FailedStep(failure.step, failure.lines))
    shown = "data" if failure.step == "validate" and "data" in pages else "run"
    return [f"the {shown} page shows it: {pages[shown]}"]


def _collect_reports(
    outputs: Path, folder: RunFolder, until: str, durations_s: dict[str, float]
) -> dict[str, Any]:
    """Copy the pages into one folder with an index, and read the decision and the promotion where there are any."""
    from pipeline.local.run_pages import collect_pages

    folder.reports.mkdir()
    steps_done = _STEP_NAMES[: _STEP_NAMES.index(until) + 1]
    reports = collect_pages(outputs, folder.reports, durations_s)
    decision, promotion = None, None
    if "evaluate" in steps_done:
        decision = json.loads((outputs / "evaluate" / "evaluation" / "decision.json").read_text())
        (folder.reports / "decision.json").write_text(json.dumps(decision, indent=1))
    if "promote" in steps_done:
        promotion = json.loads((outputs / "promote" / "promotion" / "promotion.json").read_text())
    return {
        "outcome": decision and decision["outcome"],
        "reason": decision and decision["reason"],
        "failed_rules": [
            rule["words"]
            for rule in (decision or {}).get("rules", [])
            if rule["verdict"] in ("fail", "error")
        ],
        "suspicious": [
            rule["words"]
            for rule in (decision or {}).get("rules", [])
            if rule["name"] == "suspicious" and rule["verdict"] in ("fail", "warning")
        ],
        "promotion": promotion,
        "until": until,
        "reports": reports,
        "log": str(folder.log),
        "outputs": os.path.relpath(outputs),
    }
