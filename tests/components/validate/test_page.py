"""The data page: histograms on axes that fit, failures with their day beside the others, thousands of columns."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.validate.profile.profile import PartitionProfile, Profile
from components.validate.profile.sketches.histogram import count_numbers
from components.validate.profile.statistics import Floats, measure
from components.validate.report.histograms import choose_bars
from components.validate.report.page import render_docs
from components.validate.result import ValidationResult
from recap_model.config import parse_config
from tests.components.snapshots import snapshot_of
from tests.components.validate.broken import replaced, validate, write_broken
from tests.tiny import tiny_config, write_tiny_log

UNIFORM = np.random.default_rng(0).uniform(-3.0, 5.0, 20_000)
LONG_TAIL = np.random.default_rng(0).lognormal(3.0, 2.0, 20_000)


@pytest.mark.parametrize(
    ("values", "is_log", "bars"),
    [
        (UNIFORM, False, 30),
        (LONG_TAIL, True, 30),
        (np.where(np.arange(20_000) % 4 == 0, 0.0, LONG_TAIL), True, 30),
        (np.where(np.arange(20_000) % 40 == 0, 99_999.0, 100.0 + UNIFORM), True, 30),
        (np.arange(20_000.0) % 7, False, 7),
        (np.where(np.arange(20_000) < 20, 500.5, 0.0), False, 30),
        (np.full(9, 123.4), False, 1),
        (np.full(9, -1e-9), False, 1),
    ],
)
def test_bars_hold_every_value_and_agree_with_numpy(values: Floats, is_log: bool, bars: int) -> None:
    bins, counts = count_numbers(values[:, np.newaxis]).select(0)
    chosen = choose_bars([(bins, counts)], values.min(), values.max())
    heights = np.array(chosen.heights(bins, counts))
    assert (chosen.is_log, len(heights)) == (is_log, bars)
    kept = values[values > 0.0] if chosen.zeros_apart else values
    assert heights.sum() == pytest.approx(len(kept) / len(values))
    clipped = np.clip(kept, chosen.edges[0], np.nextafter(chosen.edges[-1], -np.inf))
    expected, _ = np.histogram(clipped, bins=chosen.edges)
    # A bin of the profile is up to 6% of its value wide; a bar may gain or lose its rows.
    assert np.abs(np.cumsum(heights) - np.cumsum(expected) / len(values)).max() < 0.04


def test_a_page_of_a_first_run_has_histograms_words_and_the_faults_of_each_day(tmp_path: Path) -> None:
    log = write_broken(
        tmp_path / "log",
        replaced("has_video", lambda column: pa.array([2] * len(column))),
        replaced("age_hours", lambda column: pa.array([None] * 150 + column.to_pylist()[150:], column.type)),
        replaced("likes", lambda column: pa.array([99_999.0] * len(column), pa.float32())),
    )
    validate(tmp_path, log)
    page = (tmp_path / "docs.html").read_text().replace("<wbr>", "")
    assert "Start with column" in page
    assert page.index("The log passed, with warnings") < page.index("What is wrong") < page.index("<h2>Days")
    assert re.search(r"<title>failures, 2026-03-03: count \d", page)
    assert "<figcaption>age_hours, 2026-03-03</figcaption>" in page
    assert "</span>the other days " in page
    for column in ("age_hours", "likes", "user_embedding", "topic", "position"):
        row = re.search(rf'<tr><td class="words">{column}</td>.*?</tr>', page, re.S)
        assert row is not None
        assert '<svg class="spark"' in row[0]
    assert ">99,999</td>" in page
    assert "e+0" not in page
    topics = re.search(r'<tr><td class="words">topic</td>.*?</tr>', page, re.S)
    assert topics is not None
    assert re.search(r'data-sort="7">7</td><td class="words sentence">\d \(1[5-9]', topics[0])


def test_a_page_of_thousands_of_columns_is_small_and_has_them_all(tmp_path: Path) -> None:
    columns = [f"feature_{number:04d}" for number in range(2800)]
    content = tiny_config().model_dump(exclude_none=True)
    content["features"] = {"continuous": columns}
    config = parse_config(content)
    values = np.random.default_rng(0).lognormal(1.0, 2.0, (60, 2800))
    day = PartitionProfile(60)
    day.add("continuous", columns, measure(values, np.zeros(2800, dtype=np.int64)), count_numbers(values))
    log = write_tiny_log(tmp_path / "log", days=1, rows=10)
    snapshot, _ = Snapshot.read(snapshot_of(log, config, tmp_path / "snapshot"))
    result = ValidationResult(snapshot.digest, "2026-03-01", "2026-03-01", 60, [])
    page = render_docs(result, Profile({"date=2026-03-01": day}), config, {}, snapshot)
    assert page.count('<svg class="spark"') == 2800
    assert len(page) < 3_000_000
