"""``recap deploy``: serve the champion on KServe, rolled out in stages."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli.cluster.options import NamespaceOption
from pipeline.cli.registry.options import connect_registry
from pipeline.cli.workspace import DEFAULT_WORKSPACE, UriOption, WorkspaceOption


def deploy(
    cluster: Annotated[Path, typer.Option(help="The cluster file, with a section serving.")],
    model: Annotated[
        str, typer.Option(help="models:/NAME@ALIAS or models:/NAME/VERSION.")
    ] = "models:/recap@champion",
    print_only: Annotated[
        bool, typer.Option("--print", help="Print the InferenceService as YAML, and change nothing.")
    ] = False,
    namespace: NamespaceOption = "",
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: UriOption = "",
) -> None:
    """Serve a version on KServe: a canary gets more of the traffic stage by stage, then the version gets all.

    If a stage fails, the version before gets all of the traffic again, and the exit status is 1. An interrupted
    deployment is completed by repeating the command. See docs/cluster.md.

    Example: `recap deploy --cluster cluster.yaml --model models:/shop@champion`
    """
    from components.common import registry

    client = connect_registry(tracking_uri, workspace)
    name, version = registry.find_named_version(client, model)
    if print_only:
        import yaml

        from pipeline.cluster.deployment.inference_service import inference_service
        from pipeline.cluster.settings import load_cluster

        service = inference_service(load_cluster(cluster), f"models:/{name}/{version}")
        typer.echo(yaml.safe_dump(service, sort_keys=False), nl=False)
        return
    deploy_version(cluster, namespace, f"models:/{name}/{version}", typer.echo)


def deploy_version(
    cluster: Path, namespace: str, model: str, report: Callable[[str], None], at_once: bool = False
) -> None:
    """Roll a version out on the cluster of a file, and report each stage; ``at_once`` without stages."""
    from pipeline.cluster.deployment.inference_service import serving_settings
    from pipeline.cluster.deployment.kserve import InferenceServiceClient
    from pipeline.cluster.deployment.rollout import Rollout
    from pipeline.cluster.deployment.served_scores import compare_served_scores
    from pipeline.cluster.settings import load_cluster

    settings = load_cluster(cluster)
    serving = serving_settings(settings)

    def check(before: str, after: str, since: datetime) -> str:
        if serving.prediction_log is None:
            return ""
        return compare_served_scores(serving.prediction_log, before, after, since, serving.max_score_psi)

    service = InferenceServiceClient(serving.name, namespace or "kubeflow")
    Rollout(service, settings, model, check, report).run(at_once=at_once)
