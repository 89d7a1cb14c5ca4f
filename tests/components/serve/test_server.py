"""The server: the champion's scores in every format, over promotions, and what it refuses."""

import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
from mlflow import MlflowClient
from prometheus_client.parser import text_string_to_metric_families

from components.common import registry
from components.resolve.serving_log import freeze_serving_log
from components.resolve.window import Window
from components.serve.follow_alias import AliasFollower
from components.serve.metrics import Metrics
from components.serve.payload import ARROW, PARAMS_KEY, PARQUET
from components.serve.served_model import ServedModel, load_version
from components.serve.server import ServeSettings
from components.validate.profile.columns import FEATURE_ROLES, list_blocks
from tests.components.registries import new_registry
from tests.components.serve.versions import NAME, add_version, pyfunc_of, running, wait_until, write_stream
from tests.recap_model.sequences import sequence_config
from tests.servers import free_port
from tests.tiny import FIRST_DAY, tiny_rows

CONFIG = sequence_config("mean")
NOW = 1_772_323_200_000
HISTORY = {
    "hist_items": [901, None, -7],
    "hist_authors": ["ann", "bob", None],
    "hist_surface": [1, 4, 2],
    "hist_actions": [["like", "click"], [], None],
    "hist_dwell_s": [3.5, None, 120.0],
    "hist_ms": [NOW - 30_000, NOW - 7_200_000, None],
    "impressed_ms": NOW,
}
FEATURES = [name for name in CONFIG.features.columns() if name not in HISTORY]
ROWS = tiny_rows(FIRST_DAY, 30).select(["request_id", "post_id", *FEATURES])
FULL = ROWS
for name, value in HISTORY.items():
    FULL = FULL.append_column(name, pa.array([value] * len(ROWS)))


@dataclass
class Served:
    """A running server, its registry, and each version's folder."""

    address: str
    process: BaseProcess
    client: MlflowClient
    folders: dict[str, Path]
    log: Path
    predictions: Path

    def post(self, body: object, kind: str = "application/json", **headers: str) -> requests.Response:
        content = body if isinstance(body, bytes | Iterator) else json.dumps(body).encode()
        return requests.post(
            f"{self.address}/invocations", content, headers={"Content-Type": kind, **headers}, timeout=30
        )

    def promote(self, version: str) -> None:
        registry.move_alias(self.client, NAME, "champion", version)

    def version(self) -> str:
        return requests.get(f"{self.address}/ready", timeout=5).json()["version"]

    def metrics(self) -> dict[tuple[str, ...], float]:
        text = requests.get(f"{self.address}/metrics", timeout=5).text
        return {
            (one.name, *one.labels.values()): one.value
            for family in text_string_to_metric_families(text)
            for one in family.samples
        }

    def expected(self, version: str, rows: pa.Table = FULL) -> np.ndarray:
        return pyfunc_of(self.folders[version]).score(rows).scores


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serve")
    uri = new_registry(folder / "workspace")
    client = registry.connect(uri)
    client.create_registered_model(NAME)
    folders = {}
    for seed in range(3):
        version = add_version(client, folder / f"version{seed}", CONFIG, FULL, seed)
        folders[version] = folder / f"version{seed}"
    registry.move_alias(client, NAME, "champion", "1")
    settings = ServeSettings(
        f"models:/{NAME}@champion",
        uri,
        port=free_port(),
        prediction_log=str(folder / "served"),
        poll_s=0.1,
        longest_body_mib=1,
    )
    with running(settings, folder / "server.log") as (address, process):
        yield Served(address, process, client, folders, folder / "server.log", folder / "served")


@pytest.fixture
def champion(served: Served) -> str:
    """Version 1, served."""
    served.promote("1")
    assert wait_until(lambda: served.version() == "1", 30)
    return "1"


def frame_columns(rows: pa.Table) -> dict[str, list]:
    return {name: rows[name].to_pylist() for name in rows.column_names}


def parquet(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    return sink.getvalue().to_pybytes()


RECORDS = FULL.to_pylist()
SPLIT = {"columns": FULL.column_names, "data": [list(row.values()) for row in RECORDS]}
ONCE = {"history": HISTORY}
WITH_PARAMS = ROWS.replace_schema_metadata({PARAMS_KEY: json.dumps(ONCE)})


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"dataframe_split": SPLIT}, "application/json"),
        ({"dataframe_records": RECORDS}, "application/json; charset=utf-8"),
        ({"instances": RECORDS}, "application/json"),
        ({"inputs": frame_columns(FULL)}, "application/json"),
        ({"dataframe_records": ROWS.to_pylist(), "params": ONCE}, "application/json"),
        (parquet(FULL), PARQUET),
        (write_stream(FULL), ARROW),
        (write_stream(WITH_PARAMS), ARROW),
    ],
    ids=["split", "records", "instances", "inputs", "history", "parquet", "arrow", "arrow history"],
)
def test_every_format_has_the_champions_scores(served: Served, champion: str, body, kind: str):
    answer = served.post(body, kind)
    assert answer.status_code == 200, answer.text
    assert answer.headers["recap-model-version"] == champion
    if kind == ARROW:
        scores = pa.ipc.open_stream(answer.content).read_pandas()
    else:
        scores = pd.DataFrame(answer.json()["predictions"])
    assert list(scores.columns) == ["like", "reply", "score"]
    np.testing.assert_allclose(scores.to_numpy(), served.expected(champion), rtol=0, atol=1e-6)


