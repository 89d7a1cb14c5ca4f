"""``recap submit|runs|backfill|release|schedule``: the pipeline on a Kubeflow Pipelines server."""

import difflib
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from pipeline.cli.compiling import ClusterOption
from recap_model.config.addresses import without_secret

if TYPE_CHECKING:
    from pipeline.cluster.client import Server

HostOption = Annotated[
    str, typer.Option(envvar="KFP_HOST", help="Address of the pipelines' API, as http://127.0.0.1:8888.")
]
NamespaceOption = Annotated[
    str, typer.Option(envvar="KFP_NAMESPACE", help="Your namespace, where the server has many.")
]
TokenOption = Annotated[
    Path | None,
    typer.Option(envvar="KFP_TOKEN_FILE", help="File with a bearer token, if the server asks for one."),
]
DataOption = Annotated[str, typer.Option(help="URI of the log, as s3://logs/impressions.")]
TrackingOption = Annotated[
    str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow server of the registry.")
]
ConfigOption = Annotated[str, typer.Option(help="Config: a path in the images, or a URI.")]
DaysOption = Annotated[int, typer.Option(min=0, help="Days in the window; data.days of the config if 0.")]
DEFAULT_CONFIG = "pipeline/configs/heavy_ranker.yaml"

ScheduleArgument = Annotated[str, typer.Argument(help="The schedule's name.")]

schedule_app = typer.Typer(help="Runs at set times.", no_args_is_help=True)


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
    last = _day(end_date, "--end-date") if end_date else datetime.now(UTC).date() - timedelta(days=1)
    server = connect_server(host, namespace, token_file)
    with _package(cluster) as package:
        name, arguments = _run_of(last, data, tracking_uri, config, days)
        typer.echo(f"{name}: {_link(host, server.submit(package, arguments, name))}")


def backfill(
    host: HostOption,
    data: DataOption,
    tracking_uri: TrackingOption,
    first: Annotated[str, typer.Option("--from", help="First day to be the last of a window, YYYY-MM-DD.")],
    last: Annotated[str, typer.Option("--to", help="Last such day, YYYY-MM-DD.")],
    config: ConfigOption = DEFAULT_CONFIG,
    days: DaysOption = 0,
    cluster: ClusterOption = None,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
) -> None:
    """Start a run for each day of a stretch, the oldest first.

    Days that have a run of that name already, unless it failed, are left out, so that it can be called again.

    Example: `recap backfill --from 2026-03-01 --to 2026-03-07 --data s3://logs --tracking-uri http://mlflow:5000`
    """
    begin, end = _day(first, "--from"), _day(last, "--to")
    if end < begin:
        raise ValueError(f"--to: {end} is before --from {begin}")
    server = connect_server(host, namespace, token_file)
    known = {run.name for run in server.runs(limit=None) if run.state not in ("FAILED", "CANCELED")}
    with _package(cluster) as package:
        for offset in range((end - begin).days + 1):
            day = begin + timedelta(days=offset)
            name, arguments = _run_of(day, data, tracking_uri, config, days)
            if name in known:
                typer.echo(f"{name}: is there already")
                continue
            typer.echo(f"{name}: {_link(host, server.submit(package, arguments, name))}")


def runs(
    host: HostOption,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="Runs to list, the newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print the list for a machine.")] = False,
) -> None:
    """List the newest runs on a cluster.

    Example: `recap runs --host http://127.0.0.1:8888 --limit 5`
    """
    found = connect_server(host, namespace, token_file).runs(limit)
    if as_json:
        print(json.dumps([vars(run) for run in found], default=str, indent=1))
        return
    _table(
        ("run", "state", "started (UTC)", "minutes", "error"),
        [
            (run.name, run.state, _minute(run.created), _minutes(run.created, run.finished), run.error or "")
            for run in found
        ],
    )


def release(
    host: HostOption,
    version: Annotated[
        str, typer.Option(help="Name of the new version, as a tag or a revision of the source.")
    ],
    cluster: ClusterOption = None,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
) -> None:
    """Upload the pipeline as a new version, print what differs from the last one, and move every schedule to it.

    A release that broke off is finished by the same call again.

    Example: `recap release --version v2 --cluster cluster.yaml`
    """
    import yaml

    from pipeline.cluster.releasing import move_schedules

    server = connect_server(host, namespace, token_file)
    before = server.newest_version()
    with _package(cluster) as package:
        made = server.publish(package, version)
        documents = list(yaml.safe_load_all(package.read_text()))
    old, new = (
        _lines(before.spec if before else {}),
        _lines({"pipeline_spec": documents[0], "platform_spec": documents[1]}),
    )
    changed = list(
        difflib.unified_diff(old, new, before.name if before else "nothing", version, lineterm="", n=1)
    )
    typer.echo(
        "\n".join(changed) if changed else f"{version}: the same as {before.name if before else 'nothing'}"
    )
    for schedule in move_schedules(server, made):
        state = "" if schedule.enabled else ", paused as before"
        typer.echo(f"schedule {schedule.name}: runs {version}{state}")


