"""Compile the pipeline to the YAML that a Kubeflow Pipelines server runs."""

from pathlib import Path
from typing import Any

from components.steps import Step
from pipeline.cluster.settings import ClusterSettings

COMPILED = Path(__file__).parents[1] / "compiled"
_HEADER = b"# PIPELINE DEFINITION"  # first line of a pipeline compiled by kfp


def compile_pipelines(out: Path = COMPILED, settings: ClusterSettings | None = None) -> list[Path]:
    """Write the pipeline's YAML, including its Kubernetes settings, into a folder; returns the files' paths.

    Raises FileExistsError if a file of that name exists and is not a compiled pipeline.
    """
    from kfp import compiler

    from pipeline.cluster.pod_resources import request_resources
    from pipeline.retrain import cluster_pipeline

    chosen = settings or ClusterSettings()

    def configure(task: Any, step: Step) -> None:
        request_resources(task, step, chosen)

    out.mkdir(parents=True, exist_ok=True)
    path = out / "retrain.yaml"
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(_HEADER)):
        raise FileExistsError(f"{path}: not a compiled pipeline; give another folder")
    made = cluster_pipeline(configure)
    compiler.Compiler().compile(made, str(path))
    return [path]
