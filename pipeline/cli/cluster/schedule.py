"""``recap schedule``: recurring runs on a Kubeflow Pipelines server."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from pipeline.cli.cluster.options import (
    DEFAULT_CONFIG,
    ConfigOption,
    DataOption,
    DaysOption,
    HostOption,
    NamespaceOption,
    PipelineName,
    PipelineOption,
    TokenOption,
    TrackingOption,
    connect_server,
    print_table,
    run_arguments,
)
from pipeline.cli.terminal.command_group import CommandGroup
from pipeline.graphs import PIPELINES

schedule_app = typer.Typer(cls=CommandGroup, help="Scheduled runs.", no_args_is_help=True)
ScheduleArgument = Annotated[str, typer.Argument(help="The schedule's name.")]


@schedule_app.command("create")
def create(
    name: ScheduleArgument,
    host: HostOption,
    cron: Annotated[str, typer.Option(help="Minute hour day month weekday, as '30 3 * * *'.")],
    data: DataOption,
    tracking_uri: TrackingOption,
    config: ConfigOption = DEFAULT_CONFIG,
    days: DaysOption = 0,
    pipeline: PipelineOption = PipelineName.RETRAIN,
    time_zone: Annotated[
        str, typer.Option(help="Zone in which the server reads cron (its CRON_SCHEDULE_TIMEZONE).")
    ] = "UTC",
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
) -> None:
    """Run the newest released version at set times, on the last whole day (UTC) before each.

    One run at a time; missed times are not caught up (see `recap backfill`).

    Example: `recap schedule create nightly --cron '30 3 * * *' --data s3://logs/impressions`
    """
    from pipeline.cluster.client import ClusterError
    from pipeline.cluster.schedules import next_run_times, normalize_cron

    expression, zone = normalize_cron(cron), _parse_zone(time_zone)
    server = connect_server(host, namespace, token_file)
    if any(one.name == name for one in server.schedules()):
        raise ClusterError(f"schedule {name!r}: already exists; delete it first, or choose another name")
    version = server.newest_version(PIPELINES[pipeline].name)
    if version is None:
        which = "" if pipeline == PipelineName.RETRAIN else f" --pipeline {pipeline}"
        raise ClusterError(f"{host}: no version of the pipeline yet; upload one by recap release{which}")
    _, arguments = run_arguments(None, data, tracking_uri, config, days, pipeline)
    server.create_schedule(name, expression, arguments, version)
    typer.echo(f"{name}: runs version {version.name}; the next times:")
    for fire in next_run_times(expression, zone):
        local = fire.astimezone()
        typer.echo(
            f"  {fire:%Y-%m-%d %H:%M} UTC  {local:%Y-%m-%d %H:%M %Z}  on data up to {_window_end(fire)}"
        )


@schedule_app.command("list")
def list_schedules(
    host: HostOption,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
    time_zone: Annotated[str, typer.Option(help="Zone in which the server reads cron.")] = "UTC",
    as_json: Annotated[bool, typer.Option("--json", help="Print the list as JSON.")] = False,
) -> None:
    """List the schedules.

    Example: `recap schedule list --time-zone Europe/Berlin`
    """
    from pipeline.cluster.schedules import next_run_times

    zone = _parse_zone(time_zone)
    schedules = connect_server(host, namespace, token_file).schedules()
    if as_json:
        print(json.dumps([vars(one) for one in schedules], indent=1))
        return
    rows = []
    for one in schedules:
        upcoming = (
            f"{next_run_times(one.cron, zone, 1)[0]:%Y-%m-%d %H:%M}" if one.enabled and one.cron else ""
        )
        state = "on" if one.enabled else "paused"
        rows.append((one.name, one.cron, state, upcoming, one.arguments.get("data_root", "")))
    print_table(("schedule", "cron", "state", "next (UTC)", "data"), rows)


@schedule_app.command("pause")
def pause(
    name: ScheduleArgument, host: HostOption, namespace: NamespaceOption = "", token_file: TokenOption = None
) -> None:
    """Pause a schedule.

    Example: `recap schedule pause nightly`
    """
    server = connect_server(host, namespace, token_file)
    server.pause(server.schedule(name))
    typer.echo(f"{name}: paused; recap schedule resume {name} resumes it")


@schedule_app.command("resume")
def resume(
    name: ScheduleArgument, host: HostOption, namespace: NamespaceOption = "", token_file: TokenOption = None
) -> None:
    """Resume a paused schedule; missed times are not caught up.

    Example: `recap schedule resume nightly`
    """
    server = connect_server(host, namespace, token_file)
    server.pause(server.schedule(name), paused=False)
    typer.echo(f"{name}: on")


@schedule_app.command("delete")
def delete(
    name: ScheduleArgument, host: HostOption, namespace: NamespaceOption = "", token_file: TokenOption = None
) -> None:
    """Delete a schedule; runs that it has started continue.

    Example: `recap schedule delete nightly`
    """
    server = connect_server(host, namespace, token_file)
    server.delete_schedule(server.schedule(name))
    typer.echo(f"{name}: deleted")


def _parse_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(
            f"--time-zone: {name!r} is not a time zone; write, for example, Europe/Berlin or UTC"
        ) from None


def _window_end(fire: datetime) -> date:
    return fire.astimezone(UTC).date() - timedelta(days=1)
