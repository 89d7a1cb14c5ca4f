"""A drafted config is one that loads, names each column's part, and leaves out what tells the answer."""

import os
import resource
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.config_draft.config import ColumnRoles, draft_config
from pipeline.config_draft.sample import LogSample, read_log
from recap_model import create_ranking_model
from recap_model.config import RecapConfig, data_spec, load_config
from tests.tiny import DAY_MS, FIRST_DAY, tiny_rows, write_tiny_log

DAY = date(2026, 5, 1)


def shop_rows(rows: int = 400) -> pa.Table:
    """A shop's impressions, as an analyst would write them: words, timestamps, and no milliseconds."""
    random = np.random.default_rng(0)
    clicked = random.random(rows) < 0.2
    noon = int(datetime(2026, 5, 1, 12, tzinfo=UTC).timestamp() * 1000)
    return pa.table(
        {
            "session": [f"s{number // 8}" for number in range(rows)],
            "seen_at": pa.array(noon + np.arange(rows), pa.timestamp("ms")),
            "price": random.lognormal(3.0, 1.0, rows),
            "stock": random.integers(0, 500, rows),
            "on_sale": random.random(rows) < 0.3,
            "is_new": random.integers(0, 2, rows),
            "brand": pa.array(random.choice(["a", "b", "c"], rows)).dictionary_encode(),
            "shop_id": random.integers(0, 9, rows),
            "title": [f"thing {number}" for number in range(rows)],
            "row": np.arange(rows) + 10_000,
            "listed_ms": noon - random.integers(0, 90 * DAY_MS, rows),
            "sold_ms": np.where(random.random(rows) < 0.5, -1, noon - random.integers(0, 90 * DAY_MS, rows)),
            "country": ["nl"] * rows,
            "image": pa.FixedSizeListArray.from_arrays(pa.array(random.normal(size=rows * 4)), 4),
            "seen_before": pa.array([[1, 2]] * rows),
            "photo": [b"x"] * rows,
            "nothing": pa.nulls(rows, pa.float64()),
            "clicked": clicked,
            "bought": clicked & (random.random(rows) < 0.4),
        }
    )


def write_shop(root: Path, days: int = 4) -> Path:
    for day in range(days):
        folder = root / f"date={date.fromordinal(DAY.toordinal() + day)}"
        folder.mkdir(parents=True)
        pq.write_table(shop_rows(), folder / "part.parquet")
    return root


def draft(*arguments: str | Path) -> tuple[int, str]:
    """Exit status and output of ``recap config draft``."""
    result = CliRunner().invoke(app, ["config", "draft", *map(str, arguments)])
    return result.exit_code, result.output + (str(result.exception) if result.exception else "")


def drafted(folder: Path, *arguments: str | Path) -> tuple[RecapConfig, str]:
    status, text = draft(*arguments)
    assert status == 0, text
    (folder / "draft.yaml").write_text(text)
    return load_config(folder / "draft.yaml"), text


def test_columns_are_sorted_by_what_they_hold(tmp_path: Path):
    log = write_shop(tmp_path / "log")
    config, text = drafted(
        tmp_path, "--data", log, "--task", "clicked", "--request", "session", "--impressed", "seen_at"
    )
    features = config.features
    assert features.continuous == ["price", "stock"]
    assert features.binary == ["on_sale", "is_new"]
    assert features.discrete == ["brand", "shop_id"]
    assert features.user_embedding is not None
    assert features.user_embedding.model_dump(exclude_none=True) == {"column": "image", "width": 4}
    assert (features.ids.request, features.timestamps.impressed) == ("session", "seen_at")
    for line in (
        "# left out: title: its values come 4.0 times each, too seldom to learn (model…min_count is 20)",
        "# left out: row: another number in each row of a day, so rather an id of the row",
        "# left out: listed_ms: looks like a time in milliseconds; features.derived makes hours, days and ages of it",
        "# left out: sold_ms: looks like a time in milliseconds; features.derived makes hours, days and ages of it",
        "# left out: country: one value only in the rows looked at",
        "# left out: seen_before: lists of ids; name it in features.sparse, with a table in model.large_embeddings",
        "# left out: photo: one value only in the rows looked at",
        "# left out: nothing: no value in the rows looked at",
        "# left out: bought: task clicked is positive in 100% of the rows where it is 1, so rather what came of it",
    ):
        assert line in text.splitlines()
    tables = config.model.small_embeddings.tables if config.model.small_embeddings else []
    assert [(table.name, table.index) for table in tables] == [("brand", 0), ("shop_id", 1)]
    assert config.data.days == 4


