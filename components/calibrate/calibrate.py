"""Fit a calibrator for each task on held-out rows and put it inside the model."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from components.calibrate.page import reliability_page
from components.calibrate.report import TaskReport, as_json, measure, measure_values
from components.common.artifacts.model_manifest import (
    CALIBRATION_REPORT_NAME,
    TRAINING_LOG_NAME,
    ModelManifest,
)
from components.common.artifacts.snapshot import Snapshot, config_digest
from components.common.html.facts import run_facts
from components.common.runtime import step
from components.common.runtime.atomic_output import atomic_directory, atomic_file
from components.common.scoring.threads import scoring_threads
from recap_model import load_model, save_model
from recap_model.calibration import (
    LogitHistogram,
    TaskCalibration,
    fit_calibrations,
)
from recap_model.calibration.values import ValueCalibration, ValueHistogram, fit_value_task
from recap_model.config import RecapConfig
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.log.id_hashing import assign_folds, is_present
from recap_model.model.ranking_model import MultiTaskRankingModel
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
        FileNotFoundError: an input does not exist.
        ValueError: the inputs belong to different snapshots, or a task, named in the message, cannot be calibrated.
    """
    frozen, config = Snapshot.read(snapshot)
    manifest = ModelManifest.read(model)
    dataset = DatasetManifest.read(calibration_set)
    _check(manifest, dataset, frozen, config, Path(model), Path(calibration_set))
    ranking = load_model(model, device=str(choose_device(config.training)))
    histogram, values = _fill(ranking, Path(calibration_set), config)
    calibrations = fit_calibrations(histogram, config.calibration)
    of_values = [fit_value_task(values, task, config.calibration) for task in values.tasks]
    every: list[TaskCalibration | ValueCalibration] = [*calibrations, *of_values]
    for fitted in every:
        log.info("event=calibrated task=%s method=%s reason=%r", fitted.task, fitted.method, fitted.reason)
    ranking.set_calibrators({one.task: one.calibrator for one in every if one.calibrator is not None})
    reports = measure(histogram, calibrations)
    value_reports = measure_values(values, of_values)
    with atomic_directory(out) as folder:
        save_model(ranking, folder, config)
        shutil.copyfile(Path(model) / TRAINING_LOG_NAME, folder / TRAINING_LOG_NAME)
        (folder / CALIBRATION_REPORT_NAME).write_text(as_json(reports, value_reports))
        manifest.model_copy(update={"calibration_set": dataset.fingerprint}).write(folder)
    if report is not None:
        with atomic_file(report) as file:
            facts = run_facts(frozen, config)
            file.write_text(reliability_page(reports, config.populations(), value_reports, facts))
    return reports


Scored = tuple[pa.RecordBatch, RecapBatch, NDArray[np.floating], NDArray[np.floating]]


def _fill(
    model: MultiTaskRankingModel, calibration_set: Path, config: RecapConfig
) -> tuple[LogitHistogram, ValueHistogram]:
    """One pass over the rows: logits with the sampling undone, and values, weighted to the natural distribution."""
    reader = DatasetReader(calibration_set, model.tasks, _BATCH_ROWS, config=config, weighting="natural")
    reader.verify()
    folds = config.calibration.folds
    binary = [number for number, task in enumerate(model.tasks) if config.tasks[task].kind == "binary"]
    valued = [number for number, task in enumerate(model.tasks) if config.tasks[task].kind == "value"]
    histogram = LogitHistogram([model.tasks[number] for number in binary], folds)
    scales = [config.tasks[model.tasks[number]].value_scale or 1.0 for number in valued]
    values = ValueHistogram([model.tasks[number] for number in valued], scales, folds)
    device = model.score_weights.device

    @torch.inference_mode()
    def score(rows: pa.RecordBatch, batch: RecapBatch) -> Scored:
        outputs = model(batch.to(device))
        logits = model.sampling.shift(outputs["logits"]).cpu().numpy()
        return rows, batch, logits, outputs["probabilities"].cpu().numpy()

    done = 0
    with scoring_threads(device) as threads:
        # Added up in the order of the files: sums of floats depend on it.
        for rows, batch, logits, predictions in reader.map_batches(score, threads):
            assert batch.labels is not None
            assert batch.weights is not None
            labels, weights, fold = batch.labels.numpy(), batch.weights.numpy(), folds_of(rows, done, folds)
            histogram.add(logits[:, binary], labels[:, binary], weights[:, binary], fold)
            values.add(predictions[:, valued], labels[:, valued], weights[:, valued], fold)
            done += len(batch)
            step.progress(done, reader.rows, f"scored {done:,} of {reader.rows:,} rows")
    return histogram, values


def folds_of(rows: pa.RecordBatch, first: int, folds: int) -> NDArray[np.int64]:
    """Folds (rows,), assigned by user, else by request; a row without an id is assigned by its number."""
    by_row = np.arange(first, first + rows.num_rows) % folds
    for name in ("user", "request"):
        if name in rows.schema.names:
            ids = rows.column(name)
            return np.where(is_present(ids), assign_folds(ids, folds), by_row)
    return by_row


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
                f"{folder}: comes from another snapshot than run {frozen.run_id}'s; run its step again"
            )
    if manifest.config_digest != config_digest(config):
        raise ValueError(f"{model}: was trained with another config than run {frozen.run_id}'s; train again")
