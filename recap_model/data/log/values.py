"""What single values of the log may be, whatever the column: weights, labels, ids."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.data.log.column_roles import Role
from recap_model.data.log.columns import decoded
from recap_model.data.log.id_hashing import feature_ids, is_present

LARGEST_WEIGHT = 1e9
"""Of a row. Beyond it, sums over rows lose the other rows' digits in float32."""
_LARGEST_VALUE = float(np.finfo(np.float32).max)
WEIGHT_VALUES = f"a weight is a number from 0 to {LARGEST_WEIGHT:g}"


def invalid_values(role: Role, values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which values a label, binary column or weight may not have: same shape; NaN is a missing value."""
    if role == "value":
        return ~((values >= 0.0) & (values <= _LARGEST_VALUE) | np.isnan(values))
    if role == "weight":
        return ~((values >= 0.0) & (values <= LARGEST_WEIGHT))
    return ~((values == 0.0) | (values == 1.0) | np.isnan(values))


def read_ids(column: pa.Array | pa.ChunkedArray, what: str) -> pa.Array:
    """Ids of a discrete column as the model reads them, int64; null stays null.

    Raises ValueError that begins with ``what`` for ids stored as floats that are no whole numbers.
    """
    column = decoded(column)
    if pa.types.is_floating(column.type):
        values = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False)
        wrong = invalid_ids(values) | (np.isnan(values) & is_present(column))
        if wrong.any():
            raise ValueError(f"{what} has value {values[wrong][0]:g}; {ID_VALUES}")
        return pc.cast(column, pa.int64())
    return feature_ids(column)


ID_VALUES = "discrete ids are whole numbers of 64 bits"


def invalid_ids(values: NDArray[np.floating]) -> NDArray[np.bool_]:
    """Which ids that are stored as floats are no whole numbers of int64, NaN aside: same shape."""
    with np.errstate(invalid="ignore"):
        return ~np.isnan(values) & ((values != np.floor(values)) | (np.abs(values) >= 2.0**63))
