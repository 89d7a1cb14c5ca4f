"""``recap doctor``: what is missing before a run, or wrong between runs."""

import json
from typing import Annotated

import typer

from pipeline.cli.cluster.compile import ClusterOption
from pipeline.cli.cluster.options import NamespaceOption, TokenOption, connect_server
from pipeline.cli.terminal.output import printable
from pipeline.cli.workspace import DEFAULT_NAME, DEFAULT_WORKSPACE, NameOption, UriOption, WorkspaceOption


def doctor(
    workspace: WorkspaceOption = DEFAULT_WORKSPACE,
    tracking_uri: UriOption = "",
    name: NameOption = DEFAULT_NAME,
    host: Annotated[
        str,
        typer.Option(
            envvar="KFP_HOST", help="Address of the pipelines' API; without it the cluster is not checked."
        ),
    ] = "",
    namespace: NamespaceOption = "",
    token_file: TokenOption = None,
    cluster: ClusterOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Check packages, workspace, registry and, with --host, the cluster. Exit status 1 if a check fails.

    Example: `recap doctor --host http://127.0.0.1:8888 --cluster cluster.yaml`
    """
    from components.common.registry import default_tracking_uri
    from pipeline.cli.doctor.checks import Finding, check_cluster, check_machine, check_registry
    from pipeline.cluster.settings import load_cluster

    settings = load_cluster(cluster)
    findings = [
        *check_machine(workspace),
        *check_registry(tracking_uri or default_tracking_uri(workspace), name),
    ]
    if host:
        from pipeline.cli.doctor.kubernetes import check_kubernetes

        findings += check_cluster(lambda: connect_server(host, namespace, token_file))
        findings += check_kubernetes(settings, namespace)
    else:
        findings.append(Finding("server", "ok", "cluster not checked; give --host or set KFP_HOST"))
    if as_json:
        print(json.dumps([vars(finding) for finding in findings], indent=1))
    else:
        for finding in findings:
            print(printable(f"{finding.state:<5} {finding.what:<10} {finding.words}"))
    raise typer.Exit(1 if any(finding.state == "fail" for finding in findings) else 0)
