"""Files of rows in, files of scores out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from deltalake import write_deltalake
from typer.testing import CliRunner, Result

from components.common import registry
from pipeline.cli.app import app
from pipeline.local.scoring import Source, score_files
from recap_model import create_ranking_model, data_spec, save_model
from recap_model.data.dataset.batch import RecapBatch
from recap_model.data.log.feature_groups import read_groups
from tests.components.registries import new_registry
from tests.components.resolve.tables import with_date
from tests.tiny import FIRST_DAY, sequence_config, tiny_config, tiny_rows, with_histories, write_tiny_log


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``model`` and ``log``: three days of 300 rows."""
    folder = tmp_path_factory.mktemp("scoring")
    config = tiny_config()
    torch.manual_seed(0)
    save_model(create_ranking_model(data_spec(config), config, "cpu").eval(), folder / "model", config)
    write_tiny_log(folder / "log", days=3, rows=300)
    return folder


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["score", *arguments])


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_scores_are_the_models_beside_the_rows_ids(place: Path, tmp_path: Path):
    done = call("--model", str(place / "model"), "--in", str(place / "log"), "--out", str(tmp_path / "out"))
    assert done.exit_code == 0, done.exception
    assert "900 rows scored by" in done.output
    config = tiny_config()
    from recap_model import load_model

    model = load_model(place / "model")
    for path in sorted((place / "log").rglob("*.parquet")):
        scored = pq.read_table(tmp_path / "out" / path.relative_to(place / "log"))
        rows = pq.read_table(path)
        groups = read_groups(rows, config.features, "rows")
        with torch.inference_mode():
            outputs = model(
                RecapBatch(**{name: torch.from_numpy(array.copy()) for name, array in groups.items()})
            )
        expected = outputs["calibrated_probabilities"].numpy()
        for number, task in enumerate(config.tasks):
            np.testing.assert_allclose(scored[task].to_numpy(), expected[:, number], rtol=1e-6)
        np.testing.assert_allclose(scored["score"].to_numpy(), outputs["score"].numpy(), rtol=1e-6)
        assert scored[config.features.ids.candidate] == rows[config.features.ids.candidate]
        assert json.loads(scored.schema.metadata[b"recap.scores"])["model"] == str(
            (place / "model").resolve()
        )
    assert json.loads((tmp_path / "out" / "_manifest.json").read_text())["rows"] == 900


def test_rows_of_long_histories_are_scored_few_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = sequence_config()
    save_model(create_ranking_model(data_spec(config), config, "cpu").eval(), tmp_path / "model", config)
    rows = with_histories(tiny_rows(FIRST_DAY, 60))
    (tmp_path / "log").mkdir()
    pq.write_table(rows, tmp_path / "log" / "rows.parquet")

    def score(out: str) -> tuple[list[int], pa.Table]:
        done: list[int] = []
        source = Source(tmp_path / "model", "model")
        score_files(source, str(tmp_path / "log"), tmp_path / out, {}, lambda rows, _: done.append(rows))
        return done, pq.read_table(tmp_path / out / "rows.parquet")

    at_once, expected = score("whole")
    monkeypatch.setattr("components.common.storage.rows_at_once._EVENTS_AT_ONCE", 100)
    few, scores = score("few")
    assert at_once == [60]
    assert len(few) >= 5
    np.testing.assert_allclose(scores["score"].to_numpy(), expected["score"].to_numpy(), rtol=1e-6)


def test_weights_of_the_score_can_be_given_at_call_time(place: Path, tmp_path: Path):
    arguments = ("--model", str(place / "model"), "--in", str(place / "log"), "--out", str(tmp_path))
    assert call(*arguments, "--weight", "like=2", "--weight", "reply=0").exit_code == 0
    table = pq.read_table(next(tmp_path.rglob("*.parquet")))
    np.testing.assert_allclose(table["score"].to_numpy(), 2 * table["like"].to_numpy(), rtol=1e-6)


