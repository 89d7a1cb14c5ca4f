"""Metrics of the weighted score: its ranked lists, and its shift against the champion's."""

import numpy as np
from numpy.typing import NDArray

from components.common.artifacts.evaluation import ListMetrics, RankedLists
from components.common.metrics.samples import Samples
from recap_model import metrics
from recap_model.config import RecapConfig

_PSI_BINS = 10


def ranked_lists(samples: Samples, config: RecapConfig) -> RankedLists:
    """NDCG of the top k of each request (or user), their mean engagement, and how much of the top changes.

    A row's gain is the sum over tasks of score weight times label; a missing label adds nothing. Lists without a
    positive gain have no NDCG and are left out of its mean. ``top_k_change`` is the fraction of the candidate's top k
    rows that are not among the champion's. ``share`` is the fraction of lists that were sampled.
    """
    k, by, rows = config.evaluation.top_k, samples.by, samples.lists.columns()
    if by is None:
        return RankedLists(k=k, undefined="neither features.ids.request nor features.ids.user is given")
    if not len(rows.get("group", ())):
        return RankedLists(k=k, by=by, undefined=f"no row has a {by}")
    groups, gains, candidate, champion = rows["group"], rows["gain"], rows["candidate"], rows.get("champion")
    if not all(np.isfinite(score).all() for score in (candidate, champion) if score is not None):
        return RankedLists(k=k, by=by, undefined="a row's score is not finite")
    top = metrics.top_k_of_groups(candidate, groups, k)
    ranked = RankedLists(
        k=k,
        by=by,
        lists=len(np.unique(groups)),
        share=samples.lists.fraction,
        **_list_metrics(gains, candidate, groups, top, k).model_dump(),
    )
    if champion is None:
        return ranked
    champion_top = metrics.top_k_of_groups(champion, groups, k)
    return ranked.model_copy(
        update={
            "champion": _list_metrics(gains, champion, groups, champion_top, k),
            "top_k_change": float(np.mean(~champion_top[top])),
        }
    )


def _list_metrics(
    gains: NDArray[np.float64],
    score: NDArray[np.float32],
    groups: NDArray[np.int64],
    top: NDArray[np.bool_],
    k: int,
) -> ListMetrics:
    by_list = metrics.ndcg_at_k(gains, score, groups, k)
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
