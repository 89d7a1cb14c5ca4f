"""Any number of processes, and Spark: the same bytes and the same errors as one process."""

import json
import math
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.common.engine.spark_session import open_session
from components.resolve.resolve import resolve_run
from components.validate.validate import ValidationFailed, validate_snapshot
from tests.components.registries import new_registry
from tests.components.snapshots import snapshot_of
from tests.components.validate.broken import BROKEN, replaced, write_broken
from tests.components.validate.scans import scan
from tests.components.validate.serving_log import serve
from tests.components.validate.shop import shop_config, write_shop_log
from tests.tiny import tiny_config, write_tiny_log

OUTPUTS = {
    ".recap-output",
    "_manifest.json",
    "docs.html",
    "expectation_suite.json",
    "profile.parquet",
    "verdict.json",
}
SPARK = "local[2]"


@pytest.fixture(scope="module")
def spark() -> Iterator[None]:
    """A Spark of two threads that the validations of this file share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
        _, close = open_session(SPARK, {})
        yield
        close()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in [*(folder / "validated").glob("*"), folder / "docs.html"]
    }


def validate_on(engine: str, snapshot: Path, folder: Path) -> None:
    """Validate by so many processes, or on Spark; outputs go to ``folder/validated`` and ``folder/docs.html``."""
    path = snapshot / "config.json"
    config = json.loads(path.read_text())
    is_spark = engine == "spark"
    config["data"]["engine"] = {"kind": "spark", "master": SPARK} if is_spark else {"kind": "local"}
    path.write_text(json.dumps(config))
    validate_snapshot(
        snapshot, folder / "validated", folder / "docs.html", processes=None if is_spark else int(engine)
    )


ROW_WISE: list[tuple[str, dict[str, Any]]] = [
    ("expect_column_values_to_be_in_set", {"column": "category", "value_set": [1]}),
    ("expect_column_values_to_be_in_set", {"column": "brand", "value_set": [10**12 + n for n in range(37)]}),
    ("expect_column_values_to_not_be_in_set", {"column": "discount", "value_set": [0.0], "mostly": 0.2}),
    ("expect_column_values_to_be_between", {"column": "amount", "min_value": 20.0, "mostly": 0.9}),
    ("expect_column_values_to_be_between", {"column": "stock", "max_value": 0, "mostly": 0.99}),
    ("expect_column_values_to_be_null", {"column": "last_visit_days", "mostly": 0.3}),
    ("expect_column_values_to_match_regex", {"column": "customer", "regex": "^c[0-9]+$"}),
    ("expect_column_value_lengths_to_be_between", {"column": "customer", "max_value": 4}),
    (
        "expect_column_pair_values_a_to_be_greater_than_b",
        {"column_A": "stock", "column_B": "discount", "ignore_row_if": "either_value_is_missing"},
    ),
    (
        "expect_multicolumn_sum_to_equal",
        {"column_list": ["is_new", "is_weekend"], "sum_total": 0},
    ),
]
"""Row-wise expectations, with text, NaN, nulls and float32 among the values."""

OF_A_FILE = """
from great_expectations.expectations import ExpectColumnValuesToBeInSet

class ExpectKnownDay(ExpectColumnValuesToBeInSet):
    value_set: list = [0, 1, 2, 3, 4]

