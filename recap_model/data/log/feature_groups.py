"""Read columns of the log as arrays of the model's input groups, identically in training and serving."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.config.data.features import DENSE_GROUPS, FeaturesConfig, ListColumn
from recap_model.data.log.columns import decoded
from recap_model.data.log.derived import crossed, derive
from recap_model.data.log.values import read_ids


def read_groups(
    rows: pa.RecordBatch | pa.Table, features: FeaturesConfig, where: str
) -> dict[str, NDArray[np.generic]]:
    """The dense groups that are configured, from rows under the log's own column names, of types that are allowed.

    A missing or non-finite continuous value is NaN, which the model reads as missing; a missing binary value
    is 0, a missing id -1, a missing embedding all zeros. Ids are read as `feature_ids` does.

    Args:
        where: names the rows in errors: a file, or "input".

    Returns:
        (rows, width) for each group; int64 for ``discrete``, else float32.

    Raises:
        ValueError: a column is not there, has a list of another width or an id that is no whole number.
    """
    missing = features.missing(set(rows.schema.names))
    if missing:
        raise ValueError(f"{where}: no column {', '.join(missing)}; the model reads it as a feature")
    return {
        group: _read_group(rows, features, group, where) for group in DENSE_GROUPS if features.width(group)
    }


def read_crosses(rows: pa.RecordBatch, features: FeaturesConfig, where: str) -> dict[str, NDArray[np.uint64]]:
    """What each derived cross hashes into its buckets: of the rows that miss none of its sources, a number each.

    Raises as `read_groups` does.
    """
    return {
        name: crossed(
            column, [_column(rows, source) for source in column.of], f"{where}: derived column {name}"
        )
        for name, column in features.derived.items()
        if column.kind == "cross"
    }


def _read_group(
    rows: pa.RecordBatch | pa.Table, features: FeaturesConfig, group: str, where: str
) -> NDArray[np.generic]:
    value = getattr(features, group)
    if isinstance(value, ListColumn):
        return _lists(_column(rows, value.column), value, group, where)
    columns = [
        _numbers(read_scalar(rows, features, name, where), group, f"{where}: column {name}") for name in value
    ]
    return np.stack(columns, axis=1)


def read_scalar(rows: pa.RecordBatch | pa.Table, features: FeaturesConfig, name: str, where: str) -> pa.Array:
    """A column of the rows, decoded, or a derived one that is not there yet. Raises ValueError as `derive` does."""
    if name in features.derived and name not in rows.schema.names:
        derived = features.derived[name]
        return derive(
            derived, [_column(rows, source) for source in derived.of], f"{where}: derived column {name}"
        )
    return _column(rows, name)


def _column(rows: pa.RecordBatch | pa.Table, name: str) -> pa.Array:
    return decoded(rows.column(name))


def _lists(column: pa.Array, wanted: ListColumn, group: str, where: str) -> NDArray[np.generic]:
    what, width, kind = f"{where}: column {wanted.column}", wanted.width, column.type
    if pa.types.is_null(kind):
        column = column.cast(pa.list_(pa.float32(), width))
    lengths = pc.unique(pc.list_value_length(column).drop_null()).to_pylist()
    if any(length != width for length in lengths):
        length = next(length for length in lengths if length != width)
        raise ValueError(f"{what} has a list of {length}; {group} needs lists of {width} numbers")
    there = column.is_valid().to_numpy(zero_copy_only=False)
    values = _numbers(pc.list_flatten(column), group, what)
    if there.all():
        return _select_positions(values.reshape(len(column), width), wanted)
    filled = np.full((len(column), width), DENSE_GROUPS[group].missing, dtype=values.dtype)
    filled[there] = values.reshape(-1, width)
    return _select_positions(filled, wanted)


def _select_positions(lists: NDArray[np.generic], wanted: ListColumn) -> NDArray[np.generic]:
    return lists if wanted.slices is None else lists[:, wanted.positions]


def _numbers(column: pa.Array, group: str, what: str) -> NDArray[np.generic]:
    _, missing, is_ids = DENSE_GROUPS[group]
    if is_ids:
        return read_ids(column, what).fill_null(int(missing)).to_numpy(zero_copy_only=False)
    values = pc.cast(decoded(column), pa.float32(), safe=False).fill_null(missing)
    array: NDArray[np.float32] = values.to_numpy(zero_copy_only=False)
    if math.isnan(missing) and not np.isfinite(array).all():
        array = np.where(np.isfinite(array), array, np.float32(np.nan))
    return array
