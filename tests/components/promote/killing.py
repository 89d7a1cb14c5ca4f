"""Register, promote and rollback, killed by SIGKILL at random moments, and run again; eight promoters at once.

``python -m tests.components.promote.killing [--seed 0] [--kills 200] [--races 100]`` prints what came of them.
Each attempt is a process of its own on a registry of its own (SQLite). Proofs are taken for granted: they write
nothing, and take seconds.
"""

import argparse
import collections
import json
import os
import random
import shutil
import signal
import statistics
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common import registry
from components.promote import manual, promote
from components.promote import move_champion as moving
from components.promote.move_champion import move_champion
from components.promote.promotion_log import Audit, read_promotions
from components.register import register as registering
from tests.components.promote import contest
from tests.components.registries import (
    NAME,
    PROOF,
    Inputs,
    new_registry,
    register,
    run_outputs,
    shared_test_set,
)
from tests.fork_server import run_python

LEASE_S = 0.3  # instead of the real one, so that hundreds of attempts take minutes
_WORKERS = 8
Work = Callable[[], object]


@dataclass(frozen=True)
class Attempt:
    """A step in a registry that is put back to ``start`` before it is tried.

    All work on it happens in forked processes: one that was connected to the registry would remember what was in it.
    """

    step: str
    place: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.place / 'workspace' / 'mlflow.db'}"

    def prepare(self) -> None:
        """Version 1 is champion; for a promotion there is version 2, and for a rollback it has followed."""
        new_registry(self.place / "workspace")
        client = registry.connect(self.uri)
        for number in (1, 2):
            inputs = run_outputs(
                self.place / str(number),
                self.uri,
                f"run-{number}",
                against=str(number - 1) if number > 1 else None,
            )
            if self.step == "register" and number == 2:
                break
            register(inputs, self.place / "version")
            if number == 1 or self.step == "rollback":
                move_champion(
                    client,
                    NAME,
                    str(number - 1) if number > 1 else None,
                    str(number),
                    Audit(why="to begin with", decision="d"),
                )
        shutil.copyfile(self.place / "workspace" / "mlflow.db", self.place / "start.db")

    def put_back(self) -> None:
        for left in (self.place / "workspace").glob("mlflow.db*"):
            left.unlink()
        shutil.copyfile(self.place / "start.db", self.place / "workspace" / "mlflow.db")

    def work(self) -> None:
        """Do the step. A person who repeats a rollback that is done is told so in a line."""
        run = self.place / "2"
        if self.step == "register":
            inputs = Inputs(
                run / "snapshot", run / "model", run / "evaluation", run / "validated", shared_test_set()
            )
            register(inputs, self.place / "registered")
        elif self.step == "promote":
            promote.promote_version(self.place / "version", run / "evaluation", self.place / "promotion")
        else:
            try:
                manual.roll_back(registry.connect(self.uri), NAME)
            except registry.RegistryError as told:
                if "rolled back already" not in str(told):
                    raise

    def state(self) -> dict[str, Any]:
        """All that has to come out equal, however often the step was killed on the way."""
        client = registry.connect(self.uri)
        experiment = client.get_experiment_by_name(NAME).experiment_id
        runs = [
            [run.info.run_name, run.info.status, run.data.params, run.data.metrics]
            for run in client.search_runs([experiment])
        ]
        moves = read_promotions(client, NAME)
        return {
            "aliases": registry.aliases(client, NAME),
            "versions": [[str(one.version), sorted(one.tags)] for one in registry.versions(client, NAME)],
            "moves": [[move.source, move.to, move.why, move.applied] for move in moves],
            "runs": sorted(runs, key=str),
        }

    def champion(self) -> str:
        return registry.aliases(registry.connect(self.uri), NAME)["champion"]


