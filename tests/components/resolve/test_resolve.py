"""What resolve freezes, and how it refuses a log that cannot be used."""

import shutil
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import BASELINE_NAME, Snapshot
from components.common.registry import RegistryError, connect, move_alias
from components.common.storage.parquet import count_rows
from components.resolve.resolve import resolve_run
from components.validate.validate import validate_snapshot
from tests.components.registries import NAME, new_registry, register, run_outputs
from tests.tiny import tiny_config, write_tiny_log


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(tiny_config().to_yaml())
    return path


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_tiny_log(tmp_path / "log", days=5, rows=20)


def resolve(config: Path, log: Path, **changes) -> Snapshot:
    folder = config.parent
    arguments = {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "run_id": "run-1", **changes}
    return resolve_run(config, str(log), folder / "snapshot", **arguments)


def test_the_snapshot_holds_the_window_its_files_and_the_effective_config(config: Path, log: Path):
    snapshot = resolve(config, log, end_date="2026-03-04", days=3)
    read, settings = Snapshot.read(config.parent / "snapshot")
    assert read == snapshot
    assert settings == tiny_config()
    assert [part.name for part in read.partitions] == [f"date=2026-03-0{day}" for day in (2, 3, 4)]
    assert [file.bytes for file in read.files] == [(log / file.path).stat().st_size for file in read.files]
    assert (len(read.files), read.champion, read.run_id) == (3, None, "run-1")


def test_the_digest_is_of_the_data_and_not_of_its_place(config: Path, log: Path, tmp_path: Path):
    first = resolve(config, log)
    moved = log.rename(tmp_path / "elsewhere")
    assert resolve(config, moved).digest == first.digest
    file = moved / "date=2026-03-05" / "part-00000.parquet"
    pq.write_table(pq.read_table(file).slice(1), file)
    assert resolve(config, moved).digest != first.digest


def test_a_day_in_files_of_several_endings_is_read_whole_and_the_rest_is_named(
    config: Path, log: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    newest = log / "date=2026-03-05"
    rows = pq.read_table(newest / "part-00000.parquet", partitioning=None)
    pq.write_table(rows.slice(0, 8), newest / "part-00000.parquet")
    pq.write_table(rows.slice(8, 8), newest / "part-1.parq")
    pq.write_table(rows.slice(16), newest / "000000_0")
    (newest / "notes.txt").write_text("no rows")
    (log / "dt=2026-02-28").mkdir()
    assert count_rows(resolve(config, log)).rows == 100
    assert "names=dt=2026-02-28, date=2026-03-05/notes.txt" in caplog.text
    assert "7 of 7 files; not read: dt=2026-02-28, date=2026-03-05/notes.txt" in capsys.readouterr().out
    (log / "dt=2026-03-06").mkdir()
    with pytest.raises(ValueError, match=r"'dt=2026-03-06' is named like a day of the window \(2026-03-06\)"):
        resolve(config, log)
    assert len(resolve(config, log, end_date="2026-03-05").files) == 7


def test_a_missing_root_an_empty_root_and_a_wrong_date_are_one_line_each(
    config: Path, log: Path, tmp_path: Path
):
    (tmp_path / "empty").mkdir()
    for root, end_date, reason in (
        (tmp_path / "nowhere", "", "no such data root"),
        (tmp_path / "empty", "", "has no partition"),
        (log, "2026-3-4", "is not a date; write YYYY-MM-DD"),
        (log, "2027-01-01", "the log has 2026-03-01 to 2026-03-05"),
    ):
        with pytest.raises((ValueError, FileNotFoundError), match=reason) as caught:
            resolve(config, root, end_date=end_date)
        assert "\n" not in str(caught.value)


def test_a_tolerated_gap_is_recorded(config: Path, log: Path):
    for file in (log / "date=2026-03-02").iterdir():
        file.unlink()
    with pytest.raises(ValueError, match="1 of 5 days are missing"):
        resolve(config, log)
    settings = tiny_config(data={"days": 5, "tolerated_missing_days": 1})
    config.write_text(settings.to_yaml())
    assert resolve(config, log).missing_days == [date(2026, 3, 2)]


def test_a_config_changed_after_resolve_is_noticed(config: Path, log: Path):
    resolve(config, log)
    frozen = config.parent / "snapshot" / "config.json"
    frozen.write_text(frozen.read_text().replace('"epochs": 2', '"epochs": 3'))
    with pytest.raises(ValueError, match="changed since resolve wrote it"):
        Snapshot.read(frozen.parent)


@pytest.fixture
def hourly(log: Path, tmp_path: Path) -> Path:
    """The last two days by the hour: 20 to 23 of the one, 0 to 2 of the other."""
    for day, hours in (("04", (20, 21, 22, 23)), ("05", (0, 1, 2))):
        file = log / f"date=2026-03-{day}" / "part-00000.parquet"
        for hour in hours:
            target = tmp_path / "hourly" / file.parent.name / f"hour={hour:02d}" / file.name
            target.parent.mkdir(parents=True)
            target.write_bytes(file.read_bytes())
    return tmp_path / "hourly"


def hours_of(snapshot: Snapshot) -> list[str]:
    return [f"{part.name[10:15]}T{part.name[-2:]}" for part in snapshot.partitions]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["03-05T00", "03-05T01", "03-05T02"]),
        ({"end_date": "2026-03-05T00"}, ["03-04T22", "03-04T23", "03-05T00"]),
        ({"end_date": "2026-03-05T01:30:00+01:00"}, ["03-04T22", "03-04T23", "03-05T00"]),
        ({"end_date": "2026-03-04"}, ["03-04T21", "03-04T22", "03-04T23"]),
        ({"scheduled": "2026-03-05T01:10:00+00:00"}, ["03-04T22", "03-04T23", "03-05T00"]),
    ],
)
def test_a_window_of_hours_ends_at_the_stated_hour(
    config: Path, hourly: Path, changes: dict[str, str], expected: list[str]
):
    config.write_text(tiny_config(data={"hours": 3}).to_yaml())
    assert hours_of(resolve(config, hourly, **changes)) == expected


