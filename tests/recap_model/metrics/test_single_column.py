"""The AUC of one column by itself is that of its values, and does not take many values for information."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from recap_model.metrics.single_column import LabelCounts, id_keys, number_keys

RANDOM = np.random.default_rng(0)
ROWS = 4_000
LABELS = (RANDOM.random((ROWS, 2)) < [0.3, 0.05]).astype(float)


def counted(keys: np.ndarray, labels: np.ndarray = LABELS, ordered: bool = False) -> LabelCounts:
    counts = LabelCounts(labels.shape[1], ordered)
    counts.add(keys, labels)
    return counts


def ids(values: np.ndarray) -> np.ndarray:
    return id_keys(values.astype(np.int64), np.zeros(len(values), dtype=bool))


def test_a_number_has_the_auc_of_its_size_up_or_down():
    numbers = np.round(RANDOM.normal(LABELS[:, 0], 1.0), 1)
    expected = roc_auc_score(LABELS[:, 0], numbers)
    for values in (numbers, -numbers):
        found = counted(number_keys(values), ordered=True).aucs()
        assert found[0] == pytest.approx(expected, abs=0.003)
        assert found[1] == pytest.approx(0.5, abs=0.05)


def test_a_number_that_tells_by_its_distance_is_seen_though_its_size_tells_nothing():
    numbers = np.where(LABELS[:, 0] == 1, RANDOM.normal(0, 0.1, ROWS), RANDOM.choice([-1, 1], ROWS))
    assert counted(number_keys(numbers), ordered=True).aucs()[0] > 0.99


def test_an_id_or_a_missing_value_that_decides_a_label_has_an_auc_of_one():
    assert counted(ids(7 + 11 * LABELS[:, 0])).aucs()[0] == 1.0
    only_for_positives = np.where(LABELS[:, 0] == 1, RANDOM.random(ROWS), np.nan)
    assert counted(number_keys(only_for_positives), ordered=True).aucs()[0] == 1.0


def test_many_values_of_few_rows_tell_nothing():
    assert counted(ids(np.arange(ROWS) // 3)).aucs() == pytest.approx([0.5, 0.5], abs=0.05)
    assert counted(ids(RANDOM.permutation(ROWS) // 40)).aucs() == pytest.approx([0.5, 0.5], abs=0.05)
    assert counted(number_keys(RANDOM.random(ROWS)), ordered=True).aucs() == pytest.approx(
        [0.5, 0.5], abs=0.05
    )


def test_counts_merge_in_any_order_and_leave_missing_labels_out():
    keys, labels = ids(RANDOM.integers(0, 30, ROWS)), LABELS.copy()
    labels[::3, 1] = np.nan
    whole = counted(keys, labels)
    parts = [LabelCounts(2, ordered=False) for _ in range(3)]
    for part, first in zip(parts, (0, 1001, 2500), strict=True):
        rows = slice(first, {0: 1001, 1001: 2500}.get(first))
        part.add(keys[rows], labels[rows], first)
    merged = LabelCounts(2, ordered=False)
    for part in reversed(parts):
        merged.merge(part)
    assert np.array_equal(merged.keys, whole.keys)
    assert np.array_equal(merged.counts, whole.counts)
    assert whole.counts[:, 1].sum() == (~np.isnan(labels[:, 1])).sum()


def test_a_task_of_one_class_has_no_auc():
    assert np.isnan(counted(ids(np.arange(10)), np.zeros((10, 1))).aucs()[0])