def in_child(work: Work, kill_after_s: float | None = None) -> Any:
    """What work returns, as JSON keeps it, done in a forked process; None if it was killed before it was done."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            said = json.dumps(work() or "done").encode()
            os.write(write_end, said)
            status = 0
        finally:
            traceback.print_exc() if status else None
            os._exit(status)
    os.close(write_end)
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        os.kill(child, signal.SIGKILL)
    with os.fdopen(read_end) as said:
        answer = said.read()
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL), f"ended with {ended}"
    return json.loads(answer) if ended == 0 else None


def kill_at_random(step: str, kills: int, seed: int, place: Path) -> collections.Counter[str]:
    """Kill a step so many times, each at a random moment, look, run it again, and look again.

    Returns how often which version was champion when the process was dead.

    Raises AssertionError if there was no one champion, what came of the second attempt is not what comes of one that
    is left in peace, or it waited for longer than the lease.
    """
    chance = random.Random(f"{seed} {step}")
    moving.LEASE_S = LEASE_S
    for module in (registering, manual):
        module.load_and_score = lambda *_: PROOF  # type: ignore[attr-defined]
    attempt = Attempt(step, place)
    shared_test_set()
    # Imports all that the processes to be forked use.
    registry.connect(new_registry(place / "other"))
    import mlflow.pyfunc  # noqa: F401

    in_child(attempt.prepare)
    before = in_child(attempt.champion)
    whole_s = statistics.median(_timed(attempt) for _ in range(3))
    expected = in_child(attempt.state)
    seen: collections.Counter[str] = collections.Counter()
    for number in range(kills):
        attempt.put_back()
        moment_s = chance.uniform(0, 1.2 * whole_s)
        what = f"{step}, seed {seed}, kill {number} after {moment_s:.3f} s"
        done = in_child(attempt.work, moment_s)
        now = in_child(attempt.champion)
        assert now in (before, expected["aliases"]["champion"]), f"{what}: the champion is {now}"
        began = time.perf_counter()
        in_child(attempt.work)
        took_s = time.perf_counter() - began
        assert took_s < 60 + 20 * whole_s, f"{what}: the second attempt took {took_s:.1f} s"
        found = in_child(attempt.state)
        assert found == expected, f"{what}: {found} instead of {expected}"
        seen["done before the kill" if done else f"version {now} champion after the kill"] += 1
    return seen


def _timed(attempt: Attempt) -> float:
    attempt.put_back()
    began = time.perf_counter()
    in_child(attempt.work)
    return time.perf_counter() - began


def race(rounds: int, place: Path) -> collections.Counter[str]:
    """Eight promoters at once, so many times; returns how often how many won, and how many were told so.

    Raises AssertionError unless in each round one won, seven were told, and the aliases follow the record.
    """
    uri = new_registry(place / "race")
    client = registry.connect(uri)
    client.create_registered_model("m")
    for _ in range(1 + _WORKERS * rounds):
        client.create_model_version("m", place.as_uri())
    move_champion(client, "m", None, "1", Audit(why="to begin with"))
    words = ("race", uri, "m", "1", str(_WORKERS), str(rounds))
    done = run_python("-m", contest.__name__, *words, cwd=Path.cwd())
    winners, seen = ["1"], collections.Counter[str]()
    for outcomes in map(json.loads, done.stdout.splitlines()):
        won = [outcome["won"] for outcome in outcomes if "won" in outcome]
        lost = [outcome for outcome in outcomes if "lost" in outcome]
        seen[f"{len(won)} won, {len(lost)} were told that the champion moved"] += 1
        assert (len(won), len(lost)) == (1, _WORKERS - 1), outcomes
        winners += won
    assert len(winners) == rounds + 1, done.stderr
    assert [move.to for move in read_promotions(client, "m")] == winners
    assert registry.aliases(client, "m") == {"champion": winners[-1], "previous": winners[-2]}
    return seen


def main() -> None:
    """Print a line for each step, and one for the races."""
    parser = argparse.ArgumentParser(prog=f"python -m {__spec__.name}", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--races", type=int, default=100)
    arguments = parser.parse_args()
    for step in ("register", "promote", "rollback"):
        with tempfile.TemporaryDirectory() as place:
            seen = kill_at_random(step, arguments.kills, arguments.seed, Path(place))
        print(step, dict(seen), flush=True)  # noqa: T201
    if arguments.races:
        with tempfile.TemporaryDirectory() as place:
            print("races", dict(race(arguments.races, Path(place))))  # noqa: T201


if __name__ == "__main__":
    main()
