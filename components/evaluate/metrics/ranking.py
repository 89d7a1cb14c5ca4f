"""What is measured of the weighted score: its ranked lists, and how it shifts against the champion's."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.evaluate.metrics.accumulate import Tally
from recap_model import metrics
from recap_model.config import RecapConfig

_PSI_BINS = 10


def ranked_lists(tally: Tally, config: RecapConfig) -> dict[str, Any]:
    """NDCG of the top k of each request (or user), their mean engagement, and how much of the top changes.

    A row's gain is the sum over tasks of score weight times label; a missing label adds nothing. Lists without a
    positive gain have no NDCG and are left out of its mean. ``top_k_change`` is the share of the candidate's top k
    rows that are not among the champion's. ``share`` of the lists is looked at.
    """
    k, by, rows = config.evaluation.top_k, tally.by, tally.lists.columns()
    if by is None:
        why = "neither features.ids.request nor features.ids.user is given"
        return {"k": k, "by": None, "undefined": why}
    if not len(rows.get("group", ())):
        return {"k": k, "by": by, "undefined": f"no row has a {by}"}
    groups, gains, ours, theirs = rows["group"], rows["gain"], rows["candidate"], rows.get("champion")
    if not all(np.isfinite(score).all() for score in (ours, theirs) if score is not None):
        return {"k": k, "by": by, "undefined": "a row's score is not finite"}
    found: dict[str, Any] = {"k": k, "by": by, "lists": len(np.unique(groups)), "share": tally.lists.share}
    top = metrics.top_of_groups(ours, groups, k)
    found |= _of_one(gains, ours, groups, top, k)
    if theirs is not None:
        their_top = metrics.top_of_groups(theirs, groups, k)
        found["champion"] = _of_one(gains, theirs, groups, their_top, k)
        found["top_k_change"] = float(np.mean(~their_top[top]))
    return found


def _of_one(
    gains: NDArray[np.float64],
    score: NDArray[np.float32],
    groups: NDArray[np.int64],
    top: NDArray[np.bool_],
    k: int,
) -> dict[str, float | None]:
    by_list = metrics.ndcg_at(gains, score, groups, k)
    defined = by_list[~np.isnan(by_list)]
    return {"ndcg": float(defined.mean()) if len(defined) else None, "mean_gain": float(gains[top].mean())}


def score_psi(champion: NDArray[np.float32], candidate: NDArray[np.float32]) -> float | None:
    """Population stability index over the champion's deciles; a bin's share is at least that of half a row.

    None where a score is not finite.
    """
    if not (np.isfinite(champion).all() and np.isfinite(candidate).all()):
        return None
    edges = np.unique(np.quantile(champion, np.linspace(0, 1, _PSI_BINS + 1)[1:-1]))
    least = 0.5 / len(champion)
    old, new = (
        np.maximum(np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1) / len(values), least)
        for values in (champion, candidate)
    )
    shift = float(np.sum((new - old) * np.log(new / old)))
    return shift if math.isfinite(shift) else None
