"""Users whose taste drifts within a day: moods, and dwell times with their true expectation."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.simulator import SampleParameters, extend_log, write_log, writer
from pipeline.simulator.columns import log_schema, truth_schema
from pipeline.simulator.history import HISTORY_FIELDS, HISTORY_LENGTH, EventLog
from pipeline.simulator.labels import task_names
from pipeline.simulator.moods import mood
from pipeline.simulator.population import make_population, unit
from pipeline.simulator.rng import Array
from tests.pipeline.simulator.reading import contents, read

HOUR_MS = 3_600_000
TASKS = task_names(history=True)
EVENT_COLUMNS = (
    "user_id", "post_id", "author_id", "topic", "impressed_ms", "engaged_ms", "dwell_s", *TASKS,
)  # fmt: skip
HISTORY_COLUMNS = [field.name for field in HISTORY_FIELDS]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("histories")
    write_log(out, rows=24_000, days=2, truth=True, history=True)
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
    population = make_population(SampleParameters(rows=200_000, days=1, history=True))
    users, start = np.arange(2_000), np.full(2_000, 20_513 * 24 * HOUR_MS + HOUR_MS)
    now, soon, later = (mood(population, users, start + hours * HOUR_MS) for hours in (0, 0.25, 12))
    assert _cosine(now, soon).mean() > 0.98
    strangers = _cosine(now, np.roll(now, 1, axis=0)).mean()
    assert _cosine(now, later).mean() == pytest.approx(strangers, abs=0.05)


def _cosine(left: Array, right: Array) -> Array:
    return (unit(left) * unit(right)).sum(axis=1)


def test_a_history_is_the_users_last_events_before_the_request(log: pa.Table):
    rows = log.select([*EVENT_COLUMNS, "served_ms", *HISTORY_COLUMNS]).to_pylist()
    by_user: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        by_user.setdefault(row["user_id"], []).append(row)
    second_day = rows[len(rows) // 2 :: 500]
    assert any(len(row["hist_time_ms"]) == HISTORY_LENGTH for row in second_day)
    for row in [*rows[: len(rows) // 2 : 500], *second_day]:
        now = row["served_ms"]
        earlier = [event for event in by_user[row["user_id"]] if event["impressed_ms"] < now]
        events = sorted(earlier, key=lambda event: -event["impressed_ms"])[:HISTORY_LENGTH]
        for event, *listed in zip(events, *(row[name] for name in HISTORY_COLUMNS), strict=True):
            known = event["engaged_ms"] is not None and event["engaged_ms"] < now
            over = event["impressed_ms"] + 1_000.0 * event["dwell_s"] < now
            assert listed == [
                event["post_id"],
                event["author_id"],
                event["topic"],
                [task for task in TASKS if event[task] and known],
                event["dwell_s"] if over else None,
                event["impressed_ms"],
            ]


def test_recent_events_tell_the_taste_of_the_hour(log: pa.Table, truth: pa.Table):
    topics, offsets = _values(log, "hist_topics"), log["hist_topics"].combine_chunks().offsets.to_numpy()
    row = np.repeat(np.arange(len(log)), np.diff(offsets))
    interest = np.log1p(np.nan_to_num(_values(log, "hist_dwell_s")))
    interest = (interest - interest.mean()) * (log["topic"].to_numpy()[row] == topics)
    hours = (log["served_ms"].to_numpy()[row] - _values(log, "hist_time_ms")) / HOUR_MS
    expected = np.log(truth["truth.dwell_s"].to_numpy())

    def correlation(chosen: Array) -> float:
        told = np.bincount(row, interest * chosen, len(log))
        return float(np.corrcoef(told, expected)[0, 1])

    assert correlation(hours < 2.0) > 2.0 * correlation(hours > 6.0)
    assert correlation(hours < 2.0) > 0.1


def _values(log: pa.Table, column: str) -> Array:
    return log[column].combine_chunks().flatten().to_numpy(zero_copy_only=False)


def test_a_day_with_histories_depends_on_no_other_days_files(root: Path, tmp_path: Path):
    shutil.copytree(root, tmp_path / "log")
    shutil.rmtree(tmp_path / "log" / "date=2026-03-02")
    shutil.rmtree(tmp_path / "log" / "date=2026-03-01")
    extend_log(tmp_path / "log")
    written = contents(tmp_path / "log")
    assert all(written[name] == content for name, content in contents(root).items())


def test_memory_of_events_is_bounded_by_the_users(
    monkeypatch: pytest.MonkeyPatch, root: Path, tmp_path: Path
):
    monkeypatch.setattr(writer, "BLOCK_ROWS", 2_000)
    kept = []
    add = EventLog.add

    def observed(past: EventLog, *block: Any) -> None:
        add(past, *block)
        kept.append(len(past))

    monkeypatch.setattr(EventLog, "add", observed)
    write_log(tmp_path / "log", rows=24_000, days=2, history=True)
    assert max(kept) < 300 * HISTORY_LENGTH + 2 * 2_000


def test_dwell_times_have_the_true_expectation_in_every_decile(log: pa.Table, truth: pa.Table):
    seconds, expected = log["dwell_s"].to_numpy().astype(float), truth["truth.dwell_s"].to_numpy()
    assert seconds.min() == 0.0
    assert 0.3 < (seconds == 0.0).mean() < 0.6
    for decile in np.array_split(np.argsort(expected), 10):
        error = seconds[decile].std() / np.sqrt(len(decile))
        assert abs(seconds[decile].mean() - expected[decile].mean()) < 4.0 * error


@pytest.mark.parametrize("task", TASKS)
def test_every_task_is_drawn_by_its_truth(task: str, log: pa.Table, truth: pa.Table):
    label, probability = log[task].to_numpy(), truth[f"truth.{task}"].to_numpy()
    for half in np.array_split(np.argsort(probability), 2):
        expected, variance = probability[half].sum(), (probability[half] * (1 - probability[half])).sum()
        assert abs(label[half].sum() - expected) < 4.5 * np.sqrt(variance) + 3.0


def test_whoever_engages_has_dwelled(log: pa.Table):
    engaged = log["engaged_ms"].is_valid().to_numpy()
    assert (engaged == np.any([log[task].to_numpy() for task in TASKS], axis=0)).all()
    seconds = log["dwell_s"].to_numpy()
    assert seconds[engaged].min() > 0.0
    assert seconds[engaged].mean() > 2.0 * seconds[~engaged].mean()
