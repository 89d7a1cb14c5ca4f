"""Compile the pipeline to the YAML that a Kubeflow Pipelines server runs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.steps import Step
from pipeline.cluster.settings import ClusterSettings
from pipeline.graphs import PIPELINES, TUNE, Pipeline

COMPILED = Path(__file__).parents[1] / "compiled"
_HEADER = b"# PIPELINE DEFINITION"  # first line of a pipeline compiled by kfp


def compile_pipelines(
    out: Path = COMPILED,
    settings: ClusterSettings | None = None,
    pipelines: Sequence[Pipeline] = (*PIPELINES.values(), TUNE),
) -> list[Path]:
    """Write the pipelines' YAML, including their Kubernetes settings, into a folder; returns the files' paths.

    Raises FileExistsError if a file of such a name exists and is not a compiled pipeline.
    """
    from kfp import compiler

    from pipeline.cluster.pod_resources import request_resources

    chosen = settings or ClusterSettings()

    def configure(task: Any, step: Step) -> None:
        request_resources(task, step, chosen)

    out.mkdir(parents=True, exist_ok=True)
    paths = [out / pipeline.file for pipeline in pipelines]
    for path in paths:
        if path.exists() and not (path.is_file() and path.read_bytes().startswith(_HEADER)):
            raise FileExistsError(f"{path}: not a compiled pipeline; give another folder")
    for pipeline, path in zip(pipelines, paths, strict=True):
        compiler.Compiler().compile(pipeline.build_for_cluster(configure), str(path))
    return paths
