"""Compile the pipeline to the YAML that a Kubeflow Pipelines server takes."""

from pathlib import Path

COMPILED = Path(__file__).parent / "compiled"


def compile_pipelines(out: Path = COMPILED) -> list[Path]:
    """Write each pipeline's YAML into a folder; returns the files' paths."""
    from kfp import compiler

    from pipeline.retrain import retrain

    out.mkdir(parents=True, exist_ok=True)
    path = out / "retrain.yaml"
    compiler.Compiler().compile(retrain, str(path))
    return [path]
