"""``recap serve``: serve the champion over HTTP on this machine."""

from typing import Annotated

import typer

from pipeline.cli.registry.options import connect_registry
from pipeline.cli.workspace import DEFAULT_WORKSPACE, UriOption, WorkspaceOption


def serve(
    model: Annotated[
        str, typer.Option(help="models:/NAME@ALIAS, which is followed, or models:/NAME/VERSION.")
    ] = "models:/recap@champion",
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 for any free one.")] = 5001,
    prediction_log: Annotated[
        str, typer.Option(help="Folder or URI for the served rows and their scores, as daily Parquet files.")
    ] = "",
    poll_seconds: Annotated[float, typer.Option(min=0.1, help="How often to look at the alias.")] = 2.0,
    max_request_mib: Annotated[int, typer.Option(min=1, help="Longest body of a request.")] = 64,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: UriOption = "",
) -> None:
    """Serve the champion over HTTP: a promotion is served within seconds, without a dropped request.

    POST /invocations takes MLflow's JSON, Arrow IPC streams and Parquet; /health and /ready are for probes, /metrics
    for Prometheus. See docs/serving.md.

    Example: `recap serve --model models:/shop@champion --port 5001 --prediction-log served`
    """
    from components.common.registry import default_tracking_uri
    from components.common.runtime.step import log_to_stdout

    uri = tracking_uri or default_tracking_uri(workspace)
    connect_registry(uri, workspace)
    from components.serve.server import ServeSettings
    from components.serve.server import serve as serve_until_stopped

    log_to_stdout()
    serve_until_stopped(
        ServeSettings(model, uri, host, port, prediction_log or None, poll_seconds, max_request_mib)
    )