def test_what_is_scored_is_left_and_what_has_changed_is_scored_again(place: Path, tmp_path: Path):
    log, out = tmp_path / "log", tmp_path / "out"
    write_tiny_log(log, days=2, rows=50)
    source = Source(place / "model", "model")
    score_files(source, str(log), out, {}, lambda done, name: None)
    first, second = sorted(out.rglob("*.parquet"))
    before = {path: path.stat().st_mtime_ns for path in (first, second)}
    os.utime(log / second.relative_to(out))
    score_files(source, str(log), out, {}, lambda done, name: None)
    assert first.stat().st_mtime_ns == before[first]
    assert second.stat().st_mtime_ns > before[second]
    score_files(source, str(log), out, {"like": 3.0}, lambda done, name: None)
    assert first.stat().st_mtime_ns > before[first]


def test_a_killed_run_goes_on_to_the_same_bytes(place: Path, tmp_path: Path):
    log = tmp_path / "log"
    write_tiny_log(log, days=6, rows=2000)
    arguments = ["--model", str(place / "model"), "--in", str(log), "--out"]
    assert call(*arguments, str(tmp_path / "whole")).exit_code == 0
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-c",
        "from pipeline.cli import main; main()",
        "score",
        *arguments,
    ]
    with subprocess.Popen([*command, str(tmp_path / "cut")], stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not list((tmp_path / "cut").rglob("*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    assert list((tmp_path / "cut").rglob("*.parquet"))
    assert call(*arguments, str(tmp_path / "cut")).exit_code == 0
    assert bytes_of(tmp_path / "cut") == bytes_of(tmp_path / "whole")


def test_a_version_of_which_a_byte_was_altered_scores_nothing(place: Path, tmp_path: Path):
    uri = new_registry(tmp_path / "workspace")
    client = registry.connect(uri)
    version = tmp_path / "version"
    shutil.copytree(place / "model", version / registry.MODEL_PATH)
    client.create_registered_model("tiny")
    tags = {registry.DIGEST_TAG: registry.write_digests(version)}
    client.create_model_version("tiny", version.as_uri(), tags=tags)
    options = ("--model", "models:/tiny/1", "--in", str(place / "log"), "--tracking-uri", uri)
    assert call(*options, "--out", str(tmp_path / "out")).exit_code == 0
    weights = version / registry.MODEL_PATH / "weights.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    done = call(*options, "--out", str(tmp_path / "again"))
    assert "tiny version 1: data/model/weights.safetensors was altered" in str(done.exception)
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize(
    ("data", "out"),
    [
        ("log", "log"),
        ("log", "log/scores"),
        ("log", "link/date=2026-03-01"),
        ("log/date=2026-03-01", "log"),
        ("link/date=2026-03-01/part-00000.parquet", "log/date=2026-03-01"),
        ("linked", "out"),
    ],
)
def test_scores_do_not_lie_among_the_rows(place: Path, tmp_path: Path, data: str, out: str):
    log = write_tiny_log(tmp_path / "log", days=1, rows=10)
    (tmp_path / "link").symlink_to(log)
    for folder in ("out", "linked"):
        (tmp_path / folder).mkdir()
    shutil.copy(log / "date=2026-03-01" / "part-00000.parquet", tmp_path / "out")
    (tmp_path / "linked" / "more").symlink_to(tmp_path / "out")
    before = bytes_of(tmp_path)
    done = call("--model", str(place / "model"), "--in", str(tmp_path / data), "--out", str(tmp_path / out))
    assert "give another folder for " in str(done.exception)
    assert bytes_of(tmp_path) == before


@pytest.mark.parametrize("name", ["date=2026-03-01/part-00000.parquet", "_manifest.json"])
def test_files_that_hold_no_scores_are_never_replaced(place: Path, tmp_path: Path, name: str):
    mine = tmp_path / "out" / name
    mine.parent.mkdir(parents=True)
    mine.write_text("precious")
    done = call("--model", str(place / "model"), "--in", str(place / "log"), "--out", str(tmp_path / "out"))
    assert isinstance(done.exception, FileExistsError)
    assert str(done.exception) == f"{mine}: is there already and holds no scores; give another --out"
    assert bytes_of(tmp_path) == {f"out/{name}": b"precious"}


def test_files_of_any_ending_are_scored_and_what_is_not_read_is_named_or_refused(
    place: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    log = write_tiny_log(tmp_path / "log", days=1, rows=10, files=2)
    day = log / "date=2026-03-01"
    (day / "part-00001.parquet").rename(day / "000000_0")
    (day / "notes.txt").write_text("no rows")
    arguments = ("--model", str(place / "model"), "--in", str(log), "--out", str(tmp_path / "out"))
    assert "10 rows scored" in call(*arguments).stdout
    assert "not read: date=2026-03-01/notes.txt" in caplog.text
    (day / "part-00002.csv").write_text("a,b")
    assert "part-00002.csv': not Parquet; write it as Parquet" in str(call(*arguments).exception)
    (day / "part-00002.csv").unlink()
    (log / "_delta_log").mkdir()
    for data in (day, day / "000000_0"):
        done = call("--model", str(place / "model"), "--in", str(data), "--out", str(tmp_path / "out"))
        assert "is a table (Delta: _delta_log/)" in str(done.exception)


def test_a_table_is_scored_as_its_rows_are(place: Path, tmp_path: Path):
    for path in sorted((place / "log").rglob("*.parquet")):
        rows = with_date(pq.read_table(path, partitioning=None), date.fromisoformat(path.parent.name[5:]))
        write_deltalake(str(tmp_path / "table"), rows, partition_by=["date"], mode="append")
    for data, out in ((place / "log", "a"), (tmp_path / "table", "b")):
        assert not call(
            "--model", str(place / "model"), "--in", str(data), "--out", str(tmp_path / out)
        ).exit_code
    one, other = (pq.read_table(tmp_path / out).sort_by("post_id") for out in ("a", "b"))
    assert one["score"].equals(other["score"])


def test_rows_without_an_embedding_are_scored_as_with_zeros(place: Path, tmp_path: Path):
    rows = pq.read_table(next((place / "log").rglob("*.parquet")))
    zeros = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(4 * len(rows), np.float32)), 4)
    column = rows.column_names.index("user_embedding")
    scores = []
    for name, table in (
        ("lacking", rows.drop_columns(["user_embedding"])),
        ("zeros", rows.set_column(column, "user_embedding", zeros)),
    ):
        (tmp_path / name).mkdir()
        pq.write_table(table, tmp_path / name / "part.parquet")
        out = tmp_path / f"{name}-out"
        assert (
            call("--model", str(place / "model"), "--in", str(tmp_path / name), "--out", str(out)).exit_code
            == 0
        )
        scores.append(pq.read_table(out / "part.parquet"))
    assert scores[0] == scores[1]


def test_what_cannot_be_scored_is_one_line_and_leaves_no_file(place: Path, tmp_path: Path):
    log, model = str(place / "log"), str(place / "model")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "part.parquet").write_bytes(b"PAR1 and no more")
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    table = pq.read_table(next((place / "log").rglob("*.parquet")))
    pq.write_table(table.drop_columns(["likes"]), lacking / "part.parquet")
    doubled = tmp_path / "doubled"
    doubled.mkdir()
    pq.write_table(table.append_column("likes", table["likes"]), doubled / "part.parquet")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    for arguments, message in (
        (("--model", str(tmp_path / "none"), "--in", log), "no such folder; give a model's folder"),
        (
            ("--model", "models:/recap@champion", "--in", log, "--tracking-uri", uri),
            "model recap: has no alias champion",
        ),
        (("--model", model, "--in", str(tmp_path / "nothing")), "no Parquet file there"),
        (("--model", model, "--in", str(broken)), "part.parquet: truncated or not Parquet"),
        (("--model", model, "--in", str(lacking)), "part.parquet: no column likes"),
        (
            ("--model", model, "--in", str(doubled)),
            "part.parquet: column likes is there 2 times; a column is there once",
        ),
        (("--model", model, "--in", log, "--weight", "share=2"), "weights: unknown task 'share'"),
        (("--model", model, "--in", log, "--weight", "like"), "--weight: 'like': write TASK=WEIGHT"),
    ):
        done = call(*arguments, "--out", str(tmp_path / "out"))
        assert isinstance(done.exception, ValueError | OSError), done.output
        assert message in str(done.exception)
        assert "\n" not in str(done.exception)
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
