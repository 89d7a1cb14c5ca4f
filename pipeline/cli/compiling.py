"""``recap compile``: the YAML that a Kubeflow Pipelines server takes."""

from pathlib import Path
from typing import Annotated

import typer

ClusterOption = Annotated[
    Path | None,
    typer.Option(
        help="YAML file that describes the cluster: images, resources, GPUs, secrets; defaults if not given."
    ),
]


def compile_command(
    cluster: ClusterOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the YAML; pipeline/compiled if not given.")
    ] = None,
) -> None:
    """Compile the pipeline for a Kubeflow Pipelines server.

    Example: `recap compile --cluster cluster.yaml --out .`
    """
    from pipeline.cluster.settings import load_cluster
    from pipeline.compile import COMPILED, compile_pipelines

    if cluster is not None and out is None:
        raise ValueError(
            "--out: give a folder with --cluster; pipeline/compiled holds the default compilation"
        )
    for path in compile_pipelines(out or COMPILED, load_cluster(cluster)):
        typer.echo(str(path))