def expectations():
    return [ExpectKnownDay(column="weekday", severity="warning")]
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of seven days with a serving log in another unit, and custom expectations of every row."""
    folder = tmp_path_factory.mktemp("served")
    log = write_shop_log(folder / "log", 2, 7, 600)
    for path in log.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        customers = [f"c{number}" for number in table["customer"].to_pylist()]
        table = table.set_column(table.schema.names.index("customer"), "customer", pa.array(customers))
        stock = pa.array([math.nan, *table["stock"].to_pylist()[1:]], pa.float32())
        pq.write_table(table.set_column(table.schema.names.index("stock"), "stock", stock), path)
    pattern = serve(log, folder / "served", replaced("temperature", lambda c: pc.divide(c, 1000.0)))
    config = shop_config(
        drift={"serving_log": f"{pattern}/*/*.parquet"},
        expectations=[{"type": kind, "kwargs": kwargs} for kind, kwargs in ROW_WISE],
        expectations_file="rules.py",
    )
    (folder / "config.yaml").write_text(config.to_yaml())
    (folder / "rules.py").write_text(OF_A_FILE)
    uri = new_registry(folder)
    resolve_run(
        folder / "config.yaml", str(log), folder / "snapshot", tracking_uri=uri, run_id="run-1", days=7
    )
    return folder / "snapshot"


@pytest.fixture(scope="module")
def bytes_of_one_process(served: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("one")
    validate_on("1", served, folder)
    return contents(folder)


@pytest.mark.parametrize("engine", ["2", "5", "spark"])
def test_every_engine_makes_the_bytes_of_one_process(
    served: Path,
    tmp_path: Path,
    engine: str,
    bytes_of_one_process: dict[str, bytes],
    request: pytest.FixtureRequest,
):
    if engine == "spark":
        request.getfixturevalue("spark")
    validate_on(engine, served, tmp_path)
    assert set(contents(tmp_path)) == OUTPUTS
    assert contents(tmp_path) == bytes_of_one_process


def test_row_wise_expectations_are_checked_on_every_row(bytes_of_one_process: dict[str, bytes]):
    rules = json.loads(bytes_of_one_process["verdict.json"])["rules"]
    custom = [rule for rule in rules if rule["rule"].startswith("expect_")]
    assert len(custom) == len(ROW_WISE) + 1
    assert {rule["population"] for rule in custom} == {"all 4,657 rows"}
    assert {rule["success"] for rule in custom} == {True, False}
    assert not any("cannot be computed" in rule["line"] for rule in custom)


def test_spark_checks_on_every_row_what_needs_other_rows(tmp_path: Path, spark: None):
    """Two candidates of one request on different days, of which the sample of this machine may have neither."""
    unique = {"type": "expect_column_values_to_be_unique", "kwargs": {"column": "post_id"}}
    config = tiny_config(validation={"expectations": [unique]})
    log = write_broken(tmp_path / "log", replaced("post_id", lambda c: pa.array([0] * len(c))))
    validate_on("spark", snapshot_of(log, config, tmp_path / "snapshot"), tmp_path)
    rules = json.loads((tmp_path / "validated/verdict.json").read_text())["rules"]
    [result] = [rule for rule in rules if rule["rule"] == unique["type"]]
    assert (result["success"], result["population"]) == (False, "all 1,000 rows")
    assert "does not hold for 200 rows (20.0%), such as 0, in all 1,000 rows" in result["line"]


@pytest.mark.parametrize("request_id", [None, "request_id"])
@pytest.mark.parametrize("sample_rows", [1, 30])
def test_the_scan_does_not_depend_on_groups_where_requests_are_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_id: str | None, sample_rows: int
):
    monkeypatch.setattr("components.validate.profile.row_sample.SAMPLE_ROWS", sample_rows)
    features = tiny_config().features.model_dump(exclude_none=True)
    features["ids"] = {**features["ids"], "request": request_id}
    config = tiny_config(features=features)
    log = write_tiny_log(tmp_path / "log", rows=100)
    for path in log.rglob("*.parquet"):
        table = pq.read_table(path, partitioning=None)
        if "request_id" not in table.schema.names:
            table = table.append_column("request_id", pa.array([row // 60 for row in range(len(table))]))
        pq.write_table(table, path, row_group_size=40)
    snapshot, _ = Snapshot.read(snapshot_of(log, config, tmp_path / "snapshot"))
    whole = scan(snapshot, config)
    assert whole.sample is not None or sample_rows == 1
    for groups in (2, 3, 20):
        grouped = scan(snapshot, config, groups)
        assert grouped.profile.table().equals(whole.profile.table(), check_metadata=True)
        assert grouped.sample == whole.sample


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _write_ids_as_text(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    position = table.schema.names.index("user_id")
    pq.write_table(table.set_column(position, "user_id", pc.cast(table["user_id"], pa.string())), path)


def _write_wrong_labels(path: Path) -> None:
    table = pq.read_table(path, partitioning=None)
    position = table.schema.names.index("like")
    pq.write_table(table.set_column(position, "like", pa.array([3] * len(table), pa.int8())), path)


@pytest.mark.parametrize("damage", [_truncate, _write_ids_as_text, _write_wrong_labels])
def test_faults_of_files_are_reported_equally_by_every_engine(
    tmp_path: Path, damage: Callable[[Path], None], spark: None
):
    log = write_broken(tmp_path / "log")
    for day in (BROKEN, "date=2026-03-05/part-00000.parquet"):
        damage(log / day)
    snapshot = snapshot_of(log, tiny_config(), tmp_path / "snapshot")
    reports = set()
    for engine in ("1", "spark"):
        folder = tmp_path / engine
        folder.mkdir()
        with pytest.raises(ValidationFailed) as raised:
            validate_on(engine, snapshot, folder)
        assert not (folder / "validated").exists()
        reports.add((str(raised.value), (folder / "docs.html").read_text()))
    assert len(reports) == 1


def test_a_process_that_is_killed_ends_the_step_in_one_line(tmp_path: Path):
    snapshot = snapshot_of(write_tiny_log(tmp_path / "log", rows=200), tiny_config(), tmp_path / "snapshot")

    def kill() -> None:
        while not (children := multiprocessing.active_children()):
            time.sleep(0.01)
        os.kill(children[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(
        ChildProcessError, match=r"^a process that reads the log was killed, probably out of memory"
    ):
        validate_snapshot(snapshot, tmp_path / "validated", tmp_path / "docs.html", processes=4)
    killer.join()
    assert not (tmp_path / "validated").exists()
