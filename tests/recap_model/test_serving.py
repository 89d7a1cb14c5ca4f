"""What MLflow loads of a version: any form of rows in, calibrated probabilities out, nothing unpickled."""

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from components.register.package import package
from recap_model import create_ranking_model, data_spec, load_model, save_model, scoring
from recap_model.data.dataset.batch import RecapBatch
from recap_model.file_digests import file_names
from recap_model.serving import RecapPyfunc
from tests.tiny import FIRST_DAY, TASKS, tiny_config, tiny_rows

CONFIG = tiny_config()
COLUMNS = CONFIG.features.columns()
ROWS = tiny_rows(FIRST_DAY, 40)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    save_model(create_ranking_model(data_spec(CONFIG), CONFIG, "cpu"), folder, CONFIG)
    return folder


@pytest.fixture(scope="module")
def packaged(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("package") / "model"
    package(model_folder, ROWS.select(COLUMNS), CONFIG, out, lambda folder: None)
    return out


@pytest.fixture(scope="module")
def loaded(packaged: Path):
    import mlflow.pyfunc

    return mlflow.pyfunc.load_model(str(packaged))


@pytest.fixture(scope="module")
def expected(model_folder: Path) -> np.ndarray:
    """Scores of the model itself, on tensors made by hand."""
    column = {name: ROWS[name].to_numpy() for name in COLUMNS if name != "user_embedding"}
    batch = RecapBatch(
        continuous=torch.from_numpy(np.stack([column[c] for c in ("age_hours", "likes", "replies")], 1)),
        binary=torch.from_numpy(column["has_video"].astype(np.float32)[:, None]),
        discrete=torch.from_numpy(np.stack([column[c] for c in ("position", "topic")], 1)),
        user_embedding=torch.tensor(ROWS["user_embedding"].to_pylist()),
    )
    with torch.inference_mode():
        outputs = load_model(model_folder)(batch)
    return torch.cat([outputs["calibrated_probabilities"], outputs["score"][:, None]], dim=1).numpy()


def _arrays(rows: pa.Table) -> dict[str, np.ndarray]:
    frame = rows.to_pandas()
    return {
        name: np.stack(frame[name].to_list()) if frame[name].dtype == object else frame[name].to_numpy()
        for name in COLUMNS
    }


@pytest.mark.parametrize("form", [pa.Table.to_pandas, _arrays])
def test_mlflow_scores_a_frame_or_arrays_as_the_model_does(form, loaded, expected: np.ndarray):
    scores = loaded.predict(form(ROWS.select(COLUMNS)))
    assert list(scores.columns) == [*TASKS, "score"]
    np.testing.assert_allclose(scores.to_numpy(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("form", [lambda rows: rows, lambda rows: rows.combine_chunks().to_batches()[0]])
def test_the_raw_model_takes_arrow(form, loaded, expected: np.ndarray):
    scores = loaded.get_raw_model().predict(form(ROWS))
    np.testing.assert_allclose(scores.to_numpy(), expected, rtol=0, atol=1e-6)


def test_the_order_of_columns_and_columns_that_are_no_features_do_not_matter(loaded, expected: np.ndarray):
    frame = ROWS.to_pandas()[sorted(ROWS.column_names, reverse=True)]
    np.testing.assert_allclose(loaded.predict(frame).to_numpy(), expected, rtol=0, atol=1e-6)


def test_a_frames_index_is_kept(loaded):
    frame = ROWS.to_pandas().set_index("post_id")
    assert loaded.predict(frame).index.equals(frame.index)


def test_whole_numbers_and_missing_values_are_read_where_the_log_has_them(loaded):
    frame = ROWS.to_pandas()
    frame["topic"] = frame["topic"].astype(float)
    frame.loc[0, ["topic", "likes"]] = np.nan
    scores = loaded.predict(frame)
    assert np.isfinite(scores.to_numpy()).all()
    raw = loaded.get_raw_model()
    np.testing.assert_array_equal(raw.predict(frame.assign(likes=3)), raw.predict(frame.assign(likes=3.0)))


@pytest.mark.parametrize("form", [pa.Table.to_pandas, lambda rows: dict(rows.to_pandas()), lambda rows: rows])
def test_a_missing_column_is_named(form, loaded):
    with pytest.raises(ValueError, match="input: no column likes, topic;"):
        loaded.get_raw_model().predict(form(ROWS.drop_columns(["likes", "topic"])))


@pytest.mark.parametrize("form", [pa.Table.to_pandas, _arrays])
def test_an_embedding_that_is_left_out_is_all_zeros(form, loaded):
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4 * len(ROWS), np.float32)), 4)
    place = COLUMNS.index("user_embedding")
    rows = ROWS.select(COLUMNS)
    expected = loaded.get_raw_model().predict(rows.set_column(place, "user_embedding", zeros))
    lacking = form(rows)
    del lacking["user_embedding"]
    np.testing.assert_array_equal(loaded.predict(lacking), expected)
    np.testing.assert_array_equal(loaded.get_raw_model().predict(lacking), expected)


