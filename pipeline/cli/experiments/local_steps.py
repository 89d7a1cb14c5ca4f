"""Run the pipeline's first steps for an experiment, and later steps in this process with their output in its log."""

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.terminal.output import print_error
from pipeline.cli.workspace import TRACKING_URI
from pipeline.local.run_folders import RunFolder

if TYPE_CHECKING:
    from pipeline.cli.terminal.progress import LiveSteps
    from recap_model.config import RecapConfig

DataOption = Annotated[
    str, typer.Option(help="The log: a folder or URI of date=YYYY-MM-DD/*.parquet, or a table.")
]
EndDateOption = Annotated[str, typer.Option(help="Last day of the window; the log's newest if not given.")]
DaysOption = Annotated[
    int, typer.Option(min=0, max=36_600, help="Days in the window; data.days of the config if 0.")
]
TrackingOption = Annotated[
    str,
    typer.Option(
        *TRACKING_URI,
        help="MLflow's URI; else the config's, MLFLOW_TRACKING_URI, or SQLite in the workspace.",
    ),
]


def pipeline_arguments(
    path: Path, config: "RecapConfig", data: str, end_date: str, days: int, tracking_uri: str, workspace: Path
) -> dict[str, Any]:
    """The pipeline's parameters. Raises ValueError for an address that contains a secret."""
    from components.common.registry import default_tracking_uri
    from components.common.runtime.step import log_level
    from recap_model.config.fields.uris import without_secret

    log_level()
    uri = tracking_uri or config.registry.tracking_uri or default_tracking_uri(workspace)
    return {
        "config": str(path.resolve()),
        "data_root": data if "://" in without_secret(data, "--data") else str(Path(data).resolve()),
        "end_date": end_date,
        "days": days,
        "tracking_uri": without_secret(uri, "--tracking-uri"),
    }


def run_until(until: str, folder: RunFolder, arguments: dict[str, Any], live: "LiveSteps") -> Path:
    """Run the steps up to ``until``; returns the folder of their outputs. Ends the command if one fails."""
    from pipeline.local.run import StepFailedError, run_pipeline

    try:
        return run_pipeline(arguments, folder.steps, folder.log, live, until=until)
    except StepFailedError as failure:
        print_error(
            *(f"{failure.step}: {line}" for line in failure.lines),
            f"the run ended at {failure.step}; everything it printed is in {failure.log}",
        )
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
        except Exception as error:  # noqa: BLE001 - the process's door
            root.exception("event=failed")
            print_error(*error_lines(error), f"everything that was printed is in {log}")
            raise typer.Exit(1) from None
        finally:
            root.removeHandler(handler)
            root.setLevel(level)
