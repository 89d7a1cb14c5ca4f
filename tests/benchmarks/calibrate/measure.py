"""One measurement of calibration, as JSON on standard output: its time, its peak memory, its log loss."""

import json
import resource
import sys
import time

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

METHODS = ("temperature", "platt", "isotonic")
_BATCH_ROWS = 8192
_TASKS = 10


def _simulated(rows: int) -> tuple[Array, Array]:
    """Logits of an overconfident model and labels: a rate of about 7 %."""
    random = np.random.default_rng(0)
    truth = random.normal(-3.0, 1.0, rows)
    label = (random.random(rows) < 1 / (1 + np.exp(-truth))).astype(float)
    return 1.5 * truth, label


def _log_loss(logit: Array, label: Array) -> float:
    return float(np.mean(np.logaddexp(0.0, logit) - label * logit))


def _since(start: float) -> dict[str, float]:
    """Time since, and the process's peak memory until now, in MB; Linux counts it in kilobytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.perf_counter() - start, "peak_mb": peak}


def _ours(method: str, logit: Array, label: Array) -> tuple[dict[str, float], Array]:
    from recap_model.calibration import LogitHistogram, calibrated_logit, fit_calibrations
    from recap_model.config.steps.calibration import CalibrationConfig

    config = CalibrationConfig.model_validate({"method": method})
    weight, folds = np.ones((_BATCH_ROWS, 1)), np.arange(_BATCH_ROWS) % 5
    start = time.perf_counter()
    histogram = LogitHistogram(["task"])
    for first in range(0, len(logit), _BATCH_ROWS):
        part = slice(first, first + _BATCH_ROWS)
        count = len(logit[part])
        histogram.add(logit[part, None], label[part, None], weight[:count], folds[:count])
    [fitted] = fit_calibrations(histogram, config)
    measured = _since(start)
    parts = [logit[first : first + 100_000] for first in range(0, len(logit), 100_000)]
    return measured, np.concatenate([calibrated_logit(fitted.calibrator, part) for part in parts])


def scikit_learn(
    method: str, logit: Array, label: Array, others: Array | None = None
) -> tuple[dict[str, float], Array]:
    """Time and memory of scikit-learn's fit, and its calibrated logits of ``others``, or of the same rows."""
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.frozen import FrozenEstimator

    class Given(ClassifierMixin, BaseEstimator):
        """A classifier whose decision is its only feature, the logit."""

        def fit(self, rows: Array, label: Array) -> "Given":
            self.classes_ = np.unique(label)
            return self

        def decision_function(self, rows: Array) -> Array:
            return rows[:, 0]

        def predict(self, rows: Array) -> Array:
            return (rows[:, 0] > 0).astype(float)

    rows = logit[:, None]
    given = FrozenEstimator(Given().fit(rows[:2], np.array([0.0, 1.0])))
    name = {"platt": "sigmoid"}.get(method, method)
    start = time.perf_counter()
    fitted = CalibratedClassifierCV(given, method=name, ensemble=False, cv=2).fit(rows, label)
    measured = _since(start)
    asked = rows if others is None else others[:, None]
    rate = np.clip(fitted.predict_proba(asked)[:, 1], 1e-9, 1 - 1e-9)
    return measured, np.log(rate) - np.log1p(-rate)


def _stream(rows: int) -> dict[str, float]:
    """Ten tasks from batches that are made on the way; making them is not timed."""
    from recap_model.calibration import LogitHistogram, fit_calibrations
    from recap_model.config.steps.calibration import CalibrationConfig

    random, tasks = np.random.default_rng(0), [f"task_{number}" for number in range(_TASKS)]
    histogram, adding = LogitHistogram(tasks), 0.0
    weight, folds = np.ones((_BATCH_ROWS, _TASKS), np.float32), np.arange(_BATCH_ROWS) % 5
    for first in range(0, rows, _BATCH_ROWS):
        count = min(_BATCH_ROWS, rows - first)
        truth = random.standard_normal((count, _TASKS), np.float32) - 3.0
        label = (random.random((count, _TASKS), np.float32) < 1 / (1 + np.exp(-truth))).astype(np.float32)
        logit = 1.5 * truth
        start = time.perf_counter()
        histogram.add(logit, label, weight[:count], folds[:count])
        adding += time.perf_counter() - start
    start = time.perf_counter()
    fit_calibrations(histogram, CalibrationConfig())
    fit = _since(start)
    return {"rows_per_s": rows / adding, "fit_seconds": fit["seconds"], "peak_mb": fit["peak_mb"]}


def main() -> None:
    """Arguments: a method or ``stream``, ``ours`` or ``scikit-learn``, rows."""
    what, who, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if what == "stream":
        measured = _stream(rows)
    else:
        logit, label = _simulated(rows)
        measured, calibrated = (_ours if who == "ours" else scikit_learn)(what, logit, label)
        measured["log_loss"] = _log_loss(calibrated, label)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
