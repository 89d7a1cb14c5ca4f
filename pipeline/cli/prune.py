"""``recap prune``: remove the files of old runs on this machine."""

from typing import Annotated

import typer

from pipeline.cli.workspace import DEFAULT_WORKSPACE, WorkspaceOption
from pipeline.local.run_folders import prune_runs

_MIB = 1 << 20


def prune(
    keep: Annotated[int, typer.Option(min=1, help="Newest runs to keep.")] = 10,
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")
    ] = False,
) -> None:
    """Remove the folders of old runs: their data sets, scores and logs. Versions and their reports stay.

    Partial outputs and temporary files of killed runs are removed too. Active runs, and files that no run wrote, are
    kept. The engagement log, the registry and its artifacts are not touched.

    Example: `recap prune --keep 5`
    """
    if not (workspace / "runs").is_dir():
        raise FileNotFoundError(f"{workspace}: no runs; give the workspace that recap run used")
    removed = prune_runs(workspace, keep, dry_run)
    verb = "would remove" if dry_run else "removed"
    size = sum(bytes_of for _, bytes_of in removed)
    paths = "path" if len(removed) == 1 else "paths"
    for path, _ in removed:
        typer.echo(f"{verb} {path.relative_to(workspace)}")
    typer.echo(f"{verb} {len(removed)} {paths}, {size / _MIB:,.1f} MiB")
