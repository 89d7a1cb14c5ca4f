"""``recap models``, ``recap promote``, ``recap rollback``: the versions in the registry, and which is champion."""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli.groups import CommandGroup
from pipeline.cli.terminal import new_console, printable
from pipeline.cli.workspace import DEFAULT_NAME, DEFAULT_WORKSPACE, NameOption, UriOption, WorkspaceOption

if TYPE_CHECKING:
    from mlflow import MlflowClient

models_app = typer.Typer(cls=CommandGroup, invoke_without_command=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
VersionArgument = Annotated[int, typer.Argument(min=1, max=(1 << 31) - 1, help="A version's number.")]


@models_app.callback()
def models(
    context: typer.Context,
    name: NameOption = DEFAULT_NAME,
    uri: UriOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    limit: Annotated[int, typer.Option(min=1, help="Versions to list, the newest first.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List versions: age, data window, aliases, decision, headline metrics, and who promoted them.

    Example: `recap models --limit 10`
    """
    if context.invoked_subcommand is not None:
        return
    from components.promote.promotion_log import record_name
    from pipeline.cli.versions import alias_warning, list_versions, table

    client = _connect(uri, workspace)
    found, problems = list_versions(client, name, limit)
    if as_json:
        print(json.dumps(found, indent=1))
        return
    if not found:
        names = {model.name for model in client.search_registered_models(max_results=100)}
        others = ", ".join(sorted(names - {record_name(each) for each in names}))
        more = f"; --name is one of: {others}" if others else ""
        print(f"{name}: no version in {client.tracking_uri}{more}")
        return
    console = new_console()
    console.print(table(name, found, console.width))
    for line in (*problems, alias_warning(client, name)):
        if line is not None:
            print(printable(line))


@models_app.command()
def show(
    version: VersionArgument,
    name: NameOption = DEFAULT_NAME,
    uri: UriOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Show one version: lineage, decision, proof, metrics, moves.

    Example: `recap models show 7`
    """
    from pipeline.cli.versions import describe, lines

    known = describe(_connect(uri, workspace), name, str(version))
    print(json.dumps(known, indent=1) if as_json else printable("\n".join(lines(known))))


@models_app.command()
def diff(
    first: VersionArgument,
    second: VersionArgument,
    name: NameOption = DEFAULT_NAME,
    uri: UriOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: where their config, lineage and metrics differ.

    Example: `recap models diff 6 7`
    """
    from pipeline.cli.versions import change, differences

    found = differences(_connect(uri, workspace), name, str(first), str(second))
    if as_json:
        print(json.dumps(found, indent=1))
        return
    for field, (before, after) in found.items():
        print(printable(f"{field}: {change(before, after)}"))
    if not found:
        print(f"{name}: versions {first} and {second} have no recorded difference")


@models_app.command()
def fetch(
    model: Annotated[str, typer.Argument(help="NAME@ALIAS or NAME/VERSION.")],
    out: Annotated[Path, typer.Option(help="Folder for the version: a new one, or one fetched before.")],
    uri: UriOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
) -> None:
    """Fetch a version into a folder, each of its files checked, to serve it.

    Example: `recap models fetch recap@champion --out champion`
    """
    from components.common import registry
    from pipeline.fetch import fetch_version

    client = _connect(uri, workspace)
    name, version = registry.find_named_version(client, model)
    fetch_version(client, name, version, out)
    print(f"{out}: {name} version {version}, every file as it was registered. Serve it:")
    print(f"mlflow models serve --env-manager local --model-uri {shlex.quote(str(out))}")


def promote(
    version: VersionArgument,
    approve: Annotated[
        str | None, typer.Option(help="Why to promote a version that is on hold or waits for approval.")
    ] = None,
    name: NameOption = DEFAULT_NAME,
    uri: UriOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Make a version champion, if its decision allows it or you approve it.

    Example: `recap promote 7 --approve "replies are down by design"`
    """
    if approve is not None and not approve.strip():
        raise typer.BadParameter("give the reason in words", param_hint="--approve")
    client = _connect(uri, workspace)
    from components.promote.manual import promote_by_hand

    _tell(name, str(version), promote_by_hand(client, name, str(version), approve), as_json)


def rollback(
    to: Annotated[
        int | None, typer.Option(min=1, help="A version that was champion; else the previous one.")
    ] = None,
    why: Annotated[str, typer.Option(help="The reason, for the record.")] = "rolled back",
    name: NameOption = DEFAULT_NAME,
    uri: UriOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Make the previous champion, or a named earlier one, champion again.

    Example: `recap rollback --to 5 --why "complaints since Tuesday"`
    """
    client = _connect(uri, workspace)
    from components.promote.manual import roll_back

    move = roll_back(client, name, str(to) if to is not None else None, why)
    _tell(name, move.to if move else str(to), move, as_json)


def _connect(uri: str, workspace: Path) -> "MlflowClient":
    """A client of the registry that the options name; a database that is not there is not created."""
    from components.common import registry

    uri = uri or registry.default_tracking_uri(workspace)
    database = registry.sqlite_path(uri)
    if database is not None and not database.is_file():
        raise FileNotFoundError(f"{database}: no registry yet; recap run creates one")
    import logging
    import warnings

    warnings.simplefilter("ignore")
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    return registry.connect(uri)


def _tell(name: str, version: str, move: Any, as_json: bool) -> None:
    """Say what a promotion or a rollback did; ``move`` is None where the version was champion already."""
    if as_json:
        said = {"name": name, "champion": version, "moved": move is not None}
        print(json.dumps({**said, **({} if move is None else move.model_dump())}, indent=1))
    elif move is None:
        print(f"{name}: version {version} is champion already")
    else:
        before = f"version {move.source}" if move.source else "none"
        print(f"{name}: champion was {before}, is version {version}. Record: recap models show {version}.")
