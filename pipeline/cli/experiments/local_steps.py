"""Run the pipeline's first steps for an experiment, and later steps in this process with their output in its log."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pipeline.cli.run_options import print_failure
from pipeline.cli.terminal.output import print_error
from pipeline.local.run_folders import RunFolder

if TYPE_CHECKING:
    from pipeline.cli.terminal.progress import LiveSteps


def run_until(until: str, folder: RunFolder, arguments: dict[str, Any], live: "LiveSteps") -> Path:
    """Run the steps up to ``until``; returns the folder of their outputs. Ends the command if one fails."""
    from pipeline.local.run import StepFailedError, run_pipeline

    try:
        return run_pipeline(arguments, folder.steps, folder.log, live, until=until)
    except StepFailedError as failure:
        print_failure(failure)
        raise typer.Exit(1) from None


@contextlib.contextmanager
def steps_in_process(log: Path) -> Iterator[None]:
    """A block that calls steps' functions: their output goes to ``log``, and any error is one line."""
    from components.common.runtime.step import EXIT_RETRY, RetryableError, error_lines, log_level

    with log.open("a", buffering=1, encoding="utf-8") as stream:
        handler = logging.StreamHandler(stream)
        root = logging.getLogger()
        level = root.level
        root.addHandler(handler)
        root.setLevel(log_level())
        try:
            with contextlib.redirect_stdout(stream), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except RetryableError as error:
            print_error(str(error))
            raise typer.Exit(EXIT_RETRY) from None
        except (ValueError, OSError, typer.Exit):
            raise
        except Exception as error:  # noqa: BLE001 - the process's entry point
            root.exception("event=failed")
            print_error(*error_lines(error), f"everything that was printed is in {log}")
            raise typer.Exit(1) from None
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
