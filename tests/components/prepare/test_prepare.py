"""From a tiny log to three sets: what happens to labels, values, splits and samples."""

import re
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.prepare.prepare import prepare_datasets
from components.prepare.rows import Rows
from components.prepare.statistics.feature_statistics import StatisticsBuilder
from recap_model.data.dataset.manifest import DatasetManifest
from recap_model.data.dataset.statistics import FeatureStatistics
from tests.components.prepare.tables import table
from tests.components.snapshots import snapshot_of
from tests.datasets import TinySets, build_tiny, mark_validated
from tests.tiny import DAY_MS, tiny_config, tiny_rows, write_tiny_log


def labels(folder: Path) -> np.ndarray:
    return np.array(table(folder)["labels"].to_pylist(), dtype=np.float32)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_tiny_log(tmp_path / "log", days=5, rows=200)


def test_the_newest_days_are_the_test_and_the_calibration_set(tmp_path: Path, log: Path):
    sets = build_tiny(tmp_path, tiny_config(), log)
    days = {
        folder.name: {
            date.fromordinal(request // 100_000).day for request in table(folder)["request"].to_pylist()
        }
        for folder in (sets.train, sets.calibration, sets.test)
    }
    assert days == {"train": {1, 2, 3}, "calibration": {4}, "test": {5}}


@pytest.mark.parametrize(("missing", "expected"), [(4, ({1, 2}, {3}, {5})), (5, ({1, 2}, {3}, {4}))])
def test_a_day_that_may_be_missing_leaves_no_set_empty(
    missing: int, expected: tuple[set[int], ...], tmp_path: Path, log: Path
):
    shutil.rmtree(log / f"date=2026-03-0{missing}")
    sets = build_tiny(tmp_path, tiny_config(data={"days": 5, "tolerated_missing_days": 1}), log)
    for folder, days in zip((sets.train, sets.calibration, sets.test), expected, strict=True):
        requests = table(folder)["request"].to_pylist()
        assert {date.fromordinal(request // 100_000).day for request in requests} == days


def test_values_and_labels_arrive_as_they_were_logged(tmp_path: Path, log: Path):
    sets = build_tiny(tmp_path, tiny_config(), log)
    logged = tiny_rows(date(2026, 3, 5))
    built = table(sets.test)
    continuous = np.array(built["continuous"].to_pylist(), dtype=np.float32)
    assert np.array_equal(continuous[:, 1], logged["likes"].to_numpy())
    assert built["user_embedding"].to_pylist() == logged["user_embedding"].to_pylist()
    assert np.array_equal(labels(sets.test)[:, 1], logged["reply"].to_numpy())
    assert built["user"].to_pylist() == logged["user_id"].to_pylist()


def test_the_same_log_gives_the_same_bytes_and_cutting_it_into_more_files_the_same_rows(tmp_path: Path):
    config = tiny_config(data={"days": 5, "negative_downsampling": {"rate": 0.5}})
    built: list[TinySets] = []
    for name, files in (("one", 1), ("again", 1), ("three", 3)):
        log = write_tiny_log(tmp_path / name / "log", files=files)
        built.append(build_tiny(tmp_path / name, config, log))
    one, again = (DatasetManifest.read(sets.train) for sets in built[:2])
    assert one.fingerprint == again.fingerprint
    assert table(built[0].train).equals(table(built[2].train))


def test_a_late_impression_or_engagement_is_no_positive(tmp_path: Path):
    hour = DAY_MS // 24
    log = write_tiny_log(tmp_path / "log")
    file = log / "date=2026-03-05" / "part-00000.parquet"
    rows = pq.read_table(file)
    served = rows["served_ms"].to_numpy()
    impressed, engaged = served + 1000, [stamp + 2000 for stamp in served.tolist()]
    impressed[0] = served[0] + 3 * hour
    engaged[1] = int(served[1] + 3 * hour)
    engaged[2] = int(served[2] + 3 * hour - 1)
    engaged[3] = None
    for name, values in (("impressed_ms", impressed), ("engaged_ms", engaged), ("like", [1] * len(rows))):
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
    pq.write_table(rows, file)
    config = tiny_config(data={"days": 5, "rectify_labels": {"window_hours": 3.0}})
    sets = build_tiny(tmp_path, config, log)
    assert labels(sets.test)[:5, 0].tolist() == [0.0, 0.0, 1.0, 1.0, 1.0]


def test_downsampling_keeps_positives_and_restores_the_negatives_sum(tmp_path: Path):
    log = write_tiny_log(tmp_path / "log", rows=4000)
    sampling = {"rate": 0.25, "tasks": ["reply"]}
    whole = build_tiny(tmp_path / "whole", tiny_config(), log)
    config = tiny_config(data={"days": 5, "negative_downsampling": sampling})
    sampled = build_tiny(tmp_path / "sampled", config, log)
    before, after = table(whole.train), table(sampled.train)
    replies = labels(sampled.train)[:, 1]
    assert replies.sum() == labels(whole.train)[:, 1].sum()
    weight = after["weight"].to_numpy()
    assert set(np.unique(weight[replies > 0])) == {1.0}
    assert set(np.unique(weight[replies == 0])) == {4.0}
    assert weight.sum() == pytest.approx(len(before), rel=0.03)
    assert table(sampled.test).equals(table(whole.test))
    assert DatasetManifest.read(sampled.train).sampling == {}


def test_rates_for_calibration_undo_the_sampling_of_every_task(tmp_path: Path):
    log = write_tiny_log(tmp_path / "log", rows=2000)
    whole = build_tiny(tmp_path / "whole", tiny_config(), log)
    data = {"days": 5, "negative_downsampling": {"rate": 0.2}, "sampling_correction": "calibration"}
    sampled = build_tiny(tmp_path / "sampled", tiny_config(data=data), log)
    rates = DatasetManifest.read(sampled.train).sampling
    assert set(np.unique(table(sampled.train)["weight"].to_numpy())) == {1.0}
    for number, task in enumerate(("like", "reply")):
        before, kept = labels(whole.train)[:, number], labels(sampled.train)[:, number]
        assert rates[task].positive_rate == 1.0
        assert rates[task].negative_rate == pytest.approx((kept == 0).sum() / (before == 0).sum())


def test_a_split_by_time_cuts_at_the_stated_shares_and_never_through_a_request(tmp_path: Path, log: Path):
    split = {"by": "time", "calibration_share": 0.1, "test_share": 0.2}
    file = log / "date=2026-03-05" / "part-00000.parquet"
    rows = pq.read_table(file)
    year_9999 = [253_402_214_400_000, *rows["impressed_ms"].to_pylist()[1:]]  # no time, which moves no cut
    pq.write_table(
        rows.set_column(rows.column_names.index("impressed_ms"), "impressed_ms", [year_9999]), file
    )
    sets = build_tiny(tmp_path, tiny_config(data={"days": 5, "split": split}), log)
    train, calibration, test = (table(folder) for folder in (sets.train, sets.calibration, sets.test))
    assert len(test) == pytest.approx(200, abs=10)
    assert len(calibration) == pytest.approx(100, abs=10)
    requests = [set(part["request"].to_pylist()) for part in (train, calibration, test)]
    assert not requests[0] & requests[1]
    assert not (requests[0] | requests[1]) & requests[2]
    assert pc.max(train["impressed"]).as_py() <= pc.max(test["impressed"]).as_py()


def test_a_request_across_the_cut_goes_whole_into_the_later_set(tmp_path: Path, log: Path):
    file = log / "date=2026-03-05" / "part-00000.parquet"
    rows = pq.read_table(file)
    before = pq.read_table(log / "date=2026-03-04" / "part-00000.parquet")["request_id"][0].as_py()
    requests = [before, *rows["request_id"].to_pylist()[1:]]
    pq.write_table(rows.set_column(0, "request_id", pa.array(requests)), file)
    sets = build_tiny(tmp_path, tiny_config(), log)
    assert table(sets.test)["request"].to_pylist().count(before) == 6
    assert before not in table(sets.calibration)["request"].to_pylist()


def test_rows_without_a_request_stay_in_the_set_of_their_day_and_are_no_copies(tmp_path: Path, log: Path):
    for file in log.rglob("*.parquet"):
        rows = pq.read_table(file)
        without = np.arange(len(rows)) % 4 == 0
        requests = pa.array(rows["request_id"].to_numpy(), mask=without)
        rows = rows.set_column(0, "request_id", requests)
        rows = rows.set_column(2, "post_id", pa.array(np.arange(len(rows)) % 8))
        pq.write_table(rows, file)
    sets = build_tiny(tmp_path, tiny_config(data={"days": 5, "deduplicate": {}}), log)
    built = (DatasetManifest.read(folder).rows for folder in (sets.train, sets.calibration, sets.test))
    assert list(built) == [600, 200, 200]


def test_a_split_by_hash_keeps_a_user_together(tmp_path: Path, log: Path):
    split = {"by": "hash", "column": "user_id", "calibration_share": 0.2, "test_share": 0.3}
    features = tiny_config().features.model_dump() | {"ids": {"user": "user_id", "candidate": "post_id"}}
    config = tiny_config(data={"days": 5, "split": split}, features=features)
    sets = build_tiny(tmp_path, config, log)
    users = [set(table(folder)["user"].to_pylist()) for folder in (sets.train, sets.calibration, sets.test)]
    assert sum(map(len, users)) == len(set.union(*users)) == 20


def test_statistics_are_of_training_rows_alone(tmp_path: Path, log: Path):
    config = tiny_config()
    first = FeatureStatistics.read(build_tiny(tmp_path / "a", config, log).train)
    for day in ("04", "05"):
        file = log / f"date=2026-03-{day}" / "part-00000.parquet"
        rows = pq.read_table(file)
        likes = pa.array(rows["likes"].to_numpy() * 100)
        pq.write_table(rows.set_column(rows.column_names.index("likes"), "likes", likes), file)
    assert FeatureStatistics.read(build_tiny(tmp_path / "b", config, log).train) == first
    likes = np.concatenate([tiny_rows(date(2026, 3, day))["likes"].to_numpy() for day in (1, 2, 3)])
    assert first.log_mean[1] == pytest.approx(np.log1p(likes).mean(), rel=1e-6)
    assert first.log_std[1] == pytest.approx(np.log1p(likes).std(), rel=1e-5)
    assert first.knots[1] == sorted(set(first.knots[1]))
    assert (first.knots[1][0], first.knots[1][-1]) == (likes.min(), likes.max())


def test_knots_resolve_the_few_values_of_a_count_that_is_mostly_zero():
    counts = np.concatenate([np.zeros(9_900), np.arange(100) * 10 + 10, [np.nan]]).astype(np.float32)
    builder = StatisticsBuilder(tiny_config())
    width = tiny_config().features.width("continuous")
    values = np.repeat(counts[:, None], width, axis=1)
    ones = np.ones((len(counts), 1), dtype=np.float32)
    builder.begin_file()
    builder.add(Rows({"continuous": values}, ones, ones[:, 0], np.arange(len(counts))))
    knots = builder.result({}).knots[0]
    assert (knots[0], knots[-1]) == (0.0, 1000.0)
    assert np.diff(knots[1:]).max() <= 20
    assert 60 < len(knots) < 70


def test_what_cannot_be_built_is_one_line_and_leaves_nothing(tmp_path: Path, log: Path):
    config = tiny_config(data={"days": 5, "split": {"by": "days", "calibration_days": 2, "test_days": 3}})
    with pytest.raises(ValueError, match=r"^the train set is empty; data\.split leaves no row"):
        build_tiny(tmp_path, config, log)
    assert {path.name for path in tmp_path.iterdir()} == {"log", "snapshot", "validated"}


def test_a_log_without_a_positive_to_train_on_names_the_task(tmp_path: Path, log: Path):
    for day in ("01", "02", "03"):
        file = log / f"date=2026-03-{day}" / "part-00000.parquet"
        rows = pq.read_table(file)
        column = pa.array([0] * len(rows), pa.int8())
        pq.write_table(rows.set_column(rows.column_names.index("reply"), "reply", column), file)
    with pytest.raises(ValueError, match="task reply has no positive among 600 training rows"):
        build_tiny(tmp_path, tiny_config(), log)


def test_a_verdict_on_another_snapshot_is_refused(tmp_path: Path, log: Path):
    config = tiny_config()
    validated = mark_validated(snapshot_of(log, config, tmp_path / "old"), tmp_path / "validated")
    (log / "date=2026-03-05" / "part-00000.parquet").unlink()
    snapshot = snapshot_of(log, config, tmp_path / "new")
    outs = [tmp_path / name for name in ("train", "calibration", "test")]
    with pytest.raises(ValueError, match="belongs to another snapshot"):
        prepare_datasets(snapshot, validated, *outs)


def _with_dwell(log: Path) -> None:
    """Add dwell times to a log, and the labels that rules would make of them, written by hand."""
    for number, file in enumerate(sorted(log.rglob("*.parquet"))):
        rows = pq.read_table(file)
        dwell_s = np.random.default_rng(number).exponential(20.0, len(rows))
        missing = np.arange(len(rows)) % 7 == 0
        stayed = [
            None if gap else int(time >= 10) for gap, time in zip(missing, dwell_s.tolist(), strict=True)
        ]
        reply, like = rows["reply"].to_pylist(), rows["like"].to_pylist()
        clean = [int(one and not other) for one, other in zip(like, reply, strict=True)]
        bought = [stay if one else None for stay, one in zip(stayed, like, strict=True)]
        columns = {
            "dwell_s": pa.array(dwell_s, mask=missing),
            "stayed": stayed,
            "clean": clean,
            "bought": bought,
        }
        for name, values in columns.items():
            rows = rows.append_column(name, pa.array(values))
        pq.write_table(rows, file)


def test_labels_made_by_rules_give_the_same_bytes_as_labels_made_by_hand(tmp_path: Path, log: Path):
    _with_dwell(log)
    stay = {"column": "dwell_s", "at_least": 10}
    by_rule = {
        "stayed": {"label": stay},
        "clean": {"label": "like", "unless": "reply"},
        "bought": {"label": stay, "only_where": "like"},
    }
    others: dict[str, dict[str, str]] = {"like": {}, "reply": {}}
    sampling = {"days": 5, "negative_downsampling": {"rate": 0.5, "tasks": ["stayed"]}}
    found = [
        build_tiny(tmp_path / name, tiny_config(tasks={**tasks, **others}, data=sampling), log)
        for name, tasks in (("rules", by_rule), ("hand", {name: {} for name in by_rule}))
    ]
    for split in ("train", "calibration", "test"):
        rules, hand = (DatasetManifest.read(getattr(sets, split)) for sets in found)
        assert rules.fingerprint == hand.fingerprint
        assert rules.counts == hand.counts


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            {"label": {"column": "dwell_s", "at_least": 1e6}},
            "tasks.stayed.label: is never true in the 600 training rows of 2026-03-01 to 2026-03-05 that count "
            "(dwell_s >= 1e+06); a task needs positives and negatives; change the rule",
        ),
        (
            {"label": {"column": "dwell_s", "at_least": 0}, "only_where": "reply"},
            "tasks.stayed.label: is always true in the 156 training rows of 2026-03-01 to 2026-03-05 that count "
            "(dwell_s >= 0, only where reply); a task needs",
        ),
        (
            {"label": "like", "only_where": {"column": "dwell_s", "at_most": -1}},
            "tasks.stayed.only_where: leaves none of the 600 training rows of 2026-03-01 to 2026-03-05 "
            "(dwell_s <= -1); a task needs rows",
        ),
    ],
)
def test_a_rule_without_positives_negatives_or_rows_is_an_error(
    task: dict[str, object], message: str, tmp_path: Path, log: Path
):
    for file in log.rglob("*.parquet"):
        rows = pq.read_table(file)
        pq.write_table(rows.append_column("dwell_s", pa.array(np.arange(len(rows)) / 10)), file)
    config = tiny_config(tasks={"stayed": task, "reply": {}})
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        build_tiny(tmp_path, config, log)
