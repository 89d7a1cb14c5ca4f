"""Faults, and how a step may end under each."""

import os
import random
import signal
import threading
from collections.abc import Callable

from tests.chaos.disk import nearly_full
from tests.chaos.harness import Conditions, Harness, check_error, difference
from tests.chaos.pipeline_run import READS_REGISTRY, WORK, WRITES_REGISTRY, PipelineRun
from tests.chaos.proxy import Disturbance

EXIT_RETRY = 75
_FREE_KIB = {"resolve": 2, "register": 24, "promote": 8, "rollback": 8}  # of a disk that fills
_FREE_KIB_OTHERS = 12
_MAX_KILLS = {"train": 5}  # it resumes from its checkpoints, so that it takes several kills before it ends
# Of MLflow's client, which by default tries four times and waits for a minute each time.
_IMPATIENT = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "3",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "0",
}
_MAX_WAIT_S = 60
# What steps log when they end without the server, with another outcome, and the table's word for it.
_WITHOUT_SERVER = {
    "resolve": ("event=no_baseline", "no baseline"),
    "evaluate": ("outcome=ERROR", "decides ERROR"),
}

Fault = Callable[[Harness, str, random.Random], str]
"""Disturbs a step once; returns in a word how it ended, or raises AssertionError."""


def kill(harness: Harness, step: str, rng: random.Random) -> str:
    """SIGKILL at a random time."""
    return _end_by(harness, step, signal.SIGKILL, rng)


def terminate(harness: Harness, step: str, rng: random.Random) -> str:
    """SIGTERM at a random time, as on preemption."""
    return _end_by(harness, step, signal.SIGTERM, rng)


def fill_disk(harness: Harness, step: str, rng: random.Random) -> str:
    """A disk with a few KiB left under the outputs, or under the registry's database."""
    folder = harness.folder / ("workspace" if step in WRITES_REGISTRY else "out")
    with nearly_full(folder, _FREE_KIB.get(step, _FREE_KIB_OTHERS) << 10):
        ended = harness.attempt(step)
    check_error(ended, step)
    return "refused"


def deny_writes(harness: Harness, step: str, rng: random.Random) -> str:
    """A user who may write neither outputs nor registry."""
    check_error(harness.attempt(step, Conditions(as_nobody=True)), step)
    return "refused"


def truncate_input(harness: Harness, step: str, rng: random.Random) -> str:
    """One of the inputs is cut off at a random position."""
    return _damage_input(harness, step, rng, lambda content: content[: rng.randrange(len(content))])


def alter_input(harness: Harness, step: str, rng: random.Random) -> str:
    """One bit of one of the inputs is flipped."""

    def flip(content: bytes) -> bytes:
        at = rng.randrange(len(content))
        return content[:at] + bytes([content[at] ^ 1 << rng.randrange(8)]) + content[at + 1 :]

    return _damage_input(harness, step, rng, flip)


def remove_input(harness: Harness, step: str, rng: random.Random) -> str:
    """One of the inputs does not exist."""
    return _damage_input(harness, step, rng, None)


def shift_clock(harness: Harness, step: str, rng: random.Random) -> str:
    """The clock is off by months or years."""
    days = rng.choice([-4000, -30, 30, 400])
    ended = harness.attempt(step, Conditions(clock_days=days))
    assert ended.status == 0, f"fails with a clock that is off by {days} days:\n{ended.output}"
    outcome = harness.outcome(step)
    changed = difference(outcome, harness.expected[step])
    assert outcome == harness.expected[step], f"{changed} depend on the clock"
    return "the same"


def kill_server(harness: Harness, step: str, rng: random.Random) -> str:
    """The registry's server is killed at a random time."""
    assert harness.server is not None
    stopper = threading.Timer(rng.uniform(0, harness.seconds[step]), harness.server.stop)
    stopper.start()
    try:
        ended = harness.attempt(step)
    finally:
        stopper.cancel()
        stopper.join()
        harness.server.stop()
        harness.server.start()
    if ended.status == 0:
        return "done before"
    check_error(ended, step)
    return "refused"


