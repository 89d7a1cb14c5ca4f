"""Run a training job: find or create it, wait for its end, forward its log, delete it."""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol

from components.common.runtime.step import RetryableError

_POLL_S = 2.0
_LAST_LINES_S = 5.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobStatus:
    """The status of a job; ``why`` is the cluster's message.

    ``deleting``: deletion has begun; ``active``: pending or running.
    """

    state: Literal["absent", "deleting", "active", "complete", "failed"]
    why: str = ""


class Job(Protocol):
    """A training job of a cluster.

    Its methods raise ConnectionError if the cluster does not answer, which is transient; and another OSError or
    ValueError if it refuses, which is permanent.
    """

    name: str

    def poll(self) -> JobStatus:
        """The job's current status."""

    def create(self) -> None:
        """Create the job unless one of its name exists."""

    def delete(self) -> None:
        """Delete the job if it exists; its processes get SIGTERM."""

    def log(self) -> Iterator[str]:
        """New lines of the first process's log, as they are written, until the stream ends."""

    def last_event(self) -> str:
        """The cluster's last event on the job; empty if there is none."""


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
    """Find the job or create it, wait for its end, and delete it in any case.

    A failed job of the same name is of an earlier attempt and is replaced. While the cluster does not answer, the job
    may be running, so the wait goes on.

    Args:
        prepare: called before the job is created, not if it exists.
        take: called when the job is complete; a step that is killed during the call finds the job again.
        deadline_s: for the whole call.
        stop: polled every two seconds; True stops the wait.

    Raises:
        JobFailedError: it failed, or was deleted by someone else.
        TimeoutError: it did not end in time.
        RetryableError: ``stop`` returned True.
        OSError, ValueError: the cluster refuses.
    """
    wait = _Wait(job.name, deadline_s, stop)
    try:
        _start_or_find(job, prepare, wait)
        with _forward_log(job):
            try:
                _wait_for_end(job, wait)
            except RetryableError:
                # A preempted step has little time, and the log's stream ends only with the job.
                _delete(job)
                raise
        take()
    except TimeoutError as error:
        raise TimeoutError(f"{error}{_last_event(job)}") from None
    finally:
        _delete(job)


class _Wait:
    """Polls a job until a deadline, tolerating times without an answer."""

    def __init__(self, name: str, deadline_s: float, stop: Callable[[], bool]) -> None:
        self._name = name
        self._deadline_s = deadline_s
        self._end = time.monotonic() + deadline_s
        self._stop = stop
        self._silence: str | None = None

    def until(self, done: Callable[[], bool]) -> None:
        """Call ``done`` until it returns True; a ConnectionError is logged once and retried."""
        while not self._try(done):
            if self._stop():
                raise RetryableError(
                    f"asked to stop, so training job {self._name} is deleted; run the step again to resume from its "
                    "newest checkpoint"
                )
            if time.monotonic() + _POLL_S > self._end:
                silence = f"; the cluster does not answer: {self._silence}" if self._silence else ""
                raise TimeoutError(
                    f"training job {self._name}: not finished after {self._deadline_s / 60:.0f} minutes, the "
                    f"deadline within the train step; raise pods.train.timeout_minutes in the cluster file{silence}"
                )
            time.sleep(_POLL_S)

    def _try(self, done: Callable[[], bool]) -> bool:
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
    def is_started() -> bool:
        status = job.poll()
        if status.state == "absent":
            prepare()
            job.create()
            log.info("event=job_created job=%s", job.name)
        elif status.state == "failed":
            log.info("event=failed_job_found job=%s why=%r", job.name, status.why)
            job.delete()
        elif status.state != "deleting":
            log.info("event=job_found job=%s state=%s", job.name, status.state)
        return status.state not in ("failed", "deleting")

    wait.until(is_started)


def _wait_for_end(job: Job, wait: _Wait) -> None:
    def is_complete() -> bool:
        status = job.poll()
        if status.state == "failed":
            raise JobFailedError(f"training job {job.name} failed: {status.why}{_last_event(job)}")
        if status.state in ("absent", "deleting"):
            raise JobFailedError(f"training job {job.name}: was deleted, and not by this step; run it again")
        return status.state == "complete"

    wait.until(is_complete)


def _last_event(job: Job) -> str:
    try:
        event = job.last_event()
    except (OSError, ValueError):
        return ""
    return f"; last event: {event}" if event else ""


def _delete(job: Job) -> None:
    try:
        job.delete()
    except (OSError, ValueError) as error:
        # It does not change how the step ends, and notify deletes the job too.
        log.warning("event=job_not_deleted job=%s reason=%r", job.name, str(error))


@contextmanager
def _forward_log(job: Job) -> Iterator[None]:
    """Write the job's log to stdout during the block, and its rest after it."""
    over = threading.Event()

    def forward() -> None:
        last = False
        while not last:
            last = over.is_set()
            try:
                for line in job.log():
                    sys.stdout.write(line.rstrip("\n") + "\n")
                    sys.stdout.flush()
            except (OSError, ValueError) as error:
                log.debug("event=no_log job=%s reason=%r", job.name, str(error))
            over.wait(_POLL_S)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(_LAST_LINES_S)
