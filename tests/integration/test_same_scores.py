"""One model, one set of rows, and the same scores by every way of asking for them."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import requests
import torch
from numpy.typing import NDArray
from typer.testing import CliRunner

from components.common import registry
from components.register.package import package
from pipeline.cli.app import app
from pipeline.local.scoring import Source, score_files
from recap_model import create_ranking_model, data_spec, export_onnx, export_program, load_model, save_model
from recap_model.calibration import build_calibrator
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.log.feature_groups import read_groups
from recap_model.data.log.id_lists import IdLists, pad_lists, read_lists
from recap_model.export.graph import input_names
from tests.components.registries import new_registry
from tests.servers import served
from tests.tiny import sparse_config, with_lists, write_tiny_log

CONFIG = sparse_config()
OUTPUTS = [*CONFIG.tasks, "score"]
AFFINE = {"kind": "affine", "scale": 0.8, "bias": -0.4}
CALIBRATORS = [AFFINE, {"kind": "beta", "left": 0.5, "right": 0.9, "bias": 0.1}]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibrated ``model`` and ``rows.parquet``, some of its values missing."""
    folder = tmp_path_factory.mktemp("same")
    torch.manual_seed(0)
    model = create_ranking_model(data_spec(CONFIG), CONFIG, "cpu").eval()
    model.set_calibrators(dict(zip(model.tasks, map(build_calibrator, CALIBRATORS), strict=True)))
    save_model(model, folder / "model", CONFIG)
    write_tiny_log(folder / "log", days=1, rows=300)
    rows = with_lists(pq.read_table(next((folder / "log").rglob("*.parquet"))))
    likes = rows["likes"].to_pylist()
    likes[3], likes[5] = None, float("inf")
    place = rows.column_names.index("likes")
    pq.write_table(rows.set_column(place, "likes", pa.array(likes, pa.float32())), folder / "rows.parquet")
    return folder


def groups(place: Path) -> dict[str, NDArray[np.generic]]:
    rows = pq.read_table(place / "rows.parquet")
    return read_groups(rows, CONFIG.features, "rows") | {"seen": seen(rows)}


def seen(rows: pa.Table) -> NDArray[np.int64]:
    return pad_lists([(IdLists.of(read_lists(rows, CONFIG.features, "rows")["seen"]), np.arange(len(rows)))])


def eager(place: Path) -> NDArray[np.float32]:
    """Probabilities and score: (rows, tasks + 1)."""
    tensors = {name: torch.from_numpy(array.copy()) for name, array in groups(place).items()}
    batch = RecapBatch(sparse={"seen": tensors.pop("seen")}, **tensors)
    with torch.inference_mode():
        return joined(load_model(place / "model")(batch))


def joined(outputs: dict[str, torch.Tensor]) -> NDArray[np.float32]:
    return torch.cat([outputs["calibrated_probabilities"], outputs["score"][:, None]], dim=1).detach().numpy()


def exported(place: Path) -> NDArray[np.float32]:
    model = load_model(place / "model")
    arrays = groups(place)
    program = export_program(model).module()
    return joined(program({name: torch.from_numpy(arrays[name].copy()) for name in input_names(model)}))


def onnx(place: Path) -> NDArray[np.float32]:
    model = load_model(place / "model")
    export_onnx(model, place / "model.onnx")
    session = onnxruntime.InferenceSession(place / "model.onnx")
    arrays = groups(place)
    feed = {name: arrays[name] for name in input_names(model)}
    probabilities, score = session.run(["calibrated_probabilities", "score"], feed)
    return np.concatenate([probabilities, score[:, None]], axis=1)


def batch_file(place: Path) -> NDArray[np.float32]:
    source = Source(place / "model", "m")
    score_files(source, str(place / "rows.parquet"), place / "out", {}, lambda done, name: None)
    table = pq.read_table(place / "out" / "rows.parquet")
    return np.stack([table[name].to_numpy() for name in OUTPUTS], axis=1)


@pytest.mark.parametrize("way", [exported, onnx, batch_file])
def test_every_way_gives_the_scores_of_the_plain_model(place: Path, way):
    expected = eager(place)
    assert expected.shape == (300, len(OUTPUTS))
    assert np.isfinite(expected).all()
    _holds(way(place), expected)