def test_a_column_of_any_type_is_sorted_or_left_out_with_a_reason(tmp_path: Path):
    odd = {
        "null": pa.nulls(4),
        "view": pa.array(["a", "b", "b", "a"], pa.string_view()),
        "half": pa.array([0.5, 2.0, 3.0, None], pa.float16()),
        "holes": pa.array([0.0, float("nan"), 0.0, 0.0]),
        "clock": pa.array([1, 2, 3, 4], pa.time32("s")),
        "day": pa.array([1, 2, 3, 4], pa.date32()),
        "money": pa.array([Decimal("1.2")] * 4),
        "wait": pa.array([1, 2, 3, 4], pa.duration("s")),
        "struct": pa.array([{"a": 1}] * 4),
        "map": pa.array([[("a", 1)]] * 4, pa.map_(pa.string(), pa.int64())),
        "words": pa.array([["a"]] * 4),
        "empty": pa.array([[]] * 4, pa.list_(pa.float32())),
        "ragged": pa.array([[1.0], [], None, [1.0, 2.0]]),
        "größe": pa.array([1.0, 2.0, 2.5, 9.0]),
    }
    for day in range(1, 4):
        folder = tmp_path / f"log/date=2026-05-0{day}"
        folder.mkdir(parents=True)
        rows = pa.table({**odd, "clicked": [0, 1, 0, 1]})
        pq.write_table(pa.concat_tables([rows] * 20), folder / "part.parquet")
    config, text = drafted(tmp_path, "--data", tmp_path / "log", "--task", "clicked")
    assert config.features.continuous == ["half", "größe"]
    assert config.features.discrete == ["view"]
    left_out = {line.split(": ")[1] for line in text.splitlines() if line.startswith("# left out: ")}
    assert left_out == set(odd) - {"half", "größe", "view"}


def test_a_person_may_name_tasks_ids_and_what_to_leave_out(tmp_path: Path):
    log = write_shop(tmp_path / "log")
    config, _ = drafted(
        tmp_path, "--data", log, "--task", "click=clicked", "--task", "bought", "--discrete", "stock",
        "--leave-out", "price", "--user", "shop_id", "--discrete", "shop_id", "--name", "shop",
    )  # fmt: skip
    assert config.label_columns() == {"click": "clicked", "bought": "bought"}
    assert config.features.discrete == ["session", "stock", "brand", "shop_id"]
    assert config.features.continuous == []
    create_ranking_model(data_spec(config), config, "cpu")
    assert config.features.ids.user == "shop_id"
    assert config.registry.model_name == "shop"


def test_time_spent_becomes_a_label_by_a_threshold_and_never_an_input(tmp_path: Path):
    log = write_shop(tmp_path / "log")
    for file in log.rglob("*.parquet"):
        rows = pq.read_table(file)
        spent = np.where(np.arange(len(rows)) % 3, np.arange(len(rows)) % 41, 0)
        pq.write_table(
            rows.append_column("dwell_s", pa.array(spent)).append_column("read_ms", pa.array(spent)), file
        )
    config, text = drafted(tmp_path, "--data", log, "--task", "clicked", "--task", "stayed=dwell_s")
    assert config.derived_labels() == {"stayed": "dwell_s >= 20"}
    assert "# dwell_s: 20 is the median of its positive values; docs/tasks.md has other rules" in text
    assert (
        "# left out: read_ms: time spent on the candidate; --task read_ms makes a task of its amount, --task "
        "NAME=read_ms of 20 or more"
    ) in text.splitlines()
    assert not {"dwell_s", "read_ms"} & set(config.features.columns())


def test_a_log_of_two_days_is_split_by_time_or_by_user(tmp_path: Path):
    log = write_shop(tmp_path / "log", days=2)
    by_time, _ = drafted(tmp_path, "--data", log, "--task", "clicked", "--impressed", "seen_at")
    assert by_time.data.split.by == "time"
    by_user, _ = drafted(tmp_path, "--data", log, "--task", "clicked", "--request", "session")
    assert by_user.data.split.model_dump()["column"] == "session"
    status, said = draft("--data", log, "--task", "clicked")
    assert status == 1
    assert "the log has 2 days, too few to train, calibrate and test on other days; name --impressed" in said


def test_days_are_counted_back_to_the_first_gap(tmp_path: Path):
    log = write_tiny_log(tmp_path / "log", days=6)
    for file in (log / f"date={FIRST_DAY.replace(day=2)}").iterdir():
        file.unlink()
    config, _ = drafted(tmp_path, "--data", log, "--task", "like", "--leave-out", "reply")
    assert config.data.days == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--task", "clacked"], "clacked: no such column; the log has session, seen_at, price"),
        (["--task", "price"], "task price: column price has value"),
        (["--task", "clicked", "--user", "nobody"], "nobody: no such column"),
        (
            ["--task", "none=nothing"],
            "task none: column nothing has no 1 in the 400 rows looked at; a task has both",
        ),
    ],
)
def test_what_is_named_wrongly_is_told_in_a_line(arguments: list[str], words: str, tmp_path: Path):
    status, said = draft("--data", write_shop(tmp_path / "log", days=1), *arguments)
    assert status == 1
    assert words in said


