"""Standard errors of metrics: a Poisson bootstrap of users, the same replicates for both models.

Every user counts Poisson(1) times in a replicate (Chamandy et al., "Estimating uncertainty for massive data streams",
2012, section 2). A metric is a function of sums over rows, so a replicate needs sums by user only, and memory is
bounded by users times sums, whatever the number of replicates or rows.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.common.artifacts.evaluation import Interval
from recap_model.data.log.id_hashing import id_numbers, is_present, seeded_hash

METRICS = ("auc", "log_loss", "rce", "calibration_ratio")
# Users beyond this number are hashed into shared clusters, which leaves the expected standard error unchanged.
CLUSTERS = 1 << 14
# With fewer users with a positive (or a negative), too many replicates draw none of them for a normal approximation:
# with ten it happens once in 22,000 replicates, with one in 2.7.
MIN_USERS = 10
_SEED = 83
_MIN_PROBABILITY = 1e-7  # to which a log loss clips

Array = NDArray[np.float64]
Column = NDArray[Any]


def assign_clusters(batch: pa.RecordBatch, first_row: int) -> NDArray[np.int32]:
    """The cluster that each row is resampled with, by its user, or alone where that is not known: (rows,)."""
    user = np.arange(first_row, first_row + batch.num_rows, dtype=np.int64)
    if "user" in batch.schema.names:
        user = np.where(is_present(batch.column("user")), id_numbers(batch.column("user")), user)
    return (seeded_hash(user, _SEED) % np.uint64(CLUSTERS)).astype(np.int32)


def sum_by_cluster(cluster: NDArray[np.integer], *columns: Column | None) -> Array:
    """Sums by cluster, of rows if a column is None: (columns, clusters)."""
    return np.stack([np.bincount(cluster, values, minlength=CLUSTERS) for values in columns])


def sum_weights(label: Column, weight: Column | None, cluster: NDArray[np.integer]) -> Array:
    """Sums of weights, and of positives' weights, by cluster: (2, clusters)."""
    return sum_by_cluster(cluster, weight, label if weight is None else label * weight)


def sum_predictions(
    label: Column,
    weight: Column | None,
    prediction: Column,
    influence: Column,
    cluster: NDArray[np.integer],
) -> Array:
    """Sums of predictions, cross entropy and influence on the AUC, weighted, by cluster: (3, clusters)."""
    likelihood = np.where(label > 0.5, prediction, 1 - prediction)
    entropy = np.maximum(likelihood, likelihood.dtype.type(_MIN_PROBABILITY), out=likelihood)
    np.negative(np.log(entropy, out=entropy), out=entropy)
    columns = [prediction, entropy, influence]
    if weight is not None:
        columns = [values * weight for values in columns]
    return sum_by_cluster(cluster, *columns)


def draw_counts(replicates: int, seed: int) -> Array:
    """How often each cluster counts in each replicate: (replicates, clusters)."""
    return np.random.default_rng(seed).poisson(1.0, (replicates, CLUSTERS)).astype(np.float64)


def replicate_metrics(
    counts: Array, area: float, weight_sums: Array, prediction_sums: Array
) -> dict[str, Array]:
    """Each of ``METRICS`` in every replicate: (replicates,), not finite where undefined.

    AUC is exact to first order in the counts (`auc_gradient`); the others are exact.
    """
    # One product, with the large matrix first: several times as fast as one for each matrix of sums.
    mass, positive, predicted, loss, influence = (counts @ np.concatenate([weight_sums, prediction_sums]).T).T
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = positive / mass
        constant = -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
        log_loss = loss / mass
        return {
            "auc": area + influence,
            "log_loss": log_loss,
            "rce": 100.0 * (1.0 - log_loss / constant),
            "calibration_ratio": predicted / positive,
        }


def why_no_interval(masses: Array) -> str | None:
    """Why there is no error of these rows; None if there is. A row without a user counts as a user."""
    mass, positive = masses
    for kind, users in (("positive", positive > 0), ("negative", mass - positive > 1e-9 * mass)):
        if (count := int(users.sum())) < MIN_USERS:
            return f"{count} users with a {kind} row, and errors and bounds need {MIN_USERS}"
    return None


def paired_differences(candidate: Mapping[str, Array], champion: Mapping[str, Array]) -> dict[str, Array]:
    """The replicates of the models' difference, both of the same resampled users; NaN where one is undefined."""
    return {name: _difference(candidate[name], champion[name]) for name in METRICS}


def _difference(candidate: Array, champion: Array) -> Array:
    undefined = np.full(candidate.shape, np.nan)
    return np.subtract(
        candidate, champion, out=undefined, where=np.isfinite(candidate) & np.isfinite(champion)
    )


def standard_error(replicates: Array) -> float | None:
    """Standard deviation of the replicates; None unless nine of ten are defined."""
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < max(2.0, 0.9 * len(replicates)):
        return None
    return float(defined.std(ddof=1))


def interval(value: float, error: float, confidence: float) -> Interval:
    """One-sided bounds below and above, each at ``confidence``, of a normally distributed estimate.

    >>> [round(bound, 2) for bound in interval(10.0, 1.0, 0.95)]
    [8.36, 11.64]
    """
    margin = NormalDist().inv_cdf(confidence) * error
    return Interval(value - margin, value + margin)
