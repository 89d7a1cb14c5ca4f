"""The report summarizes drift and skew, with a sentence for each rule that failed."""

import json
from pathlib import Path

import pyarrow.compute as pc
import pytest

from components.common.artifacts.snapshot import Snapshot
from components.common.artifacts.validation_result import ValidationResultFile, read_validation_result
from components.evaluate.report.drift import drift_sections
from components.resolve.resolve import resolve_run
from components.validate.checks.run import check_scan
from components.validate.drift.reference import Reference
from components.validate.validate import validate_snapshot
from tests.components.registries import new_registry
from tests.components.snapshots import snapshot_of
from tests.components.validate.broken import replaced
from tests.components.validate.scans import scan
from tests.components.validate.serving_log import serve
from tests.components.validate.shop import shop_config, write_shop_log


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_shop_log(tmp_path_factory.mktemp("drift") / "log", 2, 3, 1500)


def test_a_log_without_a_champion_is_reported_as_not_compared(tmp_path: Path, log: Path):
    snapshot = snapshot_of(log, shop_config(), tmp_path / "snapshot")
    validate_snapshot(snapshot, tmp_path / "validated", tmp_path / "docs.html")
    (section,) = drift_sections(read_validation_result(tmp_path / "validated", Snapshot.read(snapshot)[0]))
    assert (section.title, section.sentences) == ("Drift: not compared", ["There is no champion yet."])


def test_each_failed_rule_on_drift_is_one_sentence_after_the_counts(tmp_path: Path, log: Path):
    then = snapshot_of(write_shop_log(tmp_path / "then", 9, 3, 1500, seed=4), shop_config(), tmp_path / "old")
    now = snapshot_of(log, shop_config(), tmp_path / "snapshot")
    usual = scan(*Snapshot.read(then)).profile
    frozen, config = Snapshot.read(now)
    result = check_scan(scan(frozen, config), frozen, config, {"drift": Reference("version 7", usual)})
    read = ValidationResultFile.model_validate_json(json.dumps(result.to_json(), default=str))
    (section,) = drift_sections(read)
    assert section.title == "Drift from the data of version 7: beyond the bounds"
    counts, *failures = section.sentences
    assert read.drift.beyond >= 1
    assert counts.startswith(f"Columns beyond a bound: {read.drift.beyond} of {read.drift.compared}.")
    assert failures == [item.line for item in result.failures("warning") if item.rule.endswith("_drift")]


def test_skew_is_shown_when_drift_could_not_be_measured(tmp_path: Path, log: Path):
    served = serve(log, tmp_path / "served", replaced("temperature", lambda c: pc.divide(c, 1000.0)))
    config = tmp_path / "config.yaml"
    config.write_text(shop_config(drift={"serving_log": f"{served}/date=*/*.parquet"}).to_yaml())
    uri = new_registry(tmp_path)
    resolve_run(config, str(log), tmp_path / "snapshot", tracking_uri=uri, run_id="run-1", days=3)
    validate_snapshot(tmp_path / "snapshot", tmp_path / "validated", tmp_path / "docs.html")
    drift, skew = drift_sections(
        read_validation_result(tmp_path / "validated", Snapshot.read(tmp_path / "snapshot")[0])
    )
    assert drift.title == "Drift: not compared"
    assert skew.title == "Skew between the log and the serving log: beyond the bounds"
    assert skew.sentences[1].startswith("column_skew: column temperature ")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"snapshot": "0" * 64}, "belongs to another snapshot"),
        ({"verdict": "fine"}, "not what validate writes: verdict"),
        ({"drift": None}, "not what validate writes: drift"),
    ],
)
def test_a_verdict_that_is_none_of_this_log_is_refused(
    tmp_path: Path, log: Path, changed: dict[str, object], said: str
):
    snapshot = snapshot_of(log, shop_config(), tmp_path / "snapshot")
    validate_snapshot(snapshot, tmp_path / "validated", tmp_path / "docs.html")
    path = tmp_path / "validated" / "verdict.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(ValueError, match=said):
        read_validation_result(tmp_path / "validated", Snapshot.read(snapshot)[0])
    path.unlink()
    with pytest.raises(FileNotFoundError, match="run validate again"):
        read_validation_result(tmp_path / "validated", Snapshot.read(snapshot)[0])
