"""The same config with its histories, with the ids of their events alone, and without: paired over users."""

import copy
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recap_model import metrics

Content = dict[str, Any]
Predictions = NDArray[np.float64]
_REPLICATES = 200
_QUANTILES = (0.025, 0.975)


def without_histories(content: Content) -> Content:
    """The YAML content of a config without sequences; the candidate's ids are inputs of the net instead."""
    changed = copy.deepcopy(content)
    changed["features"].pop("derived_sequences", None)
    changed["features"].pop("sequences", None)
    model = changed["model"]
    ids = model.setdefault("ids", [])
    for reader in model.pop("sequences").values():
        for key, column in reader.get("candidate", {}).items():
            reading = {"table": reader["inputs"][key]["table"], "column": column}
            ids += [] if reading in ids else [reading]
    read = {item["table"] for item in ids}
    model["tables"] = {name: table for name, table in model["tables"].items() if name in read}
    return changed


def with_ids_alone(content: Content) -> Content:
    """The YAML content of a config whose events are read by their ids, without actions, numbers and times."""
    changed = copy.deepcopy(content)
    for reader in changed["model"]["sequences"].values():
        reader["inputs"] = {key: side for key, side in reader["inputs"].items() if "table" in side}
    return changed


VARIANTS: Mapping[str, Callable[[Content], Content]] = {
    "no history": without_histories,
    "ids alone": with_ids_alone,
    "history": copy.deepcopy,
}


def paired_intervals(
    labels: Predictions, user: NDArray[np.int64], base: list[Predictions], other: list[Predictions]
) -> Iterator[tuple[float, float, float]]:
    """AUC's and log loss' mean difference over seeds, and its 95 % interval by a bootstrap over users."""
    _, cluster = np.unique(user, return_inverse=True)
    random = np.random.default_rng(0)
    users = cluster.max() + 1
    draws = [np.bincount(random.integers(0, users, users), minlength=users) for _ in range(_REPLICATES)]
    for metric in (metrics.auc, metrics.log_loss):

        def difference(weights: Predictions, metric: Callable[..., float] = metric) -> float:
            pairs = zip(base, other, strict=True)
            return float(np.mean([metric(labels, b, weights) - metric(labels, a, weights) for a, b in pairs]))

        replicates = [difference(draw[cluster].astype(float)) for draw in draws]
        low, high = np.quantile(replicates, _QUANTILES)
        yield difference(np.ones(len(labels))), float(low), float(high)
