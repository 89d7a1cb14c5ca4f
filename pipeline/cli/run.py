"""``recap run``: run the whole pipeline on this machine."""

import json
import os
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from components.steps import STEPS
from pipeline.cli.terminal.output import new_console, print_error
from pipeline.cli.workspace import (
    DEFAULT_NAME,
    DEFAULT_WORKSPACE,
    TRACKING_URI,
    WorkspaceOption,
    complete_config,
    config_path,
)
from pipeline.local.run_folders import CHECKPOINTS, RunFolder, new_run

if TYPE_CHECKING:
    from rich.console import Console

REPORTS = {
    "data": ("validate", "data_docs"),
    "training": ("train", "curves"),
    "calibration": ("calibrate", "reliability"),
    "evaluation": ("evaluate", "report"),
}
_STEP_NAMES = [step.name for step in STEPS]


def _check_step(name: str) -> str:
    if name not in _STEP_NAMES:
        raise typer.BadParameter(f"{name!r}: unknown step; steps: {', '.join(_STEP_NAMES)}")
    return name


def run(
    data: Annotated[
        str, typer.Option(help="The log: a folder or URI of date=YYYY-MM-DD/*.parquet, or a table.")
    ],
    config: Annotated[
        str,
        typer.Option(
            help="A YAML file, or the name of a config of the package.", autocompletion=complete_config
        ),
    ] = "sample",
    end_date: Annotated[
        str, typer.Option(help="Last day of the window; the log's newest if not given.")
    ] = "",
    days: Annotated[
        int, typer.Option(min=0, max=36_600, help="Days in the window; data.days of the config if 0.")
    ] = 0,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: Annotated[
        str,
        typer.Option(
            *TRACKING_URI,
            help="MLflow's URI; else the config's, MLFLOW_TRACKING_URI, or SQLite in the workspace.",
        ),
    ] = "",
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
    from components.common.registry import default_tracking_uri
    from components.common.runtime.step import log_level
    from pipeline.cli.terminal.progress import LiveSteps
    from pipeline.local.docker import check_images, container_settings
    from pipeline.local.run import StepFailedError, run_pipeline
    from recap_model.config import load_config
    from recap_model.config.fields.uris import without_secret

    log_level()
    path = config_path(config)
    settings = load_config(path)
    if containers:
        check_images()
    uri = tracking_uri or settings.registry.tracking_uri or default_tracking_uri(workspace)
    # Before anything is written: kfp logs every parameter.
    without_secret(uri, "--tracking-uri")
    without_secret(data, "--data")
    with new_run(workspace) as folder:
        # Created before the steps run, because sys.stdout is redirected to the log meanwhile.
        console = new_console(stderr=as_json)
        console.print(f"recap run: {path.stem} on {data}; log in {folder.log}", soft_wrap=True)
        arguments = {
            "config": str(path.resolve()),
            "data_root": data if "://" in data else str(Path(data).resolve()),
            "end_date": end_date,
            "days": days,
            "tracking_uri": uri,
        }
        os.environ.setdefault("RECAP_CHECKPOINTS", str((workspace / CHECKPOINTS).resolve()))
        inside = container_settings(arguments, folder.steps, workspace) if containers else None
        try:
            with folder.temporary_files(), LiveSteps(console) as live:
                outputs = run_pipeline(arguments, folder.steps, folder.log, live, inside, until)
        except StepFailedError as failure:
            print_error(
                *(f"{failure.step}: {line}" for line in failure.lines),
                f"the run ended at {failure.step}; everything it printed is in {failure.log}",
            )
            raise typer.Exit(1) from None
        result = _collect_reports(outputs, folder, until)
    if as_json:
        print(json.dumps(result, indent=1))
    else:
        _print_result(result, console, _registry_options(workspace, uri, default_tracking_uri(workspace)))


def _collect_reports(outputs: Path, folder: RunFolder, until: str) -> dict[str, Any]:
    """Copy the reports into one folder as .html files, and read the decision and the promotion, as far as made."""
    folder.reports.mkdir()
    steps_done = _STEP_NAMES[: _STEP_NAMES.index(until) + 1]
    reports = {}
    for name, (step, artifact) in REPORTS.items():
        if step in steps_done:
            target = folder.reports / f"{name}.html"
            shutil.copyfile(outputs / step / artifact, target)
            reports[name] = str(target)
    decision, promotion = None, None
    if "evaluate" in steps_done:
        decision = json.loads((outputs / "evaluate" / "evaluation" / "decision.json").read_text())
        (folder.reports / "decision.json").write_text(json.dumps(decision, indent=1))
    if "promote" in steps_done:
        promotion = json.loads((outputs / "promote" / "promotion" / "promotion.json").read_text())
    return {
        "outcome": decision and decision["outcome"],
        "reason": decision and decision["reason"],
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
    from rich.text import Text

    promotion, reports = result["promotion"], result["reports"]
    lines = ["Reports:", *(f"  {name:<12} {path}" for name, path in reports.items())] if reports else []
    if result["outcome"]:
        reason = promotion["reason"] if promotion else result["reason"]
        console.print(Text.assemble("\nDecision: ", (result["outcome"], "bold"), f". {reason}"))
    if promotion:
        name = promotion["name"]
        model = "" if name == DEFAULT_NAME else f" --name {shlex.quote(name)}"
        lines.append(f"Versions:              recap models{model}{where[0]}")
    else:
        lines.append(_describe_stop(result))
    if result["outcome"]:
        lines.append(f"Report in a browser:   recap report{where[1]}")
    for line in lines:
        console.print(line, soft_wrap=True)


def _describe_stop(result: dict[str, Any]) -> str:
    """One line on a run that ended before promote."""
    until = result["until"]
    not_run = _STEP_NAMES[_STEP_NAMES.index(until) + 1 :]
    registered = "the champion stays" if until == "register" else "nothing was registered"
    where = result["outputs"]
    return f"Stopped after {until} (--until); not run: {', '.join(not_run)}; {registered}. Outputs: {where}"
