"""Columns that decide a label, and so are known only after it."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.config_draft.profile import ColumnProfile

_DECISIVE_AUC = 0.99
_PRECISION = 0.9  # of a flag or of a value being there, from which it is taken for what came of the label
_LEAST_ROWS = 20  # of each class, and of a flag
_SPARSE = 0.02  # of a column's rows without a value, from which their being there is looked at


def find_leak(
    column: pa.Array, profile: ColumnProfile, labels: Mapping[str, NDArray[np.float64]], is_binary: bool
) -> str:
    """Why a column leaks a label, or "".

    Its AUC by itself is over .99; or nearly all rows are positive where a flag is set, or where there is a value.
    """
    flags = {}
    if is_binary:
        flags["it is 1"] = column.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False) == 1.0
    if profile.missing > _SPARSE:
        flags["it has a value"] = profile.codes >= 0
    for task, label in labels.items():
        positives, negatives = (label == 1.0).sum(), (label == 0.0).sum()
        if min(positives, negatives) >= _LEAST_ROWS and profile.aucs[task] > _DECISIVE_AUC:
            return f"decides task {task} (AUC {profile.aucs[task]:.4f} by itself), so rather what came of it"
        rate = positives / max(positives + negatives, 1)
        for words, chosen in flags.items():
            known = chosen & ~np.isnan(label)
            precision = label[known].mean() if known.sum() >= _LEAST_ROWS else 0.0
            if precision > _PRECISION and rate < _PRECISION / 2:
                share = f"{precision:.0%} of the rows where {words}"
                return f"task {task} is positive in {share}, so rather what came of it"
    return ""