def test_hours_that_are_missing_are_tolerated_up_to_the_stated_number(config: Path, hourly: Path):
    config.write_text(tiny_config(data={"hours": 4, "tolerated_missing_hours": 1}).to_yaml())
    assert len(resolve(config, hourly, end_date="2026-03-05T03").partitions) == 3
    with pytest.raises(
        ValueError, match=r"2 of 4 hours are missing \(date=2026-03-05/hour=03, date=2026-03-05"
    ):
        resolve(config, hourly, end_date="2026-03-05T04")
    with pytest.raises(ValueError, match=r"data\.hours: the log has no partition date=…/hour=…"):
        resolve(config, hourly.parent / "log")


def test_an_hour_needs_a_window_of_hours(config: Path, log: Path):
    with pytest.raises(ValueError, match=r"has an hour; write YYYY-MM-DD, or set data\.hours"):
        resolve(config, log, end_date="2026-03-05T01")


def test_a_pattern_chooses_files_and_their_days_are_the_window(config: Path, log: Path):
    for day in (2, 3):
        folder = log / f"date=2026-03-0{day}"
        (folder / "late.parquet").write_bytes((folder / "part-00000.parquet").read_bytes())
    snapshot = resolve(config, log / "date=2026-03-0[2-4]" / "part-*.parquet")
    assert snapshot.data_root == str(log)
    assert [part.name[-2:] for part in snapshot.partitions] == ["02", "03", "04"]
    assert {file.path.split("/")[1] for part in snapshot.partitions for file in part.files} == {
        "part-00000.parquet"
    }
    of_one_day = resolve(config, log / "date=2026-03-02" / "*.parquet")
    assert [len(part.files) for part in of_one_day.partitions] == [2]
    assert len(resolve(config, log / "date=2026-03-*", end_date="2026-03-03", days=2).partitions) == 2
    with pytest.raises(
        ValueError, match=r"x\*\.parquet: matches none of the log's files; they are named as date="
    ):
        resolve(config, log / "date=*" / "x*.parquet")


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A registry whose champion has a profile, and that profile."""
    folder = tmp_path_factory.mktemp("registered")
    uri = new_registry(folder)
    inputs = run_outputs(folder / "run", uri)
    shutil.rmtree(inputs.validated)
    validate_snapshot(inputs.snapshot, inputs.validated, folder / "docs.html")
    version = register(inputs, folder / "version")
    move_alias(connect(uri), NAME, "champion", version.version)
    return uri, inputs.validated / "profile.parquet"


def test_the_champions_profile_is_frozen_and_drift_is_measured_from_it(
    registered: tuple[str, Path], config: Path, log: Path, tmp_path: Path
):
    uri, profile = registered
    snapshot = resolve(config, log, tracking_uri=uri)
    assert snapshot.champion is not None
    assert snapshot.anchor == snapshot.champion, "the alias was set without a promotion"
    assert (tmp_path / "snapshot" / BASELINE_NAME).read_bytes() == profile.read_bytes()
    verdict = validate_snapshot(tmp_path / "snapshot", tmp_path / "validated", tmp_path / "docs.html")
    assert verdict.drift_state("drift") == "within_bounds"


def test_a_version_to_start_from_that_is_not_there_is_refused_before_the_work(
    registered: tuple[str, Path], config: Path, log: Path
):
    for version, refused in (("1", False), ("7", True)):
        config.write_text(tiny_config(training={"warm_start": f"models:/{NAME}/{version}"}).to_yaml())
        if refused:
            with pytest.raises(
                RegistryError, match=rf"^model {NAME}: has no version 7; recap models --name {NAME} lists"
            ):
                resolve(config, log, tracking_uri=registered[0])
        else:
            resolve(config, log, tracking_uri=registered[0])


def test_a_champion_without_a_profile_is_no_baseline_and_the_run_goes_on(
    config: Path, log: Path, tmp_path: Path
):
    uri = new_registry(tmp_path / "registry")
    inputs = run_outputs(tmp_path / "run", uri)
    move_alias(connect(uri), NAME, "champion", register(inputs, tmp_path / "version").version)
    snapshot = resolve(config, log, tracking_uri=uri)
    assert snapshot.baseline is not None
    assert snapshot.baseline.missing == "tiny version 1 was registered without profile/profile.parquet"
    verdict = validate_snapshot(tmp_path / "snapshot", tmp_path / "validated", tmp_path / "docs.html")
    assert verdict.drift_state("drift") == "no_baseline"


def test_a_profile_that_was_altered_in_the_registry_is_no_baseline(
    registered: tuple[str, Path], config: Path, log: Path, tmp_path: Path
):
    uri, _ = registered
    stored = next(Path(uri.removeprefix("sqlite:///")).parent.rglob("model/profile/profile.parquet"))
    content = stored.read_bytes()
    for altered, said in ((content + b"x", "was altered; register"), (None, "cannot be read")):
        stored.unlink()
        if altered is not None:
            stored.write_bytes(altered)
        snapshot = resolve(config, log, tracking_uri=uri)
        assert snapshot.baseline is not None
        assert said in snapshot.baseline.missing
        assert not (tmp_path / "snapshot" / BASELINE_NAME).exists()
    stored.write_bytes(content)


@pytest.mark.parametrize(
    ("lookback_days", "days"),
    [(0, []), (2, [1, 2]), (30, [1, 2])],
    ids=["none", "two", "as many as there are"],
)
def test_days_before_the_window_are_frozen_for_histories(
    lookback_days: int, days: list[int], config: Path, log: Path
):
    derived = {"columns": {"item": "post_id"}, "lookback_days": lookback_days}
    features = tiny_config().features.model_dump(mode="json") | {"derived_sequences": {"history": derived}}
    without = resolve(config, log, days=3)
    config.write_text(tiny_config(features=features).to_yaml())
    snapshot = resolve(config, log, days=3)
    assert [part.name for part in snapshot.lookback] == [f"date=2026-03-0{day}" for day in days]
    assert snapshot.partitions == without.partitions
    assert (snapshot.digest == without.digest) == (not days)
    assert Snapshot.read(config.parent / "snapshot")[0] == snapshot
    assert ("lookback" in (config.parent / "snapshot" / "_manifest.json").read_text()) == bool(days)
