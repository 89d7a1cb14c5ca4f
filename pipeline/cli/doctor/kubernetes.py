"""Check a Kubernetes namespace for what a cluster file requires: images, secrets, volumes, jobs, serving."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from kubernetes import client
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from components.common.runtime.train_job import GROUP, PLURAL, VERSION
from pipeline.cli.doctor.checks import Finding
from pipeline.cluster.deployment import inference_service
from pipeline.cluster.deployment.kserve import InferenceServiceClient, ServedState
from pipeline.cluster.kubeconfig import load_kubeconfig
from pipeline.cluster.pod_resources import used_images
from pipeline.cluster.settings import ClusterSettings, TrainJobSettings
from recap_model.config.reading.errors import in_one_line

# Of the steps: the first in a shared namespace, the second in a user's profile.
_SERVICE_ACCOUNTS = ("pipeline-runner", "default-editor")
_JOB_RIGHTS = {(GROUP, PLURAL): ("create", "delete", "get", "list")}
# What Spark's driver asks in client mode; it ends its executors by their label.
EXECUTOR_RIGHTS = {
    ("", "pods"): ("create", "delete", "deletecollection", "get", "list", "watch"),
    ("", "configmaps"): ("create", "deletecollection"),
    ("", "persistentvolumeclaims"): ("deletecollection", "list"),
    ("", "services"): ("deletecollection",),
}
# What `recap deploy` asks, with the rights of whoever calls it.
SERVING_RIGHTS = {
    (inference_service.GROUP, inference_service.PLURAL): ("create", "get", "patch"),
    ("apps", "deployments"): ("get",),
}
_TIMEOUT_S = 10.0


def check_kubernetes(settings: ClusterSettings, namespace: str) -> Iterator[Finding]:
    """Check that images are pinned, and that the namespace has the secrets, volumes and training runtime.

    A check that cannot run, for lack of a kubeconfig or of permissions, is a warning.
    """
    yield _images(settings)
    if not load_kubeconfig():
        yield Finding("secrets", "warn", "not looked at: no kubeconfig here")
        return
    namespace = namespace or "kubeflow"
    yield from _run_check("secrets", "list secrets", lambda: _secrets(settings, namespace))
    job, checkpoints = settings.train_job, settings.checkpoints
    if checkpoints is not None:
        modes = ("ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
        yield from _run_check(
            "volume", "get claims", lambda: _claim(checkpoints, "checkpoints", namespace, modes)
        )
    if job is not None:
        yield from _run_check(
            "volume",
            "get claims",
            lambda: _claim(job.claim, "train_job.claim", namespace, ("ReadWriteMany",)),
        )
        yield from _run_check("trainer", "get training runtimes", lambda: _runtime(job, namespace))
        yield from _run_check(
            "trainer",
            "create access reviews",
            lambda: _rights("trainer", "training jobs", _JOB_RIGHTS, namespace),
        )
    if settings.spark is not None:
        yield from _run_check(
            "spark",
            "create access reviews",
            lambda: _rights("spark", "Spark's executors", EXECUTOR_RIGHTS, namespace),
        )
    serving = settings.serving
    if serving is not None:
        yield from _run_check(
            "serving", "create access reviews", lambda: list(_serving(serving.name, namespace))
        )


def _images(settings: ClusterSettings) -> Finding:
    used = used_images(settings)
    by_tag = [kind for kind in used if kind not in settings.images.digests]
    if by_tag:
        words = f"{', '.join(by_tag)} by tag {settings.images.tag}, under which others may lie; pin in images.digests"
        return Finding("images", "warn", words)
    return Finding("images", "ok", f"pinned by digest: {', '.join(used)}")


def _run_check(what: str, right: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except (ApiException, HTTPError, OSError) as error:
        reason = in_one_line(error)[:160]
        return [Finding(what, "warn", f"not looked at: {reason}; you may lack the right to {right}")]


def _secrets(settings: ClusterSettings, namespace: str) -> list[Finding]:
    items = client.CoreV1Api().list_namespaced_secret(namespace, _request_timeout=_TIMEOUT_S).items
    present = {item.metadata.name for item in items}
    findings = []
    for purpose, name in settings.secrets.model_dump(exclude_none=True).items():
        words = f"{name}, for {purpose}, is not there; create it if {purpose} needs one (see docs/cluster.md)"
        there = name in present
        findings.append(Finding("secrets", "ok" if there else "warn", f"{name} is there" if there else words))
    return findings


def _claim(claim: str, field: str, namespace: str, modes: tuple[str, ...]) -> list[Finding]:
    """Check a claim that steps or a job's nodes mount; ``modes`` are the acceptable access modes."""
    core = client.CoreV1Api()
    volume = _none_if_missing(
        lambda: core.read_namespaced_persistent_volume_claim(claim, namespace, _request_timeout=_TIMEOUT_S)
    )
    if volume is None:
        words = f"claim {claim} ({field}) is not in namespace {namespace}; create it, {' or '.join(modes)}"
        return [Finding("volume", "fail", words)]
    given = volume.spec.access_modes or []
    if not set(modes) & set(given):
        words = f"claim {claim} is {', '.join(given)}; several nodes write to it, so it has to be {modes[0]}"
        return [Finding("volume", "fail", words)]
    if volume.status.phase == "Lost":
        words = f"claim {claim} has lost its volume; bind it to another"
        return [Finding("volume", "fail", words)]
    return [Finding("volume", "ok", f"claim {claim}: {', '.join(given)}, {volume.status.phase}")]


