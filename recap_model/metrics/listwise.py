"""List-wise ranking metrics, within users or requests: grouped AUC, NDCG, top k.

Groups are (rows,) integers; rows need not lie together.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recap_model.metrics.groups import Array, radix_order, rising_order

Groups = NDArray[np.integer]


def grouped_auc(
    labels: ArrayLike, predictions: ArrayLike, groups: Groups, weights: ArrayLike | None = None
) -> float:
    """GAUC: the mean over groups of the AUC inside each, weighted by the groups' weight of rows.

    Zhu et al., "Optimized Cost per Click in Taobao Display Advertising", KDD 2017, eq. 8. Groups of one class have
    no AUC and are left out; NaN if there is no other.

    >>> grouped_auc([1, 0, 1, 0], [0.9, 0.1, 0.2, 0.8], np.array([0, 0, 1, 1]))
    0.5
    """
    label, prediction = np.asarray(labels), np.asarray(predictions)
    weight = np.ones(len(label)) if weights is None else np.asarray(weights)
    known = (label == label) & (weight > 0)  # NaN differs from itself
    if not known.all():
        label, prediction, weight, groups = label[known], prediction[known], weight[known], groups[known]
    if not len(label) or np.isnan(prediction).any():
        return float("nan")
    order = rising_order(prediction)
    group = _dense_codes(groups)
    order = order[radix_order(group[order].astype(np.uint32))]
    group, prediction, weight = group[order], prediction[order], weight[order].astype(np.float64)
    positive = weight * label[order]
    negative = weight - positive
    # Rows of one prediction in a group share a rank; its positives beat the group's negatives of lower ranks.
    changes = np.append(True, (np.diff(group) != 0) | (np.diff(prediction) != 0))
    first = np.flatnonzero(changes)
    rank_group = group[first]
    positives, negatives = np.add.reduceat(positive, first), np.add.reduceat(negative, first)
    group_positives, group_negatives = (
        np.bincount(rank_group, mass, minlength=group[-1] + 1) for mass in (positives, negatives)
    )
    before = np.cumsum(negatives) - negatives
    before -= (np.cumsum(group_negatives) - group_negatives)[rank_group]
    beaten = np.bincount(rank_group, positives * (before + negatives / 2), minlength=group[-1] + 1)
    both = (group_positives > 0) & (group_negatives > 0)
    if not both.any():
        return float("nan")
    mass = (group_positives + group_negatives)[both]
    return float(np.average(beaten[both] / (group_positives * group_negatives)[both], weights=mass))


def _dense_codes(groups: Groups) -> NDArray[np.int64]:
    """The groups numbered below twice the number of rows; unchanged if they already are."""
    if groups.min() >= 0 and groups.max() < 2 * len(groups):
        return groups.astype(np.int64, copy=False)
    return np.unique(groups, return_inverse=True)[1]


def ndcg_at_k(gains: Array, scores: ArrayLike, groups: Groups, k: int) -> Array:
    """Normalised discounted cumulative gain of the first ``k`` of each group, by falling score: (groups,).

    Järvelin and Kekäläinen, TOIS 2002, with the gain itself and a discount of log2(rank + 1). A gain under 0 counts
    0, since no order would be ideal otherwise. Rows of one score share their ranks' mean discount (McSherry and
    Najork, ECIR 2008), so that the order of the input does not matter. NaN for groups without a gain.
    """
    gain = np.maximum(np.asarray(gains, dtype=np.float64), 0.0)
    _, group = np.unique(groups, return_inverse=True)
    dcg, ideal = (
        _discounted_gains(gain, np.asarray(by, dtype=np.float64), group, k) for by in (scores, gain)
    )
    return np.divide(dcg, ideal, out=np.full(len(ideal), np.nan), where=ideal > 0)


def _discounted_gains(gain: Array, score: Array, group: Groups, k: int) -> Array:
    order = np.lexsort((-score, group))
    sorted_group, sorted_score = group[order], score[order]
    rank = np.arange(len(order)) - np.searchsorted(sorted_group, sorted_group)
    discount = np.where(rank < k, 1.0 / np.log2(rank + 2.0), 0.0)
    changes = np.append(True, (np.diff(sorted_group) != 0) | (np.diff(sorted_score) != 0))
    first = np.flatnonzero(changes[: len(order)])
    sizes = np.diff(np.append(first, len(order)))
    shared = np.repeat(np.add.reduceat(discount, first) / sizes, sizes) if len(first) else discount
    return np.bincount(sorted_group, gain[order] * shared).astype(np.float64)


def top_k_of_groups(scores: ArrayLike, groups: Groups, k: int) -> NDArray[np.bool_]:
    """Which rows are among the ``k`` of the highest score in their group, earlier rows first: (rows,).

    >>> top_k_of_groups([0.1, 0.3, 0.2], np.array([0, 0, 0]), 2)
    array([False,  True,  True])
    """
    _, group = np.unique(groups, return_inverse=True)
    order = np.lexsort((-np.asarray(scores, dtype=np.float64), group))
    sorted_group = group[order]
    top = np.empty(len(order), dtype=bool)
    top[order] = np.arange(len(order)) - np.searchsorted(sorted_group, sorted_group) < k
    return top
