"""The log is compared with what was served: columns that differ are named, and what is not there is no pass."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.resolve.resolve import resolve_run
from components.validate.result import ValidationResult
from components.validate.validate import validate_snapshot
from tests.components.registries import new_registry
from tests.components.validate.broken import replaced
from tests.components.validate.serving_log import serve
from tests.components.validate.shop import shop_config, write_shop_log

DAYS = "2026-04-03 to 2026-04-05"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop_log(tmp_path_factory.mktemp("skew") / "log", 2, 3, 1500)


def validate(folder: Path, log: Path, pattern: str) -> ValidationResult:
    config = folder / "config.yaml"
    config.write_text(shop_config(drift={"serving_log": pattern}).to_yaml())
    uri = new_registry(folder)
    resolve_run(config, str(log), folder / "snapshot", tracking_uri=uri, run_id="run-1", days=3)
    return validate_snapshot(folder / "snapshot", folder / "validated", folder / "docs.html")


def test_what_is_served_as_it_is_trained_on_is_within_the_bounds(tmp_path: Path, log: Path):
    served = serve(log, tmp_path / "served")
    verdict = validate(tmp_path, log, f"{served}/date=*/*.parquet")
    assert verdict.drift_state("skew") == "within_bounds"
    assert verdict.outcome == "passed"
    assert (
        json.loads((tmp_path / "validated/verdict.json").read_text())["skew"]["against"] == "the serving log"
    )


def test_a_column_that_is_served_in_another_unit_is_named(tmp_path: Path, log: Path):
    served = serve(log, tmp_path / "served", replaced("temperature", lambda c: pc.divide(c, 1000.0)))
    (line,) = validate(tmp_path, log, f"{served}/*/*.parquet").lines("warning")
    assert line.startswith("column_skew: column temperature is not as in the serving log: ")
    assert line.endswith("its values are 1,000 times as large: look whether its unit changed")
    assert f" in {DAYS}; " in line
    assert (
        "Skew between the log and the serving log: beyond the bounds" in (tmp_path / "docs.html").read_text()
    )


def test_a_column_that_is_not_served_is_named_and_the_others_are_compared(tmp_path: Path, log: Path):
    served = serve(log, tmp_path / "served", lambda table: table.drop_columns(["stock"]))
    verdict = validate(tmp_path, log, f"{served}/*/*.parquet")
    assert verdict.drifts["skew"].comparison is not None
    assert verdict.drifts["skew"].comparison.new == ["stock"]
    assert len(verdict.drifts["skew"].worst()) == 9


def test_files_of_other_days_are_not_read(tmp_path: Path, log: Path):
    served = serve(log, tmp_path / "served")
    (served / "date=2026-04-05").rename(served / "date=2026-05-05")
    validate(tmp_path, log, f"{served}/*/*.parquet")
    snapshot = json.loads((tmp_path / "snapshot/_manifest.json").read_text())
    names = [file["path"] for file in snapshot["serving"]["files"]]
    assert names == [f"date=2026-04-0{day}/served.parquet" for day in (3, 4)]


def nothing(served: Path) -> None:
    for path in served.rglob("*.parquet"):
        path.unlink()


def cut_off(served: Path) -> None:
    path = next(served.rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-40])


def of_another_kind(served: Path) -> None:
    for path in served.rglob("*.parquet"):
        pq.write_table(pa.table({"x": [1]}), path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (nothing, "no file of the window matches"),
        (cut_off, "truncated or not Parquet"),
        (of_another_kind, "none of the feature columns"),
    ],
)
def test_a_serving_log_that_cannot_be_compared_is_no_pass_and_no_failure(
    tmp_path: Path, log: Path, change, reason: str
):
    served = serve(log, tmp_path / "served")
    change(served)
    verdict = validate(tmp_path, log, f"{served}/*/*.parquet")
    assert verdict.drift_state("skew") == "no_baseline"
    assert reason in verdict.drifts["skew"].reason
    assert reason in (tmp_path / "docs.html").read_text()
