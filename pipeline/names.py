"""Names under which a Kubeflow Pipelines server knows the pipeline."""

NAME = "recap-retrain"
TITLE = "Recap: retrain the ranking model"