def _runtime(job: TrainJobSettings, namespace: str) -> list[Finding]:
    """Check that Kubeflow Trainer has the runtime of the jobs."""
    api = client.CustomObjectsApi()
    looks: tuple[Callable[[], Any], ...] = (
        lambda: api.get_namespaced_custom_object(
            GROUP, VERSION, namespace, "trainingruntimes", job.runtime, _request_timeout=_TIMEOUT_S
        ),
        lambda: api.get_cluster_custom_object(
            GROUP, VERSION, "clustertrainingruntimes", job.runtime, _request_timeout=_TIMEOUT_S
        ),
    )
    if any(_none_if_missing(look) is not None for look in looks):
        return [Finding("trainer", "ok", f"runtime {job.runtime} is there")]
    words = (
        f"no runtime {job.runtime} (train_job.runtime), or no Kubeflow Trainer 2; install it, or name another "
        "in the cluster's file"
    )
    return [Finding("trainer", "fail", words)]


def _rights(
    what: str, things: str, rights: Mapping[tuple[str, str], tuple[str, ...]], namespace: str
) -> list[Finding]:
    """Check that a service account of the steps has rights, given as verbs by API group and resource."""
    api = client.AuthorizationV1Api()

    def may(account: str, group: str, resource: str, verb: str) -> bool:
        review = {
            "spec": {
                "user": f"system:serviceaccount:{namespace}:{account}",
                "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"],
                "resourceAttributes": {
                    "namespace": namespace,
                    "verb": verb,
                    "group": group,
                    "resource": resource,
                },
            }
        }
        answer = api.create_subject_access_review(review, _request_timeout=_TIMEOUT_S)
        return bool(answer.status.allowed)

    wanted = [(group, resource, verb) for (group, resource), verbs in rights.items() for verb in verbs]
    lacking: dict[str, list[str]] = {}
    for account in _SERVICE_ACCOUNTS:
        missing = [
            f"{verb} {resource}"
            for group, resource, verb in wanted
            if not may(account, group, resource, verb)
        ]
        if not missing:
            return [Finding(what, "ok", f"service account {account} may manage {things}")]
        lacking[account] = missing
    words = "; ".join(f"{account} may not {', '.join(missing[:3])}" for account, missing in lacking.items())
    return [
        Finding(
            what,
            "warn",
            f"{things} in namespace {namespace}: {words}; give the steps' service account the role in "
            "docs/cluster.md",
        )
    ]


def _serving(name: str, namespace: str) -> Iterator[Finding]:
    """Check the rights of the caller, and what the InferenceService serves."""
    api = client.AuthorizationV1Api()
    lacking = []
    for (group, resource), verbs in SERVING_RIGHTS.items():
        for verb in verbs:
            asked = {"namespace": namespace, "verb": verb, "group": group, "resource": resource}
            review = {"spec": {"resourceAttributes": asked}}
            answer = api.create_self_subject_access_review(review, _request_timeout=_TIMEOUT_S)
            if not answer.status.allowed:
                lacking.append(f"{verb} {resource}")
    if lacking:
        words = f"you may not {', '.join(lacking)} in namespace {namespace}; the role is in docs/cluster.md"
        yield Finding("serving", "warn", words)
        return
    try:
        service = InferenceServiceClient(name, namespace).read()
    except ValueError as error:
        yield Finding("serving", "fail", str(error))
        return
    if service is None:
        yield Finding("serving", "ok", f"{name} does not exist yet; recap deploy creates it")
        return
    state = ServedState.of(service)
    if state.canaries:
        canaries = ", ".join(f"{model} with {percent} %" for model, percent in state.canaries)
        words = f"{name} serves {state.stable}, and {canaries}: a deployment is running, or was interrupted"
        yield Finding("serving", "warn", f"{words}; complete it by recap deploy")
    else:
        yield Finding("serving", "ok", f"{name} serves {state.stable}")


def _none_if_missing(look: Callable[[], Any]) -> Any:
    try:
        return look()
    except ApiException as error:
        if error.status == 404:
            return None
        raise
