"""Weighted metrics of probabilities against labels: plain functions over numpy arrays, in float64.

Every function takes ``labels`` (rows,) of 0, 1 or NaN, ``predictions`` (rows,) and ``weights`` (rows,), which
are 1 if not given. Rows without a label are left out. A metric that is not defined on its rows is NaN, as is an AUC
of one class.
"""

from recap_model.metrics.calibration import calibration_ratio, expected_calibration_error, reliability_bins
from recap_model.metrics.likelihood import brier_score, log_loss, normalised_rce, relative_cross_entropy
from recap_model.metrics.ranking import auc, pr_auc, precision_recall_curve, roc_curve

__all__ = [
    "auc",
    "brier_score",
    "calibration_ratio",
    "expected_calibration_error",
    "log_loss",
    "normalised_rce",
    "pr_auc",
    "precision_recall_curve",
    "relative_cross_entropy",
    "reliability_bins",
    "roc_curve",
]
