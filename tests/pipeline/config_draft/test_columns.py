"""Each column of a log is judged by its values on all days: leaks, names of users and days, codes, ids."""

from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pipeline.config_draft.config import ColumnRoles, draft_config
from pipeline.config_draft.sample import LogSample, read_log

RANDOM = np.random.default_rng(0)
_STATE = np.random.default_rng(1).bit_generator.state
DAYS, ROWS = 5, 4_000
DAY = np.arange(ROWS) % DAYS  # before the newest
SEEN = 1_767_225_600_000 + (DAYS - DAY) * 86_400_000 + np.arange(ROWS)
USER = RANDOM.integers(0, 100, ROWS)
POST = RANDOM.integers(0, 50, ROWS)
APPEAL = np.linspace(-2, 2, 50)[POST]
LIKE = RANDOM.random(ROWS) < 1 / (1 + np.exp(1.0 - APPEAL))
SOME_LIKES = LIKE & (RANDOM.random(ROWS) < 0.3)
ROLES = ColumnRoles({"like": "like"}, {"user": "user", "candidate": "post"}, {})


@pytest.fixture(autouse=True)
def _rows_of_a_test_do_not_depend_on_those_before() -> None:
    RANDOM.bit_generator.state = _STATE


def drafted(columns: dict[str, Any], roles: ColumnRoles = ROLES) -> tuple[dict[str, Any], str]:
    """The draft of a log of five days with the user, the post, the label and some columns."""
    rows = pa.table({"user": USER, "post": POST, "seen_ms": SEEN, "like": LIKE.astype(np.int8), **columns})
    text = draft_config(LogSample(rows, [ROWS // DAYS] * DAYS, DAY), roles, "posts")
    return yaml.safe_load(text), text


def left_out(text: str, name: str) -> str:
    """The reason that a comment gives."""
    marks = (f"# left out: {name}: ", f"# ids that are no input: {name}: ")
    reasons = [
        line.removeprefix(mark) for line in text.splitlines() for mark in marks if line.startswith(mark)
    ]
    return reasons[0] if reasons else ""


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (np.where(LIKE, RANDOM.random(ROWS), 0.0), "decides task like (AUC 1.0000 by itself)"),
        (np.where(LIKE, RANDOM.random(ROWS), np.nan), "decides task like (AUC 1.0000 by itself)"),
        (np.where(SOME_LIKES, "a", None), "positive in 100% of the rows where it has a value"),
        (SOME_LIKES, "positive in 100% of the rows where it is 1"),
        ([f"zip-{user // 3}" for user in USER], "names the user: one value for each, which 3 of them share"),
        ([f"post {post}" for post in POST], "names the candidate: one value for each, which 1 of them share"),
        (DAY + RANDOM.random(ROWS) / 2, "says which day it is: 96% of its variance lies between days"),
        ([f"week-day {day}" for day in DAY], "100% of the newest day's rows have a value of no other day"),
        ([f"q {number}" for number in np.arange(ROWS) // 5], "its values come 5.0 times each, too seldom to learn"),
    ],
)  # fmt: skip
def test_a_column_that_teaches_nothing_is_left_out(column: Any, reason: str):
    content, text = drafted({"column": pa.array(column, from_pandas=True), "other": RANDOM.random(ROWS)})
    assert reason in left_out(text, "column")
    assert "column" not in str(content["features"])


@pytest.mark.parametrize(
    ("column", "group"),
    [
        (RANDOM.normal(LIKE * 2.5, 1.0), "continuous"),  # a strong one that still errs
        ([f"city-{user // 20}" for user in USER], "discrete"),  # twenty users have one
        (3 + RANDOM.integers(0, 12, ROWS), "discrete"),  # codes
        (RANDOM.poisson(2.0, ROWS), "continuous"),  # a count
        (RANDOM.integers(0, 2, ROWS), "binary"),
        (np.where(DAY == 0, 5.0, RANDOM.random(ROWS)), "continuous"),  # one value on the newest day alone
    ],
)
def test_other_columns_are_inputs_by_size_or_by_identity(column: Any, group: str):
    content, text = drafted({"column": column})
    assert "column" in content["features"][group]
    assert not left_out(text, "column")


def test_ids_of_users_and_candidates_are_inputs_where_they_come_again():
    content, text = drafted({"price": RANDOM.random(ROWS)})
    assert content["features"]["discrete"] == ["user", "post"]
    tables = {table["name"]: table for table in content["model"]["small_embeddings"]["tables"]}
    assert tables["user"] == {
        "name": "user", "index": 0, "embedding_dim": 4, "num_embeddings": 200, "min_count": 20,
    }  # fmt: skip
    assert "- user  # 100 values" in text
    rare = ColumnRoles({"like": "like"}, {"user": "visit", "candidate": "noise"}, {})
    noise = RANDOM.integers(0, 50, ROWS)
    content, text = drafted({"visit": np.arange(ROWS), "noise": noise, "price": RANDOM.random(ROWS)}, rare)
    assert "discrete" not in content["features"] or "visit" not in content["features"]["discrete"]
    assert left_out(text, "visit").startswith("its values come 1.0 times each")
    assert left_out(text, "noise") == "they say nothing of any label by themselves"


def test_ids_that_look_like_times_are_told_by_their_name():
    posts = 1_700_000_000_000 + POST
    past = pa.array([list(posts[number : number + number % 3 + 1]) for number in range(ROWS)])
    columns = {"author_id": posts, "past_ids": past, "past_ms": past, "left_ms": SEEN + 3_000}
    content, text = drafted(columns, ColumnRoles({"like": "like"}, {}, {"impressed": "seen_ms"}))
    assert "author_id" in content["features"]["discrete"]
    assert left_out(text, "left_ms").startswith("a time after the impression in 100% of the rows")
    kinds = {key: one["kind"] for key, one in content["features"]["sequences"]["past"]["columns"].items()}
    assert kinds == {"ids": "category", "ms": "time"}


def test_many_ids_are_hashed_into_a_table_for_those_of_the_whole_log(monkeypatch):
    monkeypatch.setattr("pipeline.config_draft.network._LARGE_VOCABULARY", 2_000)
    user = np.concatenate([np.arange(1_000).repeat(2), np.arange(1_000, 3_000)])
    rows = pa.table({"user": user, "like": LIKE.astype(np.int8), "price": RANDOM.random(ROWS)})
    log = LogSample(rows, [20_000_000] * DAYS, DAY)
    content = yaml.safe_load(draft_config(log, ColumnRoles({"like": "like"}, {"user": "user"}, {}), "posts"))
    (table,) = content["model"]["small_embeddings"]["tables"]
    # Chao's bound: 2,000 ids were seen once, 1,000 twice.
    assert (table["num_embeddings"], table["hash"]) == (2 * (3_000 + 1_997), True)


def test_columns_that_are_mostly_one_value_or_have_few_have_more_bins():
    columns = {
        "gain": np.where(np.arange(ROWS) % 10 < 9, 0.0, RANDOM.lognormal(size=ROWS)),
        "age": RANDOM.integers(18, 90, ROWS).astype(float),
        "price": RANDOM.random(ROWS),
    }
    content, text = drafted(columns)
    knots = content["model"]["featurization_config"]["piecewise_linear_config"]
    assert knots == {
        "bins": 16,
        "embedding_dim": 4,
        "bins_by_column": {"gain": 128, "age": 128},
    }
    assert "gain: 128  # 90% of the rows have one value" in text
    assert "age: 128  # a knot for each of 72 values" in text


def test_a_column_that_names_each_rows_set_splits_the_log():
    sets = RANDOM.choice(["train", "calibration", "test"], ROWS, p=[0.6, 0.1, 0.3])
    content, text = drafted({"part": sets, "price": RANDOM.random(ROWS)})
    assert content["data"]["split"] == {"by": "column", "column": "part"}
    assert left_out(text, "part") == "each row's set: data.split reads it"
    assert f"# {(sets == 'train').sum():,} training rows" in text


@pytest.mark.parametrize("zeros", [0.1, 0.6])
def test_a_task_with_the_name_of_a_duration_predicts_its_amount(zeros: float):
    dwell = np.where(RANDOM.random(ROWS) < zeros, 0.0, RANDOM.lognormal(3.0, 1.0, ROWS))
    roles = ColumnRoles({"like": "like", "dwell_s": "dwell_s"}, {}, {})
    content, _ = drafted({"dwell_s": dwell, "price": RANDOM.random(ROWS)}, roles)
    task = content["tasks"]["dwell_s"]
    assert (task["kind"], task["scale"], task.get("loss")) == (
        "value",
        20.0,
        "tweedie" if zeros > 0.3 else None,
    )
    assert task["cap"] == pytest.approx(np.quantile(dwell[dwell > 0], 0.99), rel=0.05)
    assert task["score_weight"] == 0.05


def write_days(root: Path, tables: list[pa.Table]) -> str:
    for number, table in enumerate(tables):
        folder = root / f"date={date(2026, 5, 1) + timedelta(days=number)}"
        folder.mkdir(parents=True)
        pq.write_table(table, folder / "part.parquet", row_group_size=100)
    return str(root)


def day_rows(**columns: Any) -> pa.Table:
    random = np.random.default_rng(1)
    return pa.table({"like": random.integers(0, 2, 400), "price": random.random(400), **columns})


def test_all_days_are_looked_at_and_what_a_run_refuses_on_one_is_left_out(tmp_path: Path):
    words = [f"w{number}" for number in range(40)] * 10
    old = day_rows(only_new=np.zeros(400), kind=words, wait=pa.array(range(400), pa.duration("s")))
    older = old.drop_columns(["only_new"]).set_column(2, "kind", pa.array(range(400)))
    newest = old.set_column(1, "price", pa.array(np.full(400, 0.5)))
    log = read_log(write_days(tmp_path / "log", [older, old, old, newest]))
    assert log.by_day == [400] * 4
    assert np.bincount(log.day).tolist() == [400] * 4
    content, text = draft_config_of(log)
    assert content["features"]["continuous"] == ["price"]
    assert left_out(text, "only_new") == "not in date=2026-05-01/part.parquet, which a run refuses"
    assert left_out(text, "kind") == "of type string in one file and int64 in date=2026-05-01/part.parquet"
    assert left_out(text, "wait").startswith("of type duration[s], which the model does not read")


def draft_config_of(log: LogSample, roles: ColumnRoles | None = None) -> tuple[dict[str, Any], str]:
    text = draft_config(log, roles or ColumnRoles({"like": "like"}, {}, {}), "posts")
    return yaml.safe_load(text), text


def test_a_named_column_of_a_type_that_a_run_refuses_on_an_older_day_is_told_with_its_file(tmp_path: Path):
    tables = [day_rows(user=np.arange(400) % 9 + 0.5), *[day_rows(user=np.arange(400) % 9)] * 3]
    log = read_log(write_days(tmp_path / "log", tables))
    with pytest.raises(
        ValueError, match=r"date=2026-05-01/part\.parquet: column user is double; allowed are integers"
    ):
        draft_config_of(log, ColumnRoles({"like": "like"}, {"user": "user"}, {}))


def test_a_named_column_of_two_types_is_told_with_its_files(tmp_path: Path):
    old = day_rows().set_column(0, "like", pa.array(np.arange(400) % 2 == 0))
    log = read_log(write_days(tmp_path / "log", [old, *[day_rows()] * 3]))
    with pytest.raises(
        ValueError, match=r"column like is of type int64 in one file and bool in date=2026-05-01/part"
    ):
        draft_config_of(log)


def test_a_large_day_is_sampled_from_its_first_to_its_last_row_group(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("pipeline.config_draft.sample._ROWS", 80)
    rows = day_rows(row=np.arange(400))
    log = read_log(write_days(tmp_path / "log", [rows, rows]))
    assert len(log.rows) == 80
    assert log.fraction == 0.1
    newest = log.rows["row"].to_numpy()[log.day == 0]
    assert sorted({row // 100 for row in newest.tolist()}) == [0, 1, 2, 3]
