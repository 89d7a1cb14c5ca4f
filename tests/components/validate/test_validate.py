"""A clean log passes; each broken one ends with its line, and leaves docs but no validated folder."""

import hashlib
import json
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.validate.profile.profile import Profile
from components.validate.validate import ValidationFailed
from recap_model.config import ConfigError
from tests.components.validate.broken import BROKEN, lines_of, replaced, snapshot_at, validate, write_broken
from tests.tiny import tiny_config, tiny_rows, write_tiny_log


def constant(value: object, kind: pa.DataType | None = None):
    return lambda column: pa.array([value] * len(column), type=kind or column.type)


def every(nth: int, value: object):
    """Each nth value is replaced."""
    return lambda column: pa.array(
        [value if place % nth == 0 else old for place, old in enumerate(column.to_pylist())], type=column.type
    )


def cast(kind: pa.DataType):
    return lambda column: column.cast(kind)


def test_a_clean_log_passes_and_writes_verdict_profile_and_manifest(tmp_path: Path):
    verdict = validate(tmp_path, write_tiny_log(tmp_path / "log"))
    assert (verdict.outcome, verdict.lines("warning")) == ("passed", [])
    manifest = json.loads((tmp_path / "validated/_manifest.json").read_text())
    assert manifest == {
        "format": "recap-validated/1",
        "snapshot": snapshot_at(tmp_path).digest,
        "rows": 1000,
        "verdict": "passed",
        "files": {
            file.path: {
                "rows": 200,
                "sha256": hashlib.sha256((tmp_path / "log" / file.path).read_bytes()).hexdigest(),
            }
            for file in snapshot_at(tmp_path).files
        },
    }
    written = json.loads((tmp_path / "validated/verdict.json").read_text())
    assert written["verdict"] == "passed"
    assert all(rule["success"] and rule["checked"] for rule in written["rules"])
    assert {"label_values", "feature_missing", "rows_distinct"} <= {rule["rule"] for rule in written["rules"]}
    likes = sum(pc.sum(tiny_rows(date(2026, 3, day))["like"]).as_py() for day in range(1, 6))
    labels = Profile.read(tmp_path / "validated/profile.parquet").window().blocks["label"]
    assert labels.stats.ones[labels.labels.index("like")] == likes


def not_utf8(column: pa.ChunkedArray) -> pa.Array:
    raw = pa.array([b"\xff"] * len(column), pa.binary())
    return pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())


def test_words_that_are_not_utf8_are_told_with_their_file_and_column(tmp_path: Path):
    log = write_tiny_log(tmp_path / "log")
    for path in log.rglob("*.parquet"):
        pq.write_table(replaced("user_id", not_utf8)(pq.read_table(path, partitioning=None)), path)
    first = (
        "file_readable: file date=2026-03-01/part-00000.parquet cannot be read in row group 0: column user_id: "
        "Invalid UTF8 sequence at string index 0; write the file again"
    )
    with pytest.raises(ValidationFailed) as caught:
        validate(tmp_path, log)
    assert str(caught.value).splitlines()[0] == first


