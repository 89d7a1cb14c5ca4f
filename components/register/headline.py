"""The few metrics of an evaluation that are shown beside a version."""

import math
from collections.abc import Mapping
from typing import Any

_HEADLINERS = ("auc", "rce", "log_loss", "calibration_ratio")


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
