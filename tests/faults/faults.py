"""What befalls a step, what it may do then, and that a second attempt finishes as if nothing had been."""

import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import fork_server
from tests.faults import child
from tests.faults.place import STEPS, WITH_REGISTRY, Place
from tests.faults.proxy import Proxy, Way
from tests.servers import Process

TRY_AGAIN = 75
_ROOM = {
    "resolve": 2,
    "register": 24,
    "promote": 8,
}  # KiB of a disk that fills, by step; of the others _LITTLE
_LITTLE = 12
_LONGEST_LINE = 1000
# Of MLflow's client, which by itself tries four times and waits for a minute each time.
_LITTLE_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
}
_SERVED_WITHIN_S = 60
# What steps say that leave something else for want of the server, and how a table calls it.
_GO_ON_WITHOUT = {
    "resolve": ("event=no_baseline", "no baseline"),
    "evaluate": ("outcome=ERROR", "decides ERROR"),
}


class Bench:
    """A prepared place, what each step leaves undisturbed, and how long it takes.

    Raises AssertionError if a step, left in peace, does not come out the same twice.
    """

    def __init__(
        self, folder: Path, uri: str | None = None, server: Process | None = None, proxy: Proxy | None = None
    ) -> None:
        # A user who owns nothing has to get there.
        folder.chmod(0o755)
        self.folder, self.given_uri, self.server, self.proxy = folder, uri, server, proxy
        self.uri = Place(folder, uri).uri
        fork_server.call(child.prepared, folder, uri)
        # Where training tells how far it is.
        self.environment = {}
        if uri is not None:
            run = fork_server.call(child.new_run, uri)
            self.environment = {"MLFLOW_RUN_ID": run, "MLFLOW_TRACKING_URI": uri}
        self.expected: dict[str, dict[str, Any]] = {}
        self.seconds: dict[str, float] = {}
        self.requests: dict[str, int] = {}

    def learn(self, step: str) -> None:
        """Find out what a step leaves, and how long it takes."""
        if step in self.expected:
            return
        outcomes = []
        for _ in range(2):
            self.put_back(step)
            began = self.proxy.requests if self.proxy else 0
            ended = child.done(step, self.folder, self.uri, environment=self.environment)
            self.requests[step] = self.proxy.requests - began if self.proxy else 0
            assert ended.status == 0, f"{step} fails undisturbed:\n{ended.said}"
            outcomes.append(self.outcome(step))
            self.seconds[step] = ended.seconds
        assert outcomes[0] == outcomes[1], f"{step}: {_difference(*outcomes)} differ without a fault"
        self.expected[step] = outcomes[0]

    def put_back(self, step: str) -> None:
        """As if the step had not been done."""
        fork_server.call(child.put_back, self.folder, self.given_uri, step)

    def outcome(self, step: str) -> dict[str, Any]:
        """What it has left."""
        return fork_server.call(child.outcome, self.folder, self.given_uri, step)

    def finishes(self, step: str, what: str) -> None:
        """Raise AssertionError unless the step, run once more, comes out as if it had never been disturbed."""
        again = child.done(step, self.folder, self.uri, environment=self.environment)
        assert again.status == 0, f"{what}: the second attempt fails:\n{again.said}"
        found = self.outcome(step)
        assert found == self.expected[step], (
            f"{what}: {_difference(found, self.expected[step])} came out otherwise"
        )


Fault = Callable[[Bench, str, random.Random], str]
"""Disturbs a step of a bench once; returns in a word how it ended, or raises AssertionError."""


def killed(bench: Bench, step: str, chance: random.Random) -> str:
    """SIGKILL at a random moment."""
    return _ended_by(bench, step, signal.SIGKILL, chance)


def terminated(bench: Bench, step: str, chance: random.Random) -> str:
    """SIGTERM at a random moment, as a node that is taken away sends it."""
    return _ended_by(bench, step, signal.SIGTERM, chance)


