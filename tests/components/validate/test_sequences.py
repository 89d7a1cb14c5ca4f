"""Sequences in validate: lengths, order, future events and lists that do not fit together are found by row group."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.validate.profile.profile import Profile
from components.validate.validate import PROFILE_NAME
from recap_model.config import parse_config
from tests.components.validate.broken import BROKEN, Change, lines_of, profile_of, replaced, validate
from tests.tiny import sequence_config, tiny_rows, with_histories, write_tiny_log

CONFIG = sequence_config()


def write_log(root: Path, *changes: Change, everywhere: bool = False, rows: int = 100) -> Path:
    """A clean log with histories, but for one file, or all."""
    write_tiny_log(root, rows=rows)
    for path in sorted(root.rglob("*.parquet")):
        table = with_histories(pq.read_table(path, partitioning=None))
        for change in changes if everywhere or path == root / BROKEN else ():
            table = change(table)
        pq.write_table(table, path, row_group_size=40)
    return root


def in_row(column: str, row: int, change: Callable[[list], list]) -> Change:
    """A change of one row's list."""

    def changed(values: pa.ChunkedArray) -> pa.Array:
        lists = values.to_pylist()
        lists[row] = change(lists[row])
        return pa.array(lists, values.type)

    return replaced(column, changed)


def first_row_with(events: int) -> int:
    """A row of the broken file that has so many events, or more."""
    rows = with_histories(tiny_rows(date(2026, 3, 3), 100))
    return next(n for n, items in enumerate(rows["hist_ids"].to_pylist()) if len(items) >= events)


def test_a_clean_log_passes_and_its_profile_has_lengths_and_newest_events(tmp_path: Path):
    assert validate(tmp_path, write_log(tmp_path / "log"), CONFIG).outcome == "passed"
    window = Profile.read(tmp_path / "validated" / PROFILE_NAME).window()
    assert window.blocks["sequence:history"].labels == ["history"]
    lengths = window.blocks["sequence:history"].stats
    assert (lengths.rows[0], lengths.minimum[0], lengths.maximum[0]) == (500, 0.0, 6.0)
    assert 0 < lengths.unknown[0] < 200  # empty ones
    actions = window.blocks["sequence_actions:hist_actions"]
    assert actions.labels == ["hist_actions[like]", "hist_actions[reply]"]
    assert actions.stats.rows[0] == 500 - lengths.unknown[0]
    assert actions.stats.ones[0] > actions.stats.ones[1] > 0


@pytest.mark.parametrize(
    ("column", "events", "change", "line"),
    [
        (
            "hist_ms",
            1,
            lambda times: [*times[:-1], times[-1] + 3_600_000],
            "sequence_future: sequence history has an event at or after the impression in 1 of ",
        ),
        (
            "hist_ms",
            2,
            lambda times: times[::-1],
            "sequence_order: sequence history is not oldest_first in 1 of ",
        ),
        (
            "hist_dwell",
            1,
            lambda dwell: dwell[1:],
            "sequence_lengths: sequence history has a list of ",
        ),
    ],
    ids=["future", "unsorted", "lengths"],
)
def test_one_row_with_a_fault_is_found(column: str, events: int, change: Callable, line: str, tmp_path: Path):
    row = first_row_with(events)
    (found,) = lines_of(tmp_path, write_log(tmp_path / "log", in_row(column, row, change)), CONFIG)
    assert found.startswith(line)
    assert "date=2026-03-03" in found
    if column == "hist_dwell":
        assert f"{BROKEN}, row group {row // 40} (1 row in all)" in found


def test_an_event_one_millisecond_before_the_impression_is_none_of_the_future(tmp_path: Path):
    row = first_row_with(1)
    log = write_log(
        tmp_path / "log", in_row("hist_ms", row, lambda times: [*times[:-1], times[-1] + 3_599_999])
    )
    assert lines_of(tmp_path, log, CONFIG) == []


def test_a_bound_allows_some_disorder(tmp_path: Path):
    config = sequence_config(validation={"max_disordered_history_rate": 0.05})
    log = write_log(tmp_path / "log", in_row("hist_ms", first_row_with(2), lambda times: times[::-1]))
    assert lines_of(tmp_path, log, config) == []


@pytest.mark.parametrize(
    ("empty", "nothing"),
    [(lambda lists: [[]] * len(lists), "empty"), (lambda lists: [None] * len(lists), "null")],
)
def test_a_day_of_empty_histories_is_found(empty: Callable, nothing: str, tmp_path: Path):
    columns = ("hist_ids", "hist_actions", "hist_dwell", "hist_ms")
    changes = [replaced(name, lambda column: pa.array(empty(column), column.type)) for name in columns]
    lines = lines_of(tmp_path, write_log(tmp_path / "log", *changes), CONFIG)
    assert lines == [
        "feature_missing: column history has no value in any of 100 rows in date=2026-03-03; a feature has values; "
        "fix the log, or remove the column from `features`"
    ]


@pytest.mark.parametrize(
    ("column", "values", "line"),
    [
        ("hist_ids", [[1.5]], "column hist_ids is list<element: double>"),
        ("hist_actions", [["like"]], "column hist_actions is list<element: string>"),
        ("hist_actions", [[[1]]], "allowed are lists of lists of text, as its values"),
        ("hist_ms", [["x"]], "column hist_ms is list<element: string>"),
    ],
)
def test_columns_of_other_types_are_refused_by_name(column: str, values: list, line: str, tmp_path: Path):
    change = replaced(column, lambda lists: pa.array(values * len(lists)))
    lines = lines_of(tmp_path, write_log(tmp_path / "log", change), CONFIG)
    assert any(found.startswith("column_type: ") and line in found for found in lines)


def test_histories_that_grow_shorter_drift(tmp_path: Path):
    profile = profile_of(tmp_path / "before", write_log(tmp_path / "first", rows=400), CONFIG)
    columns = ("hist_ids", "hist_actions", "hist_dwell", "hist_ms")
    shorter = [
        replaced(name, lambda column: pa.array([one[-1:] for one in column.to_pylist()], column.type))
        for name in columns
    ]
    log = write_log(tmp_path / "log", *shorter, everywhere=True, rows=400)
    failures = validate(tmp_path, log, CONFIG, profile).failures("warning")
    assert any(item.rule == "column_drift" and item.subject == "column history" for item in failures)
    clean = validate(tmp_path / "clean", write_log(tmp_path / "again", rows=400), CONFIG, profile)
    assert not [item for item in clean.failures("warning") if "hist" in item.subject]


def test_ids_of_another_type_than_the_candidates_of_their_table_are_refused_by_name(tmp_path: Path):
    content = CONFIG.model_dump(mode="json", exclude_none=True)
    content["features"]["discrete"] = ["position", "topic", "post_id"]
    reader = {
        "inputs": {"item": {"table": "post"}},
        "candidate": {"item": "post_id"},
        "reader": {"din_config": {}},
    }
    tables = {"post": {"num_embeddings": 50, "embedding_dim": 4, "hash": True}}
    config = parse_config(
        {**content, "model": content["model"] | {"tables": tables, "sequences": {"history": reader}}}
    )
    as_text = replaced(
        "hist_ids",
        lambda column: pa.array([[str(item) for item in items] for items in column.to_pylist()]),
    )
    (line,) = lines_of(tmp_path, write_log(tmp_path / "log", as_text, everywhere=True), config)
    assert line == (
        "column_type: column post_id has integers, and hist_ids has text, in date=2026-03-01/part-00000.parquet; "
        "columns that read one table (model.tables.post) have ids of one type; write them with the same type, or "
        "give each a table of its own"
    )
