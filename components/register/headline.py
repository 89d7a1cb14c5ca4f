"""The few metrics of an evaluation that are shown beside a version."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.common.artifacts.evaluation import METRICS_NAME

_HEADLINERS = ("auc", "rce", "log_loss", "calibration_ratio")


def read_headline(evaluation: Path) -> dict[str, float]:
    """`headline_metrics` of an evaluation's folder. Raises ValueError if its metrics are none."""
    path = evaluation / METRICS_NAME
    try:
        return headline_metrics(json.loads(path.read_bytes()))
    except (AttributeError, LookupError, OverflowError, RecursionError, TypeError, ValueError):
        raise ValueError(f"{path}: not what evaluate writes; run evaluate again") from None


def headline_metrics(metrics: Mapping[str, Any]) -> dict[str, float]:
    """``METRIC/TASK`` for each task's headline metrics, those that are finite numbers.

    >>> headline_metrics({"tasks": {"like": {"auc": 0.7, "rce": None, "rows": 10}}})
    {'auc/like': 0.7}
    """
    return {
        f"{metric}/{task}": float(values[metric])
        for task, values in metrics["tasks"].items()
        for metric in _HEADLINERS
        if isinstance(values.get(metric), int | float) and math.isfinite(values[metric])
    }
