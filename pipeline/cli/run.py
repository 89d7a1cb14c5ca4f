"""``recap run``: run the whole pipeline on this machine."""

import contextlib
import json
import os
import shlex
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
from pipeline.cli.terminal.output import new_console, print_error, wrap_field
from pipeline.cli.workspace import DEFAULT_NAME, DEFAULT_WORKSPACE, WorkspaceOption, config_path
from pipeline.local.run_folders import CHECKPOINTS, RunFolder, new_run

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.local.run import StepFailedError

_STEP_NAMES = [step.name for step in STEPS]
_COLOURS = {"PROMOTE": "green", "HOLD": "yellow", "ERROR": "red"}
_MAX_REASONS = 5


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
        _print_result(result, console, _registry_options(workspace, arguments["tracking_uri"], usual))
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


def _registry_options(workspace: Path, uri: str, usual: str) -> tuple[str, str]:
    """The options with which ``recap models`` and ``recap report`` find this run's registry and workspace."""
    folder = "" if workspace == DEFAULT_WORKSPACE else f" --workspace {shlex.quote(str(workspace))}"
    return folder if uri == usual else f" --tracking-uri {shlex.quote(uri)}", folder


def _print_result(result: dict[str, Any], console: "Console", where: tuple[str, str]) -> None:
    """Print the decision, why, what next, and where to look."""
    from rich.text import Text

    promotion, outcome, lines = result["promotion"], result["outcome"], list[str]()
    if outcome:
        reason = promotion["reason"] if promotion else result["reason"]
        console.print()
        for number, line in enumerate(wrap_field("Decision:", f"{outcome}. {reason}", console.width)):
            text = Text(line)
            if number < 2:
                text.highlight_words([outcome], f"bold {_COLOURS[outcome]}")
            console.print(text, soft_wrap=True)
        for words in result.get("suspicious", []):
            _print_field("Leak?", words, console, "bold red")
        suspicious = result.get("suspicious", [])
        why = [
            words
            for words in result.get("failed_rules", [])
            if words not in reason and words not in suspicious
        ]
        for words in why[:_MAX_REASONS]:
            _print_field("Why:", words, console)
        if len(why) > _MAX_REASONS:
            _print_field("Why:", f"and {len(why) - _MAX_REASONS} more rules", console)
    else:
        console.print(_describe_stop(result), soft_wrap=True)
        if "run" in result["reports"]:
            console.print(f"Pages:    {result['reports']['run']}", soft_wrap=True)
        return
    if promotion:
        model = "" if promotion["name"] == DEFAULT_NAME else f" --name {shlex.quote(promotion['name'])}"
        if not promotion.get("promoted", True) and outcome == "HOLD":
            approve = f'recap promote {promotion["version"]} --approve "REASON"{model}{where[0]}'
            lines.append(f"Next:     look at the pages; to promote it all the same: {approve}")
        lines.append(f"Versions: recap models{model}{where[0]}")
    else:
        _print_field("Stopped:", _describe_stop(result), console)
    if "run" in result["reports"]:
        lines.append(f"Pages:    {result['reports']['run']}")
    lines.append(f"Browser:  recap report{where[1]}")
    # Paths and commands stay whole, to be copied.
    for line in lines:
        console.print(line, soft_wrap=True)


def _print_field(label: str, text: str, console: "Console", style: str | None = None) -> None:
    for line in wrap_field(label, text, console.width):
        console.print(line, soft_wrap=True, style=style)


def _describe_stop(result: dict[str, Any]) -> str:
    """One line on a run that ended before promote."""
    until = result["until"]
    not_run = _STEP_NAMES[_STEP_NAMES.index(until) + 1 :]
    registered = "the champion stays" if until == "register" else "nothing was registered"
    where = result["outputs"]
    return f"Stopped after {until} (--until); not run: {', '.join(not_run)}; {registered}. Outputs: {where}"