def _holds(scores: NDArray[np.generic], expected: NDArray[np.float32]) -> None:
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def registered(place: Path) -> str:
    """A registry with the model as version 1, its champion."""
    uri = new_registry(place / "workspace")
    client = registry.connect(uri)
    features = pq.read_table(place / "rows.parquet").select(CONFIG.features.columns())
    package(place / "model", features.slice(0, 3), CONFIG, place / "version", lambda folder: None)
    client.create_registered_model("tiny")
    digest = hashlib.sha256((place / "version" / registry.DIGESTS_NAME).read_bytes()).hexdigest()
    client.create_model_version("tiny", (place / "version").as_uri(), tags={registry.DIGEST_TAG: digest})
    registry.move_alias(client, "tiny", "champion", "1")
    return uri


def rows_of(place: Path) -> pa.Table:
    return pq.read_table(place / "rows.parquet").select(CONFIG.features.columns())


def arrays(rows: pa.Table) -> dict[str, NDArray[np.generic]]:
    frame = rows.to_pandas()
    return {
        name: np.stack(values.to_list()) if name == "user_embedding" else values.to_numpy()
        for name, values in frame.items()
    }


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("form", [pa.Table.to_pandas, arrays, lambda rows: rows])
def test_the_pyfunc_gives_them_for_a_frame_and_arrays_and_arrow(place: Path, form):
    expected, rows = eager(place), form(rows_of(place))
    loaded = mlflow.pyfunc.load_model(str(place / "version"))
    _holds(loaded.get_raw_model().predict(rows), expected)
    if not isinstance(rows, pa.Table):
        _holds(loaded.predict(rows), expected)


@pytest.fixture(scope="module")
def server(registered: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("served")
    fetch = [
        "models",
        "fetch",
        "tiny@champion",
        "--out",
        str(folder / "champion"),
        "--tracking-uri",
        registered,
    ]
    assert CliRunner().invoke(app, fetch).exit_code == 0
    with served("champion", folder) as uri:
        yield uri
    assert {path.name for path in folder.iterdir()} == {"champion", "server.log"}


def asked(uri: str, frame: pd.DataFrame, **more: object) -> pd.DataFrame:
    """The server's answer to a frame as JSON."""
    body = {"dataframe_split": json.loads(frame.to_json(orient="split")), **more}
    answer = requests.post(uri, json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return pd.DataFrame(answer.json()["predictions"])


@pytest.mark.slow
def test_the_champion_that_mlflow_serves_answers_with_them(place: Path, server: str):
    expected = eager(place)
    frame = rows_of(place).to_pandas()
    # JSON has no infinite number; the model reads it as missing.
    scores = asked(server, frame.replace({"likes": {np.inf: None}}))
    assert list(scores.columns) == OUTPUTS
    _holds(scores, expected)
    answer = requests.post(
        server,
        data=frame.to_parquet(),
        headers={"Content-Type": "application/vnd.apache.parquet"},
        timeout=60,
    )
    _holds(pd.DataFrame(answer.json()["predictions"]), expected)


@pytest.mark.slow
def test_the_server_takes_other_weights_and_rows_without_an_embedding(place: Path, server: str):
    frame = rows_of(place).to_pandas()[5:50]
    scores = asked(server, frame, params={"weights": {"reply": 2}})
    np.testing.assert_allclose(scores["score"], scores["like"] + 2 * scores["reply"], rtol=1e-5)
    lacking = frame.drop(columns="user_embedding")
    zeros = lacking.assign(user_embedding=[[0.0] * 4] * len(lacking))
    _holds(asked(server, lacking), asked(server, zeros).to_numpy(np.float32))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"dataframe_records": [{"likes": 1.0}]}, "missing inputs"),
        ({"rows": []}, "exactly one of the input fields"),
    ],
)
def test_the_server_says_what_is_wrong_with_a_request(server: str, body: object, words: str):
    answer = requests.post(server, json=body, timeout=60)
    assert answer.status_code == 400
    assert words in answer.json()["message"]