@pytest.mark.usefixtures("champion")
def test_the_answer_is_in_the_format_that_is_accepted_and_weights_are_taken(served: Served):
    body = {"dataframe_records": RECORDS, "params": {"weights": {"reply": 2}}}
    scores = pa.ipc.open_stream(served.post(body, Accept=ARROW).content).read_pandas()
    np.testing.assert_allclose(scores["score"], scores["like"] + 2 * scores["reply"], rtol=1e-5)
    assert len(served.post(write_stream(FULL), ARROW, Accept="application/json").json()["predictions"]) == 30
    assert served.post({"dataframe_records": []}).status_code == 400  # no column at all
    assert served.post({"dataframe_split": SPLIT | {"data": []}}).json() == {"predictions": []}


TWICE = pa.Table.from_arrays([*FULL.columns, FULL["post_id"]], names=[*FULL.column_names, "post_id"])
INPUTS = frame_columns(FULL)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"dataframe_records": [{"likes": 1.0}]}, "input: no column age_hours"),
        ({"inputs": INPUTS | {"likes": ["x"] * 30}}, "column likes is string; allowed are numbers"),
        ({"inputs": INPUTS | {"topic": [2**70] * 30}}, "input: column topic, row 0: "),
        ({"inputs": INPUTS | {"likes": [1.0] * 7 + ["x"] * 23}}, "input: column likes, row 7: Could not"),
        ({"instances": RECORDS, "params": {"weights": {"like": 10**400}}}, "weights: like is 10"),
        (
            {"inputs": INPUTS | {"topic": [1]}},
            "inputs: column topic is no list as long as the other columns'",
        ),
        ({"rows": []}, "body: has no rows; give one of dataframe_split"),
        ({"inputs": [], "instances": []}, "body: has instances and inputs; give one"),
        ([1], "body: is a JSON array; give an object"),
        (
            {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}},
            "dataframe_split.data: row 0 is no list of 1",
        ),
        ({"instances": [{"a": 1}, 3]}, "instances: row 1 is a JSON number"),
        ({"inputs": {}, "params": {"weight": 1}}, "params: unknown parameter 'weight'"),
        ({"instances": RECORDS, "params": {"weights": {"x": 1}}}, "weights: unknown task 'x'"),
        ({"instances": RECORDS, "params": ONCE}, "history: column hist_items is in the rows too"),
        (
            {"instances": ROWS.to_pylist(), "params": {"history": {"hist_items": 1}}},
            "column hist_items is int64",
        ),
        ({"inputs": INPUTS | {"post_id": [1, "a"] * 15}}, "input: column post_id, row 1: "),
        (b"{" * 10_000, "body: is not JSON"),
        (b"\xff\xfe", "body: is not JSON"),
        ((ARROW, write_stream(FULL)[:900]), "body: is not arrow"),
        ((ARROW, write_stream(TWICE)), "post_id is there 2 times"),
        ((PARQUET, parquet(FULL)[:-9]), "body: is not parquet"),
    ],
)
@pytest.mark.usefixtures("champion")
def test_a_bad_request_is_answered_by_one_line(served: Served, body: object, words: str):
    kind, content = body if isinstance(body, tuple) else ("application/json", body)
    answer = served.post(content, kind)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "BAD_REQUEST")
    assert words in answer.json()["message"]
    assert "\n" not in answer.json()["message"]
    assert len(answer.json()["message"]) < 300


@pytest.mark.usefixtures("champion")
def test_a_body_that_is_too_long_or_of_another_type_is_refused(served: Served):
    assert served.post(b" " * ((1 << 20) + 1)).json()["message"].startswith("body: is longer than 1 MiB")
    assert served.post(iter([b" " * (1 << 20), b" "])).status_code == 413  # chunked, of no declared length
    answer = served.post(b"a,b", "text/csv")
    assert (answer.status_code, answer.json()["message"][:35]) == (415, "Content-Type: text/csv; give one of")


def test_clients_that_send_slowly_or_never_read_keep_nobody_waiting(served: Served, champion: str):
    """Seventy requests without the end of their body, ten whose answers are not read, and a promotion meanwhile."""
    body = json.dumps({"inputs": INPUTS}).encode()
    head = "POST /invocations HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with ExitStack() as held:
        port = int(served.address.rpartition(":")[2])
        for sent in [body[:100]] * 70 + [body] * 10:
            client = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            client.sendall(head.encode() + sent)
        assert wait_until(lambda: served.metrics()["recap_requests_in_flight",] >= 70, 30)
        assert served.post(body).headers["recap-model-version"] == champion
        served.promote("2")
        assert wait_until(lambda: served.version() == "2", 30)
        assert served.post(body).headers["recap-model-version"] == "2"


