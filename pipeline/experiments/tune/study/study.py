"""Run the trials of a study: claim one, train, calibrate, score it against the current config, record it."""

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from components.common.metrics.gains import paired_gains
from components.common.runtime.locks import locked_folder
from components.common.runtime.step import progress
from pipeline.experiments.frozen_data import FrozenData
from pipeline.experiments.trial import fit, judged_gains, score
from pipeline.experiments.tune.space.space import Point, Space, describe_changes
from pipeline.experiments.tune.study.guard import deciding_bounds
from pipeline.experiments.tune.study.held_out import HeldOutRows
from pipeline.experiments.tune.study.search import POINTS, propose
from pipeline.experiments.tune.study.trial_runs import State, TrialRecord, TrialRuns
from pipeline.experiments.tune.study.workers import PodWorker, Worker, join_study
from recap_model.config import RecapConfig
from recap_model.config.steps.training import TrainJobConfig
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.training import TrainState

REPLICATES = 200
_REPLICATES_SEED = 11
_MODEL = "calibrated_model"
_LONGEST_REASON = 500
_NO_BOUND = 1e6  # points below 0, of a task without a bound, so that its trial never wins

Report = Callable[[int, str], None]


class _PrunedError(Exception):
    """A trial is under the median of the others."""


@dataclass
class _Watch:
    """Evaluates held-out rows at the end of each eighth of a training, and ends a trial that is to be pruned."""

    rows: HeldOutRows
    should_prune: Callable[[int, float], bool]
    values: dict[int, float] = field(default_factory=dict)

    def __call__(self, state: TrainState) -> None:
        steps = max(state.meter.steps, 1)
        point = state.step * POINTS // steps
        if not 0 < point < POINTS or point == (state.step - 1) * POINTS // steps:
            return
        self.values[point] = self.rows.evaluate(state)
        if self.should_prune(point, self.values[point]):
            raise _PrunedError


