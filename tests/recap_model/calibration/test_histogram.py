"""The histogram of logits."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from recap_model.calibration import LogitHistogram, reliability
from recap_model.data.log.id_hashing import assign_folds
from tests.recap_model.calibration.simulated import histogram_of, rows

FIELDS = ("weight", "label", "logit", "rows", "positives", "clipped")


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(0, 500), max_size=4), seed=st.integers(0, 5))
def test_histograms_of_parts_add_up_to_the_histogram_of_all_rows(cuts: list[int], seed: int):
    logit, label = rows(500, seed)
    weight, folds = np.where(label > 0, 1.0, 4.0), np.arange(500) % 5
    whole = histogram_of(logit, label, weight)
    merged = LogitHistogram(["like"])
    edges = [0, *sorted(cuts), 500]
    for start, end in pairwise(edges):
        part = LogitHistogram(["like"])
        chosen = slice(start, end)
        part.add(logit[chosen, None], label[chosen, None], weight[chosen, None], folds[chosen])
        merged.merge(part)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-12)


def test_log_loss_and_auc_read_off_the_bins_are_those_of_the_rows():
    logit, label = rows(50_000, base=-5.0)
    weight = np.where(label > 0, 1.0, 3.0)
    bins = histogram_of(logit, label, weight).bins("like")
    probability = 1 / (1 + np.exp(-logit))
    measured = reliability(bins, bins.logit)
    assert measured.log_loss == pytest.approx(
        sklearn_log_loss(label, probability, sample_weight=weight), abs=1e-6
    )
    assert measured.mean_observed == pytest.approx(np.average(label, weights=weight))
    assert measured.mean_predicted == pytest.approx(np.average(probability, weights=weight), rel=1e-4)
    negative = bins.weight - bins.label
    below = np.cumsum(negative) - negative / 2
    auc = (bins.label * below).sum() / bins.label.sum() / negative.sum()
    assert auc == pytest.approx(roc_auc_score(label, logit, sample_weight=weight), abs=1e-5)


def test_logits_beyond_the_bins_are_counted_and_keep_their_value():
    histogram = histogram_of(np.array([-50.0, 0.0, 30.0]), np.array([0.0, 1.0, 1.0]))
    assert histogram.clipped.tolist() == [2]
    np.testing.assert_allclose(histogram.bins("like").logit, [-50.0, 0.0, 30.0])


def test_a_missing_label_counts_for_no_task():
    histogram = histogram_of(np.zeros(3), np.array([0.0, np.nan, 1.0]))
    assert histogram.rows.sum() == 2
    assert histogram.bins("like").total == 2.0


@pytest.mark.parametrize(
    ("logit", "weight", "message"),
    [
        (np.nan, 1.0, "task like: the model gives a logit that is not finite"),
        (0.0, -1.0, "task like: a row's weight is negative"),
        (0.0, np.inf, "task like: a row's weight is negative or not finite"),
    ],
)
def test_a_value_that_cannot_be_counted_names_the_task(logit: float, weight: float, message: str):
    with pytest.raises(ValueError, match=message):
        histogram_of(np.array([logit]), np.ones(1), np.array([weight]))


def test_histograms_of_other_tasks_do_not_add_up():
    with pytest.raises(ValueError, match=r"tasks \['a'\] in 5 folds"):
        LogitHistogram(["a"]).merge(LogitHistogram(["b"]))


@pytest.mark.parametrize("ids", [pa.array(range(10_000)), pa.array([f"user-{n}" for n in range(10_000)])])
def test_folds_hold_about_as_many_ids_each_and_do_not_depend_on_the_batch(ids: pa.Array):
    folds = assign_folds(ids, 5)
    assert np.bincount(folds).min() > 1_800
    parts = [assign_folds(ids.slice(start, 100), 5) for start in range(0, 10_000, 100)]
    np.testing.assert_array_equal(np.concatenate(parts), folds)
