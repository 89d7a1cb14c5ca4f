"""A study: trials on validation rows, gone on with after a kill, and its winner."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pipeline.cli.app import app
from pipeline.experiments.tune.result.report import describe_result
from pipeline.experiments.tune.result.winner import choose_winner
from pipeline.experiments.tune.study.guard import deciding_bounds, undecided_tasks
from pipeline.experiments.tune.study.trial_runs import TrialRecord, TrialRuns
from recap_model.config.steps.evaluation import GateConfig
from tests.tiny import tiny_config, write_tiny_log

# A gate that lets any trial win, since a few rows show no more.
GATE = {"min_rows": 50, "min_positives": 5, "max_rce_loss": 1000.0}
CONFIG = tiny_config(evaluation={"bootstrap_replicates": 20, "gate": GATE})
SPACE = """
training.epochs: {low: 1, high: 6}
optimizer.single_task_learning_rate: {scale: [0.25, 4.0]}
optimizer.adam.weight_decay: fixed
training.batch_size: fixed
training.ema_decay: fixed
model.*: fixed
"""


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "mine.yaml").write_text(f"# mine\n{CONFIG.to_yaml()}")
    (tmp_path / "space.yaml").write_text(SPACE)
    write_tiny_log(tmp_path / "log")
    return tmp_path


def tune(*options: str) -> dict[str, Any]:
    arguments = ("tune", "--config", "mine.yaml", "--data", "log", "--space", "space.yaml", "--json")
    result = CliRunner().invoke(app, [*arguments, *options])
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_study_is_gone_on_with_and_a_killed_trial_is_run_again(workplace: Path):
    first = tune("--trials", "3")
    assert sum(first["trials"].values()) == 3
    key = Path(first["study"]).name
    runs = TrialRuns(f"sqlite:///{workplace}/.recap/mlflow.db", "tiny-tune", key, "")
    assert runs.run_id == first["run_id"]
    records = runs.read()
    assert [record.number for record in records] == [0, 1, 2]
    assert records[0].point == {"training.epochs": 2, "optimizer.single_task_learning_rate": 1.0}
    assert (records[0].change, len(records[0].held_out)) == (0.0, 7)
    # As a killed process leaves a trial: running, with an owner that no process is.
    abandoned = runs.start(3, records[0].owner, records[1].point, {})
    second = tune("--trials", "5")
    assert second["study"] == first["study"]
    again = runs.read()
    assert [record.number for record in again] == [0, 1, 2, 3, 4]
    assert again[:3] == records
    assert again[3].run_id == abandoned.run_id
    # The same point, rows and seed: the trial is the one that it was, to the last digit.
    assert again[3].metrics["change"] == records[1].metrics["change"]
    assert again[3].held_out == records[1].held_out
    assert {record.state for record in again} <= {"complete", "pruned"}
    best = max(again, key=lambda record: record.change or 0.0)
    assert (second["winner"] or {"trial": 0})["trial"] == best.number
    if best.number:
        assert Path(second["config"]).read_text().startswith("# mine\n")
        assert json.loads(second["winner"]["changes"]["training.epochs"]) == best.point["training.epochs"]
    assert "<svg" in Path(second["report"]).read_text()


def trial(number: int, change: float, shortfall: float = -1.0, noise: float = 0.1) -> TrialRecord:
    replicates = [change + noise * (-1) ** step * (1 + step % 7) / 4 for step in range(200)]
    metrics = {"change": change, "shortfall": shortfall}
    return TrialRecord(str(number), number, "complete", "", {}, {}, metrics, replicates)


def test_the_winner_is_the_best_that_is_no_worse_on_any_task_and_its_p_value_is_of_the_best_of_all():
    records = [trial(0, 0.0), trial(1, 0.3), trial(2, 0.9, shortfall=0.1), trial(3, 0.5)]
    winner = choose_winner(records, 0.95)
    assert winner is not None
    assert (winner.record.number, winner.compared) == (3, 3)
    assert winner.p_value == pytest.approx(1 / 201)
    noisy = [*records, trial(4, -0.2, noise=1.0)]
    found = choose_winner(noisy, 0.95)
    assert found is not None
    # Its centred replicates reach 0.5 at four of seven heights, on the side over 0.
    assert found.p_value == pytest.approx(1 / 2, abs=0.25)
    assert found.p_value > winner.p_value
    hindered = [trial(0, 0.0), trial(1, -0.1), trial(2, 0.5, shortfall=0.2)]
    assert choose_winner(hindered, 0.95) is None
    hindered[2].metrics.update(  # type: ignore[attr-defined]
        {"change/like": 0.2, "low/like": 0.1, "change/reply": -0.6, "low/reply": -0.7}
    )
    words = describe_result(hindered, None, GateConfig(max_rce_loss=0.5))
    assert "Trial 2 has a mean gain of +0.500 points" in words
    assert "(reply -0.60, lower bound -0.70)" in words


def test_a_task_whose_bounds_are_wider_than_the_margin_keeps_back_only_what_is_shown_to_be_worse():
    metrics = {"change/like": -0.1, "low/like": -0.4, "change/reply": -0.2, "low/reply": -3.0}
    assert deciding_bounds(metrics, 0.5) == {"like": -0.4, "reply": pytest.approx(2.6)}
    assert undecided_tasks(metrics, 0.5) == ["reply"]
    assert deciding_bounds({"change/reply": -4.0, "low/reply": -5.0}, 0.5) == {"reply": -3.0}
    best = trial(1, 0.3)
    best.metrics.update(metrics)  # type: ignore[attr-defined]
    winner = choose_winner([trial(0, 0.0), best], 0.95)
    assert "non-inferior on all but reply, whose bounds are wider" in describe_result(
        [trial(0, 0.0), best], winner, GateConfig(max_rce_loss=0.5)
    )
