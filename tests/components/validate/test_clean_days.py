"""Ten clean days after a champion's: no alarm, in logs of two kinds and of several sizes."""

from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

import pipeline
from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.run import check_scan
from components.validate.drift.compare import compare
from components.validate.drift.effective_rows import measure_correlations
from components.validate.drift.reference import Reference
from components.validate.profile.columns import list_blocks
from components.validate.profile.profile import Profile
from components.validate.profile.scan import Scan
from pipeline.simulator import write_log
from recap_model.config import RecapConfig, load_config
from tests.components.snapshots import snapshot_of
from tests.components.validate.scans import scan
from tests.components.validate.shop import shop_config, write_shop_log

SAMPLE_YAML = Path(pipeline.__file__).parent / "configs" / "sample.yaml"
WINDOW_DAYS, CLEAN_DAYS = 6, 10


def windows_of(folder: Path, root: Path, config: RecapConfig) -> Iterator[tuple[Scan, Snapshot, Reference]]:
    """Each day's run, of a window that ends with the day; the champion's is the log's first."""
    snapshot, _ = Snapshot.read(snapshot_of(root, config, folder / "snapshot"))
    scanned = scan(snapshot, config)
    parts = list(snapshot.partitions)
    champion = Reference("version 7", _profile(scanned, [part.name for part in parts[:WINDOW_DAYS]]))
    for end in range(WINDOW_DAYS, len(parts)):
        window = parts[end - WINDOW_DAYS + 1 : end + 1]
        first, last = (
            date.fromisoformat(part.name.removeprefix("date=")) for part in (window[0], window[-1])
        )
        changes = {"partitions": window, "first_day": first, "last_day": last}
        of_window = Scan(_profile(scanned, [part.name for part in window]), scanned.faults, scanned.sample)
        yield of_window, snapshot.model_copy(update=changes), champion


def _profile(scanned: Scan, names: list[str]) -> Profile:
    return Profile({name: scanned.profile.partitions[name] for name in names})


def sample_log(folder: Path, rows_a_day: int, seed: int) -> tuple[Path, RecapConfig]:
    days = WINDOW_DAYS + CLEAN_DAYS
    write_log(folder / "log", rows=rows_a_day * days, days=days, seed=seed)
    content = load_config(SAMPLE_YAML).model_dump(mode="json")
    content["validation"] |= {"min_rows_per_partition": 1}
    return folder / "log", RecapConfig.model_validate(content)


def shop_log(folder: Path, rows_a_day: int, seed: int) -> tuple[Path, RecapConfig]:
    days = WINDOW_DAYS + CLEAN_DAYS
    return write_shop_log(folder / "log", 0, days, rows_a_day, seed), shop_config()


@pytest.mark.parametrize(("log", "rows_a_day"), [(sample_log, 4000), (shop_log, 1500)])
def test_ten_clean_days_give_no_alarm(tmp_path: Path, log: Callable, rows_a_day: int):
    root, config = log(tmp_path, rows_a_day, 0)
    verdicts = [
        check_scan(window, snapshot, config, {"drift": champion})
        for window, snapshot, champion in windows_of(tmp_path, root, config)
    ]
    assert len(verdicts) == CLEAN_DAYS
    assert [item.line for verdict in verdicts for item in verdict.results if not item.success] == []
    assert {verdict.drift_state("drift") for verdict in verdicts} == {"within_bounds"}


@pytest.mark.parametrize("log", [sample_log, shop_log])
@pytest.mark.parametrize(("rows_a_day", "seed"), [(20, 1), (200, 2), (1000, 3), (1000, 4), (8000, 5)])
def test_ten_clean_days_of_any_size_are_within_the_bounds(
    tmp_path: Path, log: Callable, rows_a_day: int, seed: int
):
    root, config = log(tmp_path, rows_a_day, seed)
    blocks = list_blocks(config)
    for window, _, champion in windows_of(tmp_path, root, config):
        assert champion.profile is not None
        found = compare(window.profile, champion.profile, measure_correlations(window.sample, blocks), config)
        assert [change for change in found.changes if change.furthest > 1.0] == []
        levels = found.rates + found.nulls + found.rows
        assert [level for level in levels if not level.lowest <= level.value <= level.highest] == []
