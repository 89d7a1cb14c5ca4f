"""KuaiRand's log: nothing in a row's features was known only after its impression."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from pipeline.importers.kuairand import FILE, TASKS, import_kuairand
from recap_model.config import load_config, parse_config
from recap_model.data.log.labels import read_labels

DATA = Path(os.environ.get("RECAP_DATA_DIR", Path(__file__).parents[4] / "shared" / "data")) / "kuairand"
CONFIG = Path(__file__).parents[3] / "pipeline" / "configs" / "kuairand.yaml"
HEADER = (
    "user_id video_id date hourmin time_ms is_click is_follow is_comment is_forward long_view play_time_ms "
    "duration_ms comment_stay_time is_profile_enter label timestamp"
).replace(" ", "\t")
START = 1_649_581_149_000


def source(folder: Path, rows: list[tuple[int, int, int, int]]) -> Path:
    """A file with rows of (user, video, minutes after the start, clicked)."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [HEADER]
    for user, video, minutes, click in rows:
        time = START + minutes * 60_000
        values = (
            user,
            video,
            20220410,
            1700,
            time,
            click,
            0,
            0,
            0,
            0,
            4618,
            45916,
            7639,
            0,
            1,
            "2022-04-10 08:59",
        )
        lines.append("\t".join(map(str, values)))
    path = folder / FILE
    path.write_text("\n".join(lines) + "\n")
    return path


def imported(folder: Path, path: Path) -> pa.Table:
    import_kuairand(path, folder / "log")
    return ds.dataset(str(folder / "log"), format="parquet").to_table().sort_by("impressed_ms")


ROWS = [(1, 7, 0, 1), (1, 8, 10, 0), (2, 7, 20, 1), (1, 7, 30, 1), (2, 8, 30, 0), (1, 9, 40, 1)]


def test_counts_and_rates_are_of_strictly_earlier_rows(tmp_path: Path):
    table = imported(tmp_path, source(tmp_path, ROWS))
    user_1 = table.filter(pa.array(np.array(table["user_id"]) == 1))
    assert user_1["user_impressions"].to_pylist() == [0, 1, 2, 3]
    assert user_1["user_hours_since"].to_pylist()[0] is None
    assert user_1["user_hours_since"].to_pylist()[1:] == pytest.approx([1 / 6, 1 / 3, 1 / 6])
    everyone = (1 + 5) / 11  # of the one earlier row, with the prior of ten impressions at one half
    assert user_1["user_click_rate"][1].as_py() == pytest.approx((1 + 10 * everyone) / 11)


@pytest.mark.parametrize("changed", range(len(ROWS)))
def test_what_happens_in_or_after_an_impression_changes_none_of_its_features(tmp_path: Path, changed: int):
    other = [(*row[:3], 1 - row[3]) if number >= changed else row for number, row in enumerate(ROWS)]
    before = imported(tmp_path / "a", source(tmp_path / "a", ROWS)).drop_columns(list(TASKS))
    after = imported(tmp_path / "b", source(tmp_path / "b", other)).drop_columns(list(TASKS))
    assert before.slice(0, changed + 1).equals(after.slice(0, changed + 1))


def test_no_outcome_and_not_the_columns_that_chose_the_rows_are_features():
    features = set(load_config(CONFIG).features.columns())
    assert not features & {"play_time_s", "comment_stay_time", "label", *TASKS}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("time_ms", "time", "no column time_ms|time_ms.*not"),
        ("\t1\t0\t0\t0\t0\t4618", "\t2\t0\t0\t0\t0\t4618", "row 1: is_click is 2; allowed are 0, 1"),
        ("\t4618", "\tmany\t4618", "Expected 16 columns"),
        ("\t45916", "\tlong", "long"),
    ],
)
def test_a_broken_file_is_one_line_that_names_it(tmp_path: Path, old: str, new: str, words: str):
    path = source(tmp_path, ROWS[:1])
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(ValueError, match=words) as caught:
        import_kuairand(path, tmp_path / "log")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "log").exists()


def test_a_missing_source_and_a_foreign_target_are_refused(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        import_kuairand(tmp_path, tmp_path / "log")
    path = source(tmp_path, ROWS)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match=r"holds 'thesis\.txt'"):
        import_kuairand(path, tmp_path / "home")
    assert (tmp_path / "home" / "thesis.txt").exists()


@pytest.mark.skipif(not DATA.is_dir(), reason=f"the data set is not at {DATA}")
def test_the_whole_set_has_the_published_rates_and_the_configs_columns(tmp_path: Path):
    report = import_kuairand(DATA, tmp_path / "log")
    assert report.rows == 41_828
    table = ds.dataset(str(tmp_path / "log"), format="parquet").to_table()
    rates = {task: np.mean(table[task]) for task in TASKS}
    published = {"click": 0.657, "long_view": 0.462, "profile_enter": 0.053, "comment": 0.030}
    assert {task: rates[task] for task in published} == pytest.approx(published, abs=6e-4)
    config = load_config(CONFIG)
    assert set(config.features.columns()) <= set(table.column_names)
    rules = {
        "watched_to_the_end": {
            "label": {"column": "play_time_s", "at_least": "duration_s"},
            "only_where": {"column": "duration_unknown", "equals": 0},
        },
        "not_dwelled": {"label": {"column": "play_time_s", "at_most": 3}},
    }
    content = config.model_dump(exclude_none=True) | {"tasks": rules}
    labels = read_labels(table.combine_chunks().to_batches()[0], parse_config(content), "log")
    played, length = table["play_time_s"].to_numpy(), table["duration_s"].to_numpy()
    to_the_end = np.where(length > 0, played >= length, np.float32(np.nan))
    np.testing.assert_array_equal(labels, np.stack([to_the_end, played <= 3], axis=1).astype(np.float32))
    again = import_kuairand(DATA, tmp_path / "again")
    assert again == report
    for path in sorted((tmp_path / "log").rglob("*.parquet")):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(tmp_path / "log")).read_bytes()
    assert pq.read_schema(path).field("click").type == pa.int8()
