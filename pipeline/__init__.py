"""The steps wired together, the command line, the sample log, the configs."""

NAME = "recap-retrain"
"""The pipeline's name on a Kubeflow Pipelines server."""
