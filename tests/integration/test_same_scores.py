"""One model, one set of rows, and the same scores by every way of asking for them."""

from pathlib import Path

import numpy as np
import onnxruntime
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from numpy.typing import NDArray

from components.register.pyfunc import RecapPyfunc
from pipeline.scoring import Source, score_files
from recap_model import create_ranking_model, data_spec, export_onnx, export_program, load_model, save_model
from recap_model.calibration import build_calibrator
from recap_model.data.batch import RecapBatch
from recap_model.data.groups import read_groups
from recap_model.exporting import input_names
from tests.tiny import tiny_config, write_tiny_log

CONFIG = tiny_config()
CALIBRATORS = [{"kind": "affine", "scale": 0.8, "bias": -0.4}, {"kind": "affine", "scale": 1.3, "bias": 0.2}]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a calibrated ``model`` and ``rows.parquet``, some of its values missing."""
    folder = tmp_path_factory.mktemp("same")
    torch.manual_seed(0)
    model = create_ranking_model(data_spec(CONFIG), CONFIG, "cpu").eval()
    model.set_calibrators(dict(zip(model.tasks, map(build_calibrator, CALIBRATORS), strict=True)))
    save_model(model, folder / "model", CONFIG)
    write_tiny_log(folder / "log", days=1, rows=300)
    rows = pq.read_table(next((folder / "log").rglob("*.parquet")))
    likes = rows["likes"].to_pylist()
    likes[3], likes[5] = None, float("inf")
    place = rows.column_names.index("likes")
    pq.write_table(rows.set_column(place, "likes", pa.array(likes, pa.float32())), folder / "rows.parquet")
    return folder


def groups(place: Path) -> dict[str, NDArray[np.generic]]:
    return read_groups(pq.read_table(place / "rows.parquet"), CONFIG.features, "rows")


def eager(place: Path) -> NDArray[np.float32]:
    """Probabilities and score: (rows, tasks + 1)."""
    batch = RecapBatch(**{name: torch.from_numpy(array.copy()) for name, array in groups(place).items()})
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


def pyfunc(place: Path) -> NDArray[np.float32]:
    frame = pq.read_table(place / "rows.parquet").to_pandas()
    return RecapPyfunc(str(place / "model")).predict(frame).to_numpy()


def batch_file(place: Path) -> NDArray[np.float32]:
    score_files(
        Source(place / "model", "m"), str(place / "rows.parquet"), place / "out", {}, lambda done, name: None
    )
    table = pq.read_table(place / "out" / "rows.parquet")
    return np.stack([table[name].to_numpy() for name in (*CONFIG.tasks, "score")], axis=1)


@pytest.mark.parametrize("way", [exported, onnx, pyfunc, batch_file])
def test_every_way_gives_the_scores_of_the_plain_model(place: Path, way):
    expected = eager(place)
    assert expected.shape == (300, len(CONFIG.tasks) + 1)
    assert np.isfinite(expected).all()
    np.testing.assert_allclose(way(place), expected, rtol=1e-5, atol=1e-5)
