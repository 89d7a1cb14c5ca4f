"""Options, connection, run arguments and tables shared by the commands for a Kubeflow Pipelines server."""

from collections.abc import Sequence
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.terminal.output import new_console, new_table, printable
from pipeline.cli.workspace import TRACKING_URI

if TYPE_CHECKING:
    from pipeline.cluster.client import Server

HostOption = Annotated[
    str, typer.Option(envvar="KFP_HOST", help="Address of the pipelines' API, as http://127.0.0.1:8888.")
]
NamespaceOption = Annotated[
    str, typer.Option(envvar="KFP_NAMESPACE", help="Your namespace on a multi-user server.")
]
TokenOption = Annotated[
    Path | None,
    typer.Option(envvar="KFP_TOKEN_FILE", help="File with a bearer token, if the server asks for one."),
]
DataOption = Annotated[str, typer.Option(help="URI of the log, as s3://logs/impressions, or a table.")]
TrackingOption = Annotated[
    str,
    typer.Option(*TRACKING_URI, envvar="MLFLOW_TRACKING_URI", help="MLflow server of the registry."),
]
ConfigOption = Annotated[str, typer.Option(help="Config: a path in the images, or a URI.")]
DaysOption = Annotated[
    int, typer.Option(min=0, max=36_600, help="Days in the window; data.days of the config if 0.")
]


class PipelineName(StrEnum):
    """A pipeline, as it is named in options."""

    RETRAIN = "retrain"
    WATCH = "watch"


PipelineOption = Annotated[
    PipelineName,
    typer.Option(help="What is run: retrain, or watch, which measures the champion on a new day."),
]
DEFAULT_CONFIG = "pipeline/configs/heavy_ranker.yaml"


def connect_server(host: str, namespace: str, token_file: Path | None) -> "Server":
    """Connect to a server. Raises ClusterError if it does not answer, OSError if the token file cannot be read."""
    from pipeline.cluster.client import Server

    token = token_file.read_text().strip() if token_file is not None else None
    return Server(host, namespace, token)


def run_arguments(
    last: date | None,
    data: str,
    tracking_uri: str,
    config: str,
    days: int,
    pipeline: PipelineName = PipelineName.RETRAIN,
) -> tuple[str, dict[str, Any]]:
    """A run's name, which states its window, and its arguments; without a last day the scheduled time sets it."""
    from recap_model.config.fields.uris import mask_secrets, without_secret

    for where, uri in (("--data", data), ("--tracking-uri", tracking_uri)):
        if "://" not in uri or uri.startswith(("file:", "sqlite:")):
            raise ValueError(
                f"{where}: {mask_secrets(uri)!r}: a cluster's pods cannot read this machine's folders; give a "
                "URI that they reach"
            )
        without_secret(uri, where)
    without_secret(config, "--config")
    end = last.isoformat() if last else ""
    given: dict[str, Any] = {"data_root": data, "tracking_uri": tracking_uri, "config": config}
    if pipeline == PipelineName.WATCH:
        return f"watch {end}", {**given, "day": end}
    arguments = {**given, "end_date": end, "days": days}
    return f"retrain {end}{f' {days} days' if days else ''}", arguments


def print_table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    """Print a borderless table."""
    table = new_table(*header)
    for row in rows:
        table.add_row(*map(printable, row))
    new_console().print(table)
