"""Distinct and most frequent values of ids and words, against counts of all rows."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.validate.profile.profile import Profile
from components.validate.profile.sketches.distinct_values import DistinctValues, select_smallest
from recap_model.config import RecapConfig, parse_config
from recap_model.data.log.id_hashing import splitmix64
from tests.components.snapshots import snapshot_of
from tests.components.validate.scans import scan
from tests.tiny import FIRST_DAY, sequence_config, tiny_rows, with_histories, with_lists


@pytest.mark.parametrize(("distinct", "tolerance"), [(0, 0), (9, 0), (1023, 0), (50_000, 0.12)])
def test_distinct_values_are_counted_exactly_up_to_the_sketchs_size_and_the_same_in_any_grouping(
    distinct: int, tolerance: float
):
    random = np.random.default_rng(0)
    hashes = splitmix64(np.repeat(np.arange(distinct, dtype=np.uint64), 2))
    random.shuffle(hashes)
    key, sketches = ("discrete", "word"), []
    for groups in (1, 3, 7):
        merged = DistinctValues()
        for part in random.permutation(groups):
            other = DistinctValues()
            other.add(key, select_smallest(hashes[part::groups]))
            merged.merge(other)
        sketches.append(merged)
        count, is_exact = merged.estimate(key)
        assert count == pytest.approx(distinct, rel=tolerance)  # four standard errors
        assert is_exact == (tolerance == 0)
    assert all(np.array_equal(one.hashes[key], sketches[0].hashes[key]) for one in sketches)


def _word_config() -> RecapConfig:
    """Words, large and small integers, lists of ids, a sequence."""
    content = sequence_config().model_dump(exclude_none=True)
    content["features"] |= {"discrete": ["word", "large", "topic"], "sparse": ["seen"]}
    content["model"]["small_embeddings"] = {
        "tables": [{"name": "word", "index": 0, "num_embeddings": 50, "embedding_dim": 2, "hash": True}]
    }
    content["model"]["large_embeddings"] = {
        "tables": [{"name": "seen", "num_embeddings": 20, "embedding_dim": 2}]
    }
    return parse_config(content)


def _words(rows: int) -> pa.Table:
    table = with_histories(with_lists(tiny_rows(FIRST_DAY, rows)))
    random = np.random.default_rng(1)
    words = np.array([f"word {number}" for number in range(400)], dtype=object)
    word = pa.array(words[np.minimum(random.zipf(1.5, rows), 400) - 1], mask=random.random(rows) < 0.1)
    large = pa.array(2**60 + 1 + np.minimum(random.zipf(1.5, rows), 400))
    return table.append_column("word", word).append_column("large", large)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("words")
    table = _words(3000)
    for number in range(3):
        (folder / f"log/date=2026-03-0{number + 1}").mkdir(parents=True)
        pq.write_table(
            table.slice(number * 1000, 1000), folder / f"log/date=2026-03-0{number + 1}/part-0.parquet"
        )
    return folder / "log"


def _profile(log: Path, folder: Path, groups: int = 1) -> Profile:
    config = _word_config()
    snapshot, _ = Snapshot.read(snapshot_of(log, config, folder / "snapshot"))
    return scan(snapshot, config, groups).profile


def test_top_values_are_those_of_all_rows_as_the_log_writes_them(log: Path, tmp_path: Path):
    table = _words(3000)
    values = _profile(log, tmp_path).values
    truth = {
        ("discrete", "word"): Counter(filter(None, table["word"].to_pylist())),
        ("discrete", "topic"): Counter(table["topic"].to_pylist()),
        ("id", "user_id"): Counter(table["user_id"].to_pylist()),
        ("sparse:seen", "seen"): Counter(
            entry for entries in table["seen"].to_pylist() for entry in entries or []
        ),
        ("sequence_id:hist_ids", "hist_ids"): Counter(
            items[-1] for items in table["hist_ids"].to_pylist() if items
        ),
    }
    for (key, label), counted in truth.items():
        summary = values[key][label]
        assert summary.distinct == pytest.approx(len(counted), rel=0.12)
        assert dict(summary.top).keys() <= {str(value) for value in counted}
        highest = sorted(counted.values(), reverse=True)[: len(summary.top)]
        assert [rows for _, rows in summary.top] == highest
        assert all(counted[type(next(iter(counted)))(value)] == rows for value, rows in summary.top)
    assert values["discrete"]["large"].top[0][0] == str(2**60 + 2)  # not whole as float64


def test_values_do_not_depend_on_groups_and_are_estimated_where_rows_are_sampled(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("components.validate.profile.row_sample.SAMPLE_ROWS", 600)
    whole = _profile(log, tmp_path / "whole")
    for groups in (2, 3):
        assert _profile(log, tmp_path / str(groups), groups).values == whole.values
    counted = Counter(filter(None, _words(3000)["word"].to_pylist()))
    for value, rows in whole.values["discrete"]["word"].top[:3]:
        assert rows == pytest.approx(counted[value], rel=0.02)
    assert dict(whole.values["discrete"]["topic"].top) == {
        str(value): rows for value, rows in Counter(_words(3000)["topic"].to_pylist()).items()
    }


def test_a_written_profile_keeps_its_values_and_one_without_any_is_read(log: Path, tmp_path: Path):
    profile = _profile(log, tmp_path)
    profile.write(tmp_path / "profile.parquet")
    assert Profile.read(tmp_path / "profile.parquet") == profile
    table = pq.read_table(tmp_path / "profile.parquet")
    metadata = {key: value for key, value in table.schema.metadata.items() if key != b"recap.values"}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "earlier.parquet")
    earlier = Profile.read(tmp_path / "earlier.parquet")
    assert (earlier.partitions, earlier.values) == (profile.partitions, {})
