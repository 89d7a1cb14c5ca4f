"""Train, calibrate and score one config of an experiment, in this process."""

import math
import time
from dataclasses import dataclass
from pathlib import Path

from components.calibrate.calibrate import calibrate_model
from components.common.artifacts.score_table import ScoreTable
from components.common.metrics.gains import PairedGain, mean_gain
from components.common.runtime.environment import environment
from components.common.scoring.score_test_set import score_test_set
from components.train.mlflow_run import RUN_VARIABLE
from components.train.train import train_model
from pipeline.experiments.frozen_data import FrozenData
from recap_model.config import RecapConfig
from recap_model.training.loop import Watch


@dataclass(frozen=True)
class Fitted:
    """A calibrated model, and how long it took."""

    model: Path
    train_s: float
    calibrate_s: float


def fit(data: FrozenData, config: RecapConfig, folder: Path, watch: Watch = lambda state: None) -> Fitted:
    """Train and calibrate a config's model into ``folder``; an interrupted training resumes from its checkpoint.

    Raises as `train_model` and `calibrate_model` do, and what ``watch`` raises.
    """
    began = time.monotonic()
    snapshot = data.snapshot_with(config, folder / "snapshot")
    # A run of the caller's would get the curves of every trial.
    with environment({RUN_VARIABLE: ""}):
        train_model(snapshot, data.train, folder / "model", watch=watch)
    trained = time.monotonic()
    calibrated = folder / "calibrated_model"
    calibrate_model(snapshot, folder / "model", data.calibration, calibrated)
    return Fitted(calibrated, trained - began, time.monotonic() - trained)


def score(
    data: FrozenData, config: RecapConfig, model: Path, reference: Path | None, out: Path
) -> ScoreTable:
    """Score the held-out rows by a model, and by the reference's model as the table's champion."""
    settings = config.evaluation.model_copy(update={"slices": []})
    out.parent.mkdir(parents=True, exist_ok=True)
    return score_test_set(
        model, data.held_out, config.model_copy(update={"evaluation": settings}), reference, out
    )


def judged_gains(
    gains: dict[str, PairedGain], config: RecapConfig
) -> tuple[dict[str, PairedGain], PairedGain]:
    """The gains of the tasks that the gate would judge, and their mean over the gate's objectives.

    Raises ValueError if no objective has enough positives.
    """
    gate = config.evaluation.gate
    judged = {
        task: gain
        for task, gain in gains.items()
        if gain.positives >= gate.min_positives and math.isfinite(gain.difference)
    }
    objectives = [task for task in gate.objectives or judged if task in judged]
    return judged, mean_gain({task: judged[task] for task in objectives})
