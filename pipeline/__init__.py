"""The retraining pipeline: its graph, command line, local and cluster execution, configs, and data sources."""

NAME = "recap-retrain"
"""Name of the pipeline on a Kubeflow Pipelines server."""

WATCH_NAME = "recap-watch"
"""Name of the pipeline that watches the champion."""

TUNE_NAME = "recap-tune"
"""Name of the pipeline that searches settings."""
