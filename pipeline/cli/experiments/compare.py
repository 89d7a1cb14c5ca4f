"""``recap compare``: several configs on the same rows, with nothing registered."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.experiments.local_steps import run_until, steps_in_process
from pipeline.cli.run_options import (
    DataOption,
    DaysOption,
    EndDateOption,
    TrackingOption,
    pipeline_arguments,
)
from pipeline.cli.terminal.output import new_console, new_table
from pipeline.cli.workspace import DEFAULT_WORKSPACE, WorkspaceOption, complete_config, config_path
from pipeline.local.run_folders import new_run

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.experiments.compare import Change, ConfigResult


def compare(
    configs: Annotated[
        list[str],
        typer.Argument(
            help="Two or more YAML files, or names of configs of the package; the first is the reference.",
            autocompletion=complete_config,
        ),
    ],
    data: DataOption,
    end_date: EndDateOption = "",
    days: DaysOption = 0,
    seeds: Annotated[
        int, typer.Option(min=1, max=100, help="Trainings of each config, from different seeds.")
    ] = 1,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: TrackingOption = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train configs on one prepared set, and compare them on the same test rows. Nothing is registered.

    The configs must prepare the same sets: equal `features`, `data` and labels. Each is trained, calibrated and
    scored, and paired with the first one; bounds are at the gate's confidence.

    Example: `recap compare mine.yaml wide.yaml --data log --seeds 3`
    """
    from pipeline.cli.terminal.progress import LiveSteps
    from pipeline.experiments.frozen_data import FrozenData, check_same_data
    from pipeline.local.events import StepEnded, StepProgress, StepStarted
    from recap_model.config import load_config

    if len(configs) < 2:
        raise typer.BadParameter("give two configs or more", param_hint="CONFIGS")
    paths = {name: config_path(given) for name, given in zip(_names(configs), configs, strict=True)}
    loaded = {name: load_config(path) for name, path in paths.items()}
    first = next(iter(loaded))
    for name, config in list(loaded.items())[1:]:
        check_same_data(str(paths[name]), config, str(paths[first]), loaded[first])
    arguments = pipeline_arguments(
        paths[first], loaded[first], data, tracking_uri, workspace, end_date=end_date, days=days
    )
    with new_run(workspace) as folder:
        console = new_console(stderr=as_json)
        console.print(f"recap compare: {', '.join(loaded)} on {data}; log in {folder.log}", soft_wrap=True)
        with folder.temporary_files(), LiveSteps(console) as live:
            from pipeline.experiments.compare import compare_configs

            outputs = run_until("prepare", folder, arguments, live)
            frozen = FrozenData(
                outputs / "resolve" / "snapshot",
                *(outputs / "prepare" / name for name in ("train_set", "calibration_set", "test_set")),
            )
            live(StepStarted("compare"))
            with steps_in_process(folder.log):
                results = compare_configs(
                    loaded,
                    frozen,
                    folder.steps / "compare",
                    seeds,
                    lambda done, total, what: live(
                        StepProgress("compare", done / total, f"{done} of {total} trainings done; {what}")
                    ),
                )
            live(StepEnded("compare", True))
    content = _as_json(results, frozen, loaded[first].evaluation.gate.confidence, seeds)
    folder.reports.mkdir()
    (folder.reports / "comparison.json").write_text(json.dumps(content, indent=1))
    if as_json:
        print(json.dumps(content, indent=1))
        return
    console.print()
    console.print(comparison_table(results))
    console.print(_footnote(content), soft_wrap=True)


def _names(given: list[str]) -> list[str]:
    """A short, distinct name for each config."""
    stems = [Path(one).stem for one in given]
    return [
        stem if stems.count(stem) == 1 else f"{stem}-{stems[: number + 1].count(stem)}"
        for number, stem in enumerate(stems)
    ]


def _as_json(results: list["ConfigResult"], data: Any, confidence: float, seeds: int) -> dict[str, Any]:
    from components.common.artifacts.snapshot import Snapshot
    from recap_model.data.dataset.manifest import DatasetManifest

    snapshot, _ = Snapshot.read(data.snapshot)
    return {
        "window": [snapshot.first_day.isoformat(), snapshot.last_day.isoformat()],
        "test_rows": DatasetManifest.read(data.held_out).rows,
        "confidence": confidence,
        "seeds": seeds,
        "configs": [result.as_json() for result in results],
    }


def comparison_table(results: list["ConfigResult"]) -> "Table":
    """A row for each task and metric, a column for each config; the mean over objectives comes last."""
    table = new_table("task", "metric", *(result.name for result in results))
    for task, reference in results[0].tasks.items():
        each = [result.tasks[task] for result in results]
        name = task if reference.judged else f"{task} (too few positives)"
        table.add_row(name, reference.metric, *(_cell(one.gain, one.change, ".3f") for one in each))
        order = "AUC" if reference.metric == "RCE" else "XAUC"
        table.add_row("", order, *(_cell(one.order, None, ".4f") for one in each))
    table.add_row("mean", "", *(_cell(result.mean_gain, result.mean_change, ".3f") for result in results))
    table.add_row("training", "s", *(f"{result.train_s:.1f}" for result in results))
    return table


def _cell(value: float | None, change: "Change | None", form: str) -> str:
    if value is None:
        return "not defined"
    if change is None:
        return f"{value:{form}}"
    bounds = f" [{change.interval.low:+{form}}, {change.interval.high:+{form}}]" if change.interval else ""
    words = "" if change.words == "not shown to differ" else f" {change.words}"
    return f"{value:{form}}  {change.value:+{form}}{bounds}{words}"


def _footnote(content: dict[str, Any]) -> str:
    seeds = "; one seed, so that the bounds have no error of training" if content["seeds"] == 1 else ""
    return (
        f"{content['test_rows']:,} test rows; changes against the first config, with bounds at "
        f"{content['confidence']:.0%} each, paired by user{seeds}. Nothing was registered."
    )
