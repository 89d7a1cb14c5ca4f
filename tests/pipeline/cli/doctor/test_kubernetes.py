"""What doctor finds in a namespace, against an API over a socket."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes.config import kube_config

from pipeline.cli.doctor.kubernetes import check_kubernetes
from pipeline.cluster.settings import ClusterSettings, ImageSettings
from tests.components.train.kubernetes_api import KubernetesApi, serving

JOB = ClusterSettings(train_job={"claim": "recap-shared"})
SPARK = ClusterSettings(spark={"executors": 2})


def use_kubeconfig(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The place is read from the environment when the client is imported."""
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(path))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    with serving() as running:
        use_kubeconfig(running.kubeconfig(tmp_path / "kubeconfig"), monkeypatch)
        running.claims["recap-shared"] = (["ReadWriteMany"], "Bound")
        running.allowed.add("system:serviceaccount:ml:default-editor")
        yield running


def found(settings: ClusterSettings, what: str) -> list[tuple[str, str]]:
    findings = check_kubernetes(settings, "ml")
    return [(finding.state, finding.words) for finding in findings if finding.what == what]


def one(settings: ClusterSettings, what: str) -> tuple[str, str]:
    [finding] = found(settings, what)
    return finding


def test_images_by_tag_are_a_warning_and_pinned_ones_are_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    use_kubeconfig(tmp_path / "none", monkeypatch)
    assert one(ClusterSettings(), "images")[0] == "warn"
    digest = "sha256:" + "0" * 64
    some = ClusterSettings(images={"digests": {"data": digest, "trainer": digest}})
    assert "registry by tag latest" in one(some, "images")[1]
    pinned = ClusterSettings(images={"digests": dict.fromkeys(("data", "trainer", "registry"), digest)})
    assert one(pinned, "images")[0] == "ok"


def test_secrets_that_are_there_and_that_are_not(server: KubernetesApi):
    server.secrets.add("recap-mlflow")
    assert found(ClusterSettings(), "secrets") == [
        (
            "warn",
            "recap-object-store, for object_store, is not there; create it if object_store needs one "
            "(see docs/cluster.md)",
        ),
        ("ok", "recap-mlflow is there"),
        (
            "warn",
            "recap-webhook, for webhook, is not there; create it if webhook needs one (see docs/cluster.md)",
        ),
    ]
    server.lacking.add("/api/v1/namespaces/ml/secrets")
    state, words = one(ClusterSettings(), "secrets")
    assert state == "warn"
    assert words.startswith("not looked at: (404)")
    assert words.endswith("; you may lack the right to list secrets")


def test_without_a_kubeconfig_nothing_is_looked_at_and_nothing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    use_kubeconfig(tmp_path / "none", monkeypatch)
    assert one(JOB, "secrets") == ("warn", "not looked at: no kubeconfig here")
    assert found(JOB, "trainer") == found(JOB, "volume") == []


def test_what_a_training_job_needs_is_looked_for_only_if_the_file_has_one(server: KubernetesApi):
    assert found(ClusterSettings(), "volume") == found(ClusterSettings(), "trainer") == []
    assert one(JOB, "volume") == ("ok", "claim recap-shared: ReadWriteMany, Bound")
    assert found(JOB, "trainer") == [
        ("ok", "runtime torch-distributed is there"),
        ("ok", "service account default-editor may manage training jobs"),
    ]


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (None, "claim recap-shared (train_job.claim) is not in namespace ml; create it, ReadWriteMany"),
        (
            (["ReadWriteOnce"], "Bound"),
            "claim recap-shared is ReadWriteOnce; several nodes write to it, so it has to be ReadWriteMany",
        ),
        ((["ReadWriteMany"], "Lost"), "claim recap-shared has lost its volume; bind it to another"),
    ],
)
def test_a_claim_that_the_nodes_cannot_share_is_a_failure(
    server: KubernetesApi, claim: tuple[list[str], str] | None, words: str
):
    del server.claims["recap-shared"]
    if claim is not None:
        server.claims["recap-shared"] = claim
    assert one(JOB, "volume") == ("fail", words)


def test_the_claim_of_checkpoints_is_looked_for_and_may_be_one_nodes(server: KubernetesApi):
    settings = ClusterSettings(checkpoints="recap-checkpoints")
    words = (
        "claim recap-checkpoints (checkpoints) is not in namespace ml; create it, ReadWriteMany or ReadWriteOnce or "
        "ReadWriteOncePod"
    )
    assert one(settings, "volume") == ("fail", words)
    server.claims["recap-checkpoints"] = (["ReadWriteOnce"], "Bound")
    assert one(settings, "volume") == ("ok", "claim recap-checkpoints: ReadWriteOnce, Bound")


def test_a_cluster_without_trainer_or_the_right_to_it_is_told_what_to_do(server: KubernetesApi):
    server.lacking.add("/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/torch-distributed")
    server.allowed.clear()
    (trainer, installed), (right, may) = found(JOB, "trainer")
    assert (trainer, right) == ("fail", "warn")
    assert installed.startswith(
        "no runtime torch-distributed (train_job.runtime), or no Kubeflow Trainer 2; install it"
    )
    assert may.startswith(
        "training jobs in namespace ml: pipeline-runner may not create trainjobs, delete trainjobs, get trainjobs; "
    )


def test_a_role_that_lacks_a_verb_is_not_enough(server: KubernetesApi):
    server.denied_verbs.add("delete")
    assert found(JOB, "trainer")[1][0] == "warn"


def test_the_role_of_a_driver_is_looked_for_only_if_the_file_has_spark(server: KubernetesApi):
    assert found(ClusterSettings(), "spark") == []
    assert one(SPARK, "spark") == ("ok", "service account default-editor may manage Spark's executors")
    server.denied_verbs.add("watch")
    state, words = one(SPARK, "spark")
    assert state == "warn"
    assert (
        "default-editor may not watch pods; give the steps' service account the role in docs/cluster.md"
        in words
    )


def test_the_image_with_spark_takes_the_place_of_the_other(server: KubernetesApi):
    digest = "sha256:" + "0" * 64
    pinned = {"digests": dict.fromkeys(("data", "trainer", "registry"), digest)}
    assert (
        "data-spark by tag latest"
        in one(SPARK.model_copy(update={"images": ImageSettings(**pinned)}), "images")[1]
    )