def test_rows_without_any_feature_are_refused(loaded):
    with pytest.raises(ValueError, match="input: no column age_hours, likes, "):
        loaded.get_raw_model().predict(ROWS.select(["post_id"]))


def test_a_missing_column_is_named_through_mlflow_too(loaded):
    from mlflow.exceptions import MlflowException

    with pytest.raises(MlflowException, match=r"Model is missing inputs \['likes'\]"):
        loaded.predict(ROWS.to_pandas().drop(columns="likes"))


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("likes", ["many"] * 40, "column likes is string; allowed are numbers"),
        ("topic", np.full(40, 1.5), "column topic has value 1.5; discrete ids are whole"),
        ("user_embedding", np.zeros((40, 3)), "column user_embedding has lists of 3; .* says 4"),
        ("user_embedding", np.zeros(40), "column user_embedding is double; allowed are lists of 4"),
    ],
)
def test_a_column_of_another_type_is_named(column: str, values, words: str, loaded):
    with pytest.raises(ValueError, match=words):
        loaded.get_raw_model().predict({**_arrays(ROWS), column: values})


def test_the_scores_weights_are_the_versions_own_and_can_be_replaced_at_call_time(
    loaded, expected: np.ndarray
):
    frame = ROWS.to_pandas()
    scores = loaded.predict(frame, params={"weights": {"reply": 2}})
    np.testing.assert_allclose(scores["score"], expected[:, 0] + 2 * expected[:, 1], rtol=0, atol=1e-5)
    np.testing.assert_allclose(loaded.predict(frame)["score"], expected[:, 2], rtol=0, atol=1e-5)
    raw = loaded.get_raw_model()
    with pytest.raises(ValueError, match="weights: unknown task 'likes'; tasks: like, reply"):
        raw.predict(ROWS, {"weights": {"likes": 1.0}})
    with pytest.raises(ValueError, match="weights: like is nan; a weight is a finite number"):
        raw.predict(ROWS, {"weights": {"like": float("nan")}})


@pytest.mark.parametrize("weights", [5, [1], {"like": 1e39}, {"like": 10**400}])
def test_weights_of_the_score_that_are_none_are_refused(weights, loaded):
    with pytest.raises(ValueError, match=r"^weights: "):
        loaded.get_raw_model().predict(ROWS, {"weights": weights})


def test_rows_that_are_none_and_a_column_given_twice_are_refused(loaded):
    raw = loaded.get_raw_model()
    with pytest.raises(ValueError, match=r"^input: is a int; give a pandas frame"):
        raw.predict(5)
    with pytest.raises(ValueError, match=r"^input: column likes is there 2 times"):
        raw.predict(ROWS.append_column("likes", ROWS["likes"]))


def test_no_rows_have_no_scores(loaded):
    scores = loaded.get_raw_model().predict(ROWS.slice(0, 0))
    assert scores.shape == (0, 3)


def test_rows_are_scored_alike_in_any_batching(model_folder: Path, monkeypatch, expected: np.ndarray):
    monkeypatch.setattr("recap_model.serving._ROWS_AT_ONCE", 7)
    scores = RecapPyfunc(str(model_folder)).predict(ROWS)
    np.testing.assert_allclose(scores.to_numpy(), expected, rtol=1e-6, atol=1e-6)


def test_a_model_without_its_feature_schema_is_refused(tmp_path: Path):
    section = CONFIG.model.model_copy(update={"tasks": {"like": CONFIG.model.tower}})
    save_model(create_ranking_model({"continuous": 3}, section, "cpu"), tmp_path, section)
    with pytest.raises(ValueError, match="saved without its feature schema"):
        RecapPyfunc(str(tmp_path))