CRITICAL = {
    "a column is not there": (
        [lambda table: table.drop_columns(["likes"])],
        f"column_present: column likes is not there in {BROKEN}; the config reads it; add it to the log, or change "
        "features.continuous",
    ),
    "a label is not there": (
        [lambda table: table.drop_columns(["like"])],
        f"column_present: column like is not there in {BROKEN}; the config reads it; add it to the log, or change "
        "tasks",
    ),
    "a column is text": (
        [replaced("likes", cast(pa.string()))],
        f"column_type: column likes is string in {BROKEN}; allowed are numbers or booleans; fix the log, or "
        "change features.continuous",
    ),
    "times are text": (
        [replaced("impressed_ms", cast(pa.string()))],
        f"column_type: column impressed_ms is string in {BROKEN}; allowed are timestamps, dates, or integers "
        "(milliseconds since 1970-01-01 UTC); fix the log, or change features.timestamps",
    ),
    "fixed-size lists have another width": (
        [replaced("user_embedding", constant([1.0, 2.0], pa.list_(pa.float32(), 2)))],
        f"list_width: column user_embedding has lists of 2 in {BROKEN}; features.user_embedding says 4; "
        "change one of them",
    ),
    "a list has another width": (
        [
            replaced("user_embedding", cast(pa.list_(pa.float32()))),
            replaced("user_embedding", every(150, [1.0])),
        ],
        f"list_width: column user_embedding has a list of 1 in {BROKEN}, row group 0 (2 rows in all); "
        "features.user_embedding says 4; change one of them",
    ),
    "a label is 2": (
        [replaced("reply", lambda column: pa.array([0] * 150 + [2] * 50, pa.int8()))],
        f"label_values: task reply has value 2.0 in {BROKEN}, row group 1 (50 rows in all); a label is 0, 1 or "
        "null; fix the log, or map another column in tasks.reply.label",
    ),
    "a label is a half": (
        [replaced("reply", cast(pa.float32())), replaced("reply", every(200, 0.5))],
        f"label_values: task reply has value 0.5 in {BROKEN}, row group 0 (1 row in all); a label is 0, 1 or "
        "null; fix the log, or map another column in tasks.reply.label",
    ),
    "an id is a fraction": (
        [replaced("topic", cast(pa.float64())), replaced("topic", every(200, 2.5))],
        f"discrete_values: column topic has value 2.5 in {BROKEN}, row group 0 (1 row in all); discrete ids "
        "are whole numbers of 64 bits; fix the log, or move the column out of features.discrete",
    ),
    "a column is all null in a partition": (
        [replaced("likes", constant(None))],
        "feature_missing: column likes has no value in any of 200 rows in date=2026-03-03; a feature has "
        "values; fix the log, or remove the column from `features`",
    ),
    "an embedding is all zeros in a partition": (
        [replaced("user_embedding", constant([0.0] * 4))],
        "feature_missing: column user_embedding has no value in any of 200 rows in date=2026-03-03; a feature "
        "has values; fix the log, or remove the column from `features`",
    ),
    "times are seconds": (
        [replaced("impressed_ms", lambda column: pc.divide(column, 1000))],
        "timestamp_unit: column impressed_ms has 200 times such as 17724",
    ),
    "times are of another month": (
        [
            replaced(name, lambda column: pc.add(column, 40 * 86_400_000))
            for name in ("impressed_ms", "engaged_ms")
        ],
        "timestamp_window: column impressed_ms has 200 times (100.0%) over a day away in date=2026-03-03; at "
        "most 0.1% (validation.max_outside_window_rate); move the rows to their day",
    ),
    "rows are seen before they are served": (
        [
            replaced("served_ms", lambda column: pc.add(column, 3_600_000)),
            replaced("engaged_ms", lambda column: pc.add(column, 7_200_000)),
        ],
        "timestamp_order: served_ms <= impressed_ms does not hold for 200 rows (100.0%) in date=2026-03-03; at "
        "most 0.1% (validation.max_disordered_rate); look whether two columns are swapped",
    ),
    "an impression has no time": (
        [replaced("impressed_ms", every(100, None))],
        "timestamp_nulls: column impressed_ms has no time in 2 of 1,000 rows in 2026-03-01 to 2026-03-05; a row "
        "has one; fix the log",
    ),
    "an impression is of the year 9999": (
        [replaced("impressed_ms", every(100, 253_402_214_400_000))],
        "timestamp_nulls: column impressed_ms has no time in 2 of 1,000 rows, 2 of them -1, before 1900-01-02 or "
        "after 5138 (as 9999-12-31), or the largest number of the type, in 2026-03-01",
    ),
    "a partition is empty": (
        [lambda table: table.slice(0, 0)],
        "partition_rows: date=2026-03-03 has 0 rows; at least 1 (validation.min_rows_per_partition); write "
        "the partition, or remove it",
    ),
}


@pytest.mark.parametrize("name", CRITICAL)
def test_a_broken_file_ends_the_run_with_one_line(tmp_path: Path, name: str):
    changes, expected = CRITICAL[name]
    lines = lines_of(tmp_path, write_broken(tmp_path / "log", *changes))
    assert [line[: len(expected)] for line in lines] == [expected]
    assert expected.split(";")[0][:40].replace("<", "&lt;") in (tmp_path / "docs.html").read_text().replace(
        "<wbr>", ""
    )
    assert not (tmp_path / "validated").exists()


def test_a_task_without_positives_is_named_with_the_window(tmp_path: Path):
    root = write_broken(tmp_path / "log", replaced("reply", constant(0)), everywhere=True)
    assert lines_of(tmp_path, root) == [
        "task_positives: task reply has 0 positives among 1,000 labels in 2026-03-01 to 2026-03-05; at least 1 "
        "(validation.min_positives); widen the window, or remove the task"
    ]


def test_a_task_without_negatives_is_named(tmp_path: Path):
    root = write_broken(tmp_path / "log", replaced("reply", constant(1)), everywhere=True)
    assert [line.partition(":")[0] for line in lines_of(tmp_path, root)] == ["task_negatives"]


def test_a_label_may_be_null(tmp_path: Path):
    root = write_broken(tmp_path / "log", replaced("reply", every(4, None)))
    assert lines_of(tmp_path, root) == []


def test_a_log_without_a_row_says_so(tmp_path: Path):
    root = write_broken(tmp_path / "log", lambda table: table.slice(0, 0), everywhere=True)
    assert lines_of(tmp_path, root) == [
        "rows_present: the log has no row in 2026-03-01 to 2026-03-05; a window has rows; write the log, or "
        "choose another window"
    ]


