"""``recap report``: the newest run's report in a browser."""

from typing import Annotated

import typer

from pipeline.cli.workspace import DEFAULT_WORKSPACE, WorkspaceOption
from pipeline.local.run_folders import EVALUATION_REPORT, newest_run


def report(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    show: Annotated[bool, typer.Option(help="Open it in a browser; --no-show prints the path alone.")] = True,
) -> None:
    """Open the evaluation report of the newest run.

    Example: `recap report --no-show`
    """
    import webbrowser

    path = (newest_run(workspace).reports / EVALUATION_REPORT).resolve()
    typer.echo(str(path))
    if show:
        webbrowser.open(path.as_uri())
