"""Simulate the days of the month: runs, faults, and a record of each."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from components.common import registry
from components.common.artifacts.evaluation import Evaluation
from components.common.registry.promotion.promotion_log import Promotion, read_promotions
from pipeline.cli.watch import EXIT_STATUS
from tests.chaos.recap_run import RecapRun, RunEnded, run_command
from tests.integration.month.champion_monitor import ChampionMonitor, Seen
from tests.integration.month.days import Day, Event
from tests.integration.month.log import GrowingLog, write_configs
from tests.servers import Process, mlflow_server

NAME = "month"
_MIB = 1 << 20
_KEPT_RUNS = 3


@dataclass(frozen=True)
class Attempt:
    """One run of a day. ``outcome`` is the gate's, or FAILED; ``auc`` of the candidate and the champion, by task."""

    outcome: str
    reason: str
    version: str | None
    promoted: bool
    seconds: float
    peak_mib: float
    auc: dict[str, float] = field(default_factory=dict)
    champion_auc: dict[str, float] = field(default_factory=dict)
    score_psi: float | None = None


@dataclass(frozen=True)
class DayRecord:
    """A day. ``workspace_mib`` is the size of the workspace at its end; ``watched`` what `recap watch` came to.

    It is FAILED where there was no outcome, and empty where there was no day or no champion to watch.
    """

    number: int
    date: str
    event: str
    attempts: list[Attempt]
    champion: str | None
    workspace_mib: float
    watched: str = ""


@dataclass(frozen=True)
class MonthRecord:
    """All days, every champion that was polled, and the registry's record of promotions."""

    days: list[DayRecord]
    polls: int
    seen: list[Seen]
    promotions: list[Promotion]

    def write(self, path: Path) -> None:
        """As JSON."""
        content = asdict(self) | {"promotions": [one.model_dump() for one in self.promotions]}
        path.write_text(json.dumps(content, indent=1))


