"""Train the model of a snapshot's config on a training set."""

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

import torch

from components.common.artifacts.model_manifest import TRAINING_LOG_NAME, ModelManifest
from components.common.artifacts.snapshot import Snapshot, config_digest
from components.common.html.facts import run_facts
from components.common.runtime import step
from components.common.runtime.atomic_output import atomic_directory, atomic_file
from components.train.checkpoints import checkpoints_of
from components.train.data import training_rows
from components.train.interruption import stop_on_sigterm
from components.train.kubernetes.train_job import train_as_job
from components.train.local.torchrun import run_group
from components.train.mlflow_run import active_run
from components.train.report import curves_page
from components.train.warm_start import start_warm
from recap_model import build_loss, create_ranking_model, data_spec, save_model
from recap_model.config import RecapConfig
from recap_model.config.steps.training import TrainJobConfig
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.record_batches import RecordBatches
from recap_model.data.dataset.statistics import FeatureStatistics, report_collisions
from recap_model.distributed.sharded_tables import ShardingPlan, shard_tables
from recap_model.model.model_and_loss import ModelAndLoss
from recap_model.training import (
    Checkpoints,
    ProcessGroup,
    Progress,
    TrainingInterruptedError,
    TrainState,
    choose_device,
    init_process_group,
    train,
)
from recap_model.training.loop import Watch
from recap_model.training.threads import cpu_threads

log = logging.getLogger(__name__)


def train_model(
    snapshot: str | Path,
    train_set: str | Path,
    out: str | Path,
    curves: str | Path | None = None,
    watch: Watch = lambda state: None,
) -> ModelManifest:
    """Train the model of a snapshot's config on a training set.

    After an interruption it resumes from its newest checkpoint (see `checkpoints_of`). With
    ``training.distribution`` it starts the processes, here or on a cluster's nodes, and waits for them.

    Args:
        snapshot, train_set: folders, as resolve and prepare write them.
        out: the model's folder: what `save_model` writes, ``training.jsonl`` and ``_manifest.json``.
        curves: an HTML page with the losses' curves.
        watch: called after each step; it ends training by raising an exception. Not called with
            ``training.distribution`` of several processes.

    Raises:
        FileNotFoundError: an input does not exist.
        ValueError: the training set is another snapshot's, does not fit the config, or changed since prepare; or the
            loss became NaN or infinite (`NonFiniteLossError`).
        RetryableError: SIGTERM was received; a checkpoint was written.
        OSError: the cluster of a training job refuses, or the job did not end in time.
    """
    frozen, config = Snapshot.read(snapshot)
    dataset = DatasetManifest.read(train_set)
    _check(dataset, frozen, config, Path(train_set))
    # Once, before processes are started that would wait for each other.
    RecordBatches(dataset).verify()
    distribution = config.training.distribution
    if isinstance(distribution, TrainJobConfig):
        train_as_job(
            Path(snapshot),
            Path(train_set),
            Path(out),
            None if curves is None else Path(curves),
            frozen=frozen,
            config=config,
            dataset=dataset,
        )
    elif distribution is not None and distribution.processes > 1:
        paths = [snapshot, train_set, out, *([] if curves is None else [curves])]
        run_group(distribution.processes, [str(Path(path).resolve()) for path in paths])
    else:
        train_in_process(snapshot, train_set, out, curves, watch=watch)
    return ModelManifest.read(out)


def train_in_process(
    snapshot: str | Path,
    train_set: str | Path,
    out: str | Path,
    curves: str | Path | None = None,
    *,
    member: bool = False,
    watch: Watch = lambda state: None,
) -> None:
    """`train_model` in this process: alone, or as a ``member`` of torchrun's processes, of which rank 0 writes.

    Torchrun's environment variables are read for a ``member`` only, because a shell may have set ``RANK`` for another
    program. Raises as `train_model` does.
    """
    frozen, config = Snapshot.read(snapshot)
    dataset = DatasetManifest.read(train_set)
    _check(dataset, frozen, config, Path(train_set))
    if config.training.compile and shutil.which(os.environ.get("CXX", "g++")) is None:
        raise FileNotFoundError(
            "training.compile: torch.compile needs a C++ compiler (g++, or the one in CXX); none is installed, as "
            "in Recap's images; remove training.compile, or install a compiler"
        )
    device = choose_device(config.training)
    with (
        init_process_group(device)
        if member
        else contextlib.nullcontext(ProcessGroup(device=device)) as process_group,
        checkpoints_of(Path(out), frozen, config, dataset, process_group) as checkpoints,
    ):
        run = _Run(frozen, config, dataset, Path(train_set), checkpoints, process_group, watch)
        if process_group.rank > 0:
            run.train(lambda progress: None)
            return
        run.write(Path(out), None if curves is None else Path(curves))
        checkpoints.clear()


