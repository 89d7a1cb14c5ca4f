"""The few figures and the one curve that a pipeline's UI shows of an evaluation; all of them finite."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from components.common.artifacts.evaluation import METRICS_NAME, SCORES_NAME
from recap_model import metrics

_MAX_POINTS = 100


def headline(evaluation: str | Path) -> dict[str, float]:
    """Test rows, and AUC and RCE of each task that has them."""
    measured = json.loads((Path(evaluation) / METRICS_NAME).read_text())
    figures: dict[str, float] = {"rows": measured["rows"]}
    for task, found in measured["tasks"].items():
        figures |= {f"{name}/{task}": found[name] for name in ("auc", "rce") if found[name] is not None}
    return figures


def roc_points(evaluation: str | Path) -> tuple[list[float], list[float], list[float]]:
    """The ROC of the task with the most positives: false and true positive rates and thresholds, finite."""
    measured = json.loads((Path(evaluation) / METRICS_NAME).read_text())["tasks"]
    task = max(measured, key=lambda name: measured[name]["positives"])
    columns = [f"{kind}/{task}" for kind in ("label", "candidate", "weight")]
    table = pq.read_table(Path(evaluation) / SCORES_NAME, columns=columns)
    false, true, thresholds = metrics.roc_curve(*(table[column].to_numpy() for column in columns))
    kept = np.unique(np.linspace(0, len(false) - 1, min(len(false), _MAX_POINTS)).astype(int))
    return false[kept].tolist(), true[kept].tolist(), thresholds[kept].tolist()