def full_disk(bench: Bench, step: str, chance: random.Random) -> str:
    """A disk of a few KiB under the outputs, or under the registry's database."""
    where = bench.folder / ("workspace" if step in ("register", "promote") else "out")
    with _full_but_for(where, _ROOM.get(step, _LITTLE) << 10):
        ended = child.done(step, bench.folder, bench.uri)
    return _refused(ended, step)


def no_permission(bench: Bench, step: str, chance: random.Random) -> str:
    """A user who may write neither outputs nor registry."""
    ended = child.done(step, bench.folder, bench.uri, nobody=True)
    return _refused(ended, step)


def cut_off(bench: Bench, step: str, chance: random.Random) -> str:
    """One of the inputs ends at a random place."""
    return _with_harmed_input(bench, step, chance, lambda content: content[: chance.randrange(len(content))])


def altered(bench: Bench, step: str, chance: random.Random) -> str:
    """One bit of one of the inputs is another."""

    def flip(content: bytes) -> bytes:
        place = chance.randrange(len(content))
        return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]

    return _with_harmed_input(bench, step, chance, flip)


def gone(bench: Bench, step: str, chance: random.Random) -> str:
    """One of the inputs is not there."""
    return _with_harmed_input(bench, step, chance, _gone)


def _gone(content: bytes) -> None:
    return None


def clock(bench: Bench, step: str, chance: random.Random) -> str:
    """The clock is off by months or years."""
    days = chance.choice([-4000, -30, 30, 400])
    ended = child.done(step, bench.folder, bench.uri, days=days)
    assert ended.status == 0, f"{step}: fails with a clock that is off by {days} days:\n{ended.said}"
    found = bench.outcome(step)
    assert found == bench.expected[step], (
        f"{step}: {_difference(found, bench.expected[step])} follow the clock"
    )
    return "the same"


def server_stopped(bench: Bench, step: str, chance: random.Random) -> str:
    """The registry's server is killed at a random moment."""
    assert bench.server is not None
    stopper = threading.Timer(chance.uniform(0, bench.seconds[step]), bench.server.stop)
    stopper.start()
    try:
        ended = child.done(step, bench.folder, bench.uri, environment=bench.environment)
    finally:
        stopper.cancel()
        stopper.join()
        bench.server.stop()
        bench.server.start()
    return "done before" if ended.status == 0 else _refused(ended, step)


def _served(way: Way) -> Fault:
    """The registry's server does so from one of the step's requests on."""

    def disturbed(bench: Bench, step: str, chance: random.Random) -> str:
        assert bench.proxy is not None
        after = chance.randrange(bench.requests[step])
        bench.proxy.disturb(way, after)
        try:
            ended = child.done(
                step, bench.folder, bench.uri, environment={**bench.environment, **_LITTLE_PATIENCE}
            )
        finally:
            bench.proxy.rest()
        assert ended.seconds < _SERVED_WITHIN_S, f"after request {after}: took {ended.seconds:.0f} s"
        if ended.status == 0:
            found = bench.outcome(step)
            if found == bench.expected[step]:
                return "goes on"
            said, how = _GO_ON_WITHOUT.get(step, ("nothing", ""))
            wrong = _difference(found, bench.expected[step])
            assert said in ended.said, f"after request {after}: {wrong} came out otherwise"
            return how
        assert step != "train", f"ended for want of a server that it can do without:\n{ended.said}"
        assert way != "is slow", f"ended for a slow server:\n{ended.said}"
        return _refused(ended, step)

    return disturbed


FAULTS: dict[str, Fault] = {
    "SIGKILL": killed,
    "SIGTERM": terminated,
    "disk full": full_disk,
    "no permission": no_permission,
    "input cut off": cut_off,
    "input altered": altered,
    "input gone": gone,
    "clock": clock,
    "server killed": server_stopped,
    "server refuses": _served("refuses"),
    "server hangs": _served("hangs"),
    "answers lost": _served("answers get lost"),
    "answer cut off": _served("an answer is cut off"),
    "server slow": _served("is slow"),
}
"""All of them, by what a table calls them; the last six need a bench with a server."""

_OF_SERVERS = (
    "server killed",
    "server refuses",
    "server hangs",
    "answers lost",
    "answer cut off",
    "server slow",
)
_NEED_ROOT = ("disk full", "no permission")