def test_a_truncated_file_is_named(tmp_path: Path):
    root = write_tiny_log(tmp_path / "log")
    content = (root / BROKEN).read_bytes()
    (root / BROKEN).write_bytes(content[: len(content) // 2])
    (line,) = lines_of(tmp_path, root)
    assert line.startswith(f"file_readable: file {BROKEN} cannot be read: truncated or not Parquet")


def test_pages_that_do_not_decode_are_named_with_their_row_group(tmp_path: Path):
    root = write_broken(tmp_path / "log")
    path = root / BROKEN
    place = pq.read_metadata(path).row_group(1).column(0).data_page_offset
    content = bytearray(path.read_bytes())
    content[place : place + 40] = b"\xff" * 40
    path.write_bytes(content)
    (line,) = lines_of(tmp_path, root)
    assert line.startswith(f"file_readable: file {BROKEN} cannot be read in row group 1: ")


def test_a_file_that_changed_since_resolve_is_named(tmp_path: Path):
    root = write_tiny_log(tmp_path / "log")
    validate(tmp_path, root)
    table = pq.read_table(root / BROKEN, partitioning=None)
    pq.write_table(table.slice(5), root / BROKEN)
    from components.validate.validate import validate_snapshot

    with pytest.raises(
        ValidationFailed,
        match=rf"^file_unchanged: file {BROKEN} changed .*resolve froze another; run the pipe",
    ):
        validate_snapshot(tmp_path / "snapshot", tmp_path / "validated", tmp_path / "docs.html")
    assert not (tmp_path / "validated").exists()


def test_a_partition_that_is_there_twice_is_named(tmp_path: Path):
    root = write_tiny_log(tmp_path / "log")
    (root / "date=2026-03-03/part-00009.parquet").write_bytes((root / BROKEN).read_bytes())
    assert lines_of(tmp_path, root) == [
        f"files_distinct: date=2026-03-03/part-00009.parquet has the same 200 rows as {BROKEN}; a row is logged "
        "once; remove one of the files"
    ]


def test_several_faults_are_all_told_the_gravest_first(tmp_path: Path):
    root = write_broken(
        tmp_path / "log",
        replaced("likes", constant(None)),
        replaced("reply", every(50, 2)),
        lambda table: table.drop_columns(["topic"]),
    )
    names = [line.partition(":")[0] for line in lines_of(tmp_path, root)]
    assert names == ["column_present", "label_values", "feature_missing"]


def test_more_than_twenty_lines_are_cut_and_counted(tmp_path: Path):
    columns = [f"c{number}" for number in range(25)]
    features = {**tiny_config().features.model_dump(), "continuous": columns}
    lines = lines_of(tmp_path, write_tiny_log(tmp_path / "log"), tiny_config(features=features))
    assert len(lines) == 21
    assert lines[-1] == "and 5 more; the data docs have them all"
    assert " and 4 more files; " in lines[0]


def test_names_with_dots_spaces_and_other_letters_are_read(tmp_path: Path):
    names = {"likes": "post.likes", "replies": "post", "age_hours": "âge en heures", "like": "is.liked"}
    root = write_broken(
        tmp_path / "log",
        lambda table: table.rename_columns([names.get(name, name) for name in table.schema.names]),
        everywhere=True,
    )
    features = tiny_config().features.model_dump()
    features["continuous"] = ["âge en heures", "post.likes", "post"]
    tasks = {"like": {"label": "is.liked"}, "reply": {}}
    assert validate(tmp_path, root, tiny_config(features=features, tasks=tasks)).outcome == "passed"


def test_lists_of_scalars_and_bounds_hold_for_each_position(tmp_path: Path):
    def to_lists(table: pa.Table) -> pa.Table:
        values = np.stack([table[name].to_numpy() for name in ("age_hours", "likes", "replies")], axis=1)
        lists = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 3)
        return table.drop_columns(["age_hours", "likes", "replies"]).append_column("continuous", lists)

    root = write_broken(tmp_path / "log", to_lists, everywhere=True)
    features = {**tiny_config().features.model_dump(), "continuous": {"column": "continuous", "width": 3}}
    bounds = {"columns": {"continuous": {"min": 0.0, "max": 1e-3}}}
    (line,) = lines_of(tmp_path, root, tiny_config(features=features, validation=bounds))
    assert line.startswith(
        "feature_range: column continuous[0] has value 103.131 in 2026-03-01 to 2026-03-05 and 2 "
    )


def test_bounds_of_a_column_that_is_no_feature_are_refused():
    with pytest.raises(ConfigError, match=r"validation.columns: unknown feature column 'like'"):
        tiny_config(validation={"columns": {"like": {"max": 1.0}}})


def test_string_ids_pass(tmp_path: Path):
    root = write_broken(
        tmp_path / "log",
        *(replaced(name, cast(pa.string())) for name in ("user_id", "request_id", "post_id")),
        everywhere=True,
    )
    assert validate(tmp_path, root).outcome == "passed"