@schedule_app.command("create")
def create(
    name: ScheduleArgument,
    host: HostOption,
    cron: Annotated[str, typer.Option(help="Minute hour day month weekday, as '30 3 * * *'.")],
    data: DataOption,
    tracking_uri: TrackingOption,
    config: ConfigOption = DEFAULT_CONFIG,
    days: DaysOption = 0,
    time_zone: Annotated[
        str, typer.Option(help="Zone in which the server reads cron (its CRON_SCHEDULE_TIMEZONE).")
    ] = "UTC",
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
) -> None:
    """Run the newest released version at set times, on the last whole day (UTC) before each.

    One run at a time; times that were missed are not made up for (see `recap backfill`).

    Example: `recap schedule create nightly --cron '30 3 * * *' --data s3://logs/impressions`
    """
    from pipeline.cluster.client import ClusterError
    from pipeline.cluster.schedules import next_fires, six_fields

    expression, zone = six_fields(cron), _zone(time_zone)
    server = connect_server(host, namespace, token_file)
    if any(one.name == name for one in server.schedules()):
        raise ClusterError(f"schedule {name!r}: is there already; delete it first, or choose another name")
    version = server.newest_version()
    if version is None:
        raise ClusterError(f"{host}: no version of the pipeline yet; upload one by recap release")
    _, arguments = _run_of(None, data, tracking_uri, config, days)
    server.create_schedule(name, expression, arguments, version)
    typer.echo(f"{name}: runs version {version.name}; the next times:")
    for fire in next_fires(expression, zone):
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
    as_json: Annotated[bool, typer.Option("--json", help="Print the list for a machine.")] = False,
) -> None:
    """List the schedules.

    Example: `recap schedule list --time-zone Europe/Berlin`
    """
    from pipeline.cluster.schedules import next_fires

    zone = _zone(time_zone)
    found = connect_server(host, namespace, token_file).schedules()
    if as_json:
        print(json.dumps([vars(one) for one in found], indent=1))
        return
    rows = []
    for one in found:
        upcoming = f"{next_fires(one.cron, zone, 1)[0]:%Y-%m-%d %H:%M}" if one.enabled and one.cron else ""
        state = "on" if one.enabled else "paused"
        rows.append((one.name, one.cron, state, upcoming, one.arguments.get("data_root", "")))
    _table(("schedule", "cron", "state", "next (UTC)", "data"), rows)


@schedule_app.command("pause")
def pause(
    name: ScheduleArgument, host: HostOption, namespace: NamespaceOption = "", token_file: TokenOption = None
) -> None:
    """Stop a schedule from firing.

    Example: `recap schedule pause nightly`
    """
    server = connect_server(host, namespace, token_file)
    server.pause(server.schedule(name))
    typer.echo(f"{name}: paused; recap schedule resume {name} lets it fire again")


@schedule_app.command("resume")
def resume(
    name: ScheduleArgument, host: HostOption, namespace: NamespaceOption = "", token_file: TokenOption = None
) -> None:
    """Let a paused schedule fire again; what it missed is not made up for.

    Example: `recap schedule resume nightly`
    """
    server = connect_server(host, namespace, token_file)
    server.pause(server.schedule(name), paused=False)
    typer.echo(f"{name}: on")


@schedule_app.command("delete")
def delete(
    name: ScheduleArgument, host: HostOption, namespace: NamespaceOption = "", token_file: TokenOption = None
) -> None:
    """Remove a schedule; runs that it has started go on.

    Example: `recap schedule delete nightly`
    """
    server = connect_server(host, namespace, token_file)
    server.delete_schedule(server.schedule(name))
    typer.echo(f"{name}: deleted")


def connect_server(host: str, namespace: str, token_file: Path | None) -> "Server":
    from pipeline.cluster.client import Server

    token = token_file.read_text().strip() if token_file is not None else None
    return Server(host, namespace, token)


@contextmanager
def _package(cluster: Path | None) -> Iterator[Path]:
    from pipeline.cluster.settings import load_cluster
    from pipeline.compile import compile_pipelines

    with tempfile.TemporaryDirectory() as folder:
        yield compile_pipelines(Path(folder), load_cluster(cluster))[0]


def _run_of(
    last: date | None, data: str, tracking_uri: str, config: str, days: int
) -> tuple[str, dict[str, Any]]:
    """A run's name, which says its window, and its arguments; without a last day the schedule's time gives it."""
    for where, uri in (("--data", data), ("--tracking-uri", tracking_uri)):
        if "://" not in uri or uri.startswith(("file:", "sqlite:")):
            raise ValueError(
                f"{where}: {uri!r}: a cluster's pods see no folder of this machine; give a URI they reach"
            )
        without_secret(uri, where)
    end = last.isoformat() if last else ""
    arguments = {
        "data_root": data,
        "tracking_uri": tracking_uri,
        "config": config,
        "end_date": end,
        "days": days,
    }
    return f"retrain {end}{f' {days} days' if days else ''}", arguments


def _day(text: str, where: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{where}: {text!r} is no date; write YYYY-MM-DD") from None


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(
            f"--time-zone: {name!r} is no time zone; write one as Europe/Berlin, or UTC"
        ) from None


def _window_end(fire: datetime) -> date:
    return fire.astimezone(UTC).date() - timedelta(days=1)


def _link(host: str, run_id: str) -> str:
    return f"{host.rstrip('/')}/#/runs/details/{run_id}"


def _lines(content: dict[str, Any]) -> list[str]:
    import yaml

    return yaml.safe_dump(content, sort_keys=True).splitlines()


def _minute(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M}" if moment else ""


def _minutes(start: datetime | None, end: datetime | None) -> str:
    return f"{(end - start).total_seconds() / 60:.0f}" if start and end and end > start else ""


def _table(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
