"""Definitions of the metrics that pages show."""

from components.common.html.tables import Column

_MEANINGS = {
    "AUC": "chance that a positive row is scored above a negative one; 0.5 is a guess, 1 is perfect",
    "log loss": "mean of −log of the probability given to what happened; lower is better",
    "RCE": "relative cross-entropy: percent by which log loss is lower than that of the constant mean rate",
    "bounds": "where the figure lies but for chance, each bound at the configured confidence, users resampled",
    "AUC bounds": "where the AUC lies but for chance, each bound at the configured confidence, users resampled",
    "positives": "test rows whose label is 1",
    "rows": "test rows that have the label",
    "rate": "observed mean label, weighted to the log's rows",
    "mean label": "observed mean, weighted to the log's rows",
    "predicted / observed": "mean prediction over mean label; 1 for a calibrated task",
    "GAUC": "AUC within each user, averaged: the order that one person sees",
    "PR AUC": "area under precision and recall; a guess has the task's rate",
    "NRCE": "RCE with predictions scaled to the observed mean: what a wrong level costs is left out",
    "Brier": "mean squared distance of the probability from 0 or 1; lower is better",
    "slope": "of the labels on the predicted log odds: 1 if calibrated, under 1 if predictions are too extreme",
    "intercept": "of the labels on the predicted log odds: 0 if calibrated",
    "debiased ECE": "expected calibration error: root of the mean squared distance of predicted from observed rates "
    "over 15 bins of equal weight, less what chance alone makes; about 0 for a calibrated task, under 0 for less "
    "distance than by chance",
    "skill": "percent of the best constant's loss that the predictions save",
    "MAE": "mean absolute error",
    "relative MAE": "mean absolute error over that of the best constant",
    "RMSE": "root of the mean squared error",
    "R²": "fraction of the labels' variance that the predictions explain",
    "XAUC": "of two rows, how often the one with the larger label has the larger prediction",
    "NDCG": "how near the order by score comes to the best order of each list; 1 is the best",
}


def meanings(*names: str) -> dict[str, str]:
    """The meaning of each name."""
    return {name: _MEANINGS[name] for name in names}


def column(name: str, unit: str = "") -> Column:
    """A column of a metric with its meaning; of a metric at k, ``NAME@k``, that of the metric."""
    return Column(name, unit, _MEANINGS[name.partition("@")[0]])
