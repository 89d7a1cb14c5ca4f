"""The fits, held to the truth of simulated rows and to scikit-learn."""

import json

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from components.calibrate.page import reliability_page
from components.calibrate.report import as_json, measure
from recap_model.calibration import (
    AffineCalibrator,
    LogitHistogram,
    PiecewiseLinearCalibrator,
    calibrated_logit,
    fit_calibrations,
    fit_task,
    sigmoid,
)
from recap_model.calibration.isotonic import fit_isotonic, pool_adjacent_violators
from recap_model.config.steps.calibration import CalibrationConfig
from tests.recap_model.calibration.simulated import Array, histogram_of, log_loss, rows

TRUTH, LABEL = rows(60_000)
TRUTH_2, LABEL_2 = rows(60_000, seed=2)
BENT = TRUTH + 0.8 * np.sin(TRUTH)
FITTED = ("temperature", "platt", "beta", "isotonic", "piecewise")


def fitted(method: str, logit: Array, label: Array, weight: Array | None = None) -> Array:
    """What the method's calibrator makes of the logits it was fitted on."""
    task = fit_task(histogram_of(logit, label, weight), "like", CalibrationConfig(method=method))
    return calibrated_logit(task.calibrator, logit)


@pytest.mark.parametrize("weighted", [False, True])
def test_platt_is_logistic_regression_on_the_logit(weighted: bool):
    logit = (TRUTH + 1.5) / 1.7
    weight = np.where(LABEL > 0, 1.0, 5.0) if weighted else None
    reference = LogisticRegression(C=np.inf).fit(logit[:, None], LABEL, sample_weight=weight)
    expected = reference.decision_function(logit[:, None])
    assert log_loss(fitted("platt", logit, LABEL, weight), LABEL, weight) == pytest.approx(
        log_loss(expected, LABEL, weight), abs=1e-5
    )


def test_temperature_is_logistic_regression_without_an_intercept():
    logit = TRUTH * 2.5
    reference = LogisticRegression(C=np.inf, fit_intercept=False).fit(logit[:, None], LABEL)
    task = fit_task(histogram_of(logit, LABEL), "like", CalibrationConfig(method="temperature"))
    assert isinstance(task.calibrator, AffineCalibrator)
    assert task.calibrator.scale.item() == pytest.approx(reference.coef_.item(), rel=1e-3)
    assert task.calibrator.bias.item() == 0.0


def test_beta_is_logistic_regression_on_the_two_logarithms():
    truth, label = rows(60_000, base=0.0)
    logit = np.where(truth > 0, truth / 2, truth) + 0.3
    columns = np.stack([-np.logaddexp(0, -logit), np.logaddexp(0, logit)], axis=1)
    reference = LogisticRegression(C=np.inf, tol=1e-8).fit(columns, label)
    assert (reference.coef_ > 0).all()
    expected = log_loss(reference.decision_function(columns), label)
    assert log_loss(fitted("beta", logit, label), label) == pytest.approx(expected, abs=1e-5)


def test_isotonic_is_within_a_thousandth_of_scikit_learns_log_loss():
    rate = IsotonicRegression(out_of_bounds="clip").fit(BENT, LABEL).predict(BENT)
    rate = np.clip(rate, 1e-7, 1 - 1e-7)
    expected = -np.mean(LABEL * np.log(rate) + (1 - LABEL) * np.log(1 - rate))
    assert log_loss(fitted("isotonic", BENT, LABEL), LABEL) == pytest.approx(expected, abs=1e-3)