class Study:
    """A study of one config on one prepared set.

    Args:
        folder: for models, scores and the locks of this machine's workers.
        data: sets of which the held-out one has validation rows.
        reference: folder of the current config's model and scores; ``folder/reference`` if not given.

    Raises:
        ValueError: no objective of the gate can be judged on the validation rows, or trials would be training jobs.
    """

    def __init__(
        self, space: Space, data: FrozenData, runs: TrialRuns, folder: Path, reference: Path | None = None
    ) -> None:
        if isinstance(space.config.training.distribution, TrainJobConfig):
            raise ValueError(
                "training.distribution: kind train_job: a trial trains in its own process or pod; remove it from the "
                "config that is tuned, or use single_node"
            )
        self.space = space
        self.data = data
        self.runs = runs
        self._folder = folder
        self._reference = reference or folder / "reference"
        self._workers = folder / "workers"
        self._rows = HeldOutRows(data.held_out, space.config, _objectives(data.held_out, space.config))

    def run(
        self, trials: int | None, deadline_s: float | None, report: Report = lambda done, what: None
    ) -> list[TrialRecord]:
        """Run trials until the study has that number, or until the clock (`time.monotonic`) has this time.

        Several processes may call this at once; all wait for the first trial, of the current config. A trial whose
        process was killed is run again, under its number.

        Args:
            report: called with the number of finished trials and a few words on what is done.

        Returns:
            All trials of the study. Of those still running, other processes do the work.

        Raises:
            ValueError: the current config cannot be trained.
            RegistryError: the tracking server does not answer.
        """
        with join_study(self._workers) as worker:
            with locked_folder(self._workers):
                self.run_reference(worker, report)
            self._run_trials(worker, trials, deadline_s, report)
        records = self.runs.read()
        report(sum(one.state != "running" for one in records), "done")
        return records

    def run_in_pod(self, worker: PodWorker, trials: int) -> int:
        """Run a pod's own trials of a study, with the reference's model there; returns how many ended."""
        self._run_trials(worker, trials, None, lambda done, what: progress(done, trials, what))
        return sum(one.owner == worker.name and one.state != "running" for one in self.runs.read())

    def _run_trials(
        self, worker: "Worker | PodWorker", trials: int | None, deadline_s: float | None, report: Report
    ) -> None:
        while deadline_s is None or time.monotonic() < deadline_s:
            began = time.monotonic()
            with locked_folder(self._folder):
                claimed = self._claim(worker, trials)
            if claimed is None:
                break
            record, others = claimed
            report(sum(one.state != "running" for one in others), f"trial {record.number}")
            self._run_trial(record, others, began)

    def run_reference(self, worker: "Worker | PodWorker", report: Report = lambda done, what: None) -> None:
        """Run trial 0, the current config, unless it was run and its model is there."""
        began = time.monotonic()
        record = next((one for one in self.runs.read() if one.number == 0), None)
        if record and record.state == "complete" and (self._reference / _MODEL).is_dir():
            return
        report(0, "trial 0, the current config")
        if record is None:
            record = self.runs.start(0, worker.name, self.space.current_point, {})
        watch = _Watch(self._rows, lambda point, value: False)
        result = self._result(self.space.config, self._reference, watch)
        if record.state != "complete":
            self._finish(record, "complete", watch, began, result)

    def _claim(
        self, worker: "Worker | PodWorker", trials: int | None
    ) -> tuple[TrialRecord, list[TrialRecord]] | None:
        """The next trial, an abandoned one or a new one, and the others; None if the study has enough."""
        records = self.runs.read()
        for record in records:
            if record.state == "running" and worker.is_abandoned(record.owner):
                others = [one for one in records if one is not record]
                return self.runs.take_over(record, worker.name), others
        number = worker.next_number({record.number for record in records})
        if trials is not None and number >= trials:
            return None
        point: Point = propose(self.space, records, number).params
        changes = describe_changes(self.space.at(point)[1])
        return self.runs.start(number, worker.name, point, changes), records

    def _run_trial(self, record: TrialRecord, others: list[TrialRecord], began: float) -> None:
        proposed = propose(self.space, others, record.number, record.point)
        folder = self._folder / f"trial-{record.number}"

        def should_prune(point: int, value: float) -> bool:
            proposed.report(value, point)
            return proposed.should_prune()

        watch = _Watch(self._rows, should_prune)
        state: State = "complete"
        result: _Result | None = None
        reason = ""
        try:
            config, _ = self.space.at(record.point)
            result = self._result(config, folder, watch)
        except _PrunedError:
            state = "pruned"
        except (ValueError, RuntimeError) as error:
            state = "failed"
            reason = f"{type(error).__name__}: {' '.join(str(error).split())}"[:_LONGEST_REASON]
        self._finish(record, state, watch, began, result, reason)
        shutil.rmtree(folder, ignore_errors=True)

    def _result(self, config: RecapConfig, folder: Path, watch: _Watch) -> "_Result":
        """Train and calibrate a config, and compare it with the current one on the validation rows."""
        fitted = fit(self.data, config, folder, watch)
        table = score(self.data, config, fitted.model, self._reference / _MODEL, folder / "scores.parquet")
        gate = self.space.config.evaluation.gate
        judged, mean = judged_gains(
            paired_gains(table, config, REPLICATES, _REPLICATES_SEED), self.space.config
        )
        metrics = {"gain": mean.candidate, "change": mean.difference}
        metrics |= {"train_s": fitted.train_s, "calibrate_s": fitted.calibrate_s}
        for task, gain in judged.items():
            bounds = gain.interval(gate.confidence)
            metrics |= {f"gain/{task}": gain.candidate, f"change/{task}": gain.difference}
            metrics |= {f"low/{task}": bounds.low} if bounds else {}
        deciding = deciding_bounds(metrics, gate.max_rce_loss)
        metrics["shortfall"] = -gate.max_rce_loss - min(deciding.get(task, -_NO_BOUND) for task in judged)
        return _Result(metrics, [value for value in mean.replicates.tolist() if math.isfinite(value)])

    def _finish(
        self,
        record: TrialRecord,
        state: State,
        watch: _Watch,
        began: float,
        result: "_Result | None",
        reason: str = "",
    ) -> None:
        metrics = {**(result.metrics if result else {}), "total_s": time.monotonic() - began}
        self.runs.finish(record, state, metrics, watch.values, result.replicates if result else (), reason)


@dataclass(frozen=True)
class _Result:
    """A complete trial's metrics, and the replicates of its mean change."""

    metrics: dict[str, float]
    replicates: list[float]


def _objectives(held_out: Path, config: RecapConfig) -> list[str]:
    """The gate's objectives that have enough positives among the validation rows."""
    manifest, gate = DatasetManifest.read(held_out), config.evaluation.gate
    judged = [
        task
        for task, count in manifest.counts.items()
        if count.positives >= gate.min_positives
        and (config.tasks[task].kind == "value" or count.rows > count.positives)
    ]
    objectives = [task for task in gate.objectives or judged if task in judged]
    if not objectives:
        raise ValueError(
            f"evaluation.gate.min_positives: {gate.min_positives}: no objective has that many positives among the "
            f"{manifest.rows:,} validation rows (the last fifth of the training rows); lower it, or raise data.days"
        )
    return objectives
