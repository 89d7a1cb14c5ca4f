"""``recap compile``: the YAML that a Kubeflow Pipelines server takes."""

from pathlib import Path
from typing import Annotated

import typer


def compile_command(
    out: Annotated[
        Path | None, typer.Option(help="Folder for the YAML; pipeline/compiled if not given.")
    ] = None,
) -> None:
    """Compile the pipeline for a Kubeflow Pipelines server."""
    from pipeline.compile import COMPILED, compile_pipelines

    for path in compile_pipelines(out or COMPILED):
        typer.echo(str(path))
