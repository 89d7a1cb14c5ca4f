"""The days of the month, one after the other, each with its run, its event, and what is recorded of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from components.common import registry
from components.common.artifacts.evaluation import Evaluation
from components.promote.promotion_log import Promotion, read_promotions
from tests.integration.month.calendar import Day, Event
from tests.integration.month.runs import Ended, Run, command
from tests.integration.month.watch import ChampionWatch, Seen
from tests.integration.month.world import Log, write_configs
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
    """A day as it went. ``workspace_mib`` is what the runs have left on disk at its end."""

    number: int
    date: str
    event: str
    attempts: list[Attempt]
    champion: str | None
    workspace_mib: float


@dataclass(frozen=True)
class MonthRecord:
    """All days, every champion that was seen from outside, and the registry's own record of moves."""

    days: list[DayRecord]
    looks: int
    seen: list[Seen]
    moves: list[Promotion]

    def write(self, path: Path) -> None:
        """As JSON."""
        content = asdict(self) | {"moves": [move.model_dump() for move in self.moves]}
        path.write_text(json.dumps(content, indent=1))


class Month:
    """The place of one month: its log, its registry, its workspace, all in one folder."""

    def __init__(self, folder: Path, days: list[Day]) -> None:
        self.folder, self.days = folder, days
        folder.mkdir(parents=True)
        self.log = Log(folder, len(days))
        self.usual, self.poor = write_configs(folder)
        self.workspace = folder / "workspace"
        self.registry_uri = ""
        self._server: Process | None = None

    @contextmanager
    def registry(self) -> Iterator[None]:
        """The month's registry answers as long as the block lasts, but where a day takes it down."""
        folder = self.folder / "registry"
        folder.mkdir(exist_ok=True)
        with mlflow_server(folder, f"sqlite:///{folder / 'mlflow.db'}") as (self.registry_uri, self._server):
            yield

    def play(self, on_day: Callable[[DayRecord], None]) -> MonthRecord:
        """Live through all days, while the registry is up."""
        with ChampionWatch(self.registry_uri, NAME) as watch:
            records = []
            for day in self.days:
                records.append(self._live(day))
                on_day(records[-1])
        moves = read_promotions(registry.connect(self.registry_uri), NAME)
        return MonthRecord(records, watch.looks, watch.seen, moves)

    def _live(self, day: Day) -> DayRecord:
        attempts = self._attempts(day)
        self._prune()
        return DayRecord(
            number=day.number,
            date=str(self.log.date_of(day.number)),
            event=day.event.value,
            attempts=attempts,
            champion=registry.aliases(registry.connect(self.registry_uri), NAME).get("champion"),
            workspace_mib=sum(f.stat().st_size for f in self.workspace.rglob("*") if f.is_file()) / _MIB,
        )

    def _attempts(self, day: Day) -> list[Attempt]:
        """What the night's runs, and whoever repeats them, come to."""
        match day.event:
            case Event.BROKEN_PARTITION:
                self.log.publish_cut_off(day.number)
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
                done = command(
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

    def _start(self, day: Day, which: str = "", config: Path | None = None) -> Run:
        arguments = ["--config", str(config or self.usual), "--data", str(self.log.root)]
        arguments += ["--end-date", str(self.log.date_of(day.number)), "--tracking-uri", self.registry_uri]
        return Run(
            self.folder, [*arguments, "--workspace", str(self.workspace)], f"day-{day.number:02}{which}"
        )

    def _attempt(self, ended: Ended) -> Attempt:
        if ended.status:
            reason = ended.said or f"the run ended with status {ended.status}"
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
        done = command(self.folder, "prune", "--workspace", str(self.workspace), "--keep", str(_KEPT_RUNS))
        if done.returncode:
            raise RuntimeError(done.stderr)
