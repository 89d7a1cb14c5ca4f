"""Slices of the evaluation: the columns that they are made by, and which rows are in each."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.config import RecapConfig
from recap_model.config.steps.evaluation import SliceCondition, SliceConfig
from recap_model.data.log.columns import decoded, is_list
from recap_model.data.log.feature_groups import read_scalar
from recap_model.data.log.sequences import column_name

PREFIX = "slice."
"""Begins the name of such a column in a dataset."""

Quantiles = Mapping[str, Mapping[float, float]]


def read_slice_columns(batch: pa.RecordBatch, config: RecapConfig, where: str) -> dict[str, pa.Array]:
    """Numbers by which slices are made, float64, null where missing, by their names in a dataset.

    Raises ValueError beginning with ``where`` as `read_groups` does.
    """
    columns = {}
    for name in config.evaluation.slice_columns():
        column = read_scalar(batch, config.features, name, where)
        numbers = pc.list_value_length(column) if is_list(column.type) else column
        if pa.types.is_boolean(numbers.type):
            numbers = numbers.cast(pa.int8())
        numbers = numbers.cast(pa.float64(), safe=False)
        columns[PREFIX + name] = pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    return columns


def quantile_bounds(config: RecapConfig, name: str, values: NDArray[np.float64]) -> dict[float, float]:
    """The values of the quantiles that slices name of a column, from a sample of it.

    Raises ValueError if no value is finite.
    """
    finite = values[np.isfinite(values)]
    conditions = [condition for one in config.evaluation.slices for condition in one.conditions]
    wanted = sorted({q for one in conditions if one.column == name and one.quantiles for q in one.quantiles})
    if not len(finite):
        raise ValueError(
            f"evaluation.slices: column {name} has no value in the training rows, so that it has no quantiles; "
            "remove the slice, or fix the log"
        )
    return dict(zip(wanted, np.quantile(finite, wanted).tolist(), strict=True))


def is_in_slice(
    one: SliceConfig, rows: pa.RecordBatch, discrete: Mapping[str, NDArray[np.int64]], quantiles: Quantiles
) -> NDArray[np.bool_]:
    """Which rows of a dataset are in a slice: (rows,).

    Args:
        discrete: columns of the discrete group, by name.
        quantiles: values of the training rows' quantiles, by column.
    """
    chosen = np.ones(rows.num_rows, dtype=bool)
    for condition in one.conditions:
        name = str(condition.column)
        if condition.value is not None:
            chosen &= discrete[name] == condition.value
        elif condition.sequence is not None:
            chosen &= _fulfils(condition, _lengths(rows, condition.sequence), {})
        else:
            values = decoded(rows.column(PREFIX + name)).to_numpy(zero_copy_only=False)
            chosen &= _fulfils(condition, values, quantiles.get(name, {}))
    return chosen


def _lengths(rows: pa.RecordBatch, sequence: str) -> NDArray[np.float64]:
    """Events of a sequence in each row; its columns are of one length."""
    first = next(name for name in rows.schema.names if name.startswith(column_name(sequence, "")))
    lengths = pc.list_value_length(rows.column(first)).fill_null(0)
    values: NDArray[np.float64] = lengths.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _fulfils(
    condition: SliceCondition, values: NDArray[np.float64], quantiles: Mapping[float, float]
) -> NDArray[np.bool_]:
    if condition.missing is not None:
        return np.isnan(values) == condition.missing
    if condition.quantiles is not None:
        low, high = condition.quantiles
        above = values >= quantiles[low] if low > 0.0 else ~np.isnan(values)
        return above & (values < quantiles[high] if high < 1.0 else ~np.isnan(values))
    low_value, high_value = condition.between or (condition.at_least, condition.at_most)
    return (values >= (-np.inf if low_value is None else low_value)) & (
        values <= (np.inf if high_value is None else high_value)
    )
