"""The door of a step's process: logging on the way in, one line for each error on the way out."""

import errno
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from components.common.runtime.process_pool import end_with_its_run

ERROR_MARK = "recap-error:"
PROGRESS_MARK = "recap-progress:"

PIPE_OF_RUN = "RECAP_PIPE_OF_RUN"
"""Set by ``recap run``, so that a step ends with it: which stream it holds the other end of, stdin or stdout."""

EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the work was broken off, and may be taken up again

log = logging.getLogger("recap")

_ROOM = "make room on the disk, or write elsewhere, and run again"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EROFS: "this place can only be read; write elsewhere",
    errno.EACCES: "ask for the right to it, or take another place",
}


class TryAgainError(Exception):
    """The step was broken off from outside, and goes on from where it was when it is run again."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Run a step's work: what it raises leaves the process as one line and exit status 1, or 75 to try again.

    The whole traceback goes to the log at level DEBUG of ``RECAP_LOG_LEVEL``, for who mends the step.
    """
    _log_to_stdout()
    if pipe := os.environ.get(PIPE_OF_RUN):
        end_with_its_run(pipe)
    log.info("step=%s event=start", name)
    try:
        yield
    except KeyboardInterrupt:
        print(f"{ERROR_MARK} {name}: interrupted", flush=True)  # noqa: T201 - the door is where a step prints
        sys.exit(130)
    except TryAgainError as error:
        print(f"{ERROR_MARK} {name}: {error}", flush=True)  # noqa: T201
        sys.exit(EXIT_TRY_AGAIN)
    except Exception as error:
        log.debug("step=%s event=traceback", name, exc_info=True)
        for line in lines_of(error):
            print(f"{ERROR_MARK} {name}: {line}", flush=True)  # noqa: T201
        sys.exit(1)
    log.info("step=%s event=done", name)


def lines_of(error: Exception) -> list[str]:
    """What an error says to its reader; with what to do where the system says only a number and a word."""
    lines = str(error).strip().splitlines()
    if not lines:
        return [type(error).__name__]
    if not isinstance(error, ValueError | OSError):
        lines[0] = f"{type(error).__name__}: {lines[0]}"
    remedy = _REMEDIES.get(error.errno or 0) if isinstance(error, OSError) else None
    return [f"{lines[0]}; {remedy}", *lines[1:]] if remedy else lines


def progress(done: float, total: float, what: str) -> None:
    """Say how far a step is; ``recap run`` shows it as the step's line. ``what`` is a few words."""
    share = done / total if total else 1.0
    print(f"{PROGRESS_MARK} {share:.4f} {what}", flush=True)  # noqa: T201


def _log_to_stdout() -> None:
    level = os.environ.get("RECAP_LOG_LEVEL", "INFO").upper()
    logging.basicConfig(stream=sys.stdout, level=level, format="%(levelname)s %(message)s", force=True)
    if level != "DEBUG":
        warnings.simplefilter("ignore")
        for noisy in ("mlflow", "alembic", "great_expectations", "matplotlib"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
