"""``recap import``: public data sets into the layout of the data contract."""

from pathlib import Path
from typing import Annotated

import typer

import_app = typer.Typer(
    help="Convert a public data set into a log that the pipeline reads.", no_args_is_help=True
)

Source = Annotated[Path, typer.Option(help="The data set's file, or the folder that holds it.")]
Out = Annotated[Path, typer.Option(help="Folder to write the log into.")]


@import_app.command()
def kuairand(source: Source, out: Out) -> None:
    """KuaiRand: impressions of a short-video app, six tasks. Run it with `recap run --config kuairand`.

    Example: `recap import kuairand --source kuairand27k_kcore15.tsv --out log`
    """
    from pipeline.importers.kuairand import import_kuairand

    report = import_kuairand(source, out)
    typer.echo(f"{out}: {report.rows:,} rows, {report.first_day} to {report.last_day}")


@import_app.command()
def census(source: Source, out: Out) -> None:
    """Census-Income: persons, three tasks. Run it with `recap run --config census`.

    Example: `recap import census --source census-income.test.gz --out log`
    """
    from pipeline.importers.census import import_census

    report = import_census(source, out)
    typer.echo(f"{out}: {report.rows:,} rows, {report.first_day} to {report.last_day}")


@import_app.command()
def tfrecord(
    source: Source,
    out: Out,
    time: Annotated[
        str, typer.Option(help="Feature with a row's time, in milliseconds since 1970 UTC.")
    ] = "",
    day: Annotated[str, typer.Option(help="Day of all rows, YYYY-MM-DD, if none has a time.")] = "",
) -> None:
    """TFRecord files of tf.train.Example, gzip or not: a column for each feature. Needs the extra tfrecord.

    Example: `recap import tfrecord --source records --out log --time impressed_ms`
    """
    from datetime import date

    from pipeline.importers.tfrecord import import_tfrecord

    try:
        on = date.fromisoformat(day) if day else None
    except ValueError:
        raise ValueError(f"--day: {day!r} is no date; write YYYY-MM-DD") from None
    report = import_tfrecord(source, out, time=time, day=on)
    typer.echo(f"{out}: {report.rows:,} rows, {report.first_day} to {report.last_day}")
