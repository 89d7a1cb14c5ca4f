"""How far a metric may be off by chance: a Poisson bootstrap of users, the same for both models.

Every user counts Poisson(1) times in a replicate (Chamandy et al., "Estimating uncertainty for massive data streams",
2012, section 2). A metric is a function of sums over rows, so a replicate needs sums by user only, and memory is
bounded by users times sums, whatever the number of replicates or rows.
"""

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from components.evaluate.metrics.accumulate import Tally, TaskRows, columns_of, task_rows
from components.evaluate.scoring.score_table import ScoreTable
from recap_model.data.log.id_hashing import id_numbers, is_present, mix
from recap_model.metrics import cells_of

METRICS = ("auc", "log_loss", "rce", "calibration_ratio")
# More users than this share counts by chance groups, which leaves the expected spread as it is.
CLUSTERS = 1 << 14
_SEED = 83
_LEAST = 1e-7  # the least probability that a log loss takes

Array = NDArray[np.float64]
Key = tuple[str, str, str]


def replicates_of(table: ScoreTable, tally: Tally, replicates: int, seed: int) -> dict[Key, dict[str, Array]]:
    """Each of ``METRICS`` in every replicate, by (part, task, model): (replicates,), not finite where undefined.

    A second pass over the table. AUC is exact to first order in the counts (`auc_influence`); the others are exact.
    Rows are resampled by user, or one by one where the user is not known.
    """
    counts = np.random.default_rng(seed).poisson(1.0, (replicates, CLUSTERS)).astype(np.float64)
    influence = {key: model.sketch.auc_influence() for key, model in tally.models.items()}
    masses = {key: np.zeros((2, CLUSTERS)) for key in tally.tasks}
    changes = {key: np.zeros((3, CLUSTERS)) for key in tally.models}
    user = ["user"] if "user" in table.names else []
    done = 0
    for batch in table.batches([*user, *columns_of(table)]):
        whose = np.arange(done, done + batch.num_rows, dtype=np.int64)
        if user:
            whose = np.where(is_present(batch.column("user")), id_numbers(batch.column("user")), whose)
        clusters = (mix(whose, _SEED) % np.uint64(CLUSTERS)).astype(np.int64)
        for (part, task), rows in task_rows(batch, table):
            cluster = clusters if rows.place is None else clusters[rows.place]
            masses[part, task] += _masses(rows, cluster)
            for model, prediction in rows.prediction.items():
                key = (part, task, model)
                if not tally.models[key].not_finite:
                    changes[key] += _changes(rows, prediction, influence[key][1], cluster)
        done += batch.num_rows
    return {
        key: _metrics(influence[key][0], counts @ masses[key[:2]].T, counts @ changes[key].T)
        for key in tally.models
    }


def _masses(rows: TaskRows, cluster: NDArray[np.int64]) -> Array:
    """Sums of weights, and of positives' weights, by cluster: (2, clusters)."""
    positive = rows.label if rows.weight is None else rows.label * rows.weight
    return np.stack([np.bincount(cluster, values, minlength=CLUSTERS) for values in (rows.weight, positive)])


def _changes(
    rows: TaskRows, prediction: NDArray[np.float32], influence: Array, cluster: NDArray[np.int64]
) -> Array:
    """Sums of predictions, cross entropy and influence on the AUC, weighted, by cluster: (3, clusters)."""
    hit = np.where(rows.label > 0.5, prediction, np.float32(1.0) - prediction)
    entropy = -np.log(np.maximum(hit, np.float32(_LEAST)))
    sums = [prediction, entropy, influence[cells_of(rows.label, prediction)]]
    if rows.weight is not None:
        sums = [values * rows.weight for values in sums]
    return np.stack([np.bincount(cluster, values, minlength=CLUSTERS) for values in sums])


def _metrics(area: float, masses: Array, changes: Array) -> dict[str, Array]:
    mass, positive = masses.T
    predicted, loss, change = changes.T
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = positive / mass
        constant = -(rate * np.log(rate) + (1.0 - rate) * np.log1p(-rate))
        log_loss = loss / mass
        return {
            "auc": area + change,
            "log_loss": log_loss,
            "rce": 100.0 * (1.0 - log_loss / constant),
            "calibration_ratio": predicted / positive,
        }


def paired(ours: Mapping[str, Array], theirs: Mapping[str, Array]) -> dict[str, Array]:
    """The replicates of the difference of two models, whose users were drawn alike; NaN where one is undefined."""
    return {name: _difference(ours[name], theirs[name]) for name in METRICS}


def _difference(ours: Array, theirs: Array) -> Array:
    undefined = np.full(ours.shape, np.nan)
    return np.subtract(ours, theirs, out=undefined, where=np.isfinite(ours) & np.isfinite(theirs))


def standard_error(replicates: Array) -> float | None:
    """The replicates' spread; None unless nine of ten are defined."""
    defined = replicates[np.isfinite(replicates)]
    if len(defined) < max(2.0, 0.9 * len(replicates)):
        return None
    return float(defined.std(ddof=1))


def interval(value: float, error: float, confidence: float) -> list[float]:
    """One-sided bounds below and above, each at ``confidence``, of a normally distributed estimate.

    >>> [round(bound, 2) for bound in interval(10.0, 1.0, 0.95)]
    [8.36, 11.64]
    """
    reach = NormalDist().inv_cdf(confidence) * error
    return [value - reach, value + reach]
