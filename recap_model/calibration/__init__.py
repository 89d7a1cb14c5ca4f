"""Calibration of each task's probability: a histogram of logits, fits on it, the modules they make."""

from recap_model.calibration.fit import TaskCalibration, calibrated_logit, fit_calibrations, fit_task
from recap_model.calibration.modules import (
    MIN_SLOPE,
    AffineCalibrator,
    BetaCalibrator,
    LogitCalibrator,
    PiecewiseLinearCalibrator,
    build_calibrator,
)
from recap_model.calibration.reliability import Reliability, reliability
from recap_model.metrics.histogram import Bins, LogitHistogram, sigmoid

__all__ = [
    "MIN_SLOPE",
    "AffineCalibrator",
    "BetaCalibrator",
    "Bins",
    "LogitCalibrator",
    "LogitHistogram",
    "PiecewiseLinearCalibrator",
    "Reliability",
    "TaskCalibration",
    "build_calibrator",
    "calibrated_logit",
    "fit_calibrations",
    "fit_task",
    "reliability",
    "sigmoid",
]
