"""A study: trials that are proposed, run on prepared sets, and recorded as MLflow runs."""
