"""Checks of packages, workspace, registry and server; each finding says what to do."""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pipeline.graphs import PIPELINES

if TYPE_CHECKING:
    from pipeline.cluster.client import Server, Version
    from pipeline.cluster.schedules import Schedule

State = Literal["ok", "warn", "fail"]
_PACKAGES = ("torch", "kfp", "mlflow", "great-expectations", "pyarrow")
_LEAST_FREE_BYTES = 5 << 30


@dataclass(frozen=True)
class Finding:
    """Result of one check; ``words`` state the result and, unless it is ok, what to do."""

    what: str
    state: State
    words: str


def check_machine(workspace: Path) -> Iterator[Finding]:
    """Check the installed packages, and permission and free space in the workspace."""
    for package in _PACKAGES:
        try:
            yield Finding("package", "ok", f"{package} {version(package)}")
        except PackageNotFoundError:
            yield Finding(
                "package", "fail", f"{package} is not installed; install the project: make .venv/.ready"
            )
    folder = next(path for path in (workspace.resolve(), *workspace.resolve().parents) if path.exists())
    if not os.access(folder, os.W_OK):
        yield Finding("workspace", "fail", f"{folder}: no permission to write; choose another by --workspace")
        return
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    state: State = "ok" if free >= _LEAST_FREE_BYTES else "warn"
    advice = "" if state == "ok" else "; a run may need more: remove old runs"
    yield Finding("workspace", state, f"{folder}: {free / 1e9:.0f} GB free{advice}")


def check_registry(tracking_uri: str, name: str) -> Iterator[Finding]:
    """Check that MLflow answers, and that its champion exists and is the version promoted last."""
    from components.common import registry
    from pipeline.cli.registry.version_summary import read_champion_moves, row_problems

    database = registry.sqlite_path(tracking_uri)
    if database is not None and not database.exists():
        yield Finding("registry", "ok", f"{database}: does not exist yet; the first run creates it")
        return
    try:
        client = registry.connect(tracking_uri)
        known = registry.versions(client, name)
        aliases = registry.aliases(client, name)
        moves, broken = read_champion_moves(client, name)
    except registry.RegistryError as error:
        yield Finding("registry", "fail", str(error))
        return
    numbers = {str(one.version) for one in known}
    yield Finding(
        "registry", "ok", f"{name}: {len(numbers)} versions, {len(moves)} recorded moves of the champion"
    )
    for one in known:
        for problem in row_problems(one):
            words = f"{name} version {one.version}: {problem}; restore the database, or delete the version"
            yield Finding("registry", "fail", words)
    if broken:
        yield Finding("registry", "fail", broken)
        return
    for alias, number in sorted(aliases.items()):
        if number not in numbers:
            words = f"{name}: alias {alias} points to version {number}, which does not exist; promote another"
            yield Finding("registry", "fail", words)
    now, last = aliases.get("champion"), moves[-1].to if moves else None
    if now == last and now is None:
        yield Finding(
            "champion", "warn", f"{name}: no champion yet; a run promotes one, or recap promote VERSION"
        )
    elif now == last:
        yield Finding("champion", "ok", f"{name}: version {now}, as the record says")
    elif last is not None and last not in numbers:
        words = (
            f"version {last}, promoted last, was deleted; recap rollback, or recap promote another version"
        )
        yield Finding("champion", "fail", f"{name}: {words}")
    else:
        words = f"the alias is {'on ' + now if now else 'not set'}, the record says {last or 'none'}: moved outside"
        yield Finding("champion", "fail", f"{name}: {words} Recap; recap promote the version that is meant")


def _check_watch(newest: "Version | None", schedules: "list[Schedule]") -> Finding:
    """Whether a schedule watches the champion between retrainings."""
    how = "recap schedule create watch --pipeline watch"
    if newest is None:
        words = f"the champion is not watched; recap release --pipeline watch, then {how}"
    elif not any(one.enabled and one.pipeline_id == newest.pipeline_id for one in schedules):
        words = f"version {newest.name} is released, but no schedule runs it; {how}"
    else:
        return Finding("watch", "ok", f"the champion is watched by version {newest.name}")
    return Finding("watch", "warn", words)


def check_cluster(connect: "Callable[[], Server]") -> Iterator[Finding]:
    """Check that the server answers and grants access, has a version, and that schedules run the newest one."""
    from pipeline.cluster.client import ClusterError

    try:
        server = connect()
        server.check()
        versions = {name: server.newest_version(pipeline.name) for name, pipeline in PIPELINES.items()}
        schedules = server.schedules()
    except ClusterError as error:
        yield Finding("server", "fail", str(error))
        return
    yield Finding("server", "ok", f"{server.host}: answers, namespace {server.namespace or 'of all'}")
    newest = versions["retrain"]
    if newest is None:
        yield Finding("pipeline", "warn", "no version on the server yet; upload one by recap release")
    else:
        yield Finding("pipeline", "ok", f"the newest version is {newest.name}")
    yield _check_watch(versions["watch"], schedules)
    for one in schedules:
        newest = next(
            (known for known in versions.values() if known and known.pipeline_id == one.pipeline_id), newest
        )
        if not one.enabled:
            yield Finding("schedule", "warn", f"{one.name}: paused; recap schedule resume {one.name}")
        elif newest is not None and one.version_id != newest.id:
            words = f"{one.name}: runs an older version than {newest.name}; recap release moves it"
            yield Finding("schedule", "warn", words)
        else:
            yield Finding("schedule", "ok", f"{one.name}: on, {one.cron}")
