"""A training job from its start to its end: found or created, waited for, its log passed on, deleted."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from components.common.runtime.step import RetryableError

_LOOK_S = 2.0
_LAST_LINES_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sight:
    """What a job is seen to be; ``why`` are the cluster's words on it.

    ``leaving`` is deleted, but not gone; ``active`` is waiting for nodes, or running.
    """

    state: Literal["absent", "leaving", "active", "complete", "failed"]
    why: str = ""


class Job(Protocol):
    """A training job of a cluster.

    Its methods raise ConnectionError where the cluster does not answer, which may pass; and another OSError or
    ValueError where it refuses, which does not.
    """

    name: str

    def look(self) -> Sight:
        """What the job is now."""

    def create(self) -> None:
        """Create the job, unless there is one of its name."""

    def delete(self) -> None:
        """Delete the job, if it is there; its processes get SIGTERM."""

    def log(self) -> Iterator[str]:
        """Lines of the first process's log that were not given yet, as they come, until it ends for now."""

    def last_event(self) -> str:
        """What the cluster last did for the job, in its words; empty if it says nothing."""


class JobFailedError(ValueError):
    """The job ended without success."""


def run_to_end(
    job: Job,
    prepare: Callable[[], None],
    take: Callable[[], None],
    *,
    deadline_s: float,
    stop: Callable[[], bool],
) -> None:
    """Take up the job if it is there, else create it; wait for its end, and delete it, however it ends.

    A job of that name that has failed is what an earlier attempt left behind: it makes way for a new one. While the
    cluster does not answer, the job may go on, and so does the wait.

    Args:
        prepare: called before the job is created, and not if it was there.
        take: called when the job is complete; who is killed in it finds the job again.
        deadline_s: for all of it.
        stop: asked every two seconds whether to break off.

    Raises:
        JobFailedError: it failed, or someone deleted it.
        TimeoutError: it did not end in time.
        RetryableError: ``stop`` said so.
        OSError, ValueError: the cluster refuses.
    """
    wait = _Wait(job.name, deadline_s, stop)
    try:
        _start_or_find(job, prepare, wait)
        with _log_passed_on(job):
            try:
                _end_of(job, wait)
            except RetryableError:
                # Who is asked to stop has little time, and the log goes on for as long as the job does.
                _delete(job)
                raise
        take()
    except TimeoutError as error:
        raise TimeoutError(f"{error}{_after(job)}") from None
    finally:
        _delete(job)


class _Wait:
    """Looks at a job again and again, until a deadline, through times without an answer."""

    def __init__(self, name: str, deadline_s: float, stop: Callable[[], bool]) -> None:
        self._name = name
        self._deadline_s = deadline_s
        self._end = time.monotonic() + deadline_s
        self._stop = stop
        self._silence: str | None = None

    def until(self, done: Callable[[], bool]) -> None:
        """Call ``done`` until it says so; a ConnectionError of it is told once, and waited out."""
        while not self._tried(done):
            if self._stop():
                raise RetryableError(
                    f"asked to stop, so training job {self._name} is deleted; run the step again to go on from "
                    "its newest checkpoint"
                )
            if time.monotonic() + _LOOK_S > self._end:
                silence = f"; the cluster does not answer: {self._silence}" if self._silence else ""
                raise TimeoutError(
                    f"training job {self._name}: no end after {self._deadline_s / 60:.0f} minutes, which the "
                    f"train step's time-out leaves it (pods.train.timeout_minutes of the cluster's file){silence}"
                )
            time.sleep(_LOOK_S)

    def _tried(self, done: Callable[[], bool]) -> bool:
        try:
            over = done()
        except ConnectionError as error:
            if self._silence is None:
                log.warning("event=no_answer job=%s reason=%r", self._name, str(error))
            self._silence = str(error)
            return False
        if self._silence is not None:
            log.info("event=answers_again job=%s", self._name)
            self._silence = None
        return over


def _start_or_find(job: Job, prepare: Callable[[], None], wait: _Wait) -> None:
    def there() -> bool:
        sight = job.look()
        if sight.state == "absent":
            prepare()
            job.create()
            log.info("event=job_created job=%s", job.name)
        elif sight.state == "failed":
            log.info("event=failed_job_found job=%s why=%r", job.name, sight.why)
            job.delete()
        elif sight.state != "leaving":
            log.info("event=job_found job=%s state=%s", job.name, sight.state)
        return sight.state not in ("failed", "leaving")

    wait.until(there)


def _end_of(job: Job, wait: _Wait) -> None:
    def ended() -> bool:
        sight = job.look()
        if sight.state == "failed":
            raise JobFailedError(f"training job {job.name} failed: {sight.why}{_after(job)}")
        if sight.state in ("absent", "leaving"):
            raise JobFailedError(f"training job {job.name}: was deleted, and not by this step; run it again")
        return sight.state == "complete"

    wait.until(ended)


def _after(job: Job) -> str:
    try:
        event = job.last_event()
    except (OSError, ValueError):
        return ""
    return f"; last event: {event}" if event else ""


def _delete(job: Job) -> None:
    try:
        job.delete()
    except (OSError, ValueError) as error:
        # It does not decide how the step ends, and the run's last step deletes the job too.
        log.warning("event=job_not_deleted job=%s reason=%r", job.name, str(error))


@contextmanager
def _log_passed_on(job: Job) -> Iterator[None]:
    """Write the job's log to ours while the block runs, and what is left of it after."""
    over = threading.Event()

    def pass_on() -> None:
        last = False
        while not last:
            last = over.is_set()
            try:
                for line in job.log():
                    sys.stdout.write(line.rstrip("\n") + "\n")
                    sys.stdout.flush()
            except (OSError, ValueError) as error:
                log.debug("event=no_log job=%s reason=%r", job.name, str(error))
            over.wait(_LOOK_S)

    thread = threading.Thread(target=pass_on, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LAST_LINES_S)
