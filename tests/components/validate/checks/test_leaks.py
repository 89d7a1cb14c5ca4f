"""Leaks: columns that decide a label, exist for positives only, or are from after the impression."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.validate.checks.rule import CheckedLog
from components.validate.checks.rules.leaks import RULES
from components.validate.checks.run import build_checked_log, check_scan
from recap_model.config import RecapConfig, parse_config
from tests.components.snapshots import snapshot_of
from tests.components.validate.scans import scan
from tests.components.validate.shop import FIRST, shop_config, shop_rows

ROWS = 3000
HOUR = 3_600_000


def leaking_rows() -> pa.Table:
    """A day of the shop with leaks of the click, and with columns that look like leaks and are none."""
    random = np.random.default_rng(3)
    table = shop_rows(FIRST, ROWS)
    click = table["click"].to_numpy().astype(bool)
    noise = random.random(ROWS)
    columns = {
        "dwell_s": pa.array(np.where(click, 5.0 + noise, noise)),
        # 3 and 7 are the clicks: no order of the numbers tells them from the others
        "state": pa.array(np.where(click, random.choice([3, 7], ROWS), random.choice([1, 5, 9], ROWS))),
        "cart_value": pa.array(noise, mask=~(click & (noise < 0.6))),
        "row_number": pa.array(np.arange(ROWS)),
        "voucher": pa.array(noise, mask=noise < 0.95),
        "updated_ms": pa.array(table["seen_ms"].to_numpy() + np.where(noise < 0.3, HOUR, -HOUR)),
        "listed_ms": pa.array(table["seen_ms"].to_numpy() - HOUR),
    }
    for name, column in columns.items():
        table = table.append_column(name, column)
    return table


def leaking_config(**validation: object) -> RecapConfig:
    content = shop_config(**validation).model_dump(exclude_none=True)
    features = content["features"]
    features["continuous"] += ["dwell_s", "cart_value", "voucher", "since_update", "since_listing"]
    features["discrete"] += ["state", "row_number"]
    features["derived"] = {
        name: {"kind": "hours_between", "of": ["seen_ms", column]}
        for name, column in (("since_update", "updated_ms"), ("since_listing", "listed_ms"))
    }
    return parse_config(content)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[Snapshot, RecapConfig]:
    folder = tmp_path_factory.mktemp("leaks")
    day = folder / f"log/date={FIRST.isoformat()}"
    day.mkdir(parents=True)
    pq.write_table(leaking_rows(), day / "part-0.parquet")
    config = leaking_config()
    snapshot, _ = Snapshot.read(snapshot_of(folder / "log", config, folder / "snapshot"))
    return snapshot, config


def failing(log: CheckedLog) -> dict[str, list[str]]:
    """The lines of the facts outside their bounds, by rule."""
    lines: dict[str, list[str]] = {}
    for rule in RULES:
        for fact in rule.facts(log):
            if rule.figure(fact, log).distance:
                text = rule.describe(fact, log)
                lines.setdefault(rule.name, []).append(f"{text.subject} {text.observed} in {text.where}")
    return lines


def test_each_leak_is_named_and_nothing_else_is(log: tuple[Snapshot, RecapConfig]):
    snapshot, config = log
    lines = failing(build_checked_log(scan(snapshot, config), snapshot, config, {}))
    assert lines == {
        "label_leak": [
            "task click is decided by a column alone, with an AUC of state (1.0000), dwell_s (1.0000), in all rows"
        ],
        "label_only_column": [
            "task click is positive where a column has a value: rate cart_value (100.0%), in all rows"
        ],
        "time_after_impression": [
            f"column updated_ms is after the impression in {late_rows():,} of 3,000 rows with a time "
            f"({late_rows() / ROWS:.1%}) in all rows"
        ],
    }


def late_rows() -> int:
    table = leaking_rows()
    return int((table["updated_ms"].to_numpy() > table["seen_ms"].to_numpy()).sum())


def test_the_scan_of_any_groups_gives_the_same_scores(log: tuple[Snapshot, RecapConfig]):
    snapshot, config = log
    one, three = (
        build_checked_log(scan(snapshot, config, groups), snapshot, config, {}) for groups in (1, 3)
    )
    assert one.column_scores == three.column_scores
    assert {score.task for score in one.column_scores} == {"click"}, "buy has fewer than 50 positives"
    few = replace(one, config=leaking_config(min_leak_positives=1000))
    assert not few.column_scores
    assert not failing(replace(few, sample=None)), "nothing to judge is no leak"


def test_a_result_says_what_leaks_what_to_do_and_which_columns_tell_most(log: tuple[Snapshot, RecapConfig]):
    snapshot, config = log
    result = check_scan(scan(snapshot, config), snapshot, config)
    lines = {item.rule: item.line for item in result.failures("warning")}
    assert lines["label_leak"].endswith(
        "in all rows; at most 0.99 (validation.max_column_auc); if state is only known after the impression, "
        "remove it from features"
    )
    assert "label_only_column" not in lines, "one fault gives one line"
    assert result.to_json()["column_auc"]["click"][:2] == [("state", 1.0), ("dwell_s", 1.0)]
