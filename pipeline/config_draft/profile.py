"""What a column of a sample is like, and what it alone says about each label."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.data.log.column_roles import form_of
from recap_model.data.log.id_hashing import feature_ids, normalized_ids
from recap_model.metrics import LabelCounts, id_keys, number_keys

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class ColumnProfile:
    """A scalar column.

    Attributes:
        codes: (rows,) number of each row's value; -1 where it has none. Of numbers, they rise with them.
        missing: fraction of rows without a value.
        distinct: number of values.
        top: fraction of the rows with a value that have the most frequent one.
        same: how many other rows of the sample have the value of a row, on average.
        aucs: AUC of the column alone by task.
    """

    codes: Codes
    missing: float
    distinct: int
    top: float
    same: float
    aucs: Mapping[str, float] = field(default_factory=dict)

    @property
    def counts(self) -> Codes:
        """Rows of each value."""
        return np.bincount(self.codes[self.codes >= 0], minlength=self.distinct)

    @property
    def best(self) -> str:
        """The highest AUC of the column alone, in words."""
        known = {task: value for task, value in self.aucs.items() if not np.isnan(value)}
        if not known:
            return ""
        task = max(known, key=lambda name: known[name])
        return f"alone AUC {known[task]:.2f} for {task}"


def encode(column: pa.Array) -> tuple[Codes, int]:
    """Number of each row's value, -1 where it has none; and the number of values."""
    form = form_of(column.type)
    if form in ("text", "binary"):
        column = normalized_ids(column)
    elif form == "float":
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, column.type))
    coded = column.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    count = len(coded.dictionary)
    if form in ("integer", "float", "boolean") and count:
        ranks = np.empty(count, dtype=np.int64)
        ranks[np.argsort(coded.dictionary.to_numpy(zero_copy_only=False), kind="stable")] = np.arange(count)
        codes = np.where(codes < 0, -1, ranks[codes])
    return codes, count


def profile_column(column: pa.Array, labels: Mapping[str, NDArray[np.float64]], is_id: bool) -> ColumnProfile:
    """Profile a column of numbers, booleans, text or binary.

    Args:
        labels: (rows,) of 0, 1 or NaN by task.
        is_id: the AUC is by identity, not by size.
    """
    codes, distinct = encode(column)
    present = codes >= 0
    counts = np.bincount(codes[present], minlength=distinct)
    rows = max(int(present.sum()), 1)
    is_number = form_of(column.type) in ("integer", "float", "boolean")
    by_size = is_number and not is_id
    auc = LabelCounts(len(labels), ordered=by_size)
    if by_size:
        keys = number_keys(column.cast(pa.float64()).to_numpy(zero_copy_only=False))
    else:
        ids = feature_ids(column) if not pa.types.is_floating(column.type) else pa.array(codes)
        keys = id_keys(ids.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64), ~present)
    matrix = np.stack(list(labels.values()), axis=1) if labels else np.zeros((len(codes), 0))
    auc.add(keys, matrix)
    return ColumnProfile(
        codes=codes,
        missing=1.0 - float(present.mean()) if len(present) else 1.0,
        distinct=distinct,
        top=float(counts.max(initial=0)) / rows,
        same=float((counts * (counts - 1.0)).sum()) / rows,
        aucs=dict(zip(labels, auc.aucs().tolist(), strict=True)),
    )
