"""Logs of words and timestamps, as pandas and Spark write them, pass as those of numbers do."""

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from components.validate.profile.profile import Profile
from recap_model.config import RecapConfig, parse_config
from recap_model.data.log.id_hashing import feature_ids
from tests.components.validate.broken import lines_of, profile_of, replaced, validate, write_broken
from tests.tiny import tiny_config

STAMPS = ("served_ms", "impressed_ms", "engaged_ms")


def looking_up(**features: object) -> RecapConfig:
    """The tiny config with a table that looks topics up."""
    content = tiny_config().model_dump(exclude_none=True)
    table = {"name": "topic", "index": 1, "num_embeddings": 9, "embedding_dim": 2, "min_count": 2}
    model = content["model"] | {"small_embeddings": {"tables": [table]}}
    return parse_config({**content, "model": model, "features": content["features"] | features})


def as_words(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.binary_join_element_wise("topic", column.cast(pa.string()), " ")


def as_categories(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return as_words(column).dictionary_encode()


def as_timestamps(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(pa.timestamp("ms")).cast(pa.timestamp("us", "UTC"))


@pytest.mark.parametrize("form", [as_words, as_categories])
def test_words_that_a_table_looks_up_are_measured_as_their_ids(form, tmp_path: Path):
    log = write_broken(tmp_path / "log", replaced("topic", form), everywhere=True)
    assert validate(tmp_path, log, looking_up()).outcome == "passed"
    block = Profile.read(tmp_path / "validated/profile.parquet").window().blocks["discrete"]
    ids = feature_ids(pa.array([f"topic {number}" for number in range(7)])).to_pylist()
    place = block.labels.index("topic")
    assert (block.stats.minimum[place], block.stats.maximum[place]) == (min(ids), max(ids))


def test_the_hash_of_a_word_is_never_shown_as_a_number(tmp_path: Path):
    one = replaced("topic", lambda column: pa.array(["news"] * len(column)))
    config = looking_up()
    verdict = validate(tmp_path, write_broken(tmp_path / "log", one, everywhere=True), config)
    lines = [line for line in verdict.lines("warning") if "column topic" in line]
    assert "column topic has the same id in all 1,000 rows" in lines[0]
    hashed = feature_ids(pa.array(["news"]))[0].as_py()
    for shown in (f"{hashed:g}", f"{hashed:.4g}", str(hashed)):
        assert shown not in (tmp_path / "docs.html").read_text()


def test_words_that_a_table_would_take_as_places_are_refused(tmp_path: Path):
    log = write_broken(tmp_path / "log", replaced("topic", as_categories))
    assert lines_of(tmp_path, log) == [
        "column_type: column topic is dictionary<values=string, indices=int32, ordered=0> in "
        "date=2026-03-03/part-00000.parquet; allowed are integers; text or binary only where a table with "
        "min_count or hash reads them; fix the log, or change features.discrete"
    ]


def test_timestamps_are_as_good_as_milliseconds(tmp_path: Path):
    changes = [replaced(name, as_timestamps) for name in STAMPS]
    log = write_broken(tmp_path / "log", *changes, everywhere=True)
    assert validate(tmp_path, log).outcome == "passed"
    first = Profile.read(tmp_path / "validated/profile.parquet").window().blocks["timestamp"]
    (tmp_path / "other").mkdir()
    validate(tmp_path / "other", write_broken(tmp_path / "other/log"))
    other = Profile.read(tmp_path / "other/validated/profile.parquet").window().blocks["timestamp"]
    assert first.stats.minimum.tolist() == other.stats.minimum.tolist()
    assert first.stats.maximum.tolist() == other.stats.maximum.tolist()


def test_timestamps_of_another_day_are_told(tmp_path: Path):
    later = replaced("impressed_ms", lambda column: as_timestamps(pc.add(column, 3 * 86_400_000)))
    lines = lines_of(tmp_path, write_broken(tmp_path / "log", later))
    assert lines[0].startswith(
        "timestamp_window: column impressed_ms has 200 times (100.0%) over a day away in date=2026-03-03;"
    )


AGE = {
    "continuous": ["likes", "replies", "age"],
    "derived": {"age": {"kind": "hours_between", "of": ["posted", "served_ms"]}},
}


def posted(change):
    """A time that is in no group, half a day before the list was served."""
    return lambda table: table.append_column("posted", change(pc.subtract(table["served_ms"], 43_200_000)))


def test_a_time_that_only_a_derived_column_needs_does_not_drift_with_the_days(tmp_path: Path):
    (tmp_path / "before").mkdir()
    config = looking_up(**AGE)
    month_ago = posted(lambda column: as_timestamps(pc.subtract(column, 30 * 86_400_000)))
    before = write_broken(tmp_path / "before/log", month_ago, everywhere=True)
    profile = profile_of(tmp_path / "before", before, config)
    log = write_broken(tmp_path / "log", posted(as_timestamps), everywhere=True)
    verdict = validate(tmp_path, log, config, profile=profile)
    assert verdict.lines("warning") == []
    assert verdict.outcome == "passed"


def test_a_time_of_a_derived_column_that_is_in_seconds_is_told(tmp_path: Path):
    seconds = posted(lambda column: pc.divide(column, 1000))
    line = lines_of(tmp_path, write_broken(tmp_path / "log", seconds, everywhere=True), looking_up(**AGE))[0]
    assert line.startswith("timestamp_unit: column posted has 200 times such as 17722")
    assert "which looks like seconds" in line


@pytest.mark.parametrize("column", ["request_id", "user_id", "post_id"])
def test_ids_that_are_words_in_one_file_and_integers_in_another_are_refused(column: str, tmp_path: Path):
    log = write_broken(tmp_path / "log", replaced(column, lambda ids: ids.cast(pa.string())))
    assert lines_of(tmp_path, log) == [
        f"column_type: column {column} has text, and integers in date=2026-03-01/part-00000.parquet, in "
        "date=2026-03-03/part-00000.parquet; ids are of one type in all files; write all files with the same type"
    ]


def test_times_may_be_timestamps_in_some_files_and_ids_narrower_in_some(tmp_path: Path):
    changes = [replaced(name, as_timestamps) for name in STAMPS]
    narrow = replaced("user_id", lambda ids: ids.cast(pa.int32()))
    log = write_broken(tmp_path / "log", *changes, narrow)
    assert validate(tmp_path, log).outcome == "passed"


@pytest.mark.parametrize("column", ["like", "has_video"])
@pytest.mark.parametrize("kind", [pa.int8(), pa.float64()])
def test_flags_may_be_booleans_in_some_files_and_numbers_in_others(
    column: str, kind: pa.DataType, tmp_path: Path
):
    numbers = replaced(column, lambda flags: flags.cast(kind))
    booleans = replaced(column, lambda flags: flags.cast(pa.bool_()))
    log = write_broken(tmp_path / "log", numbers, everywhere=True)
    write_broken(tmp_path / "other", booleans)
    day = "date=2026-03-03/part-00000.parquet"
    (log / day).write_bytes((tmp_path / "other" / day).read_bytes())
    assert validate(tmp_path, log).outcome == "passed"
