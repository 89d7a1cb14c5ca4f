"""Metrics of values against scikit-learn, and their order against all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    d2_absolute_error_score,
    d2_tweedie_score,
    mean_tweedie_deviance,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.metrics import mean_absolute_error as sklearn_mae

from recap_model.metrics import values

RANDOM = np.random.default_rng(0)
LABELS = np.where(RANDOM.random(500) < 0.3, 0.0, RANDOM.gamma(1.5, 20.0, 500))
PREDICTIONS = np.maximum(LABELS * 0.5 + RANDOM.gamma(2.0, 8.0, 500), 1e-3)
WEIGHTS = RANDOM.integers(0, 4, 500).astype(float)


def test_errors_are_those_of_scikit_learn():
    arguments = (LABELS, PREDICTIONS, WEIGHTS)
    assert values.mean_absolute_error(*arguments) == pytest.approx(
        sklearn_mae(LABELS, PREDICTIONS, sample_weight=WEIGHTS)
    )
    rmse = root_mean_squared_error(LABELS, PREDICTIONS, sample_weight=WEIGHTS)
    assert values.root_mean_squared_error(*arguments) == pytest.approx(rmse)
    assert values.r_squared(*arguments) == pytest.approx(r2_score(LABELS, PREDICTIONS, sample_weight=WEIGHTS))
    absolute = d2_absolute_error_score(LABELS, PREDICTIONS, sample_weight=WEIGHTS)
    assert values.relative_absolute_error(*arguments) == pytest.approx(1.0 - absolute)


def test_deviances_and_skills_are_those_of_scikit_learn():
    tweedie = mean_tweedie_deviance(LABELS / 30, PREDICTIONS / 30, power=1.3, sample_weight=WEIGHTS)
    assert values.deviance(LABELS, PREDICTIONS, WEIGHTS, "tweedie", 30.0, 1.3) == pytest.approx(0.5 * tweedie)
    skill = d2_tweedie_score(LABELS, PREDICTIONS, power=1.3, sample_weight=WEIGHTS)
    assert values.deviance_skill(LABELS, PREDICTIONS, WEIGHTS, "tweedie", 30.0, 1.3) == pytest.approx(
        100 * skill
    )
    squared = r2_score(LABELS, PREDICTIONS, sample_weight=WEIGHTS)
    assert values.deviance_skill(LABELS, PREDICTIONS, WEIGHTS, "mse", 30.0) == pytest.approx(100 * squared)
    absolute = d2_absolute_error_score(LABELS, PREDICTIONS, sample_weight=WEIGHTS)
    assert values.deviance_skill(LABELS, PREDICTIONS, WEIGHTS, "mae", 30.0) == pytest.approx(100 * absolute)


def test_the_best_constant_of_hubers_loss_is_no_worse_than_any_other():
    constant = values.best_constant(LABELS, np.ones(500), "huber", 10.0)
    tried = np.linspace(0.0, 100.0, 400)
    losses = [
        values.unit_deviance(LABELS, np.full(500, one), "huber", 10.0, 0.0).mean()
        for one in [constant, *tried]
    ]
    assert losses[0] <= min(losses[1:]) + 1e-9


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3)), min_size=2, max_size=40))
def test_xauc_is_the_fraction_of_pairs_in_order(rows: list[tuple[int, int, int]]):
    label, prediction, weight = np.array(rows, dtype=float).T
    ordered = pairs = 0.0
    for i in range(len(rows)):
        for j in range(len(rows)):
            if label[i] < label[j]:
                mass = weight[i] * weight[j]
                pairs += mass
                ordered += mass * (
                    1.0 if prediction[i] < prediction[j] else 0.5 * (prediction[i] == prediction[j])
                )
    found = values.xauc(label, prediction, weight)
    assert np.isnan(found) if pairs == 0 else found == pytest.approx(ordered / pairs)


def test_xauc_of_two_labels_is_the_auc():
    labels = LABELS > 20
    expected = roc_auc_score(labels, PREDICTIONS, sample_weight=WEIGHTS)
    assert values.xauc(labels, PREDICTIONS, WEIGHTS) == pytest.approx(expected)


def test_deciles_have_equal_weight_and_the_rows_means():
    predicted, observed, weight = values.decile_means(LABELS, PREDICTIONS)
    assert weight.tolist() == [50.0] * 10
    order = np.argsort(PREDICTIONS)
    assert predicted[3] == pytest.approx(PREDICTIONS[order][150:200].mean())
    assert observed[3] == pytest.approx(LABELS[order][150:200].mean())
    assert len(values.decile_means(LABELS, np.ones(500))[0]) == 1


def test_missing_labels_and_rows_without_weight_count_nowhere():
    labels, weights = LABELS.copy(), np.ones(500)
    labels[:100], weights[100:200] = np.nan, 0.0
    for metric in (values.mean_absolute_error, values.r_squared, values.xauc, values.deviance_skill):
        assert metric(labels, PREDICTIONS, weights) == metric(LABELS[200:], PREDICTIONS[200:])
    assert np.isnan(values.mean_absolute_error([np.nan], [1.0]))
    assert np.isnan(values.deviance_skill([2.0, 2.0], [1.0, 3.0]))