def test_loading_unpickles_nothing(packaged: Path, monkeypatch):
    import mlflow.pyfunc

    def refuse(*args, **kwargs):
        raise AssertionError("something was unpickled")

    for module, name in ((pickle, "load"), (pickle, "loads"), (pickle, "Unpickler"), (torch, "load")):
        monkeypatch.setattr(module, name, refuse)
    mlflow.pyfunc.load_model(str(packaged)).predict(ROWS.to_pandas())
    kinds = {path.suffix for path in packaged.rglob("*") if path.is_file()}
    assert kinds <= {"", ".py", ".json", ".yaml", ".txt", ".safetensors", ".typed"}


def test_the_version_says_what_it_takes_and_returns_and_needs(packaged: Path, loaded):
    signature = loaded.metadata.signature
    assert signature.inputs.input_names() == COLUMNS
    assert signature.outputs.input_names() == [*TASKS, "score"]
    requirements = (packaged / "requirements.txt").read_text().split()
    assert all("==" in requirement for requirement in requirements)
    assert f"torch=={torch.__version__.partition('+')[0]}" in requirements
    example = loaded.metadata.load_input_example(str(packaged))
    assert isinstance(example, pd.DataFrame)
    assert len(loaded.predict(example)) == len(example)


def _flip_last_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


def _plant_cache(path: Path) -> None:
    path.parent.unlink()
    path.parent.mkdir()
    path.touch()


WEIGHTS, CODE = "data/model/weights.safetensors", "code/recap_model/scoring.py"
CACHED = "code/recap_model/__pycache__"


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        (WEIGHTS, _flip_last_byte, f"^{WEIGHTS}: altered since the version was registered"),
        (CODE, _flip_last_byte, f"^{CODE}: altered"),
        (WEIGHTS, Path.unlink, f"^{WEIGHTS}: lost"),
        (WEIGHTS, lambda path: (path.unlink(), os.mkfifo(path)), f"^{WEIGHTS}: altered"),
        (CODE, lambda path: (path.unlink(), path.symlink_to(scoring.__file__)), f"^{CODE}: altered"),
        ("code/other.pyc", Path.touch, "^code/other.pyc: added"),
        (
            "code/recap_model/__pycache__/scoring.cpython-311.pyc",
            _plant_cache,
            "^code/recap_model/__pycache__: altered",
        ),
        ("data/link", lambda path: path.symlink_to("/"), "^data/link: added"),
        ("digests.json", Path.unlink, r"digests\.json: missing or not a list of digests"),
        ("digests.json", lambda path: path.write_text("["), r"digests\.json: missing or not a list"),
        ("digests.json", lambda path: path.write_text("3"), r"digests\.json: missing or not a list"),
        (
            "digests.json",
            lambda path: path.write_text("[" * 100_000),
            r"digests\.json: missing or not a list",
        ),
        ("digests.json", lambda path: path.write_text('{"data/\\u0000": "a"}'), "added|altered"),
        ("digests.json", lambda path: path.write_text("{}"), "added"),
    ],
)
def test_mlflow_does_not_load_a_version_that_was_altered(
    name: str, change: Callable[[Path], object], words: str, packaged: Path, tmp_path: Path
):
    import mlflow.pyfunc

    shutil.copytree(packaged, tmp_path / "version")
    change(tmp_path / "version" / name)
    with pytest.raises(ValueError, match=words):
        mlflow.pyfunc.load_model(str(tmp_path / "version"))


def test_loading_a_version_in_place_leaves_nothing_in_it(packaged: Path, tmp_path: Path):
    shutil.copytree(packaged, tmp_path / "version")
    load = f"import mlflow.pyfunc; mlflow.pyfunc.load_model({str(tmp_path / 'version')!r})"
    subprocess.run([sys.executable, "-P", "-W", "ignore", "-c", load], cwd=tmp_path, check=True)
    assert file_names(tmp_path / "version") == file_names(packaged)


def test_a_version_copied_without_what_is_named_like_a_cache_loads(packaged: Path, tmp_path: Path):
    import mlflow.pyfunc

    shutil.copytree(packaged, tmp_path / "version", ignore=shutil.ignore_patterns("__pycache__"))
    mlflow.pyfunc.load_model(str(tmp_path / "version"))