class Month:
    """The folder of a month, with its log, registry and workspace."""

    def __init__(self, folder: Path, days: list[Day]) -> None:
        self.folder, self.days = folder, days
        folder.mkdir(parents=True)
        self.log = GrowingLog(folder, len(days))
        self.regular, self.poor = write_configs(folder)
        self.workspace = folder / "workspace"
        self.registry_uri = ""
        self._server: Process | None = None

    @contextmanager
    def registry(self) -> Iterator[None]:
        """Run the month's registry within the block; a day's event may stop it for a while."""
        folder = self.folder / "registry"
        folder.mkdir(exist_ok=True)
        with mlflow_server(folder, f"sqlite:///{folder / 'mlflow.db'}") as (self.registry_uri, self._server):
            yield

    def simulate(self, on_day: Callable[[DayRecord], None]) -> MonthRecord:
        """Simulate all days, while the registry runs."""
        with ChampionMonitor(self.registry_uri, NAME) as monitor:
            records = []
            for day in self.days:
                records.append(self._simulate_day(day))
                on_day(records[-1])
        promotions = read_promotions(registry.connect(self.registry_uri), NAME)
        return MonthRecord(records, monitor.polls, monitor.seen, promotions)

    def _simulate_day(self, day: Day) -> DayRecord:
        watched = self._watch(day)
        attempts = self._attempts(day)
        self._prune()
        return DayRecord(
            number=day.number,
            date=str(self.log.date_of(day.number)),
            event=day.event.value,
            attempts=attempts,
            champion=registry.aliases(registry.connect(self.registry_uri), NAME).get("champion"),
            watched=watched,
            workspace_mib=sum(f.stat().st_size for f in self.workspace.rglob("*") if f.is_file()) / _MIB,
        )

    def _watch(self, day: Day) -> str:
        """Publish the day as it is at first, and watch the champion on it; returns the outcome."""
        if day.event == Event.NO_DATA:
            return ""
        publish = {
            Event.BROKEN_PARTITION: self.log.publish_truncated,
            Event.MIXED_FEATURES: self.log.publish_mixed,
            Event.LOST_LABELS: self.log.publish_without_half_of_positives,
        }.get(day.event, self.log.publish)
        publish(day.number)
        if "champion" not in registry.aliases(registry.connect(self.registry_uri), NAME):
            return ""
        where = ["--data", str(self.log.root), "--day", str(self.log.date_of(day.number))]
        where += ["--tracking-uri", self.registry_uri, "--workspace", str(self.workspace)]
        done = run_command(self.folder, "watch", "--config", str(self.regular), *where)
        outcomes = {status: outcome for outcome, status in EXIT_STATUS.items()}
        return outcomes.get(done.returncode, "FAILED")

    def _attempts(self, day: Day) -> list[Attempt]:
        """The day's runs, and their repetitions after a failure."""
        match day.event:
            case Event.BROKEN_PARTITION:
                self.log.publish_truncated(day.number)
                return [self._run(day)]
            case Event.NO_DATA:
                return [self._run(day)]
            case Event.REPAIRED:
                self.log.publish(day.number - 1)
        self.log.publish(day.number)
        match day.event:
            case Event.TWO_AT_ONCE:
                started = [self._start(day, which) for which in ("a", "b")]
                return [self._attempt(run.wait()) for run in started]
            case Event.PREEMPTED:
                run = self._start(day)
                if not run.preempt_training(self.workspace / "checkpoints"):
                    raise RuntimeError(f"day {day.number}: training ended before it could be preempted")
                return [self._attempt(run.wait())]
            case Event.WORSE_CANDIDATE:
                return [self._attempt(self._start(day, config=self.poor).wait())]
            case Event.REGISTRY_DOWN:
                assert self._server is not None
                self._server.stop()
                failed = self._run(day)
                self._server.start()
                return [failed, self._run(day, "again")]
            case Event.KILLED:
                run = self._start(day)
                if not run.kill_at("register", self.workspace):
                    raise RuntimeError(f"day {day.number}: the run ended before it could be killed")
                return [self._attempt(run.wait()), self._run(day, "again")]
            case Event.ROLLBACK:
                attempt = self._run(day)
                done = run_command(
                    self.folder,
                    "rollback",
                    "--name",
                    NAME,
                    "--tracking-uri",
                    self.registry_uri,
                    "--why",
                    "complaints",
                )
                if done.returncode:
                    raise RuntimeError(f"day {day.number}: {done.stderr}")
                return [attempt]
        return [self._run(day)]

    def _run(self, day: Day, which: str = "") -> Attempt:
        return self._attempt(self._start(day, which).wait())

    def _start(self, day: Day, which: str = "", config: Path | None = None) -> RecapRun:
        arguments = ["--config", str(config or self.regular), "--data", str(self.log.root)]
        arguments += ["--end-date", str(self.log.date_of(day.number)), "--tracking-uri", self.registry_uri]
        return RecapRun(
            self.folder, [*arguments, "--workspace", str(self.workspace)], f"day-{day.number:02}{which}"
        )

    def _attempt(self, ended: RunEnded) -> Attempt:
        if ended.status:
            reason = ended.error or f"the run ended with status {ended.status}"
            return Attempt("FAILED", reason, None, False, ended.seconds, ended.peak_mib)
        promotion = ended.result["promotion"]
        outputs = self.folder / ended.result["outputs"]
        evaluation = Evaluation.read(outputs / "evaluate" / "evaluation")
        tasks = evaluation.tasks
        compared = {task: found.champion.auc for task, found in tasks.items() if found.champion}
        return Attempt(
            outcome=ended.result["outcome"],
            reason=promotion["reason"],
            version=promotion["version"],
            promoted=promotion["promoted"],
            seconds=ended.seconds,
            peak_mib=ended.peak_mib,
            auc={task: found.auc for task, found in tasks.items()},
            champion_auc=compared,
            score_psi=evaluation.score_psi,
        )

    def _prune(self) -> None:
        done = run_command(
            self.folder, "prune", "--workspace", str(self.workspace), "--keep", str(_KEPT_RUNS)
        )
        if done.returncode:
            raise RuntimeError(done.stderr)