def test_promotions_under_load_drop_no_request(served: Served, champion: str):
    """Four clients hold their connections while the champion changes six times."""
    expected = {version: served.expected(version) for version in served.folders}
    body, failures, done = write_stream(FULL), [], threading.Event()
    counts = []

    def ask() -> None:
        count = 0
        with requests.Session() as session:
            while not done.is_set():
                answer = session.post(
                    f"{served.address}/invocations", body, headers={"Content-Type": ARROW}, timeout=30
                )
                if answer.status_code != 200:
                    failures.append(answer.text)
                    continue
                scores = pa.ipc.open_stream(answer.content).read_pandas().to_numpy()
                if not np.allclose(scores, expected[answer.headers["recap-model-version"]], atol=1e-6):
                    failures.append(f"scores of version {answer.headers['recap-model-version']} differ")
                count += 1
        counts.append(count)

    clients = [threading.Thread(target=ask) for _ in range(4)]
    for client in clients:
        client.start()
    for number in range(6):
        promoted = str(number % 3 + 1)
        served.promote(promoted)
        assert wait_until(lambda promoted=promoted: served.version() == promoted, 30)
    done.set()
    for client in clients:
        client.join()
    assert failures == []
    assert min(counts) > 10


def test_an_altered_champion_is_refused_and_the_old_one_stays(served: Served, champion: str):
    weights = served.folders["2"] / registry.MODEL_PATH / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    served.promote("2")
    assert wait_until(lambda: served.metrics().get(("recap_refused_version", "2")) == 1, 30)
    assert served.version() == champion
    assert served.post({"dataframe_records": RECORDS}).headers["recap-model-version"] == champion
    assert "weights.safetensors was altered after registration" in served.log.read_text()
    weights.write_bytes(content)
    served.promote("3")
    assert wait_until(lambda: served.version() == "3", 30)
    assert ("recap_refused_version", "2") not in served.metrics()


def test_a_version_that_scores_otherwise_than_when_it_was_evaluated_is_refused(
    served: Served, tmp_path: Path
):
    version = add_version(served.client, tmp_path / "version", CONFIG, FULL, seed=9, shift=1e-3)
    with pytest.raises(
        registry.RegistryError, match=r"scores after loading differ from evaluate's by 0\.001"
    ):
        load_version(served.client, NAME, version)


def test_without_a_registry_the_model_stays(served: Served, caplog: pytest.LogCaptureFixture):
    model = ServedModel(NAME, "1", pyfunc_of(served.folders["1"]))
    metrics = Metrics()
    nobody = MlflowClient(f"http://127.0.0.1:{free_port()}")
    follower = AliasFollower(nobody, "champion", model, metrics, poll_s=1)
    for _ in range(2):
        follower.check()
    assert follower.model is model
    assert metrics.collectors.get_sample_value("recap_registry_up") == 0
    assert [record.levelname for record in caplog.records if "event=registry" in record.message] == ["ERROR"]


def test_sigterm_drains_and_the_prediction_log_is_a_serving_log(served: Served, champion: str):
    """Last, as it ends the server."""
    os.kill(served.process.pid, signal.SIGTERM)
    answers = []

    def is_draining() -> bool:
        answers.append(served.post({"dataframe_records": ROWS.to_pylist(), "params": ONCE}))
        return answers[-1].headers.get("connection") == "close"

    assert wait_until(is_draining, 30)
    assert requests.get(f"{served.address}/ready", timeout=5).status_code == 503
    assert {answer.status_code for answer in answers} == {200}
    assert wait_until(lambda: not served.process.is_alive(), 20)
    assert served.process.exitcode == 0
    today = datetime.now(UTC).date()
    window = Window(today - timedelta(days=1), today)
    frozen = freeze_serving_log(f"{served.predictions}/date=*/*.parquet", window)
    assert frozen.missing == ""
    assert {path.suffix for path in served.predictions.rglob("*") if path.is_file()} == {".parquet"}
    files = [pq.read_table(served.predictions / file.path, partitioning=None) for file in frozen.files]
    members = [one for block in list_blocks(CONFIG) if block.role in FEATURE_ROLES for one in block.members]
    assert [one.name for one in members for table in files if one.refusal(table.schema)] == []
    logged = max(files, key=lambda table: table["served_at"][-1].as_py())
    logged = logged.slice(len(logged) - 30)
    assert logged["model_version"].unique().to_pylist() == [champion]
    assert logged["post_id"].to_pylist() == ROWS["post_id"].to_pylist()
    assert logged["hist_items"].to_pylist() == [HISTORY["hist_items"]] * 30
    scores = np.stack([logged[f"prediction.{name}"] for name in ("like", "reply", "score")], axis=1)
    np.testing.assert_allclose(scores, served.expected(champion), rtol=0, atol=1e-6)
