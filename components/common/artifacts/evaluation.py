"""The files of an evaluation that later steps and commands read, beside its decision."""

METRICS_NAME = "metrics.json"
REPORT_NAME = "report.html"
SCORES_NAME = "scores.parquet"
