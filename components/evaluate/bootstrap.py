"""Confidence in a task's RCE, and in its difference from the champion's: a Poisson bootstrap of users."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.evaluate.scores import Scores
from recap_model.metrics.likelihood import cross_entropy

_USERS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class Replicates:
    """RCE in percent of each bootstrap replicate: (replicates, tasks); NaN where one is not defined."""

    candidate: NDArray[np.float64]
    champion: NDArray[np.float64] | None


def bootstrap_rce(scores: Scores, replicates: int, seed: int) -> Replicates:
    """Resample users with Poisson(1) counts, the same for both models (Chamandy et al., 2012, section 2).

    A task's RCE is a function of sums over rows, so a replicate is a weighted sum of users' sums, and memory is
    bounded by users, whatever the number of replicates.
    """
    labels = np.nan_to_num(scores.labels.astype(np.float64))
    weights = np.where(np.isnan(scores.labels), 0.0, scores.weights).astype(np.float64)
    measured = [
        weights,
        weights * labels,
        weights * cross_entropy(labels, scores.candidate.astype(np.float64)),
    ]
    if scores.champion is not None:
        measured.append(weights * cross_entropy(labels, scores.champion.astype(np.float64)))
    by_user = np.stack([_sum_by(scores.users, values) for values in measured])
    totals = np.zeros((replicates, *by_user.shape[0::2]))
    random = np.random.default_rng(seed)
    for first in range(0, by_user.shape[1], _USERS_AT_ONCE):
        users = by_user[:, first : first + _USERS_AT_ONCE]
        counts = random.poisson(1.0, (replicates, users.shape[1])).astype(np.float64)
        totals += np.einsum("ru,mut->rmt", counts, users)
    champion = _rce(totals[:, 0], totals[:, 1], totals[:, 3]) if scores.champion is not None else None
    return Replicates(_rce(totals[:, 0], totals[:, 1], totals[:, 2]), champion)


def _sum_by(users: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    count = int(users.max(initial=-1)) + 1
    return np.stack([np.bincount(users, column, minlength=count) for column in values.T], axis=1)


def _rce(
    weight: NDArray[np.float64], positive: NDArray[np.float64], loss: NDArray[np.float64]
) -> NDArray[np.float64]:
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = positive / weight
        constant = -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate)) * weight
        return 100.0 * (1.0 - loss / constant)
