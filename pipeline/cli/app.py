"""The commands, and the exit status: 0 success, 1 failure, 2 usage error, 130 interrupted."""

import codecs
import contextlib
import locale
import os
import sys

import typer

from pipeline.cli.cluster.compile import compile_command
from pipeline.cli.cluster.deploy import deploy
from pipeline.cli.cluster.release import release
from pipeline.cli.cluster.runs import backfill, runs, submit
from pipeline.cli.cluster.schedule import schedule_app
from pipeline.cli.config import config_app
from pipeline.cli.doctor.command import doctor
from pipeline.cli.experiments.compare import compare
from pipeline.cli.experiments.tune import tune
from pipeline.cli.import_log import import_app
from pipeline.cli.prune import prune
from pipeline.cli.registry.gate import gate_app
from pipeline.cli.registry.models import models_app
from pipeline.cli.registry.promote import promote, rollback
from pipeline.cli.report import report
from pipeline.cli.run import run
from pipeline.cli.sample import sample
from pipeline.cli.score import score
from pipeline.cli.serve import serve
from pipeline.cli.terminal.arguments import check_encoding
from pipeline.cli.terminal.command_group import CommandGroup
from pipeline.cli.terminal.output import open_standard_output, print_error
from pipeline.cli.watch import watch

_INTERRUPTED = 130


app = typer.Typer(
    name="recap",
    cls=CommandGroup,
    help="Retrain a multi-task ranking model: from engagement logs to a promoted model.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command()(run)
app.command()(watch)
app.command()(compare)
app.command()(tune)
app.command()(sample)
app.add_typer(import_app, name="import")
app.add_typer(config_app, name="config")
app.command("compile")(compile_command)
app.command()(submit)
app.command()(runs)
app.command()(backfill)
app.command()(release)
app.command()(deploy)
app.add_typer(schedule_app, name="schedule")
app.command()(report)
app.command()(prune)
app.command()(doctor)
app.add_typer(gate_app, name="gate")
app.add_typer(models_app, name="models")
app.command()(promote)
app.command()(rollback)
app.command()(score)
app.command()(serve)


def main() -> None:
    """Run the command line; print each error as one line on standard error."""
    _use_utf8()
    output = open_standard_output()
    stdout = sys.stdout
    lines, status = _run_command()
    with contextlib.suppress(OSError):
        stdout.flush()
    refused = output.status()
    if not refused:
        print_error(*lines)
    sys.exit(refused or status)


def _run_command() -> tuple[list[str], int]:
    """Run a command; returns its error lines and exit status."""
    try:
        check_encoding(sys.argv[1:])
        app()
    except SystemExit as end:
        # Typer ends an interrupted command with this status and no message.
        lines = ["interrupted"] if end.code == _INTERRUPTED else []
        return lines, end.code if isinstance(end.code, int) else 0
    except (ValueError, OSError) as error:
        from components.common.runtime.step import error_lines

        return error_lines(error), 1
    return [], 0


def _use_utf8() -> None:
    """Restart in Python's UTF-8 mode if the locale has another encoding: configs, logs and names are UTF-8."""
    if "utf8" in sys._xoptions or codecs.lookup(locale.getencoding()).name == "utf-8":
        return
    os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])