def test_pooled_blocks_are_those_of_scikit_learn_on_the_same_bins():
    bins = histogram_of(BENT, LABEL).bins("like")
    rate = IsotonicRegression().fit(bins.logit, bins.label / bins.weight, bins.weight).predict(bins.logit)
    weight, label, _ = pool_adjacent_violators(bins.weight, bins.label, bins.logit)
    np.testing.assert_allclose(label / weight, np.unique(rate), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("seed", [109, 126, 195])
def test_isotonic_is_not_led_by_a_few_rows_without_a_positive(seed: int):
    random = np.random.default_rng(seed)
    logit = random.normal(-2.0, 0.3, 1_000)
    label = (random.random(1_000) < 1 / (1 + np.exp(0.5 - logit))).astype(np.float64)
    calibrator = fit_isotonic(histogram_of(logit, label).bins("like"))
    assert log_loss(calibrated_logit(calibrator, logit), label) < log_loss(logit, label)


def test_a_bent_logit_is_straightened_by_the_piecewise_map_alone():
    true_rate = 1 / (1 + np.exp(-TRUTH))
    excess = {
        method: log_loss(fitted(method, BENT, LABEL), true_rate) - log_loss(TRUTH, true_rate)
        for method in ("platt", "piecewise", "auto")
    }
    assert excess["platt"] > 1e-3
    assert excess["piecewise"] < 1e-4
    assert excess["auto"] == excess["piecewise"]


@pytest.mark.parametrize(
    ("logit", "expected"), [(TRUTH_2, "none"), (TRUTH / 1.6 + 0.5, "platt"), (BENT, "piecewise")]
)
def test_auto_takes_the_simplest_method_that_does_and_says_why(logit: Array, expected: str):
    label = LABEL_2 if logit is TRUTH_2 else LABEL
    task = fit_task(histogram_of(logit, label), "like", CalibrationConfig())
    assert task.method == expected
    assert "cross-validated log loss" in task.reason
    assert set(task.cross_validated) == {"none", "temperature", "platt", "beta", "piecewise"}


def test_auto_leaves_the_piecewise_map_out_where_positives_are_few():
    few = slice(0, 30_000)
    task = fit_task(histogram_of(BENT[few], LABEL[few]), "like", CalibrationConfig())
    assert LABEL[few].sum() < CalibrationConfig().min_piecewise_positives
    assert set(task.cross_validated) == {"none", "temperature", "platt", "beta"}


@pytest.mark.parametrize("method", FITTED)
def test_calibrated_probabilities_sum_to_the_positives_and_keep_the_order(method: str):
    logit = BENT - 2.0 if method != "temperature" else TRUTH * 2
    result = fitted(method, logit, LABEL)
    order = np.argsort(logit)
    apart = np.diff(logit[order]) > 1e-9
    assert (np.diff(result[order])[apart] > 0).all()
    if method not in ("temperature", "isotonic"):
        assert (1 / (1 + np.exp(-result))).sum() == pytest.approx(LABEL.sum(), rel=1e-3)


@pytest.mark.parametrize("method", FITTED)
def test_scaling_all_weights_changes_nothing(method: str):
    few = slice(0, 5_000)
    weight = np.where(LABEL[few] > 0, 1.0, 3.0)
    once, scaled = (fitted(method, BENT[few], LABEL[few], weight * scale) for scale in (1.0, 1e6))
    np.testing.assert_allclose(once, scaled, atol=1e-4)


@pytest.mark.parametrize("method", FITTED)
@pytest.mark.parametrize("shape", ["parted", "reversed", "constant", "far"])
def test_a_model_of_no_use_still_gets_a_finite_increasing_map(method: str, shape: str):
    label = np.repeat([0.0, 1.0], [3_000, 200])
    random = np.random.default_rng(1)
    logit = {
        "parted": np.where(label > 0, 2.0, -2.0) + random.normal(0, 0.1, len(label)),
        "reversed": np.where(label > 0, -2.0, 2.0) + random.normal(0, 1, len(label)),
        "constant": np.full(len(label), -1.0),
        "far": random.normal(15.0, 5.0, len(label)),
    }[shape]
    shuffled = random.permutation(len(label))
    result = fitted(method, logit[shuffled], label[shuffled])
    assert np.isfinite(result).all()
    assert (np.diff(result[np.argsort(logit[shuffled])]) >= 0).all()


def test_with_as_many_positives_as_are_asked_for_auto_gains_more_than_it_risks():
    """Log loss over the truth's, means of 12 samples: much is gained where logits are off, little lost where not."""
    over: dict[str, list[list[float]]] = {"off": [], "right": []}
    for seed in range(12):
        truth, label = rows(6_000, seed=seed, base=-5.1)
        assert CalibrationConfig().min_positives <= label.sum() < 100
        for name, logit in (("off", 1.4 * truth + 2.4), ("right", truth)):
            calibrator = fit_task(histogram_of(logit, label), "like", CalibrationConfig()).calibrator
            pair = [logit, calibrated_logit(calibrator, logit)]
            over[name].append(
                [log_loss(one, sigmoid(truth)) - log_loss(truth, sigmoid(truth)) for one in pair]
            )
    before, after = np.mean(over["off"], axis=0)
    assert after < 0.2 * before
    assert np.mean(over["right"], axis=0)[1] < 0.1 * before


def test_a_task_with_too_few_positives_keeps_the_analytic_correction_and_says_so():
    for positives in (1, 29):
        label = np.zeros(1_000)
        label[:positives] = 1.0
        task = fit_task(histogram_of(TRUTH[:1_000], label), "like", CalibrationConfig())
        assert task.calibrator is None
        assert (
            f"{positives} positives in the calibration set, under calibration.min_positives 30" in task.reason
        )


def test_a_task_with_too_few_negatives_keeps_the_analytic_correction():
    label = np.ones(1_000)
    label[:3] = 0.0
    task = fit_task(histogram_of(TRUTH[:1_000], label), "like", CalibrationConfig())
    assert task.calibrator is None
    assert "3 negatives" in task.reason


@pytest.mark.parametrize(("label", "kind"), [(1.0, "positive"), (0.0, "negative")])
def test_a_task_of_one_class_is_an_error_with_its_name_unless_that_is_allowed_for(label: float, kind: str):
    histogram = histogram_of(TRUTH[:50], np.full(50, label))
    with pytest.raises(ValueError, match=f"task like: all 50 labels of the calibration set are {kind}"):
        fit_task(histogram, "like", CalibrationConfig())
    kept = fit_task(histogram, "like", CalibrationConfig(on_one_class="keep"))
    assert (kept.method, kept.calibrator) == ("none", None)


def test_a_task_without_labels_is_an_error_with_its_name_unless_that_is_allowed_for():
    histogram = histogram_of(TRUTH[:50], np.full(50, np.nan))
    with pytest.raises(ValueError, match="task like: no row of the calibration set has a label"):
        fit_task(histogram, "like", CalibrationConfig())
    kept = fit_task(histogram, "like", CalibrationConfig(on_one_class="keep"))
    assert (kept.method, kept.calibrator) == ("none", None)
    (report,) = measure(histogram, [kept])
    assert json.loads(as_json([report]))["like"]["after"] is None
    assert "no row of the calibration set has a label" in reliability_page([report])


def test_positives_of_one_fold_leave_nothing_to_compare_so_platt_is_taken():
    histogram = LogitHistogram(["like"])
    logit, label = TRUTH[:5_000, None], LABEL[:5_000, None]
    histogram.add(logit, label, np.ones_like(logit), np.zeros(5_000, np.int64))
    task = fit_task(histogram, "like", CalibrationConfig())
    assert task.method == "platt"
    assert "all in one" in task.reason


def test_each_task_may_have_its_own_method():
    histogram = LogitHistogram(["like", "reply"])
    logit, label = np.stack([TRUTH, BENT], axis=1), np.stack([LABEL, LABEL], axis=1)
    histogram.add(logit, label, np.ones_like(logit), np.arange(len(TRUTH)) % 5)
    like, reply = fit_calibrations(histogram, CalibrationConfig(method="none", tasks={"reply": "piecewise"}))
    assert like.calibrator is None
    assert isinstance(reply.calibrator, PiecewiseLinearCalibrator)
