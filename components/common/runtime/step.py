"""The door of a step's process: logging on the way in, one line for each error on the way out."""

import errno
import logging
import os
import re
import shutil
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from components.common.runtime.process_pool import end_with_its_run
from recap_model.config.fields.uris import mask_secrets

ERROR_MARK = "recap-error:"
PROGRESS_MARK = "recap-progress:"

PIPE_OF_RUN = "RECAP_PIPE_OF_RUN"
"""Set by ``recap run``, so that a step ends with it: which stream it holds the other end of, stdin or stdout."""

KEY_OF_RUN = "RECAP_KEY_OF_RUN"
"""Set by ``recap run``: a random word behind each mark, so that no other print passes for one."""

LOG_LEVEL = "RECAP_LOG_LEVEL"

EXIT_TRY_AGAIN = 75  # EX_TEMPFAIL of sysexits.h: the work was broken off, and may be taken up again

log = logging.getLogger("recap")

_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
_ROOM = "make room on the disk, or write elsewhere, and run again"
_MEMORY = "give the step more memory (a container's limit, ulimit -v), or less data at a time"
_REMEDIES = {
    errno.ENOSPC: _ROOM,
    errno.EDQUOT: _ROOM,
    errno.EFBIG: "the limit on a file's size (ulimit -f) is reached; raise it",
    errno.EMFILE: "the limit on open files (ulimit -n) is reached; raise it",
    errno.EAGAIN: "the limit on processes and threads (ulimit -u) is reached; raise it",
    errno.ENOMEM: _MEMORY,
    errno.EROFS: "this place can only be read; write elsewhere",
    errno.EACCES: "ask for the right to it, or take another place",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "a part of this path is a file; give another path",
    errno.EISDIR: "this is a folder; give a file",
}
# Libraries pass on the system's words without its number: MLflow, SQLite, torch, safetensors, shutil.
_WORDS = {
    re.compile(r"No space left on device|disk is full|Disk quota exceeded"): _ROOM,
    re.compile(r"File too large"): _REMEDIES[errno.EFBIG],
    re.compile(r"Too many open files"): _REMEDIES[errno.EMFILE],
    re.compile(r"can't start new thread"): _REMEDIES[errno.EAGAIN],
    re.compile(
        r"(can't|Cannot|Unable to|not enough memory: you tried to) allocate|failed to allocate"
    ): _MEMORY,
}


class TryAgainError(Exception):
    """The step was broken off from outside, and goes on from where it was when it is run again."""


@contextmanager
def step(name: str) -> Iterator[None]:
    """Run a step's work: what it raises leaves the process as one line and exit status 1, or 75 to try again.

    The whole traceback goes to the log at level DEBUG of ``RECAP_LOG_LEVEL``, for who mends the step.
    """
    try:
        _log_to_stdout()
        if pipe := os.environ.get(PIPE_OF_RUN):
            end_with_its_run(pipe)
        log.info("step=%s event=start", name)
        yield
    except KeyboardInterrupt:
        _print_marked(ERROR_MARK, f"{name}: interrupted")
        sys.exit(130)
    except TryAgainError as error:
        _print_marked(ERROR_MARK, f"{name}: {error}")
        sys.exit(EXIT_TRY_AGAIN)
    except SystemExit as end:
        where = traceback.extract_tb(end.__traceback__)[-1]
        _print_marked(
            ERROR_MARK,
            f"{name}: {where.filename}, line {where.lineno}, ended the process (sys.exit) before the step was done; "
            "remove that call, or raise an error in its place",
        )
        sys.exit(1)
    except Exception as error:
        log.debug("step=%s event=traceback", name, exc_info=True)
        for line in lines_of(error):
            _print_marked(ERROR_MARK, f"{name}: {line}")
        sys.exit(1)
    log.info("step=%s event=done", name)


def lines_of(error: Exception) -> list[str]:
    """What an error says to its reader; with what to do where the system says only a number and a word."""
    lines = mask_secrets(_text_of(error)).strip().splitlines()
    if not lines:
        lines = [type(error).__name__]
    elif not isinstance(error, ValueError | OSError):
        lines[0] = f"{type(error).__name__}: {lines[0]}"
    remedy = _remedy_for(error, lines[0])
    return [f"{lines[0]}; {remedy}", *lines[1:]] if remedy else lines


def _text_of(error: Exception) -> str:
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list) and error.args[0]:
        # copytree lists every file that it did not copy, as a source, a target and why.
        return str(error.args[0][0][-1])
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def _remedy_for(error: Exception, line: str) -> str | None:
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, OSError) and error.errno in _REMEDIES:
        return _REMEDIES[error.errno]
    if "; " in line:  # it says what to do
        return None
    return next((remedy for words, remedy in _WORDS.items() if words.search(line)), None)


def progress(done: float, total: float, what: str) -> None:
    """Say how far a step is; ``recap run`` shows it as the step's line. ``what`` is a few words."""
    share = done / total if total else 1.0
    _print_marked(PROGRESS_MARK, f"{share:.4f} {' '.join(what.split())}")


def _print_marked(mark: str, text: str) -> None:
    print(f"{mark}{os.environ.get(KEY_OF_RUN, '')} {text}", flush=True)  # noqa: T201 - the door is where a step prints


def log_level() -> str:
    """The level that ``RECAP_LOG_LEVEL`` names, INFO if none. Raises ValueError if there is no such level."""
    given = os.environ.get(LOG_LEVEL) or "INFO"
    if (level := given.upper()) not in _LEVELS:
        raise ValueError(f"{LOG_LEVEL}: unknown level {given!r}; levels: {', '.join(_LEVELS)}")
    return level


class _WithoutSecrets(logging.Formatter):
    """Hides the secrets of addresses, which libraries quote, tracebacks too."""

    def format(self, record: logging.LogRecord) -> str:
        return mask_secrets(super().format(record))


def _log_to_stdout() -> None:
    level = log_level()
    logging.basicConfig(stream=sys.stdout, level=level, force=True)
    logging.getLogger().handlers[0].setFormatter(_WithoutSecrets("%(levelname)s %(message)s"))
    if level != "DEBUG":
        warnings.simplefilter("ignore")
        for noisy in ("mlflow", "alembic", "great_expectations", "matplotlib"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
