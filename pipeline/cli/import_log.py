"""``recap import``: convert public data sets, and the published ranker's records and configuration."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.terminal.command_group import CommandGroup

import_app = typer.Typer(
    cls=CommandGroup,
    help="Convert a public data set, or the published ranker's files, to what the pipeline reads.",
    no_args_is_help=True,
)

Source = Annotated[Path, typer.Option(help="The data set's file, or the folder that holds it.")]
Out = Annotated[Path, typer.Option(help="New or empty folder, or one of an earlier import, for the log.")]


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
def movielens(
    source: Annotated[Path, typer.Option(help="The folder with ratings.csv and movies.csv.")], out: Out
) -> None:
    """MovieLens: ratings of films, three tasks. Run it with `recap run --config movielens`.

    Example: `recap import movielens --source ml-latest-small --out log`
    """
    from pipeline.importers.movielens import import_movielens

    report = import_movielens(source, out)
    typer.echo(f"{out}: {report.rows:,} rows, all in the partition of the last day, {report.last_day}")


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
        raise ValueError(f"--day: {day!r} is not a date; write YYYY-MM-DD") from None
    report = import_tfrecord(source, out, time=time, day=on)
    typer.echo(f"{out}: {report.rows:,} rows, {report.first_day} to {report.last_day}")


@import_app.command("tml-config")
def tml_config(
    file: Annotated[Path, typer.Argument(help="The published configuration file, as local_prod.yaml.")],
    out: Annotated[Path, typer.Option(help="Config to write; it must not exist.")],
    segdense: Annotated[
        Path | None,
        typer.Option(
            help="Segdense schema of the records, JSON; else the one that FILE names, if it is there."
        ),
    ] = None,
) -> None:
    """The published ranker's configuration, as a config that reads what `recap import tfrecord` writes.

    Example: `recap import tml-config local_prod.yaml --segdense segdense.json --out mine.yaml`
    """
    from components.common.runtime.atomic_output import atomic_file
    from pipeline.importers.tml_config import import_tml_config

    if out.exists():
        raise FileExistsError(f"{out}: exists; remove it, or choose another --out")
    imported = import_tml_config(file, segdense)
    with atomic_file(out) as partial:
        partial.write_text(imported.text)
    for note in imported.notes:
        typer.echo(note)
    when = f"--time {imported.time}" if imported.time else "--day YYYY-MM-DD"
    typer.echo(f"{out}: {len(imported.config.tasks)} tasks. Read it, then")
    typer.echo(f"  recap import tfrecord --source RECORDS --out LOG {when}")
    typer.echo(f"  recap run --config {out} --data LOG")
