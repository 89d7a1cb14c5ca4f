"""``recap report``: the newest run's pages, or the model's history, in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.registry.options import connect_registry
from pipeline.cli.workspace import DEFAULT_NAME, DEFAULT_WORKSPACE, NameOption, UriOption, WorkspaceOption
from pipeline.local.run_folders import EVALUATION_REPORT, newest_run
from pipeline.local.run_pages import INDEX

HISTORY = "history.html"


def report(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    history: Annotated[
        bool,
        typer.Option(
            "--history",
            help="The model's history instead: versions, decisions, watched days, promotions, costs.",
        ),
    ] = False,
    name: NameOption = DEFAULT_NAME,
    tracking_uri: UriOption = "",
    show: Annotated[bool, typer.Option(help="Open it in a browser; --no-show prints the path alone.")] = True,
) -> None:
    """Open the pages of the newest run that was evaluated, or the history of the registered model.

    Example: `recap report --history --no-show`
    """
    import webbrowser

    path = _write_history(name, tracking_uri, workspace) if history else _newest_report(workspace)
    typer.echo(str(path))
    if show:
        webbrowser.open(path.as_uri())


def _newest_report(workspace: Path) -> Path:
    reports = newest_run(workspace).reports
    # Runs of earlier revisions have no index.
    index = reports / INDEX
    return (index if index.is_file() else reports / EVALUATION_REPORT).resolve()


def _write_history(name: str, tracking_uri: str, workspace: Path) -> Path:
    """Write the page of a model into the workspace; returns its path."""
    client = connect_registry(tracking_uri, workspace)
    from components.common.history import write_history

    path = (workspace / HISTORY).resolve()
    write_history(client, name, path)
    return path