class _Run:
    """The training of one process."""

    def __init__(
        self,
        snapshot: Snapshot,
        config: RecapConfig,
        dataset: DatasetManifest,
        train_set: Path,
        checkpoints: Checkpoints,
        process_group: ProcessGroup,
        watch: Watch,
    ) -> None:
        self.watch = watch
        self.snapshot = snapshot
        self.config = config
        self.dataset = dataset
        self.train_set = train_set
        self.checkpoints = checkpoints
        self.process_group = process_group
        self.statistics = FeatureStatistics.read(train_set)
        self.started_from: str | None = None

    def write(self, out: Path, curves: Path | None) -> None:
        """Train, and write the model and its curves."""
        reports: list[Progress] = []
        report_collisions(self.statistics.collisions, self.config.data.collision_bound)
        with atomic_directory(out) as folder:
            with (folder / TRAINING_LOG_NAME).open("w") as lines:
                state = self.train(_reporter(lines, reports, active_run(self.snapshot.tracking_uri)))
            save_model(state.module.model, folder, self.config)
            manifest = ModelManifest(
                snapshot=self.snapshot.digest,
                config_digest=config_digest(self.config),
                train_set=self.dataset.fingerprint,
                rows=state.rows,
                steps=state.step,
                epochs=state.epoch + 1,
                seed=self.config.training.seed,
                precision="bf16" if state.bf16 else "fp32",
                losses=reports[-1].losses,
                warm_start=self.started_from,
                slice_quantiles=self.statistics.slice_quantiles,
            ).write(folder)
        if curves is not None:
            with atomic_file(curves) as file:
                file.write_text(
                    curves_page(
                        reports,
                        manifest.precision,
                        self.config,
                        self.statistics.collisions,
                        run_facts(self.snapshot, self.config),
                    )
                )

    def train(self, report: Callable[[Progress], None]) -> TrainState:
        """Build the model, and train it from its start or from the newest checkpoint."""
        config, process_group = self.config, self.process_group
        rows, held_out = training_rows(self.train_set, config, process_group)
        with torch.random.fork_rng(), stop_on_sigterm() as stop:
            torch.manual_seed(config.training.seed)
            module = self._module()
            parameters = sum(parameter.numel() for parameter in module.parameters())
            log.info(
                "event=train device=%s processes=%d parameters=%d",
                process_group.device,
                process_group.size,
                parameters,
            )
            with cpu_threads(config.training, module):
                try:
                    return train(
                        module,
                        rows,
                        config,
                        report,
                        held_out=held_out,
                        checkpoints=self.checkpoints,
                        process_group=process_group,
                        stop=stop,
                        watch=self.watch,
                    )
                except TrainingInterruptedError as error:
                    raise step.RetryableError(str(error)) from None

    def _plan(self) -> ShardingPlan | None:
        distribution = self.config.training.distribution
        if distribution is None or distribution.tables == "replicated" or self.process_group.size == 1:
            return None
        return ShardingPlan(distribution.tables, self.process_group.rank, self.process_group.size)

    def _module(self) -> ModelAndLoss:
        config = self.config
        with shard_tables(self._plan()):
            module = create_ranking_model(
                data_spec(config),
                config,
                self.process_group.device,
                loss_fn=build_loss(config),
                statistics=self.statistics,
            )
        assert isinstance(module, ModelAndLoss)
        if config.data.sampling_correction == "calibration":
            module.model.set_sampling(self.dataset.sampling)
        module.model.undo_pos_weights()
        self.started_from = start_warm(module.model, self.snapshot, config)
        return module


def _reporter(
    lines: TextIO, reports: list[Progress], track: Callable[[Progress], None]
) -> Callable[[Progress], None]:
    def report(progress: Progress) -> None:
        reports.append(progress)
        lines.write(json.dumps(asdict(progress)) + "\n")
        lines.flush()
        step.progress(progress.step, progress.steps, progress.line())
        track(progress)

    return report


def _check(dataset: DatasetManifest, frozen: Snapshot, config: RecapConfig, folder: Path) -> None:
    if dataset.split != "train":
        raise ValueError(f"{folder}: is the {dataset.split} set; train needs the training set")
    if dataset.snapshot != frozen.digest:
        raise ValueError(
            f"{folder}: was prepared from another snapshot than run {frozen.run_id}'s; run prepare again"
        )
    if dataset.groups != data_spec(config):
        raise ValueError(
            f"{folder}: has groups {dataset.groups}, the config has {data_spec(config)}; run prepare again"
        )
