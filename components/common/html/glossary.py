"""Definitions of the metrics that pages show."""

_MEANINGS = {
    "AUC": "chance that a positive row is scored above a negative one; 0.5 is a guess, 1 is perfect",
    "log loss": "mean of −log of the probability given to what happened; lower is better",
    "RCE": "relative cross-entropy: percent by which log loss is lower than that of the constant mean rate",
    "bounds": "where the figure lies but for chance, at the configured confidence, users resampled",
    "GAUC": "AUC within each user, averaged: the order that one person sees",
    "PR AUC": "area under precision and recall; a guess has the task's rate",
    "NRCE": "RCE with predictions scaled to the observed mean: what a wrong level costs is left out",
    "Brier": "mean squared distance of the probability from 0 or 1; lower is better",
    "slope, intercept": "of the labels on the predicted log odds; 1 and 0 for a calibrated task",
    "debiased ECE": "expected calibration error: root of the mean squared distance of predicted from observed rates "
    "over 15 bins of equal weight, less what chance alone makes; about 0 for a calibrated task, under 0 for less "
    "distance than by chance",
    "NDCG": "how near the order by score comes to the best order of each list; 1 is the best",
}


def meanings(*names: str) -> dict[str, str]:
    """The meaning of each name."""
    return {name: _MEANINGS[name] for name in names}
