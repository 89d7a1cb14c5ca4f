"""``recap release``: upload a new version of the pipeline and move every schedule to it."""

import difflib
from typing import Annotated, Any

import typer

from pipeline.cli.cluster.compile import ClusterOption, compiled_pipeline
from pipeline.cli.cluster.options import (
    HostOption,
    NamespaceOption,
    PipelineName,
    PipelineOption,
    TokenOption,
    connect_server,
)
from pipeline.graphs import PIPELINES


def release(
    host: HostOption,
    version: Annotated[
        str, typer.Option(help="Name of the new version, as a tag or a revision of the source.")
    ],
    cluster: ClusterOption = None,
    pipeline: PipelineOption = PipelineName.RETRAIN,
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
) -> None:
    """Upload the pipeline as a new version, print its differences from the last one, and move its schedules to it.

    An interrupted release is completed by repeating the command.

    Example: `recap release --version v2 --cluster cluster.yaml`
    """
    import yaml

    from pipeline.cluster.move_schedules import move_schedules

    server = connect_server(host, namespace, token_file)
    graph = PIPELINES[pipeline]
    before = server.newest_version(graph.name)
    with compiled_pipeline(cluster, graph) as package:
        made = server.publish(package, version, graph.name)
        documents = list(yaml.safe_load_all(package.read_text()))
    old, new = (
        _yaml_lines(before.spec if before else {}),
        _yaml_lines({"pipeline_spec": documents[0], "platform_spec": documents[1]}),
    )
    changed = list(
        difflib.unified_diff(old, new, before.name if before else "nothing", version, lineterm="", n=1)
    )
    typer.echo(
        "\n".join(changed) if changed else f"{version}: identical to {before.name if before else 'nothing'}"
    )
    for schedule in move_schedules(server, made):
        state = "" if schedule.enabled else ", paused as before"
        typer.echo(f"schedule {schedule.name}: runs {version}{state}")


def _yaml_lines(content: dict[str, Any]) -> list[str]:
    import yaml

    return yaml.safe_dump(content, sort_keys=True).splitlines()