def test_files_are_not_read_once_there_are_enough_rows(tmp_path: Path):
    log = write_shop(tmp_path / "log", days=3)
    rows = pa.table({"price": np.arange(60_000.0), "clicked": np.arange(60_000) % 2})
    for day in log.iterdir():
        pq.write_table(rows, day / "part.parquet")
    newest = max(log.iterdir())
    for number in range(6):
        pq.write_table(rows, newest / f"part-{number}.parquet")
    (newest / "part.parquet").unlink()
    unread = newest / "part-1.parquet"
    content = unread.read_bytes()
    unread.write_bytes(content[:4] + bytes(1000) + content[1004:])
    config, _ = drafted(tmp_path, "--data", log, "--task", "clicked")
    assert config.features.continuous == ["price"]


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path):
    log, out = write_shop(tmp_path / "log"), tmp_path / "mine.yaml"
    arguments: list[Any] = ["--data", log, "--task", "clicked", "--out", out]
    status, said = draft(*arguments)
    assert (status, said) == (0, f"{out}: review it, then recap run --config {out} --data {log}\n")
    before = out.read_text()
    assert yaml.safe_load(before)["tasks"] == {"clicked": {"score_weight": 1.0}}
    status, said = draft(*arguments)
    assert status == 1
    assert "already exists; remove it, or choose another --out" in said
    assert out.read_text() == before


def test_a_log_without_a_file_or_a_row_is_told(tmp_path: Path):
    (tmp_path / "empty/date=2026-05-01").mkdir(parents=True)
    assert "its partitions have no Parquet file" in draft("--data", tmp_path / "empty", "--task", "a")[1]
    pq.write_table(shop_rows(0), tmp_path / "empty/date=2026-05-01/part.parquet")
    assert "date=2026-05-01 has no rows; write some" in draft("--data", tmp_path / "empty", "--task", "a")[1]
    assert "no such data root" in draft("--data", tmp_path / "nowhere", "--task", "a")[1]


def test_the_schedule_is_for_the_rows_there_are_and_not_for_those_of_the_newest_day(tmp_path: Path):
    log = write_shop(tmp_path / "log", days=5)
    pq.write_table(shop_rows(20_000), log / "date=2026-05-02" / "part.parquet")
    config, text = drafted(tmp_path, "--data", log, "--task", "clicked", "--leave-out", "bought")
    assert "# 20,800 training rows" in text
    rate = config.optimizer.single_task_learning_rate
    assert rate.linear_ramp_to_cosine is not None
    assert rate.linear_ramp_to_cosine.final_num_steps == "auto"


def test_a_label_that_is_null_where_another_did_not_happen_is_given_that_one(tmp_path: Path):
    log = write_shop(tmp_path / "log")
    for file in log.rglob("*.parquet"):
        rows = shop_rows()
        answered = pc.if_else(rows["clicked"], rows["bought"], None)
        pq.write_table(rows.append_column("answered", answered), file)
    tasks = ["--task", "clicked", "--task", "bought", "--task", "answered"]
    config, _ = drafted(tmp_path, "--data", log, *tasks)
    assert {name: task.given for name, task in config.tasks.items()} == {
        "clicked": None,
        "bought": None,
        "answered": "clicked",
    }


@pytest.mark.parametrize(
    ("rows", "batch", "epochs"),
    [(300, 128, 8), (27_000, 128, 4), (38_000, 256, 5), (45_000, 256, 5), (80_000, 512, 6)],
)
def test_a_small_log_has_smaller_batches_for_about_as_many_steps(rows: int, batch: int, epochs: int):
    log = LogSample(shop_rows(), [10, 10, rows], np.zeros(400, dtype=np.int64))
    drafted = yaml.safe_load(draft_config(log, ColumnRoles({"clicked": "clicked"}, {}, {}), "shop"))
    assert drafted["training"] == {"batch_size": batch, "epochs": epochs, "ema_decay": 0.99}


def test_a_column_whose_name_no_task_may_have_is_drafted_under_another():
    drafted = CliRunner().invoke(app, ["config", "draft", "--data", "log", "--task", "CTR@10"])
    assert "rename the task, and give the column as its label, as --task NAME=CTR@10" in str(
        drafted.exception
    )


def test_a_day_of_many_files_is_drafted_with_one_open_at_a_time(tmp_path: Path):
    day = tmp_path / "log" / "date=2026-03-01"
    day.mkdir(parents=True)
    for number in range(60):
        pq.write_table(tiny_rows(FIRST_DAY, 2), day / f"part-{number:03d}.parquet")
    most, ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/proc/self/fd")) + 30, ceiling))
    try:
        sample = read_log(str(tmp_path / "log"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, ceiling))
    assert (len(sample.rows), sample.by_day) == (120, [120])
