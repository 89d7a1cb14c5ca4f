"""Two days of the whole pipeline on kfp's local runner: a first champion, a watch that finds it decayed, a second."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from components.steps import STEPS
from tests.integration.conftest import Recap
from tests.tiny import tiny_config

RUN = ("run", "--config", "config.yaml", "--data", "log")
WATCH = ("watch", "--config", "watch.yaml", *RUN[3:])


@pytest.fixture(scope="module")
def watched(recap: Recap, workplace: Path) -> list[dict]:
    """The records of the second day, on which the other posts are liked: as it is watched first, and again."""
    (workplace / "watch.yaml").write_text(tiny_config(watch={"on_decay": "start"}).to_yaml())
    file = next((workplace / "log/date=2026-03-06").glob("*.parquet"))
    rows = pq.read_table(file, partitioning=None)
    likes = pc.subtract(pa.scalar(1, pa.int8()), rows["like"])
    pq.write_table(rows.set_column(rows.schema.get_field_index("like"), "like", likes), file)
    records = []
    for _ in range(2):
        done = recap(*WATCH, "--json")
        assert done.returncode == 3, done.stdout + done.stderr
        records.append(json.loads(done.stdout))
    return records


@pytest.fixture(scope="module")
def days(recap: Recap, request: pytest.FixtureRequest) -> list[dict]:
    """What each day's run printed: the first was started manually, the second by the watch."""
    done = recap(*RUN, "--end-date", "2026-03-05", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(done.stdout), request.getfixturevalue("watched")[0]["run"]]


def test_the_first_day_makes_a_champion_by_the_floors_alone(days: list[dict], recap: Recap):
    assert days[0]["outcome"] == "PROMOTE"
    assert days[0]["promotion"]["promoted"] is True
    versions = json.loads(recap("models", "--name", "tiny", "--json").stdout)
    assert [version["version"] for version in versions if "champion" in version["aliases"]]


def test_the_second_day_is_compared_with_the_first_ones_champion(days: list[dict], workplace: Path):
    decision = json.loads((workplace / days[1]["outputs"] / "evaluate/evaluation/decision.json").read_text())
    assert str(decision["champion"]["version"]) == "1"
    assert days[1]["outcome"] in ("PROMOTE", "HOLD")


def test_rejected_or_not_every_day_has_one_version_and_there_is_one_champion(days: list[dict], recap: Recap):
    versions = json.loads(recap("models", "--name", "tiny", "--json").stdout)
    assert {str(version["version"]) for version in versions} == {"1", "2"}
    assert sum("champion" in version["aliases"] for version in versions) == 1


def test_a_version_has_the_cost_of_every_step_of_its_run(days: list[dict], recap: Recap):
    versions = json.loads(recap("models", "--name", "tiny", "--json").stdout)
    for version in versions:
        assert version["cost"].keys() == {step.name for step in STEPS}
        assert all(figures["wall_s"] > 0 for figures in version["cost"].values())
        assert version["cost"]["train"]["rows_per_s"] > 0


def test_a_decayed_champion_is_retrained_once_and_its_day_is_in_the_history(
    days: list[dict], watched: list[dict], workplace: Path
):
    first, again = watched
    assert (first["version"], first["day"], first["rows"]) == ("1", "2026-03-06", 400)
    assert (first["outcome"], first["action"]) == ("RETRAIN", "asked for a retraining")
    assert again == first | {"run": None}
    assert "RETRAIN" in (workplace / days[1]["reports"]["history"]).read_text()


def test_each_report_is_one_page_that_needs_no_network(days: list[dict], workplace: Path):
    for path in days[1]["reports"].values():
        page = (workplace / path).read_text()
        assert page.lstrip().lower().startswith("<!doctype html>")
        for fetch in ('src="http', "src='http", 'rel="stylesheet" href="http', "@import"):
            assert fetch not in page


def test_the_same_day_again_until_evaluate_gives_the_same_weights_and_registers_nothing(
    days: list[dict], recap: Recap, workplace: Path
):
    done = recap(*RUN, "--end-date", "2026-03-05", "--json", "--workspace", "again", "--until", "evaluate")
    stopped = json.loads(done.stdout)
    assert (stopped["outcome"], stopped["promotion"]) == (days[0]["outcome"], None)
    assert set(stopped["reports"]) == set(days[0]["reports"]) - {"history"}
    assert not (workplace / stopped["outputs"] / "register").exists()
    assert recap("models", "--name", "tiny", "--json", "--workspace", "again").stdout.strip() == "[]"
    weights = [
        (workplace / outputs / "calibrate/calibrated_model/weights.safetensors").read_bytes()
        for outputs in (days[0]["outputs"], stopped["outputs"])
    ]
    assert weights[0] == weights[1]
