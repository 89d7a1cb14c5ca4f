"""Compile the pipeline to the YAML that a Kubeflow Pipelines server takes."""

from pathlib import Path
from typing import Any

from components.steps import Step
from pipeline.cluster.settings import ClusterSettings

COMPILED = Path(__file__).parent / "compiled"


def compile_pipelines(out: Path = COMPILED, settings: ClusterSettings | None = None) -> list[Path]:
    """Write the pipeline's YAML, its Kubernetes part included, into a folder; returns the files' paths."""
    from kfp import compiler

    from pipeline.cluster.placement import place
    from pipeline.retrain import cluster_pipeline

    chosen = settings or ClusterSettings()

    def placed(task: Any, step: Step) -> None:
        place(task, step, chosen)

    out.mkdir(parents=True, exist_ok=True)
    path = out / "retrain.yaml"
    made = cluster_pipeline(placed, chosen.validate_groups, chosen.build_groups)
    compiler.Compiler().compile(made, str(path))
    return [path]
