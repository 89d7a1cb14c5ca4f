"""A watched day, from the log to the record in the registry: once, of the pinned champion, or one line of error."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common import registry
from components.common.artifacts.watch_record import WatchRecord
from components.common.registry.promotion.promotion_log import read_promotions
from components.common.registry.watch_records import read_watch_records
from components.prepare.prepare import prepare_datasets
from components.resolve.watch import resolve_watched_day
from components.validate.validate import validate_snapshot
from components.watch.act import act
from components.watch.watch import watch_day
from pipeline.cli.watch import why_not_retrain
from recap_model.config.steps.watch import WatchConfig
from tests.components.registries import NAME, PROOF, new_registry, register, run_outputs
from tests.tiny import tiny_config, tiny_rows

DAY = date(2026, 3, 4)
LENIENT = {"calibration_ratio": [0.001, 1000.0]}  # the models are not trained


def decayed_rows() -> pa.Table:
    """A day on which one of five rows is liked: the model predicts a half."""
    rows = tiny_rows(DAY, 1000)
    liked = pa.array((np.arange(len(rows)) % 5 == 0).astype(np.int8))
    return rows.set_column(rows.schema.get_field_index("like"), "like", liked)


@dataclass
class House:
    """A registry with two versions, the first of them champion, and a log whose days come after their windows."""

    folder: Path
    sent: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.uri = new_registry(self.folder / "workspace")
        self.client = registry.connect(self.uri)
        for number in (1, 2):
            folder = self.folder / str(number)
            register(run_outputs(folder, self.uri, f"run-{number}", seed=number), folder / "version")
        registry.move_alias(self.client, NAME, "champion", "1")
        registry.move_alias(self.client, NAME, "previous", "2")
        self.write_day(DAY, tiny_rows(DAY))

    def write_day(self, day: date, rows: pa.Table) -> None:
        folder = self.folder / "log" / f"date={day}"
        folder.mkdir(exist_ok=True)
        pq.write_table(rows, folder / "part-0.parquet")

    def prepare(self, out: Path, day: str = "", **watch: Any) -> Path:
        config = tiny_config(registry={"model_name": NAME, "experiment": NAME}, watch=watch)
        (self.folder / "config.yaml").write_text(config.to_yaml())
        resolve_watched_day(
            self.folder / "config.yaml",
            str(self.folder / "log"),
            out / "snapshot",
            tracking_uri=self.uri,
            run_id="watch-1",
            day=day,
        )
        validate_snapshot(out / "snapshot", out / "validated", out / "data.html", processes=1)
        prepare_datasets(
            out / "snapshot", out / "validated", out / "train", out / "calibration", out / "test"
        )
        return out

    def watch(self, out: Path, day: str = "", **watch: Any) -> WatchRecord:
        self.prepare(out, day, **watch)
        return watch_day(out / "snapshot", out / "validated", out / "test", out / "record")

    @property
    def run_id(self) -> str:
        run_id = registry.get_version(self.client, NAME, "1").run_id
        assert run_id is not None
        return run_id

    @property
    def artifacts(self) -> Path:
        """Of the champion's run."""
        return Path(self.client.get_run(self.run_id).info.artifact_uri.removeprefix("file://"))

    @property
    def records(self) -> list[WatchRecord]:
        return read_watch_records(self.client, NAME, "1", self.run_id)


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> House:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("components.register.register.load_and_score", lambda *_: PROOF)
        return House(tmp_path_factory.mktemp("house"))


@pytest.fixture
def house(built: House, monkeypatch) -> Iterator[House]:
    """The one of all tests, in which each test undoes what it has recorded, moved and written."""
    built.sent.clear()
    for module in ("watch.act", "common.registry.promotion.rollback"):
        monkeypatch.setattr(f"components.{module}.send", lambda *event: built.sent.append(event))
    yield built
    shutil.rmtree(built.artifacts / "watch", ignore_errors=True)
    registry.move_alias(built.client, NAME, "champion", "1")
    registry.move_alias(built.client, NAME, "previous", "2")
    built.write_day(DAY, tiny_rows(DAY))


def test_a_day_is_measured_with_every_row_and_recorded_once(house: House, tmp_path: Path):
    house.write_day(DAY, decayed_rows())
    first = house.watch(tmp_path / "first")
    assert (first.version, first.day, first.day_number, first.rows) == ("1", DAY, 2, 1000)
    assert first.evaluation.tasks["like"].interval.rce is not None
    assert first.evaluation.tasks["like"].difference is None
    assert first.others["previous"].version == "2"
    assert first.others["previous"].tasks["like"].difference is not None
    assert first.drift.against == "version 1"
    assert first.outcome == "RETRAIN", first.decay
    assert first.action == "asked for a retraining"
    assert [event for event, _ in house.sent] == ["retraining_wanted"]
    assert house.watch(tmp_path / "again") == first
    assert len(house.sent) == 1
    assert house.records == [first]
    history = house.client.get_metric_history(house.run_id, "watch/rce/like")
    assert [(one.step, one.value) for one in history] == [(2, first.evaluation.tasks["like"].rce)]


