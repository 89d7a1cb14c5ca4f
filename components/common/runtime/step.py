"""Entry point of a step's process: logging, error lines, exit status and progress."""

import errno
import logging
import os
import re
import shutil
import sys
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from components.common.runtime.cost import CostMeter, describe
from components.common.runtime.process_pool import exit_with_run
from recap_model.config.fields.uris import mask_secrets

ERROR_MARK = "recap-error:"
PROGRESS_MARK = "recap-progress:"

PIPE_OF_RUN = "RECAP_PIPE_OF_RUN"
"""Set by ``recap run`` so that a step exits with it: the stream (stdin or stdout) whose other end it holds."""

KEY_OF_RUN = "RECAP_KEY_OF_RUN"
"""Set by ``recap run``: a random token after each mark, so that no other output is mistaken for one."""

LOG_LEVEL = "RECAP_LOG_LEVEL"

EXIT_RETRY = 75  # EX_TEMPFAIL of sysexits.h: preempted, and resumes when it is run again

log = logging.getLogger("recap")

_PROGRESS_EVERY_S = 0.1
_last_progress = (-1, 0.0)  # percent, and when it was printed

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_ROOM = "free disk space, or write elsewhere, and run again"
_MEMORY = "give the step more memory (a container's limit, ulimit -v), or less data at a time"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "the limit on a file's size (ulimit -f) is reached; raise it",
    errno.EMFILE: "the limit on open files (ulimit -n) is reached; raise it",
    errno.EAGAIN: "the limit on processes and threads (ulimit -u) is reached; raise it",
    errno.ENOMEM: _MEMORY,
    errno.EROFS: "read-only filesystem; write elsewhere",
    errno.EACCES: "get permission, or use another path",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a parent of this path is a file; use another path",
    errno.EISDIR: "this is a folder; give a file",
}
# MLflow, SQLite, torch, safetensors and shutil report the system's message without its errno.
_MESSAGES = {
    re.compile(r"No space left on device|disk is full|Disk quota exceeded"): _ROOM,
    re.compile(r"File too large"): _REMEDIES[errno.EFBIG],
    re.compile(r"Too many open files"): _REMEDIES[errno.EMFILE],
    re.compile(r"can't start new thread"): _REMEDIES[errno.EAGAIN],
    re.compile(
        r"(can't|Cannot|Unable to|not enough memory: you tried to) allocate|failed to allocate"
    ): _MEMORY,
}


class RetryableError(Exception):
    """The step was preempted and resumes from its checkpoint when it is run again."""


@contextmanager
def step(name: str) -> Iterator[CostMeter]:
    """Run a step and measure its cost: an exception becomes an error line and exit status 1, or 75 for a retry.

    The full traceback is logged if ``RECAP_LOG_LEVEL`` is DEBUG.
    """
    meter = CostMeter()
    try:
        log_to_stdout()
        if pipe := os.environ.get(PIPE_OF_RUN):
            exit_with_run(pipe)
        log.info("step=%s event=start", name)
        yield meter
    except KeyboardInterrupt:
        _print_marked(ERROR_MARK, f"{name}: interrupted")
        sys.exit(130)
    except RetryableError as error:
        _print_marked(ERROR_MARK, f"{name}: {error}")
        sys.exit(EXIT_RETRY)
    except SystemExit as end:
        where = traceback.extract_tb(end.__traceback__)[-1]
        _print_marked(
            ERROR_MARK,
            f"{name}: {where.filename}, line {where.lineno}, called sys.exit before the step was done; remove the "
            "call, or raise an error instead",
        )
        sys.exit(1)
    except Exception as error:
        log.debug("step=%s event=traceback", name, exc_info=True)
        for line in error_lines(error):
            _print_marked(ERROR_MARK, f"{name}: {line}")
        sys.exit(1)
    log.info("step=%s event=done cost=%r", name, describe(meter.figures()))


def error_lines(error: Exception) -> list[str]:
    """The lines that report an error; system errors get what to do about them."""
    lines = mask_secrets(_text_of(error)).strip().splitlines()
    if not lines:
        lines = [type(error).__name__]
    elif not isinstance(error, ValueError | OSError):
        lines[0] = f"{type(error).__name__}: {lines[0]}"
    remedy = _remedy_for(error, lines[0])
    return [f"{lines[0]}; {remedy}", *lines[1:]] if remedy else lines


def _text_of(error: Exception) -> str:
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list) and error.args[0]:
        # copytree lists every file that it did not copy: source, target, reason.
        return str(error.args[0][0][-1])
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _remedy_for(error: Exception, line: str) -> str | None:
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return _REMEDIES[error.errno]
    if "; " in line:  # it already says what to do
        return None
    return next((remedy for message, remedy in _MESSAGES.items() if message.search(line)), None)


def progress(done: float, total: float, what: str) -> None:
    """Report a step's progress, which ``recap run`` shows on the step's line with the short text ``what``.

    Of reports of the same percent, those within a tenth of a second are not printed: a log may have 10,000 files.
    """
    global _last_progress
    fraction, now_s = done / total if total else 1.0, time.monotonic()
    percent, then_s = _last_progress
    if int(100 * fraction) == percent and now_s - then_s < _PROGRESS_EVERY_S and done < total:
        return
    _last_progress = int(100 * fraction), now_s
    _print_marked(PROGRESS_MARK, f"{fraction:.4f} {' '.join(what.split())}")


def _print_marked(mark: str, text: str) -> None:
    print(f"{mark}{os.environ.get(KEY_OF_RUN, '')} {text}", flush=True)  # noqa: T201 - read by recap run


def log_level() -> str:
    """The level in ``RECAP_LOG_LEVEL``, INFO by default. Raises ValueError for an unknown level."""
    given = os.environ.get(LOG_LEVEL) or "INFO"
    if (level := given.upper()) not in _LEVELS:
        raise ValueError(f"{LOG_LEVEL}: unknown level {given!r}; levels: {', '.join(_LEVELS)}")
    return level


class _WithoutSecrets(logging.Formatter):
    """Masks secrets in addresses, which libraries quote in messages and tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_secrets(super().format(record))


def log_to_stdout() -> None:
    """Log to standard output, at the level in ``RECAP_LOG_LEVEL``, without secrets in addresses."""
    level = log_level()
    logging.basicConfig(stream=sys.stdout, level=level, force=True)
    logging.getLogger().handlers[0].setFormatter(_WithoutSecrets("%(levelname)s %(message)s"))
    if level != "DEBUG":
        warnings.simplefilter("ignore")
        for noisy in ("mlflow", "alembic", "great_expectations", "matplotlib"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
