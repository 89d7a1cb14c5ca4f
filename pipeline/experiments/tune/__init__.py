"""Tuning: search settings with Optuna on validation rows, each trial an MLflow run."""
