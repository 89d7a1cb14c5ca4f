"""Rows whose true probabilities are known, for tests of calibration."""

import numpy as np
from numpy.typing import NDArray

from recap_model.calibration import LogitHistogram

Array = NDArray[np.float64]


def rows(count: int, seed: int = 0, base: float = -3.0) -> tuple[Array, Array]:
    """True logits, and labels drawn from them."""
    random = np.random.default_rng(seed)
    logit = random.normal(base, 1.0, count)
    return logit, (random.random(count) < 1 / (1 + np.exp(-logit))).astype(float)


def histogram_of(logit: Array, label: Array, weight: Array | None = None, folds: int = 5) -> LogitHistogram:
    """The histogram of one task named ``like``, its rows dealt out to the folds in turn."""
    histogram = LogitHistogram(["like"], folds)
    weight = np.ones_like(logit) if weight is None else weight
    histogram.add(logit[:, None], label[:, None], weight[:, None], np.arange(len(logit)) % folds)
    return histogram


def log_loss(logit: Array, target: Array, weight: Array | None = None) -> float:
    """Mean log loss in nats of labels, or of true probabilities."""
    return float(np.average(np.logaddexp(0.0, logit) - target * logit, weights=weight))
