"""A study: trials on validation rows, resumed, shared by processes, and its winner."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.experiments.frozen_data import FrozenData
from pipeline.experiments.tune.space import Dimension, Space
from pipeline.experiments.tune.trial_runs import TrialRecord, TrialRuns
from pipeline.experiments.tune.tuning import Study
from pipeline.experiments.tune.winner import choose_winner
from tests.tiny import tiny_config

SPACE = Space(
    tiny_config(),
    (
        Dimension("training.epochs", "int", 1, 6),
        Dimension("optimizer.single_task_learning_rate", "scale", 0.25, 4.0),
    ),
)
MakeStudy = Callable[[str], Study]


@pytest.fixture
def study(data: FrozenData, tmp_path: Path) -> MakeStudy:
    def make(key: str) -> Study:
        runs = TrialRuns(f"sqlite:///{tmp_path}/mlflow.db", "tiny-tune", key, "tiny")
        (tmp_path / key).mkdir(exist_ok=True)
        return Study(SPACE, data, runs, tmp_path / key)

    return make


def test_trials_are_runs_that_a_later_process_goes_on_from(study: MakeStudy):
    first = study("one")
    records = first.run(3, None)
    assert [record.number for record in records] == [0, 1, 2]
    assert records[0].point == {"training.epochs": 2, "optimizer.single_task_learning_rate": 1.0}
    assert records[0].change == 0.0
    assert all(len(record.held_out) == 7 for record in records)
    # As a killed process leaves a trial: running, with an owner that no process is.
    abandoned = first.runs.start(3, records[0].owner, records[1].point, {})
    again = study("one").run(5, None)
    assert [record.number for record in again] == [0, 1, 2, 3, 4]
    assert again[:3] == records
    assert again[3].run_id == abandoned.run_id
    # The same point, rows and seed, so that the trial is the one that it was, to the last digit.
    assert again[3].metrics["change"] == records[1].metrics["change"]
    assert again[3].held_out == records[1].held_out


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
    assert choose_winner([trial(0, 0.0), trial(1, -0.1), trial(2, 0.5, shortfall=0.2)], 0.95) is None
    assert json.dumps(winner.record.replicates)
