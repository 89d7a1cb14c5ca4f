"""``recap watch``: is the champion still as good, on the newest day with complete labels?"""

import json
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli.run import run_once
from pipeline.cli.run_options import (
    ConfigOption,
    DataOption,
    TrackingOption,
    pipeline_arguments,
    print_failure,
)
from pipeline.cli.terminal.output import new_console, new_table, printable
from pipeline.cli.workspace import DEFAULT_WORKSPACE, WorkspaceOption, config_path
from pipeline.local.run_folders import new_run

if TYPE_CHECKING:
    from rich.console import Console

    from components.common.artifacts.watch_record import WatchRecord

EXIT_STATUS = {"OK": 0, "RETRAIN": 3, "ROLL BACK": 4}


def watch(
    data: DataOption,
    config: ConfigOption = "sample",
    day: Annotated[
        str, typer.Option(help="The day, YYYY-MM-DD; the newest with complete labels if not given.")
    ] = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: TrackingOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the record as JSON.")] = False,
) -> None:
    """Measure the champion on a new day. Exit status 0: OK; 3: it decayed, retrain; 4: roll back.

    Example: `recap watch --config mine.yaml --data log`
    """
    from components.common.artifacts.watch_record import WatchRecord
    from pipeline.cli.terminal.progress import LiveSteps
    from pipeline.graphs import WATCH
    from pipeline.local.run import StepFailedError, run_pipeline
    from recap_model.config import load_config

    path = config_path(config)
    settings = load_config(path)
    arguments = pipeline_arguments(path, settings, data, tracking_uri, workspace, day=day)
    with new_run(workspace) as folder:
        console = new_console(stderr=as_json)
        console.print(f"recap watch: {path.stem} on {data}; log in {folder.log}", soft_wrap=True)
        try:
            with folder.temporary_files(), LiveSteps(console) as live:
                outputs = run_pipeline(arguments, folder.steps, folder.log, live, pipeline=WATCH)
        except StepFailedError as failure:
            print_failure(failure, "watch")
            raise typer.Exit(1) from None
        record = WatchRecord.model_validate_json((outputs / "watch" / "record" / "record.json").read_text())
    if not as_json:
        _print_record(console, record)
    started, starts = None, settings.watch.on_decay == "start"
    if record.outcome == "RETRAIN" and (starts or not as_json):
        if reason := why_not_retrain(arguments["tracking_uri"], record):
            console.print(f"No run is needed: {reason}", soft_wrap=True)
        elif starts:
            console.print("watch.on_decay is start: recap run", soft_wrap=True)
            started = run_once(console, data, config, workspace, tracking_uri, quiet=as_json)
        else:
            console.print(f"Retrain:  recap run --config {shlex.quote(config)} --data {shlex.quote(data)}")
    if as_json:
        print(json.dumps({**record.model_dump(mode="json"), "run": started}, indent=1))
    raise typer.Exit(EXIT_STATUS[record.outcome])


def why_not_retrain(uri: str, record: "WatchRecord") -> str:
    """Why a decayed version needs no run: it is champion no more, or a later version knows the day.

    So a day that is watched again starts a second run only if the first failed before it registered a version.
    """
    from components.common import registry

    client = registry.connect(uri)
    champion = registry.aliases(client, record.name).get("champion")
    if champion != record.version:
        return f"the champion is version {champion or 'none'} by now"
    for version in registry.versions(client, record.name):
        last = version.tags.get(registry.WINDOW_TAG, "").rpartition("..")[2]
        if int(version.version) > int(record.version) and last >= str(record.day):
            return f"version {version.version} was trained and tested with {record.day} already"
    return ""


def _print_record(console: "Console", record: "WatchRecord") -> None:
    from rich.text import Text

    table = new_table("task", "rows", "RCE", "±", "predicted/observed", *record.others)
    for task in (*record.evaluation.tasks, *record.evaluation.values):
        measured = record.evaluation.measured(task)
        assert measured is not None
        error = getattr(measured.error, "rce", None) or getattr(measured.error, "skill", None)
        others = [other.tasks.get(task) for other in record.others.values()]
        table.add_row(
            printable(task.rpartition(".")[2]),
            f"{measured.rows:,}",
            _figure(measured.gain),
            _figure(error),
            _figure(measured.calibration_ratio, ".3f"),
            *(_figure(other.difference, "+.2f") if other else "" for other in others),
        )
    console.print(table)
    for alias, other in record.others.items():
        what = other.missing or "RCE less the champion's on the same rows"
        console.print(f"{alias}: version {other.version}, {what}", soft_wrap=True)
    drift = record.drift
    compared = (
        f"{drift.beyond} of {drift.compared} columns beyond a bound" if drift.compared else drift.reason
    )
    console.print(f"Drift from the champion's data: {compared}", soft_wrap=True)
    line = f". {record.name} version {record.version} on {record.day}: {record.reason}"
    console.print(Text.assemble("Outcome: ", (record.outcome, "bold"), line), soft_wrap=True)
    if record.action:
        console.print(f"Done: {record.action}", soft_wrap=True)


def _figure(value: float | None, shown: str = ".2f") -> str:
    return "" if value is None else format(value, shown)
