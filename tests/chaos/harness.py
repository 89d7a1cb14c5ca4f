"""The harness: a step in a process of its own, disturbed once, then run again and compared."""

import importlib
import os
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

from components.common import registry
from components.common.runtime.step import step as step_entry
from tests import fork_server
from tests.chaos.pipeline_run import WRITES_REGISTRY, PipelineRun
from tests.chaos.processes import Ended, ForkedProcess
from tests.chaos.proxy import Proxy
from tests.servers import Process

_NOBODY = 65534
_READ_THE_CLOCK = ("components.common.registry.promotion.promotion_log", "components.common.runtime.webhook")
_MAX_LINE = 1000
# A promoter whose predecessor died waits for the lease; anything else that takes longer is a hang.
_SLACK_S = 60
_LIBRARY_ERRORS = ("KeyError", "TypeError", "IndexError", "AttributeError", "AssertionError", "RuntimeError")


@dataclass(frozen=True)
class Conditions:
    """Under which a step runs.

    Attributes:
        clock_days: by which the clock is off.
        as_nobody: as a user who owns nothing.
        environment: beside the tests' own.
    """

    clock_days: int = 0
    as_nobody: bool = False
    environment: dict[str, str] = field(default_factory=dict)


class Harness:
    """A finished run of the pipeline, the outcome of each step when left alone, and how long it takes.

    Args:
        folder: for the run.
        uri: of a registry's server, with its ``server`` process and the ``proxy`` before it; else SQLite.

    Raises AssertionError if a step, left alone, has two different outcomes.
    """

    def __init__(
        self, folder: Path, uri: str | None = None, server: Process | None = None, proxy: Proxy | None = None
    ) -> None:
        # The user who owns nothing has to reach it.
        folder.chmod(0o755)
        self.folder, self.server, self.proxy = folder, server, proxy
        self._given_uri = uri
        self.uri = PipelineRun(folder, uri).uri
        fork_server.call(_prepare, folder, uri)
        # Where training reports its progress.
        self.environment: dict[str, str] = {}
        if uri is not None:
            run = fork_server.call(_new_mlflow_run, uri)
            self.environment = {"MLFLOW_RUN_ID": run, "MLFLOW_TRACKING_URI": uri}
        self.expected: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, float] = {}
        self.requests: dict[str, int] = {}
        self._champions: dict[str, set[str]] = {}

    def start(self, step: str, conditions: Conditions | None = None) -> ForkedProcess:
        """Start a step; by default with the registry's environment."""
        conditions = conditions or Conditions(environment=self.environment)
        return ForkedProcess(self.folder / "output", _run_step, step, self.folder, self.uri, conditions)

    def attempt(self, step: str, conditions: Conditions | None = None) -> Ended:
        """Run a step to its end."""
        return self.start(step, conditions).wait()

    def measure(self, step: str) -> None:
        """Run a step twice, left alone, for its outcome and duration; only once for each step."""
        if step in self.expected:
            return
        outcomes = []
        for _ in range(2):
            self.reset(step)
            before = self.outcome(step)
            requests = self.proxy.requests if self.proxy else 0
            ended = self.attempt(step)
            self.requests[step] = self.proxy.requests - requests if self.proxy else 0
            assert ended.status == 0, f"{step} fails when left alone:\n{ended.output}"
            outcomes.append(self.outcome(step))
            self.seconds[step] = ended.seconds
        assert outcomes[0] == outcomes[1], f"{step}: {difference(*outcomes)} differ without a fault"
        self.expected[step] = outcomes[0]
        self._champions[step] = {
            one["aliases"]["champion"] for one in (before, outcomes[0]) if "aliases" in one
        }

    def reset(self, step: str) -> None:
        """Restore the state before the step."""
        fork_server.call(_reset, self.folder, self._given_uri, step)

    def outcome(self, step: str) -> dict[str, Any]:
        """What the step has left."""
        return fork_server.call(_outcome, self.folder, self._given_uri, step)

    def check_interrupted(self, step: str, what: str) -> None:
        """Raise AssertionError unless the champion is the one before the step, or the one after it."""
        if step in WRITES_REGISTRY:
            champion = self.outcome(step)["aliases"].get("champion")
            assert champion in self._champions[step], f"{what}: the champion is {champion}"

    def check_rerun(self, step: str, what: str) -> None:
        """Raise AssertionError unless the step, run again, has the outcome of one that was left alone."""
        again = self.attempt(step)
        assert again.status == 0, f"{what}: the second attempt fails:\n{again.output}"
        allowed_s = _SLACK_S + 20 * self.seconds[step]
        assert again.seconds < allowed_s, f"{what}: the second attempt took {again.seconds:.1f} s"
        outcome = self.outcome(step)
        assert outcome == self.expected[step], f"{what}: {difference(outcome, self.expected[step])} differ"


def check_error(ended: Ended, step: str) -> None:
    """Raise AssertionError unless a step failed in a line that a person can read."""
    assert ended.status == 1, f"ended with {ended.status}:\n{ended.output}"
    assert "Traceback" not in ended.output, f"a traceback:\n{ended.output}"
    # A config, or a log, may have several errors, each with a line.
    allowed = 1 if step not in ("resolve", "validate") else 10
    assert 1 <= len(ended.errors) <= allowed, f"{len(ended.errors)} error lines:\n{ended.output}"
    for line in ended.errors:
        assert len(line) < _MAX_LINE, f"a line of {len(line)} characters: {line}"
        words = line.partition(": ")[2]
        assert words.partition(":")[0] not in _LIBRARY_ERRORS, f"a library's exception: {line}"


def difference(outcome: dict[str, Any], expected: dict[str, Any]) -> str:
    """The names under which two outcomes differ."""
    names = sorted(
        name for name in outcome.keys() | expected.keys() if outcome.get(name) != expected.get(name)
    )
    return ", ".join(names) or "nothing"


def _prepare(folder: Path, uri: str | None) -> None:
    folder.mkdir(exist_ok=True)
    with (folder / "output").open("w") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        PipelineRun(folder, uri).prepare()


def prepare_run(folder: Path) -> None:
    """Prepare a `PipelineRun` with SQLite, in a process of its own: a connection remembers a registry's content."""
    fork_server.call(_prepare, folder, None)


def _new_mlflow_run(uri: str) -> str:
    client = registry.connect(uri)
    return str(client.create_run(client.create_experiment("progress")).info.run_id)


def _reset(folder: Path, uri: str | None, step: str) -> None:
    PipelineRun(folder, uri).reset(step)


def _outcome(folder: Path, uri: str | None, step: str) -> dict[str, Any]:
    return PipelineRun(folder, uri).outcome(step)


def _run_step(step: str, folder: Path, uri: str, conditions: Conditions) -> None:
    os.environ.update(conditions.environment)
    if conditions.clock_days:
        _shift_clock(conditions.clock_days)
    if conditions.as_nobody:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    with step_entry(step):
        PipelineRun(folder, uri).run(step)


def _shift_clock(days: float) -> None:
    seconds, nanoseconds = time.time, time.time_ns

    class ShiftedDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:
            return datetime.now(tz) + timedelta(days=days)

    time.time = lambda: seconds() + days * 86_400
    time.time_ns = lambda: nanoseconds() + int(days * 86_400_000_000_000)
    for name in _READ_THE_CLOCK:
        importlib.import_module(name).datetime = ShiftedDatetime  # type: ignore[attr-defined]
