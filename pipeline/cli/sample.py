"""``recap sample``: a simulated engagement log."""

from datetime import date, datetime
from pathlib import Path
from typing import Annotated

import typer


def sample(
    out: Annotated[Path, typer.Option(help="Folder to write the log into.")],
    rows: Annotated[int, typer.Option(min=1, help="Impressions over all days.")] = 60_000,
    days: Annotated[int, typer.Option(min=1, help="Daily partitions.")] = 6,
    start: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="The first day.")] = datetime(
        2026, 3, 1
    ),
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
    drift: Annotated[
        float,
        typer.Option(min=0.0, help="How fast interests and rates change from day to day; 0 for no change."),
    ] = 0.02,
    truth: Annotated[bool, typer.Option(help="Also write the true probabilities, under _truth/.")] = False,
    history: Annotated[
        bool,
        typer.Option(
            help="Also simulate tastes that change within a day, dwell times, and each user's last events."
        ),
    ] = False,
    extend: Annotated[bool, typer.Option(help="Add the next day to an existing sample log.")] = False,
) -> None:
    """Simulate a realistic engagement log: users, authors and posts with latent interests, ten engagements.

    Example: `recap sample --out log --rows 60000 --days 6`, and the next day `recap sample --out log --extend`
    """
    from pipeline.simulator import extend_log, is_sample_log, write_log

    if extend and is_sample_log(out):
        report = extend_log(out, days=1)
    else:
        first = date(start.year, start.month, start.day)
        report = write_log(
            out, rows=rows, days=days, start=first, seed=seed, drift=drift, truth=truth, history=history
        )
    typer.echo(f"{out}: {report.rows:,} rows, {report.first_day} to {report.last_day}")
