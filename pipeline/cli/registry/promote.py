"""``recap promote`` and ``recap rollback``: change which version is champion."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.cli.cluster.options import NamespaceOption
from pipeline.cli.registry.options import JsonOption, VersionArgument, connect_registry
from pipeline.cli.workspace import DEFAULT_NAME, DEFAULT_WORKSPACE, NameOption, UriOption, WorkspaceOption


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
    client = connect_registry(uri, workspace)
    from components.promote.manual import promote_manually

    _print_promotion(name, str(version), promote_manually(client, name, str(version), approve), as_json)


def rollback(
    to: Annotated[
        int | None, typer.Option(min=1, help="A version that was champion; else the previous one.")
    ] = None,
    why: Annotated[str, typer.Option(help="The reason, for the record.")] = "rolled back",
    name: NameOption = DEFAULT_NAME,
    uri: UriOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    cluster: Annotated[
        Path | None,
        typer.Option(help="A cluster file with a section serving: deploy the champion there at once."),
    ] = None,
    namespace: NamespaceOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make the previous champion, or a named earlier one, champion again.

    With --cluster its endpoint serves that version at once, without stages.

    Example: `recap rollback --to 5 --why "complaints since Tuesday"`
    """
    client = connect_registry(uri, workspace)
    from components.common.registry.promotion.rollback import roll_back

    if cluster is not None:
        from pipeline.cluster.deployment.inference_service import serving_settings
        from pipeline.cluster.settings import load_cluster

        serving_settings(load_cluster(cluster))  # before anything is moved
    move = roll_back(client, name, str(to) if to is not None else None, why)
    champion = move.to if move else str(to)
    _print_promotion(name, champion, move, as_json)
    if cluster is not None:
        from pipeline.cli.cluster.deploy import deploy_version

        def report(line: str) -> None:
            typer.echo(line, err=True)  # standard output may be JSON

        deploy_version(cluster, namespace, f"models:/{name}/{champion}", report, at_once=True)


def _print_promotion(name: str, version: str, move: Any, as_json: bool) -> None:
    """Print the result of a promotion or rollback; ``move`` is None if the version already was champion."""
    if as_json:
        result = {"name": name, "champion": version, "moved": move is not None}
        print(json.dumps({**result, **({} if move is None else move.model_dump())}, indent=1))
    elif move is None:
        print(f"{name}: version {version} is already champion")
    else:
        before = f"version {move.source}" if move.source else "none"
        print(f"{name}: champion was {before}, is version {version}. Record: recap models show {version}.")
