"""Calibration: from a trained model to one whose probabilities mean what they say."""

import logging
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from components.calibrate.report import TaskReport, as_json, measure, reliability_page
from components.common.artifacts.model_manifest import (
    CALIBRATION_REPORT_NAME,
    TRAINING_LOG_NAME,
    ModelManifest,
)
from components.common.artifacts.snapshot import Snapshot, config_digest
from components.common.runtime import step
from components.common.runtime.atomic_output import atomic_directory, atomic_file
from components.common.storage.id_hashing import there
from recap_model import load_model, save_model
from recap_model.calibration import (
    HistogramByValue,
    LogitHistogram,
    TaskCalibration,
    assign_folds,
    fit_by_value,
    fit_calibrations,
)
from recap_model.config import RecapConfig
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.dataset.record_batches import RecordBatches
from recap_model.model import MultiTaskRankingModel
from recap_model.training import choose_device

_BATCH_ROWS = 8192

log = logging.getLogger(__name__)


def calibrate_model(
    snapshot: str | Path,
    model: str | Path,
    calibration_set: str | Path,
    out: str | Path,
    report: str | Path | None = None,
) -> list[TaskReport]:
    """Fit each task's calibrator on held-out rows and save the model with them inside.

    Args:
        snapshot, model, calibration_set: folders, as resolve, train and prepare write them.
        out: the calibrated model's folder: the model's files, and ``calibration_report.json``.
        report: an HTML page with each task's reliability diagram.

    Raises:
        FileNotFoundError: an input is not there.
        ValueError: the inputs belong to different snapshots, or a task cannot be calibrated; it is named.
    """
    frozen, config = Snapshot.read(snapshot)
    manifest = ModelManifest.read(model)
    dataset = DatasetManifest.read(calibration_set)
    _check(manifest, dataset, frozen, config, Path(model), Path(calibration_set))
    ranking = load_model(model, device=str(choose_device(config.training)))
    histogram, by_value = _fill(ranking, Path(calibration_set), config)
    calibrations = fit_calibrations(histogram, config.calibration)
    if by_value is not None:
        calibrations = [_by_value(by_value, one, config) for one in calibrations]
    for fitted in calibrations:
        log.info("event=calibrated task=%s method=%s reason=%r", fitted.task, fitted.method, fitted.reason)
    ranking.set_calibrators({one.task: one.calibrator for one in calibrations if one.calibrator is not None})
    reports = measure(histogram, calibrations, by_value)
    with atomic_directory(out) as folder:
        save_model(ranking, folder, config)
        shutil.copyfile(Path(model) / TRAINING_LOG_NAME, folder / TRAINING_LOG_NAME)
        (folder / CALIBRATION_REPORT_NAME).write_text(as_json(reports))
        manifest.model_copy(update={"calibration_set": dataset.fingerprint}).write(folder)
    if report is not None:
        with atomic_file(report) as file:
            file.write_text(reliability_page(reports))
    return reports


@torch.inference_mode()
def _fill(
    model: MultiTaskRankingModel, calibration_set: Path, config: RecapConfig
) -> tuple[LogitHistogram, HistogramByValue | None]:
    """One pass over the rows: logits with the sampling undone, weighted to the natural distribution."""
    reader = DatasetReader(calibration_set, model.tasks, _BATCH_ROWS, config=config, weighting="natural")
    reader.verify()
    folds, column = config.calibration.folds, _column(config)
    histogram, by_value = LogitHistogram(model.tasks, folds), None
    if config.calibration.by_value is not None:
        values = _frequent(RecordBatches(reader.manifest), column, config.calibration.by_value.max_values)
        by_value = HistogramByValue(model.tasks, values, folds)
    device = model.score_weights.device
    done = 0
    for rows, batch in reader.batches_with_rows():
        logits = model.sampling.shift(model(batch.to(device))["logits"])
        assert batch.labels is not None
        assert batch.weights is not None
        counted = (
            logits.cpu().numpy(),
            batch.labels.numpy(),
            batch.weights.numpy(),
            folds_of(rows, done, folds),
        )
        histogram.add(*counted)
        if by_value is not None:
            assert batch.discrete is not None
            by_value.add(*counted, batch.discrete[:, column].numpy())
        done += len(batch)
        step.progress(done, reader.rows, f"scored {done:,} of {reader.rows:,} rows")
    return histogram, by_value


def _by_value(histogram: HistogramByValue, common: TaskCalibration, config: RecapConfig) -> TaskCalibration:
    """A task's correction by value; a task that has no fitted map on purpose, or for want of rows, has none here."""
    fitted = common.method != "none" or "none" in common.cross_validated
    return fit_by_value(histogram, common, _column(config)) if fitted else common


def _column(config: RecapConfig) -> int:
    """Number in the discrete group of the column that maps are corrected by; 0 if there is none."""
    by_value, columns = config.calibration.by_value, config.features.discrete
    return columns.index(by_value.column) if by_value is not None and isinstance(columns, list) else 0


def _frequent(record_batches: RecordBatches, column: int, most: int) -> list[int]:
    """The most frequent values of a discrete column; of equally frequent ones the smaller."""
    counts: Counter[int] = Counter()
    for number in range(len(record_batches.lengths)):
        group = record_batches[number].column("discrete")
        values = group.flatten().to_numpy().reshape(len(group), -1)[:, column]
        counts.update(
            dict(zip(*(found.tolist() for found in np.unique(values, return_counts=True)), strict=True))
        )
    return sorted(counts, key=lambda value: (-counts[value], value))[:most]


def folds_of(rows: pa.RecordBatch, first: int, folds: int) -> NDArray[np.int64]:
    """The rows' folds (rows,): those of a user, else of a request, share one, and a row without is by itself."""
    alone = np.arange(first, first + rows.num_rows) % folds
    for name in ("user", "request"):
        if name in rows.schema.names:
            ids = rows.column(name)
            return np.where(there(ids), assign_folds(ids, folds), alone)
    return alone


def _check(
    manifest: ModelManifest,
    dataset: DatasetManifest,
    frozen: Snapshot,
    config: RecapConfig,
    model: Path,
    calibration_set: Path,
) -> None:
    if dataset.split != "calibration":
        raise ValueError(
            f"{calibration_set}: is the {dataset.split} set; calibrate needs the calibration set, whose rows "
            "the model has not seen"
        )
    for folder, digest in ((calibration_set, dataset.snapshot), (model, manifest.snapshot)):
        if digest != frozen.digest:
            raise ValueError(
                f"{folder}: comes from another snapshot than run {frozen.run_id}'s; make it again"
            )
    if manifest.config_digest != config_digest(config):
        raise ValueError(f"{model}: was trained with another config than run {frozen.run_id}'s; train again")