def test_two_watches_of_a_day_come_to_the_same_record(house: House, tmp_path: Path):
    one, other = (house.prepare(tmp_path / name, **LENIENT) for name in ("one", "other"))
    records = []
    for out in (one, other):
        records.append(watch_day(out / "snapshot", out / "validated", out / "test", out / "record"))
        shutil.rmtree(house.artifacts / "watch")
    assert records[0].model_dump_json() == records[1].model_dump_json()
    assert records[0].outcome == "OK"


def test_a_promotion_in_between_leaves_the_record_with_the_version_that_was_champion(
    house: House, tmp_path: Path
):
    house.write_day(DAY, decayed_rows())
    out = house.prepare(tmp_path / "out")
    registry.move_alias(house.client, NAME, "champion", "2")
    record = watch_day(out / "snapshot", out / "validated", out / "test", out / "record")
    assert (record.version, record.outcome) == ("1", "RETRAIN")
    assert record.action == "nothing: the champion is version 2 by now"
    assert why_not_retrain(house.uri, record) == "the champion is version 2 by now"
    assert house.sent == []
    assert house.records == [record]


def test_a_rollback_is_asked_for_or_done_once_and_never_against_a_newer_champion(
    house: House, tmp_path: Path
):
    record = house.watch(tmp_path / "out", **LENIENT).model_copy(update={"outcome": "ROLL BACK"})
    assert act(house.client, record, WatchConfig()) == "asked for a person to roll back (recap rollback)"
    automatic = WatchConfig(on_better_version="roll_back")
    for _ in range(2):
        assert act(house.client, record, automatic) == "rolled back to version 2"
    assert registry.aliases(house.client, NAME)["champion"] == "2"
    (move,) = read_promotions(house.client, NAME)
    assert (move.who, move.source, move.to, move.is_rollback) == ("recap watch", "1", "2", True)
    later = record.model_copy(update={"day": date(2026, 3, 5)})
    assert act(house.client, later, automatic) == "nothing: version 2 is champion by now"


def test_a_bad_day_is_measured_and_its_broken_rules_are_in_the_reason(house: House, tmp_path: Path):
    rows = decayed_rows()
    broken = pa.array([None] * len(rows), pa.float32())
    house.write_day(DAY, rows.set_column(rows.schema.get_field_index("likes"), "likes", broken))
    record = house.watch(tmp_path / "out")
    assert record.outcome == "RETRAIN"
    assert any(line.startswith("feature_missing: column likes") for line in record.broken_rules)
    assert "the day's log breaks" in record.reason


@pytest.mark.parametrize(
    ("day", "change", "message"),
    [
        ("2026-03-02", None, "no later than the newest day of tiny version 1"),
        ("2026-03-09", None, "no partition between 2026-03-09 and 2026-03-09"),
        ("tomorrow", None, "day: 'tomorrow' is not a date"),
        ("", lambda rows: rows.slice(0, 0), "rows_present: the log has no row"),
        ("", lambda rows: rows.drop_columns(["likes"]), "likes"),
        (
            "",
            lambda rows: rows.set_column(
                rows.schema.get_field_index("like"), "like", pa.array([None] * len(rows), pa.int8())
            ).set_column(
                rows.schema.get_field_index("reply"), "reply", pa.array([None] * len(rows), pa.int8())
            ),
            "no task has a positive label in its 200 rows",
        ),
    ],
)
def test_a_day_that_cannot_be_judged_is_one_line_and_no_record(
    house: House, tmp_path: Path, day: str, change: Any, message: str
):
    if change is not None:
        house.write_day(DAY, change(tiny_rows(DAY)))
    with pytest.raises(ValueError, match=message) as failed:
        house.watch(tmp_path / "out", day)
    assert "\n" not in str(failed.value)
    assert house.records == []


@pytest.mark.parametrize(("delay_hours", "scheduled", "day"), [(0, "", 4), (24, "2026-03-06T02:00:00Z", 4)])
def test_the_newest_day_with_complete_labels_is_watched(
    house: House, tmp_path: Path, delay_hours: int, scheduled: str, day: int
):
    config = tiny_config(
        registry={"model_name": NAME, "experiment": NAME}, watch={"label_delay_hours": delay_hours}
    )
    path = tmp_path / "config.yaml"
    path.write_text(config.to_yaml())
    snapshot = resolve_watched_day(
        path,
        str(house.folder / "log"),
        tmp_path / "snapshot",
        tracking_uri=house.uri,
        run_id="watch-1",
        scheduled=scheduled,
    )
    assert snapshot.first_day == snapshot.last_day == date(2026, 3, day)
    assert json.loads((tmp_path / "snapshot/_manifest.json").read_text())["purpose"] == "watch"


def test_a_model_without_a_champion_cannot_be_watched(house: House, tmp_path: Path):
    registry.move_alias(house.client, NAME, "champion", None)
    with pytest.raises(ValueError, match="model tiny: has no champion to watch"):
        house.watch(tmp_path / "out")