def applies(fault: str, step: str, server: bool) -> bool:
    """Whether a fault can befall a step here."""
    if fault in _OF_SERVERS:
        return server and step in WITH_REGISTRY
    if server or (fault in _NEED_ROOT and os.geteuid() != 0):
        return False
    # Resolve freezes the log as it finds it.
    return not (step == "resolve" and fault in ("input altered", "input gone"))


def disturb(bench: Bench, step: str, fault: str, seed: int) -> str:
    """Put a step back, disturb it, and see it finish. Returns how it took the fault.

    Raises AssertionError if the step does not say in one line what is wrong, or does not finish the same afterwards.
    """
    assert step in STEPS
    bench.learn(step)
    bench.put_back(step)
    chance = random.Random(f"{seed} {step} {fault}")
    what = f"{step}, {fault}, seed {seed}"
    try:
        how = FAULTS[fault](bench, step, chance)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from None
    bench.finishes(step, what)
    return how


def _ended_by(bench: Bench, step: str, sent: signal.Signals, chance: random.Random) -> str:
    after_s = chance.uniform(0, 1.1 * bench.seconds[step])
    ended = child.done(step, bench.folder, bench.uri, signal=sent, after_s=after_s)
    if ended.status == 0:
        return "done before"
    assert ended.status in (-sent, TRY_AGAIN), f"ended with {ended.status}:\n{ended.said}"
    return "goes on" if ended.status == TRY_AGAIN else "ended"


def _with_harmed_input(
    bench: Bench, step: str, chance: random.Random, harm: Callable[[bytes], bytes | None]
) -> str:
    place = Place(bench.folder)
    inputs = [path for path in place.inputs(step) if path.stat().st_size]
    if harm is not _gone and step == "validate":
        # Not the log: prepare, which the run does not get past, is who holds it to the digests that resolve froze.
        inputs = [path for path in inputs if place.given in path.parents]
    path = chance.choice(inputs)
    content = path.read_bytes()
    harmed = harm(content)
    if harmed is None:
        path.unlink()
    else:
        path.write_bytes(harmed)
    try:
        ended = child.done(step, bench.folder, bench.uri)
        if ended.status == 0:
            found = bench.outcome(step)
            wrong = _difference(found, bench.expected[step])
            name = path.relative_to(bench.folder)
            assert found == bench.expected[step], f"{name} was harmed, which changed {wrong} without a word"
            return "not read"
        return _refused(ended, step)
    finally:
        path.write_bytes(content)
        bench.put_back(step)


def _refused(ended: child.Ended, step: str) -> str:
    assert ended.status == 1, f"ended with {ended.status}:\n{ended.said}"
    assert "Traceback" not in ended.said, f"a traceback:\n{ended.said}"
    # A config, or a log, may have several things wrong with it, each of which has a line.
    most = 1 if step not in ("resolve", "validate") else 10
    assert 1 <= len(ended.errors) <= most, f"{len(ended.errors)} lines:\n{ended.said}"
    for line in ended.errors:
        assert len(line) < _LONGEST_LINE, f"a line of {len(line)} characters: {line}"
        words = line.partition(": ")[2]
        assert words.partition(":")[0] not in _LIBRARIES, f"a library's word: {line}"
    return "refused"


_LIBRARIES = ("KeyError", "TypeError", "IndexError", "AttributeError", "AssertionError", "RuntimeError")


@contextmanager
def _full_but_for(folder: Path, room: int) -> Iterator[None]:
    """A file system in the place of a folder, with what was in it and so many bytes left."""
    aside = folder.with_name(f"{folder.name}.aside")
    folder.rename(aside)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,mode=755", "tmpfs", folder], check=True)
    try:
        shutil.copytree(aside, folder, dirs_exist_ok=True)
        state = os.statvfs(folder)
        (folder / "filler").write_bytes(bytes(state.f_bavail * state.f_frsize - room))
        yield
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()
        aside.rename(folder)


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    names = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
    return ", ".join(names) or "nothing"
