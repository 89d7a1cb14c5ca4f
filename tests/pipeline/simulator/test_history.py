"""Users whose taste drifts within a day: moods, and dwell times with their true expectation."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.simulator import write_log
from pipeline.simulator.columns import log_schema, truth_schema
from pipeline.simulator.moods import MOOD_LENGTH, mood
from tests.pipeline.simulator.reading import labels, read

HOUR_MS = 3_600_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("histories")
    write_log(out, rows=60_000, days=2, truth=True, history=True)
    return out


@pytest.fixture(scope="module")
def log(root: Path) -> pa.Table:
    return read(root)


@pytest.fixture(scope="module")
def truth(root: Path) -> pa.Table:
    return read(root / "_truth")


def test_the_log_and_its_truth_have_the_columns_of_their_schemas(log: pa.Table, truth: pa.Table):
    assert log.schema.equals(log_schema(history=True))
    assert truth.schema.equals(truth_schema(history=True))


def test_a_mood_lasts_for_minutes_and_is_forgotten_within_a_day():
    users, start = np.arange(2_000), np.full(2_000, 20_513 * 24 * HOUR_MS + HOUR_MS)
    now, soon, later = (mood(0, users, start + hours * HOUR_MS) for hours in (0, 0.25, 12))
    assert np.linalg.norm(now, axis=1) == pytest.approx(MOOD_LENGTH)
    assert (now * soon).sum(axis=1).mean() > 0.95 * MOOD_LENGTH**2
    assert abs((now * later).sum(axis=1).mean()) < 0.05


def test_dwell_times_have_the_true_expectation_in_every_decile(log: pa.Table, truth: pa.Table):
    seconds, expected = log["dwell_s"].to_numpy().astype(float), truth["truth.dwell_s"].to_numpy()
    assert seconds.min() == 0.0
    assert 0.3 < (seconds == 0.0).mean() < 0.6
    for decile in np.array_split(np.argsort(expected), 10):
        error = seconds[decile].std() / np.sqrt(len(decile))
        assert abs(seconds[decile].mean() - expected[decile].mean()) < 4.0 * error


def test_whoever_engages_has_dwelled(log: pa.Table):
    engaged = np.any(list(labels(log).values()), axis=0)
    seconds = log["dwell_s"].to_numpy()
    assert seconds[engaged].min() > 0.0
    assert seconds[engaged].mean() > 2.0 * seconds[~engaged].mean()
