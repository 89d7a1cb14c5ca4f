"""Training: from a training set to a saved model, with what happened on the way."""

import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import torch

from components.artifacts import door
from components.artifacts.model import TRAINING_LOG_NAME, ModelManifest
from components.artifacts.output import whole_file, whole_folder
from components.artifacts.snapshot import Snapshot, config_digest
from components.train.curves import curves_page
from recap_model import build_loss, create_ranking_model, data_spec, save_model
from recap_model.config import RecapConfig
from recap_model.data.manifest import DatasetManifest
from recap_model.data.reader import DatasetReader
from recap_model.data.statistics import FeatureStatistics
from recap_model.model_and_loss import ModelAndLoss
from recap_model.training import Progress, TrainState, choose_device, train
from recap_model.training.threads import cpu_threads

log = logging.getLogger(__name__)


def train_model(
    snapshot: str | Path, train_set: str | Path, out: str | Path, curves: str | Path | None = None
) -> ModelManifest:
    """Train the model of a snapshot's config on a training set.

    Args:
        snapshot, train_set: folders, as resolve and build write them.
        out: the model's folder: what `save_model` writes, ``training.jsonl`` and ``_manifest.json``.
        curves: an HTML page with the losses' curves.

    Raises:
        FileNotFoundError: an input is not there.
        ValueError: the training set is another snapshot's, or does not fit the config; or the loss became NaN or
            infinite (`NonFiniteLossError`).
    """
    frozen, config = Snapshot.read(snapshot)
    dataset = DatasetManifest.read(train_set)
    _check(dataset, frozen, config, Path(train_set))
    reports: list[Progress] = []
    with whole_folder(out) as folder:
        with (folder / TRAINING_LOG_NAME).open("w") as lines:
            state = _train(Path(train_set), dataset, config, _reporter(lines, reports))
        save_model(state.module.model, folder, config)
        manifest = ModelManifest(
            snapshot=frozen.digest,
            config_digest=config_digest(config),
            train_set=dataset.fingerprint,
            rows=state.rows,
            steps=state.step,
            epochs=state.epoch + 1,
            seed=config.training.seed,
            precision="bf16" if state.bf16 else "fp32",
            losses=reports[-1].losses,
        ).write(folder)
    if curves is not None:
        with whole_file(curves) as file:
            file.write_text(curves_page(reports, manifest.precision))
    return manifest


def _train(
    train_set: Path, dataset: DatasetManifest, config: RecapConfig, report: Callable[[Progress], None]
) -> TrainState:
    training = config.training
    device = choose_device(training)
    reader = DatasetReader(
        train_set,
        list(config.tasks),
        training.batch_size,
        config=config,
        weighting="training",
        seed=training.seed,
    )
    with torch.random.fork_rng():
        torch.manual_seed(training.seed)
        module = create_ranking_model(
            data_spec(config),
            config,
            device,
            loss_fn=build_loss(config),
            statistics=FeatureStatistics.read(train_set),
        )
        assert isinstance(module, ModelAndLoss)
        if config.data.sampling_correction == "calibration":
            module.model.set_sampling(dataset.sampling)
        parameters = sum(parameter.numel() for parameter in module.parameters())
        log.info("event=train device=%s rows=%d parameters=%d", device, reader.rows, parameters)
        with cpu_threads(training, module):
            return train(module, reader, config, report)


def _reporter(lines: TextIO, reports: list[Progress]) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        reports.append(progress)
        lines.write(json.dumps(asdict(progress)) + "\n")
        lines.flush()
        door.progress(progress.step, progress.steps, progress.line())

    return report


def _check(dataset: DatasetManifest, frozen: Snapshot, config: RecapConfig, folder: Path) -> None:
    if dataset.split != "train":
        raise ValueError(f"{folder}: is the {dataset.split} set; train needs the training set")
    if dataset.snapshot != frozen.digest:
        raise ValueError(
            f"{folder}: was built from another snapshot than run {frozen.run_id}'s; build it again"
        )
    if dataset.groups != data_spec(config):
        raise ValueError(
            f"{folder}: has groups {dataset.groups}, the config has {data_spec(config)}; build it again"
        )
