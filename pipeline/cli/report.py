"""``recap report``: the newest run's pages in a browser."""

from typing import Annotated

import typer

from pipeline.cli.workspace import DEFAULT_WORKSPACE, WorkspaceOption
from pipeline.local.run_folders import EVALUATION_REPORT, newest_run
from pipeline.local.run_pages import INDEX


def report(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    show: Annotated[bool, typer.Option(help="Open it in a browser; --no-show prints the path alone.")] = True,
) -> None:
    """Open the pages of the newest run that was evaluated.

    Example: `recap report --no-show`
    """
    import webbrowser

    reports = newest_run(workspace).reports
    # Runs of earlier revisions have no index.
    index = reports / INDEX
    path = (index if index.is_file() else reports / EVALUATION_REPORT).resolve()
    typer.echo(str(path))
    if show:
        webbrowser.open(path.as_uri())
