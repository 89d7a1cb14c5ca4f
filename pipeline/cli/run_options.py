"""Commands that run steps on this machine: options, the pipeline's parameters, the text of a failed step."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.terminal.output import print_error
from pipeline.cli.workspace import TRACKING_URI, complete_config

if TYPE_CHECKING:
    from pipeline.local.run import StepFailedError
    from recap_model.config import RecapConfig

DataOption = Annotated[
    str, typer.Option(help="The log: a folder or URI of date=YYYY-MM-DD/*.parquet, or a table.")
]
ConfigOption = Annotated[
    str,
    typer.Option(help="A YAML file, or the name of a config of the package.", autocompletion=complete_config),
]
EndDateOption = Annotated[str, typer.Option(help="Last day of the window; the log's newest if not given.")]
DaysOption = Annotated[
    int, typer.Option(min=0, max=36_600, help="Days in the window; data.days of the config if 0.")
]
TrackingOption = Annotated[
    str,
    typer.Option(
        *TRACKING_URI,
        help="MLflow's URI; else the config's, MLFLOW_TRACKING_URI, or SQLite in the workspace.",
    ),
]


def pipeline_arguments(
    path: Path, config: "RecapConfig", data: str, tracking_uri: str, workspace: Path, **days: str | int
) -> dict[str, Any]:
    """The pipeline's parameters.

    Args:
        path: of the config.
        days: the parameters that say which days are read.

    Raises:
        ValueError: an address contains a secret, which kfp would log.
    """
    from components.common.registry import default_tracking_uri
    from components.common.runtime.step import log_level
    from recap_model.config.fields.uris import without_secret

    log_level()
    uri = tracking_uri or config.registry.tracking_uri or default_tracking_uri(workspace)
    return {
        "config": str(path.resolve()),
        "data_root": data if "://" in without_secret(data, "--data") else str(Path(data).resolve()),
        **days,
        "tracking_uri": without_secret(uri, "--tracking-uri"),
    }


def print_failure(failure: "StepFailedError", command: str = "run") -> None:
    """Print a failed step's error lines, and where its output is."""
    print_error(
        *(f"{failure.step}: {line}" for line in failure.lines),
        f"the {command} ended at {failure.step}; everything it printed is in {failure.log}",
    )
