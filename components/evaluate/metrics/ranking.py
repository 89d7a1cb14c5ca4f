"""What is measured of the weighted score: its ranked lists, and how it shifts against the champion's."""

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.evaluation import ListMetrics, RankedLists
from components.evaluate.metrics.samples import Samples
from recap_model import metrics
from recap_model.config import RecapConfig

_PSI_BINS = 10


def ranked_lists(samples: Samples, config: RecapConfig) -> RankedLists:
    """NDCG of the top k of each request (or user), their mean engagement, and how much of the top changes.

    A row's gain is the sum over tasks of score weight times label; a missing label adds nothing. Lists without a
    positive gain have no NDCG and are left out of its mean. ``top_k_change`` is the share of the candidate's top k
    rows that are not among the champion's. ``share`` of the lists is looked at.
    """
    k, by, rows = config.evaluation.top_k, samples.by, samples.lists.columns()
    if by is None:
        return RankedLists(k=k, undefined="neither features.ids.request nor features.ids.user is given")
    if not len(rows.get("group", ())):
        return RankedLists(k=k, by=by, undefined=f"no row has a {by}")
    groups, gains, ours, theirs = rows["group"], rows["gain"], rows["candidate"], rows.get("champion")
    if not all(np.isfinite(score).all() for score in (ours, theirs) if score is not None):
        return RankedLists(k=k, by=by, undefined="a row's score is not finite")
    top = metrics.top_of_groups(ours, groups, k)
    found = RankedLists(
        k=k,
        by=by,
        lists=len(np.unique(groups)),
        share=samples.lists.share,
        **_of_one(gains, ours, groups, top, k).model_dump(),
    )
    if theirs is None:
        return found
    their_top = metrics.top_of_groups(theirs, groups, k)
    return found.model_copy(
        update={
            "champion": _of_one(gains, theirs, groups, their_top, k),
            "top_k_change": float(np.mean(~their_top[top])),
        }
    )


def _of_one(
    gains: NDArray[np.float64],
    score: NDArray[np.float32],
    groups: NDArray[np.int64],
    top: NDArray[np.bool_],
    k: int,
) -> ListMetrics:
    by_list = metrics.ndcg_at(gains, score, groups, k)
    defined = by_list[~np.isnan(by_list)]
    return ListMetrics(
        ndcg=float(defined.mean()) if len(defined) else None, mean_gain=float(gains[top].mean())
    )


def score_psi(champion: NDArray[np.float32], candidate: NDArray[np.float32]) -> float | None:
    """Population stability index over the champion's deciles; None where a score is not finite."""
    if not len(champion) or not (np.isfinite(champion).all() and np.isfinite(candidate).all()):
        return None
    edges = np.unique(np.quantile(champion, np.linspace(0, 1, _PSI_BINS + 1)[1:-1]))
    old, new = (
        np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1).astype(np.float64)
        for values in (champion, candidate)
    )
    return metrics.population_stability_index(old, new)
