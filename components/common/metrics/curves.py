"""ROC, precision-recall, reliability and histogram of one task and model, thinned for drawing."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.common.artifacts.evaluation import SCORES_NAME, Evaluation
from components.common.artifacts.score_table import read_scores, to_numpy
from components.common.artifacts.snapshot import Snapshot
from recap_model import metrics
from recap_model.metrics import PredictionGroups

_MAX_POINTS = 100
_UI_POINTS = 100
_WIDEST_LOGIT, _HISTOGRAM_BINS = 16.0, 128

Line = tuple[list[float], list[float]]


@dataclass(frozen=True)
class Curves:
    """What the report draws of one task and model: x and y of each.

    Attributes:
        roc: false and true positive rates.
        precision: recall and precision.
        reliability: mean prediction and mean label in bins (`recap_model.metrics.equal_variance_bins`), ``chance``
            the labels' standard errors, ``weights`` the bins' fractions of the rows.
        predictions: probabilities, and the fraction of rows in a bin of log odds around them.
    """

    roc: Line
    precision: Line
    reliability: Line
    chance: list[float]
    weights: list[float]
    predictions: Line


def compute_curves(groups: PredictionGroups) -> Curves:
    """The curves of rows with both labels."""
    few, bins = groups.merged(_MAX_POINTS), metrics.equal_variance_bins(groups)
    false, true, _ = metrics.roc_curve(few)
    recall, precision = metrics.precision_recall_curve(few)
    return Curves(
        roc=(false.tolist(), true.tolist()),
        precision=(recall.tolist(), precision.tolist()),
        reliability=(bins.predicted.tolist(), bins.observed.tolist()),
        chance=bins.error.tolist(),
        weights=(bins.weight / groups.total).tolist(),
        predictions=_histogram(groups),
    )


def roc_points(evaluation: str | Path, snapshot: str | Path) -> tuple[list[float], list[float], list[float]]:
    """The ROC of the task with the most positives: false and true positive rates and thresholds, finite."""
    _, config = Snapshot.read(snapshot)
    tasks = Evaluation.read(evaluation).tasks
    task = max(tasks, key=lambda name: tasks[name].positives)
    names = [f"{kind}/{task}" for kind in ("label", "candidate", "weight")]
    rows = read_scores(Path(evaluation) / SCORES_NAME, config).read(names)
    curve = metrics.roc_curve(*(to_numpy(rows, name) for name in names))
    kept = np.unique(np.linspace(0, len(curve[0]) - 1, min(len(curve[0]), _UI_POINTS)).astype(int))
    false, true, thresholds = (values[kept].tolist() for values in curve)
    return false, true, thresholds


def _histogram(groups: PredictionGroups) -> Line:
    """The fraction of rows by log odds, in bins that are the same for every model and task."""
    edges = np.linspace(-_WIDEST_LOGIT, _WIDEST_LOGIT, _HISTOGRAM_BINS + 1)
    first = np.searchsorted(groups.predictions, 1.0 / (1.0 + np.exp(-edges[1:-1])))
    weights = np.array([bin_weights.sum() for bin_weights in np.split(groups.weights, first)])
    nonempty = np.flatnonzero(weights)
    kept = slice(max(nonempty[0] - 1, 0), nonempty[-1] + 2)
    middles = (edges[1:] + edges[:-1]) / 2
    rates = 1.0 / (1.0 + np.exp(-middles[kept]))
    return rates.tolist(), (weights / weights.sum())[kept].tolist()
