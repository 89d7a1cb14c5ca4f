"""Distances on counts are those of scipy and numpy on the rows; chance stays within what is allowed for it."""

import math

import numpy as np
import pytest
from scipy import stats

from components.validate.drift import metrics
from components.validate.profile.sketches.histogram import assign_number_bins, lower_edges
from recap_model.metrics import population_stability_index

PAIRS = {
    "shifted": lambda random, rows: (random.normal(0, 1, rows), random.normal(0.5, 1.2, rows)),
    "skewed": lambda random, rows: (random.lognormal(3, 2, rows), random.lognormal(3.2, 2, rows)),
    "many zeros": lambda random, rows: (
        random.poisson(0.3, rows) * random.exponential(5, rows),
        random.poisson(0.5, rows) * random.exponential(5, rows),
    ),
    "apart": lambda random, rows: (random.uniform(1, 2, rows), random.uniform(5, 6, rows)),
}


def counts_of(*samples: np.ndarray) -> list[np.ndarray]:
    bins = [assign_number_bins(np.ascontiguousarray(sample, dtype=float)) for sample in samples]
    every = np.unique(np.concatenate(bins))
    return [np.array([np.count_nonzero(one == value) for value in every]) for one in bins]


def sorted_numbers(values: np.ndarray) -> np.ndarray:
    return lower_edges(assign_number_bins(np.ascontiguousarray(values, dtype=float)))


@pytest.mark.parametrize("name", PAIRS)
def test_kolmogorov_smirnov_is_scipys_on_the_rows(name: str):
    first, second = PAIRS[name](np.random.default_rng(0), 5000)
    p, q = counts_of(first, second)
    found = metrics.kolmogorov_smirnov(p, q)
    assert found == pytest.approx(stats.ks_2samp(sorted_numbers(first), sorted_numbers(second)).statistic)
    widest = max(float((p / p.sum()).max()), float((q / q.sum()).max()))
    assert abs(found - stats.ks_2samp(first, second).statistic) <= widest


def plain_psi(first: np.ndarray, second: np.ndarray) -> float:
    """PSI over ten classes of equal frequency of the rows, as a credit scorecard's textbook has it."""
    inner = np.quantile(first, np.arange(0.1, 1.0, 0.1))
    shares = []
    for sample in (first, second):
        counts = np.bincount(np.searchsorted(inner, sample, side="right"), minlength=10) + 0.5
        shares.append(counts / counts.sum())
    return float(np.sum((shares[1] - shares[0]) * np.log(shares[1] / shares[0])))


@pytest.mark.parametrize("name", ["shifted", "skewed", "apart"])
def test_psi_is_the_textbooks_on_the_rows(name: str):
    first, second = PAIRS[name](np.random.default_rng(2), 50_000)
    p, q = counts_of(first, second)
    classes = metrics.classify_numbers(p)
    found = population_stability_index(metrics.sum_by_class(p, classes), metrics.sum_by_class(q, classes))
    assert found == pytest.approx(plain_psi(first, second), rel=0.12)


def test_psi_of_given_classes_is_its_formula():
    p, q = np.array([99.5, 199.5, 699.5]), np.array([299.5, 299.5, 399.5])
    expected = 0.2 * math.log(0.3 / 0.1) + 0.1 * math.log(0.3 / 0.2) - 0.3 * math.log(0.4 / 0.7)
    assert population_stability_index(p, q) == pytest.approx(expected)


def test_a_class_that_is_empty_on_one_side_is_finite():
    assert 1.0 < population_stability_index(np.array([1000.0, 0.0]), np.array([0.0, 1000.0])) < 50.0


def test_tenths_have_a_tenth_of_the_rows_each():
    counts = np.bincount(assign_number_bins(np.random.default_rng(3).lognormal(0, 1, 100_000)))
    classes = metrics.classify_numbers(counts)
    shares = metrics.sum_by_class(counts, classes) / counts.sum()
    assert len(shares) == 10
    assert shares.min() > 0.05
    assert shares.max() < 0.15


def test_the_most_frequent_ids_have_a_class_each_and_new_ones_share_the_rest():
    p = np.array([5, 0, 100, 50])
    assert metrics.classify_ids(p).tolist() == [2, metrics.TOP_IDS, 0, 1]


def test_one_class_has_no_noise():
    assert metrics.psi_noise(1, 10, 10) == 0.0


@pytest.mark.parametrize("rows", [30, 100, 1000])
def test_equal_distributions_stay_within_what_chance_explains(rows: int):
    random = np.random.default_rng(rows)
    for _ in range(300):
        first, second = random.lognormal(0, 1, 5 * rows), random.lognormal(0, 1, rows)
        p, q = counts_of(first, second)
        classes = metrics.classify_numbers(p)
        in_p, in_q = metrics.sum_by_class(p, classes), metrics.sum_by_class(q, classes)
        assert population_stability_index(in_p, in_q) < metrics.psi_noise(len(in_p), 5 * rows, rows)
        assert metrics.kolmogorov_smirnov(p, q) < metrics.ks_noise(5 * rows, rows)
        shift = abs(first.mean() - second.mean())
        assert shift < metrics.mean_noise(first.std(), 5 * rows, second.std(), rows)


def test_the_noise_of_a_rate_is_scipys_standard_error_of_two_proportions():
    # statsmodels' and every textbook's pooled z test: 30 of 200 against 90 of 400
    pooled = 120 / 600
    error = math.sqrt(pooled * (1 - pooled) * (1 / 200 + 1 / 400))
    assert metrics.rate_noise(0.15, 200, 0.225, 400) == pytest.approx(metrics.DEVIATIONS * error)
