"""``recap submit``, ``backfill`` and ``runs``: runs on a Kubeflow Pipelines server."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

import typer

from pipeline.cli.cluster.compile import ClusterOption, compiled_pipeline
from pipeline.cli.cluster.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DataOption,
    DaysOption,
    HostOption,
    NamespaceOption,
    TokenOption,
    TrackingOption,
    connect_server,
    print_table,
    run_arguments,
)


def submit(
    host: HostOption,
    data: DataOption,
    tracking_uri: TrackingOption,
    config: ConfigOption = DEFAULT_CONFIG,
    end_date: Annotated[str, typer.Option(help="Last day, YYYY-MM-DD; else the last whole day in UTC.")] = "",
    days: DaysOption = 0,
    cluster: ClusterOption = None,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
) -> None:
    """Compile the pipeline and start a run of it on a cluster.

    Example: `recap submit --host http://127.0.0.1:8888 --data s3://logs/impressions --tracking-uri http://mlflow:5000`
    """
    last = _parse_day(end_date, "--end-date") if end_date else datetime.now(UTC).date() - timedelta(days=1)
    server = connect_server(host, namespace, token_file)
    with compiled_pipeline(cluster) as package:
        name, arguments = run_arguments(last, data, tracking_uri, config, days)
        typer.echo(f"{name}: {_run_url(host, server.submit(package, arguments, name))}")


def backfill(
    host: HostOption,
    data: DataOption,
    tracking_uri: TrackingOption,
    first: Annotated[
        str, typer.Option("--from", help="First of the days that each end a run's window, YYYY-MM-DD.")
    ],
    last: Annotated[str, typer.Option("--to", help="The last of those days, YYYY-MM-DD.")],
    config: ConfigOption = DEFAULT_CONFIG,
    days: DaysOption = 0,
    cluster: ClusterOption = None,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
) -> None:
    """Start a run for each day of a range, the oldest first.

    Days that already have a run of that name are skipped, unless it failed, so the command can be repeated.

    Example: `recap backfill --from 2026-03-01 --to 2026-03-07 --data s3://logs --tracking-uri http://mlflow:5000`
    """
    begin, end = _parse_day(first, "--from"), _parse_day(last, "--to")
    if end < begin:
        raise ValueError(f"--to: {end} is before --from {begin}")
    server = connect_server(host, namespace, token_file)
    known = {run.name for run in server.runs(limit=None) if run.state not in ("FAILED", "CANCELED")}
    with compiled_pipeline(cluster) as package:
        for offset in range((end - begin).days + 1):
            day = begin + timedelta(days=offset)
            name, arguments = run_arguments(day, data, tracking_uri, config, days)
            if name in known:
                typer.echo(f"{name}: already exists")
                continue
            typer.echo(f"{name}: {_run_url(host, server.submit(package, arguments, name))}")


def runs(
    host: HostOption,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Runs to list, the newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the newest runs on a cluster.

    Example: `recap runs --host http://127.0.0.1:8888 --limit 5`
    """
    newest = connect_server(host, namespace, token_file).runs(limit)
    if as_json:
        print(json.dumps([vars(run) for run in newest], default=str, indent=1))
        return
    print_table(
        ("run", "state", "started (UTC)", "minutes", "error"),
        [
            (
                run.name,
                run.state,
                _format_minute(run.created),
                _format_duration(run.created, run.finished),
                run.error or "",
            )
            for run in newest
        ],
    )


def _parse_day(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{where}: {text!r} is not a date; write YYYY-MM-DD") from None


def _run_url(host: str, run_id: str) -> str:
    return f"{host.rstrip('/')}/#/runs/details/{run_id}"


def _format_minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def _format_duration(start: datetime | None, end: datetime | None) -> str:
    return f"{(end - start).total_seconds() / 60:.0f}" if start and end and end > start else ""
