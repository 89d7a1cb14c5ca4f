"""How well each feature column alone tells the positives of each task from its negatives, in the sampled rows."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from components.validate.profile.columns import FEATURE_ROLES, Block
from components.validate.profile.statistics import Flags, Floats
from components.validate.profile.values import WrongWidthError, read_values
from recap_model.config import RecapConfig
from recap_model.data.log.id_hashing import sketch_hashes
from recap_model.data.log.labels import evaluate_labels

_MAX_BINS = 256  # of a column of numbers with more distinct values: as many rows in each
_RUN_ROWS = 64  # neighbouring rows of one fold, where the log has no request ids

Codes = NDArray[np.int64]


class ColumnScore(NamedTuple):
    """One position of a feature column against one task.

    Attributes:
        column: its name, or ``column[position]``.
        auc: of the column's cross-fitted rate of positives.
        positives, negatives: labelled sampled rows.
        present, present_positives: those of them that have a value, and the positives among these.
    """

    task: str
    column: str
    auc: float
    positives: int
    negatives: int
    present: int
    present_positives: int


def score_columns(
    sample: pa.Table | None, blocks: list[Block], config: RecapConfig, min_positives: int
) -> list[ColumnScore]:
    """Score each feature column against each binary task with enough positives and negatives.

    A row's score is the rate of positives among the rows of the *other* fold that have the same value (or are in the
    same of 256 bins), so that any function of the column counts, and a value that is in one row only tells nothing.
    The rows of a request are in one fold, since they share values and labels.
    """
    tasks = list(config.binary_tasks)
    if sample is None or not tasks:
        return []
    batch = sample.combine_chunks().to_batches()[0]
    labels = evaluate_labels(batch, config, tasks, "the log")
    chosen = []
    for position, task in enumerate(tasks):
        known = ~np.isnan(labels[:, position])
        positives = int((labels[known, position] > 0.5).sum())
        if min(positives, int(known.sum()) - positives) >= min_positives:
            chosen.append((task, known, labels[:, position] > 0.5))
    fold = _folds(batch, config)
    scores = []
    for column, codes, present in _read_columns(batch, blocks) if chosen else ():
        for task, known, positive in chosen:
            counts = _count(codes[known], positive[known], fold[known], int(codes.max(initial=0)) + 1)
            scores.append(
                ColumnScore(
                    task,
                    column,
                    _cross_fitted_auc(counts),
                    int(positive[known].sum()),
                    int((~positive[known]).sum()),
                    int(present[known].sum()),
                    int(positive[known & present].sum()),
                )
            )
    return scores


def _folds(batch: pa.RecordBatch, config: RecapConfig) -> Codes:
    """0 or 1 for each row."""
    request = config.features.ids.request
    if request and request in batch.schema.names:
        # The sample has the requests with small hashes, of which the low bits are still random.
        return (sketch_hashes(batch.column(request)) & np.uint64(1)).astype(np.int64)
    return np.arange(batch.num_rows) // _RUN_ROWS % 2


def _read_columns(batch: pa.RecordBatch, blocks: list[Block]) -> Iterator[tuple[str, Codes, Flags]]:
    """Each position of each feature block: its name, a code for each row, and whether the row has a value."""
    for block in blocks:
        if block.role not in FEATURE_ROLES or any(name not in batch.schema.names for name in block.columns):
            continue
        try:
            array = read_values(batch, block).array
        except WrongWidthError:
            continue
        empty = -1.0 if block.are_ids else 0.0 if block.role in ("embedding", "sparse", "sequence") else None
        for position, label in enumerate(block.labels):
            values = array[:, position]
            present = np.isfinite(values) & (values != empty if empty is not None else True)
            name = label if block.role == "sequence" or not block.name else f"{label}.{block.columns[0]}"
            yield name, _encode(values, present, block.are_ids), present


def _encode(values: Floats, present: Flags, are_ids: bool) -> Codes:
    """A code for each distinct value, or bin of values, from 1; 0 for a missing one."""
    codes = np.zeros(len(values), np.int64)
    distinct, inverse = np.unique(values[present], return_inverse=True)
    if not are_ids and len(distinct) > _MAX_BINS:
        edges = np.unique(np.quantile(values[present], np.linspace(0.0, 1.0, _MAX_BINS + 1)[1:-1]))
        inverse = np.searchsorted(edges, values[present], side="left")
    codes[present] = inverse + 1
    return codes


def _count(codes: Codes, positive: Flags, fold: Codes, width: int) -> Codes:
    """Rows by fold, label and code: (2, 2, codes)."""
    cells = (fold * 2 + positive) * width + codes
    return np.bincount(cells, minlength=4 * width).reshape(2, 2, width)


def _cross_fitted_auc(counts: Codes) -> float:
    """AUC of the rate that the other fold has for a row's code: one positive row's weight is on the overall rate."""
    overall = counts[:, 1].sum() / max(counts.sum(), 1)
    other = counts[::-1]
    rates = (other[:, 1] + overall) / (other.sum(axis=1) + 1.0)
    score, positive, negative = rates.ravel(), counts[:, 1].ravel(), counts[:, 0].ravel()
    _, group = np.unique(score, return_inverse=True)
    positives, negatives = np.bincount(group, positive), np.bincount(group, negative)
    below = np.cumsum(negatives) - negatives
    pairs = positives.sum() * negatives.sum()
    return float((positives * (below + 0.5 * negatives)).sum() / pairs) if pairs else 0.5
