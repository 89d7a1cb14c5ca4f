"""Why a loss is not finite: which tasks, and which input columns look like the cause."""

import torch
from torch import Tensor

from recap_model.config.features import DENSE_GROUPS, FeaturesConfig
from recap_model.data.batch import RecapBatch


class NonFiniteLossError(ValueError):
    """Training met a loss that is NaN or infinite, and stopped before the weights took it in."""


def explain(
    step: int, batch: RecapBatch, losses: dict[str, Tensor], features: FeaturesConfig
) -> NonFiniteLossError:
    """One line: the step, the tasks whose loss is not finite, and the three most suspicious columns."""
    tasks = [f"{name} ({loss.item()})" for name, loss in losses.items() if not loss.isfinite()]
    suspects = sorted(_suspects(batch, features), reverse=True)[:3]
    columns = "; ".join(text for _, _, text in suspects)
    if any(infinite for infinite, _, _ in suspects):
        remedy = "clean these columns, or choose a featurization that bounds them"
    else:
        remedy = "lower the learning rate, set training.gradient_clip_norm, or bound these columns"
    return NonFiniteLossError(
        f"step {step}: the loss is not finite for {', '.join(tasks)}; columns to look at: {columns}; {remedy}"
    )


def _suspects(batch: RecapBatch, features: FeaturesConfig) -> list[tuple[int, float, str]]:
    """For each column: rows that are not finite, the largest finite magnitude, and both in words."""
    found = []
    tensors = batch.tensors()
    for group in DENSE_GROUPS:
        if group == "discrete" or group not in tensors:
            continue
        values = tensors[group].float()
        # A missing continuous value is a NaN by design; an infinite one is not.
        odd = values.isinf() if group == "continuous" else ~values.isfinite()
        counts = odd.sum(dim=0).tolist()
        largest = torch.where(values.isfinite(), values.abs(), 0.0).amax(dim=0).tolist()
        for number, (count, magnitude) in enumerate(zip(counts, largest, strict=True)):
            words = f"up to {magnitude:.3g}" + (f", not finite in {count} rows" if count else "")
            found.append((count, magnitude, f"{_column(features, group, number)} ({words})"))
    weights = batch.weights
    if weights is not None and not bool(weights.isfinite().all()):
        count = int((~weights.isfinite()).any(dim=1).sum())
        found.append((count, float("inf"), f"{features.weight or 'weights'} (not finite in {count} rows)"))
    return found


def _column(features: FeaturesConfig, group: str, number: int) -> str:
    columns = features.group_columns(group)
    listed = features.width(group) != len(columns) or not isinstance(getattr(features, group), list)
    return f"{columns[0]}[{number}]" if listed else columns[number]