def _disturb_server(disturbance: Disturbance) -> Fault:
    """The registry's server is disturbed from one of the step's requests on."""

    def disturb(harness: Harness, step: str, rng: random.Random) -> str:
        assert harness.proxy is not None
        after = rng.randrange(harness.requests[step])
        harness.proxy.disturb(disturbance, after)
        try:
            ended = harness.attempt(step, Conditions(environment={**harness.environment, **_IMPATIENT}))
        finally:
            harness.proxy.recover()
        assert ended.seconds < _MAX_WAIT_S, f"after request {after}: took {ended.seconds:.0f} s"
        if ended.status == 0:
            outcome = harness.outcome(step)
            if outcome == harness.expected[step]:
                return "goes on"
            logged, how = _WITHOUT_SERVER.get(step, ("nothing", ""))
            changed = difference(outcome, harness.expected[step])
            assert logged in ended.output, f"after request {after}: {changed} differ"
            return how
        assert step != "train", f"ended for want of a server that it does not need:\n{ended.output}"
        assert disturbance != "is slow", f"ended for a slow server:\n{ended.output}"
        check_error(ended, step)
        return "refused"

    return disturb


_OF_SERVER: dict[str, Fault] = {
    "server killed": kill_server,
    "server refuses": _disturb_server("refuses"),
    "server hangs": _disturb_server("hangs"),
    "answers lost": _disturb_server("loses answers"),
    "answer cut off": _disturb_server("cuts an answer off"),
    "server slow": _disturb_server("is slow"),
}

FAULTS: dict[str, Fault] = {
    "SIGKILL": kill,
    "SIGTERM": terminate,
    "disk full": fill_disk,
    "no permission": deny_writes,
    "input cut off": truncate_input,
    "input altered": alter_input,
    "input gone": remove_input,
    "clock": shift_clock,
    **_OF_SERVER,
}
"""All of them, by their names in the table."""

_NEED_ROOT = ("disk full", "no permission")
_OF_INPUTS = ("input cut off", "input altered", "input gone")


def applies(fault: str, step: str, server: bool) -> bool:
    """Whether a fault can disturb a step, with a registry's server or without."""
    if fault in _OF_SERVER:
        return server and step in (*READS_REGISTRY, *WRITES_REGISTRY) and step != "rollback"
    if server or (fault in _NEED_ROOT and os.geteuid() != 0):
        return False
    if step == "rollback":
        return fault not in _OF_INPUTS
    # Resolve freezes the log whatever it holds.
    return not (step == "resolve" and fault in ("input altered", "input gone"))


def disturb(harness: Harness, step: str, fault: str, seed: int) -> str:
    """Reset a step, disturb it, and run it again. Returns in a word how it ended under the fault.

    Raises AssertionError if the step does not report the fault in one line, leaves no champion, or has another
    outcome afterwards than a step that was left alone.
    """
    assert step in WORK
    harness.measure(step)
    harness.reset(step)
    rng = random.Random(f"{seed} {step} {fault}")
    what = f"{step}, {fault}, seed {seed}"
    try:
        how = FAULTS[fault](harness, step, rng)
    except AssertionError as error:
        raise AssertionError(f"{what}: {error}") from None
    harness.check_interrupted(step, what)
    harness.check_rerun(step, what)
    return how


def _end_by(harness: Harness, step: str, number: signal.Signals, rng: random.Random) -> str:
    how = "done before"
    for _ in range(_MAX_KILLS.get(step, 1)):
        ended = harness.start(step).stop(number, rng.uniform(0, 1.1 * harness.seconds[step]))
        if ended.status == 0:
            break
        assert ended.status in (-number, EXIT_RETRY), f"ended with {ended.status}:\n{ended.output}"
        how = "goes on" if ended.status == EXIT_RETRY else "ended"
    return how


def _damage_input(
    harness: Harness, step: str, rng: random.Random, damage: Callable[[bytes], bytes] | None
) -> str:
    """Damage one of a step's inputs, or remove it."""
    run = PipelineRun(harness.folder)
    inputs = [path for path in run.inputs(step) if path.stat().st_size]
    if damage is not None and step == "validate":
        # Not the log: prepare compares it with the digests that resolve froze, and the run does not get past it.
        inputs = [path for path in inputs if run.given in path.parents]
    path = rng.choice(inputs)
    content = path.read_bytes()
    path.unlink() if damage is None else path.write_bytes(damage(content))
    try:
        ended = harness.attempt(step, Conditions())
        if ended.status == 0:
            outcome = harness.outcome(step)
            changed, name = difference(outcome, harness.expected[step]), path.relative_to(harness.folder)
            assert outcome == harness.expected[step], f"damage to {name} changed {changed} without an error"
            return "not read"
        check_error(ended, step)
        return "refused"
    finally:
        path.write_bytes(content)
        harness.reset(step)
