"""Weighted metrics of probabilities against labels: plain functions over numpy arrays, in float64.

Every function takes ``labels`` (rows,) of 0, 1 or NaN, ``predictions`` (rows,) and ``weights`` (rows,), which
are 1 if not given; or `PredictionGroups` in place of all three, which sorts the rows once for several metrics. Rows
without a label are left out. A metric that is not defined on its rows is NaN, as is an AUC of one class, or any of a
prediction that is NaN. Metrics of ranked lists (`listwise`) take the rows' groups besides.
"""

from recap_model.metrics.brier import BrierDecomposition, brier_decomposition, brier_score
from recap_model.metrics.calibration import (
    CalibrationLine,
    calibration_line,
    calibration_ratio,
    equal_variance_bins,
    expected_calibration_error,
    mean_prediction,
    reliability_bins,
)
from recap_model.metrics.groups import GroupedRows, PredictionGroups, group_rows, grouped
from recap_model.metrics.histogram import LogitHistogram, bin_numbers, logits_of
from recap_model.metrics.likelihood import log_loss, normalised_rce, relative_cross_entropy
from recap_model.metrics.listwise import grouped_auc, ndcg_at_k, top_k_of_groups
from recap_model.metrics.ranking import auc, auc_gradient, pr_auc, precision_recall_curve, roc_curve
from recap_model.metrics.single_column import MISSING_KEY, LabelCounts, id_keys, number_keys
from recap_model.metrics.stability import population_stability_index

__all__ = [
    "MISSING_KEY",
    "BrierDecomposition",
    "CalibrationLine",
    "GroupedRows",
    "LabelCounts",
    "LogitHistogram",
    "PredictionGroups",
    "auc",
    "auc_gradient",
    "bin_numbers",
    "brier_decomposition",
    "brier_score",
    "calibration_line",
    "calibration_ratio",
    "equal_variance_bins",
    "expected_calibration_error",
    "group_rows",
    "grouped",
    "grouped_auc",
    "id_keys",
    "log_loss",
    "logits_of",
    "mean_prediction",
    "ndcg_at_k",
    "normalised_rce",
    "number_keys",
    "population_stability_index",
    "pr_auc",
    "precision_recall_curve",
    "relative_cross_entropy",
    "reliability_bins",
    "roc_curve",
    "top_k_of_groups",
]
