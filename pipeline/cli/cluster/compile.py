"""``recap compile``: the YAML files that a Kubeflow Pipelines server runs."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from pipeline.graphs import RETRAIN, Pipeline

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
    """Compile the pipelines, retrain, watch and tune, for a Kubeflow Pipelines server.

    Example: `recap compile --cluster cluster.yaml --out .`
    """
    from pipeline.cluster.compile import COMPILED, compile_pipelines
    from pipeline.cluster.settings import load_cluster

    if cluster is not None and out is None:
        raise ValueError(
            "--out: give a folder with --cluster; pipeline/compiled holds the default compilation"
        )
    for path in compile_pipelines(out or COMPILED, load_cluster(cluster)):
        typer.echo(str(path))


@contextmanager
def compiled_pipeline(cluster: Path | None, pipeline: Pipeline = RETRAIN) -> Iterator[Path]:
    """A pipeline compiled for a cluster file, in a temporary file."""
    from pipeline.cluster.compile import compile_pipelines
    from pipeline.cluster.settings import load_cluster

    with tempfile.TemporaryDirectory() as folder:
        yield compile_pipelines(Path(folder), load_cluster(cluster), [pipeline])[0]
