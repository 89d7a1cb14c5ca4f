"""Metrics of ranked lists against loops over groups and scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as reference

from recap_model import metrics

RANDOM = np.random.default_rng(4)
GROUPS = RANDOM.integers(0, 40, 600)
SCORES = np.round(RANDOM.random(600), 1)  # rounded, so that there are ties
LABELS = (RANDOM.random(600) < 0.3 * SCORES) * (GROUPS != 7.0)  # group 7 is of one class
WEIGHTS = RANDOM.exponential(1.0, 600)
GAINS = RANDOM.integers(0, 3, 600) * LABELS


def test_grouped_auc_is_the_mean_of_the_groups_own():
    areas, masses = [], []
    for group in np.unique(GROUPS):
        rows = group == GROUPS
        if 0 < LABELS[rows].sum() < rows.sum():
            areas.append(metrics.auc(LABELS[rows], SCORES[rows], WEIGHTS[rows]))
            masses.append(WEIGHTS[rows].sum())
    expected = np.average(areas, weights=masses)
    assert metrics.grouped_auc(LABELS, SCORES, GROUPS, WEIGHTS) == pytest.approx(expected)


def test_rows_without_a_label_are_in_no_group():
    labels, scores = np.append(LABELS, np.nan), np.append(SCORES, 0.5)
    whole = metrics.grouped_auc(LABELS, SCORES, GROUPS)
    assert metrics.grouped_auc(labels, scores, np.append(GROUPS, 999)) == pytest.approx(whole)
    assert np.isnan(metrics.grouped_auc([np.nan, 1.0], [0.1, 0.2], np.array([0, 0])))
    assert np.isnan(metrics.grouped_auc([], [], np.array([], dtype=int)))


def test_a_prediction_that_is_none_has_no_place_in_an_order():
    assert np.isnan(metrics.grouped_auc([1.0, 0.0], [np.nan, 0.5], np.array([0, 0])))


@pytest.mark.parametrize("k", [1, 5, 100])
def test_ndcg_is_that_of_scikit_learn_with_ties_shared(k: int):
    found = metrics.ndcg_at_k(GAINS, SCORES, GROUPS, k)
    for place, group in enumerate(np.unique(GROUPS)):
        gains, scores = GAINS[group == GROUPS], SCORES[group == GROUPS]
        if gains.any():
            assert found[place] == pytest.approx(reference.ndcg_score([gains], [scores], k=k))
        else:
            assert np.isnan(found[place])


def test_ndcg_is_1_in_the_best_order_and_a_negative_gain_counts_nothing():
    groups = np.zeros(3, dtype=int)
    assert metrics.ndcg_at_k(np.array([2.0, 1.0, -5.0]), [0.3, 0.2, 0.1], groups, 3) == pytest.approx([1.0])
    assert np.isnan(metrics.ndcg_at_k(np.array([-1.0, 0.0, 0.0]), [0.3, 0.2, 0.1], groups, 3)).all()


def test_the_top_of_a_group_is_k_rows_whatever_the_ties():
    top = metrics.top_k_of_groups(SCORES, GROUPS, 3)
    assert np.bincount(GROUPS[top]).max() == 3
    for group in np.unique(GROUPS):
        rows = group == GROUPS
        assert SCORES[rows & top].min() >= SCORES[rows & ~top].max(initial=0.0)
