"""The trials of a study as MLflow runs: nested runs of one parent run, from which any process can go on."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from components.common import registry
from components.common.artifacts.snapshot import Snapshot, config_digest
from components.common.registry.experiments import experiment_id
from pipeline.experiments.tune.space.space import Point

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

State = Literal["running", "complete", "pruned", "failed"]

_STUDY, _NUMBER, _OWNER, _POINT = "recap.study", "recap.trial", "recap.owner", "recap.point"
_HELD_OUT, _REPLICATES, _REASON = "recap.held_out", "recap.replicates", "recap.reason"
_PARENT = "mlflow.parentRunId"
_STATES: dict[str, State] = {"FINISHED": "complete", "KILLED": "pruned", "FAILED": "failed"}
_STATUS = {state: status for status, state in _STATES.items()}
_LONGEST_PARAMETER = 500
_RUNS_AT_ONCE = 1000


@dataclass(frozen=True)
class TrialRecord:
    """A trial as its run has it.

    Attributes:
        owner: the worker that runs it, or ran it last.
        point: its place in the search space.
        held_out: mean gain on held-out rows during training, by tenths of the run.
        metrics: of a complete trial ``change`` (mean gain less the current config's), ``low/TASK``, times in seconds.
        replicates: of a complete trial's ``change``.
        reason: why it failed.
    """

    run_id: str
    number: int
    state: State
    owner: str
    point: Point
    held_out: Mapping[int, float] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    replicates: Sequence[float] = ()
    reason: str = ""

    @property
    def change(self) -> float | None:
        return self.metrics.get("change")


def study_key(snapshot: Path, space: str, shared: str) -> str:
    """Identifies a study by its config, data, space, and what its workers share: a folder, or a cluster."""
    frozen, config = Snapshot.read(snapshot)
    champion = (
        frozen.champion.version if frozen.champion and config.training.warm_start == "champion" else None
    )
    content = [config_digest(config), frozen.digest, champion, space, shared]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]


class TrialRuns:
    """Reads and writes the runs of one study.

    Args:
        key: identifies the study; its parent run has it as a tag.
        name: of the parent run.

    Raises:
        RegistryError: the tracking server does not answer or refuses.
    """

    def __init__(self, tracking_uri: str, experiment: str, key: str, name: str) -> None:
        self.key = key
        self._client: MlflowClient = registry.connect(tracking_uri)
        with registry.registry_errors(self._client):
            self._experiment = experiment_id(self._client, experiment, tracking_uri)
            found = self._client.search_runs([self._experiment], f"tags.`{_STUDY}` = '{key}'", max_results=1)
            run = (
                found[0]
                if found
                else self._client.create_run(self._experiment, tags={_STUDY: key}, run_name=name)
            )
            self.run_id: str = run.info.run_id

    def read(self) -> list[TrialRecord]:
        """All trials by their numbers, by one request for each thousand."""
        with registry.registry_errors(self._client):
            return sorted((_record(run) for run in self._search()), key=lambda record: record.number)

    def _search(self) -> Iterator["Run"]:
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment],
                f"tags.`{_PARENT}` = '{self.run_id}'",
                max_results=_RUNS_AT_ONCE,
                page_token=token,
            )
            yield from page
            if not (token := page.token):
                return

    def start(self, number: int, owner: str, point: Point, changes: Mapping[str, str]) -> TrialRecord:
        """Create a running trial; the changed fields become the run's parameters."""
        from mlflow.entities import Param

        tags = {_PARENT: self.run_id, _NUMBER: str(number), _OWNER: owner, _POINT: json.dumps(point)}
        with registry.registry_errors(self._client):
            run = self._client.create_run(self._experiment, tags=tags, run_name=f"trial {number}")
            parameters = [Param(name, text[:_LONGEST_PARAMETER]) for name, text in changes.items()]
            if parameters:
                self._client.log_batch(run.info.run_id, params=parameters)
        return TrialRecord(run.info.run_id, number, "running", owner, point)

    def take_over(self, record: TrialRecord, owner: str) -> TrialRecord:
        """Go on with a trial whose worker was killed."""
        with registry.registry_errors(self._client):
            self._client.set_tag(record.run_id, _OWNER, owner)
        return TrialRecord(record.run_id, record.number, "running", owner, record.point)

    def finish(
        self,
        record: TrialRecord,
        state: State,
        metrics: Mapping[str, float],
        held_out: Mapping[int, float],
        replicates: Sequence[float] = (),
        reason: str = "",
    ) -> None:
        """End a trial. Its values are written before its state, so that a complete trial has them all."""
        from mlflow.entities import Metric, RunTag

        tags = {
            _HELD_OUT: json.dumps(dict(held_out)),
            _REPLICATES: json.dumps([round(value, 5) for value in replicates]),
            _REASON: reason,
        }
        with registry.registry_errors(self._client):
            timestamp = self._client.get_run(record.run_id).info.start_time
            numbers = [Metric(name, float(value), timestamp, 0) for name, value in metrics.items()]
            numbers += [Metric("held_out_gain", value, timestamp, step) for step, value in held_out.items()]
            self._client.log_batch(
                record.run_id, metrics=numbers, tags=[RunTag(name, text) for name, text in tags.items()]
            )
            self._client.set_terminated(record.run_id, status=_STATUS[state])

    def conclude(self, metrics: Mapping[str, float], files: Sequence[str]) -> None:
        """Write the study's result to its parent run: metrics and files."""
        with registry.registry_errors(self._client):
            for name, value in metrics.items():
                self._client.log_metric(self.run_id, name, value)
            for path in files:
                self._client.log_artifact(self.run_id, path)
            self._client.set_terminated(self.run_id)


def _record(run: "Run") -> TrialRecord:
    tags: dict[str, Any] = run.data.tags
    return TrialRecord(
        run_id=run.info.run_id,
        number=int(tags[_NUMBER]),
        state=_STATES.get(run.info.status, "running"),
        owner=tags.get(_OWNER, ""),
        point=json.loads(tags[_POINT]),
        held_out={int(step): value for step, value in json.loads(tags.get(_HELD_OUT, "{}")).items()},
        metrics={name: value for name, value in run.data.metrics.items() if name != "held_out_gain"},
        replicates=json.loads(tags.get(_REPLICATES, "[]")),
        reason=tags.get(_REASON, ""),
    )
