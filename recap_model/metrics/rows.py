"""The rows that a metric counts: those with a label and a weight."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class LabelledRows(NamedTuple):
    """Labels, predictions and weights, each (rows,) float64, of the rows that count."""

    labels: Array
    predictions: Array
    weights: Array


def labelled_rows(labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None) -> LabelledRows:
    """Leave out rows without a label or with weight 0. Raises ValueError if the lengths differ."""
    arrays = [np.asarray(values, dtype=np.float64) for values in (labels, predictions)]
    arrays.append(np.ones_like(arrays[0]) if weights is None else np.asarray(weights, dtype=np.float64))
    if len({array.shape for array in arrays}) != 1:
        shapes = ", ".join(str(array.shape) for array in arrays)
        raise ValueError(f"labels, predictions and weights must have one shape, got {shapes}")
    counted = ~np.isnan(arrays[0]) & (arrays[2] > 0)
    return LabelledRows(*(array[counted] for array in arrays))
