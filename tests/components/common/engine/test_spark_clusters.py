"""Both verbs on a standalone cluster and on Kubernetes' API, with executors that are lost."""

import functools
import sys
from pathlib import Path

import pytest

from components.common.engine.kubernetes import POD_IP, POD_NAME, VARIABLE, ExecutorSettings
from components.common.engine.local import LocalEngine
from components.common.engine.spark import SparkEngine
from pipeline.cli.doctor.kubernetes import EXECUTOR_RIGHTS
from tests.components.common.engine import work
from tests.components.common.engine.spark_cluster import standalone_cluster
from tests.components.common.engine.spark_pods import DRIVER_POD, pod_api

pytestmark = pytest.mark.slow
_ONE_MACHINE = {"spark.ui.enabled": "false", "spark.executor.memory": "512m"}


@pytest.fixture(autouse=True)
def _executors_import_the_tests(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[4]))
    monkeypatch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    # Processes that live for seconds: compiling and collecting for hours would take most of them.
    monkeypatch.setenv("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")


def test_a_cluster_that_loses_executors_and_a_worker_gives_what_one_process_gives(tmp_path: Path):
    with standalone_cluster(tmp_path) as master, SparkEngine(master, _ONE_MACHINE) as engine:
        killing = work.KillExecutorOnce(tmp_path / "map", work.square)
        squares = engine.map(list(range(work.ITEMS)), killing, work.concatenate)
        sink = functools.partial(work.SinkOfLostExecutor, tmp_path / "sink")
        sunk = engine.exchange(
            list(range(work.ITEMS)), work.send, work.SHARDS, sink, ("user",), work.concatenate
        )
        killing_worker = work.KillExecutorOnce(tmp_path / "send", work.send, worker=True)
        sent = work.exchanged(engine, ("user",), killing_worker)
    assert all((tmp_path / verb).exists() for verb in ("map", "send", "sink"))
    with LocalEngine(1) as local:
        expected = work.exchanged(local, ("user",))
    assert squares == [item * item for item in range(work.ITEMS)]
    assert sent == sunk == expected


def test_executors_are_pods_that_kubernetes_takes_and_are_replaced_when_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    settings = ExecutorSettings(
        image="registry.example/recap-data-spark@sha256:" + "0" * 64,
        executors=2,
        cores=1,
        memory_mib=1024,
        scratch="10Gi",
        node_selector={"pool": "spark"},
        toleration="spark",
        secrets=["recap-object-store"],
        user=10001,
    )
    monkeypatch.setenv(VARIABLE, settings.model_dump_json())
    monkeypatch.setenv(POD_IP, "127.0.0.1")
    monkeypatch.setenv(POD_NAME, DRIVER_POD)
    lost = work.KillExecutorOnce(tmp_path / "send", work.send)
    with pod_api(tmp_path) as api:
        with SparkEngine(api.master, {"spark.ui.enabled": "false"}) as engine:
            exchanged = work.exchanged(engine, ("user",), lost)
        assert (tmp_path / "send").exists()
        assert api.refused == []
        assert len(api.pods) == 3
        needed = {(verb, resource) for (_, resource), verbs in EXECUTOR_RIGHTS.items() for verb in verbs}
        assert api.rights <= needed
        pod = next(iter(api.pods.values()))
    with LocalEngine(1) as local:
        assert exchanged == work.exchanged(local, ("user",))
    assert [one["name"] for one in pod["metadata"]["ownerReferences"]] == [DRIVER_POD]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == settings.image
    assert container["envFrom"] == [{"secretRef": {"name": "recap-object-store", "optional": True}}]
    assert container["resources"]["limits"]["memory"] == "1024Mi"
    assert pod["spec"]["nodeSelector"] == {"pool": "spark"}


def test_kubernetes_without_executors_of_a_cluster_is_one_line():
    with (
        pytest.raises(ValueError, match=r"was given no executors; run it on a cluster whose file has spark"),
        SparkEngine("k8s://https://127.0.0.1:1", {}) as engine,
    ):
        engine.map([1], work.count, work.concatenate)
