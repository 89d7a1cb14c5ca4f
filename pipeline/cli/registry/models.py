"""``recap models``: list, show, compare and fetch versions of a registered model."""

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.registry.options import JsonOption, VersionArgument, connect_registry
from pipeline.cli.terminal.command_group import CommandGroup
from pipeline.cli.terminal.output import new_console, printable
from pipeline.cli.workspace import DEFAULT_NAME, DEFAULT_WORKSPACE, NameOption, UriOption, WorkspaceOption

models_app = typer.Typer(cls=CommandGroup, invoke_without_command=True)


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
    from components.common.registry.promotion.promotion_log import record_name
    from pipeline.cli.registry.versions import alias_warning, list_versions, version_table

    client = connect_registry(uri, workspace)
    summaries, problems = list_versions(client, name, limit)
    if as_json:
        print(json.dumps(summaries, indent=1))
        return
    if not summaries:
        names = {model.name for model in client.search_registered_models(max_results=100)}
        others = ", ".join(sorted(names - {record_name(each) for each in names}))
        more = f"; --name is one of: {others}" if others else ""
        print(f"{name}: no version in {client.tracking_uri}{more}")
        return
    console = new_console()
    console.print(version_table(name, summaries, console.width))
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
    from pipeline.cli.registry.versions import describe_version, format_lines

    known = describe_version(connect_registry(uri, workspace), name, str(version))
    print(json.dumps(known, indent=1) if as_json else printable("\n".join(format_lines(known))))


@models_app.command()
def diff(
    first: VersionArgument,
    second: VersionArgument,
    name: NameOption = DEFAULT_NAME,
    uri: UriOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    as_json: JsonOption = False,
) -> None:
    """Compare two versions: metrics on the same rows, scored again if need be, and where config and lineage differ.

    Example: `recap models diff 6 7`
    """
    from pipeline.cli.registry.same_rows import compare_on_same_rows
    from pipeline.cli.registry.versions import compare_versions, format_change

    client = connect_registry(uri, workspace)
    differences = compare_versions(client, name, str(first), str(second))
    compared = compare_on_same_rows(client, name, str(first), str(second))
    if as_json:
        metrics = {"not_compared": compared} if isinstance(compared, str) else compared.as_json()
        print(json.dumps({**differences, "metrics": metrics}, indent=1))
        return
    if isinstance(compared, str):
        print(
            printable(f"metrics: not compared, as the versions were not scored on the same rows: {compared}")
        )
    else:
        print(printable("\n".join(compared.lines())))
    for field, (before, after) in differences.items():
        print(printable(f"{field}: {format_change(before, after)}"))
    if not differences:
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
    from pipeline.cli.registry.fetch import fetch_version

    client = connect_registry(uri, workspace)
    name, version = registry.find_named_version(client, model)
    fetch_version(client, name, version, out)
    print(f"{out}: {name} version {version}, every file as it was registered. Serve it:")
    print(f"mlflow models serve --env-manager local --model-uri {shlex.quote(str(out))}")
