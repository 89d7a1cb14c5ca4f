"""Diagnose a loss or gradient that is NaN or infinite."""

import torch
from torch import Tensor

from recap_model.config.data.features import DENSE_GROUPS, FeaturesConfig, ListColumn
from recap_model.data.dataset.batch import RecapBatch


class NonFiniteLossError(ValueError):
    """A loss or its gradient is NaN or infinite; training stopped before the update."""


def describe_nonfinite(
    step: int, batch: RecapBatch, losses: dict[str, Tensor], features: FeaturesConfig
) -> NonFiniteLossError:
    """One line: the step, the tasks whose loss (if none: that the gradient) is not finite, the likely cause.

    The cause is a weight or label that is not finite; else the three columns with the largest values of the
    batch (the model reads an input that is not finite as 0).
    """
    tasks = ", ".join(f"{name} ({loss.item()})" for name, loss in losses.items() if not loss.isfinite())
    found = f"step {step}: " + (
        f"the loss is not finite for {tasks}" if tasks else "the gradient is not finite"
    )
    faults = [
        f"the {name} of {int(rows.sum())} rows are not finite"
        for name, rows in (("labels", _has_infinite(batch.labels)), ("weights", _unusable_weights(batch)))
        if bool(rows.any())
    ]
    if faults:
        return NonFiniteLossError(f"{found}; {' and '.join(faults)}; run prepare again")
    columns = sorted(_magnitudes(batch, features), reverse=True)[:3]
    largest = ", ".join(f"{column} (up to {magnitude:.3g})" for magnitude, column in columns)
    return NonFiniteLossError(
        f"{found}; the largest inputs are {largest}; clean or bound these columns, lower the learning rate, "
        "or set training.gradient_clip_norm"
    )


def _has_infinite(values: Tensor | None) -> Tensor:
    """Rows with an infinite value, (rows,); NaN is a missing label."""
    return torch.zeros(0, dtype=torch.bool) if values is None else values.isinf().any(dim=1)


def _unusable_weights(batch: RecapBatch) -> Tensor:
    """Rows with a weight that is not finite where there is a label, (rows,)."""
    if batch.weights is None or batch.labels is None:
        return torch.zeros(0, dtype=torch.bool)
    return (~batch.weights.isfinite() & ~batch.labels.isnan()).any(dim=1)


def _magnitudes(batch: RecapBatch, features: FeaturesConfig) -> list[tuple[float, str]]:
    """The largest finite magnitude of each column of floats, and the column's name in the log."""
    found = []
    for group, values in batch.tensors().items():
        if group in DENSE_GROUPS and values.is_floating_point():
            largest = torch.where(values.isfinite(), values.abs(), 0.0).amax(dim=0).tolist()
            found += [
                (magnitude, _column(features, group, number)) for number, magnitude in enumerate(largest)
            ]
    return found


def _column(features: FeaturesConfig, group: str, number: int) -> str:
    columns = getattr(features, group)
    return (
        f"{columns.column}[{columns.positions[number]}]"
        if isinstance(columns, ListColumn)
        else columns[number]
    )
