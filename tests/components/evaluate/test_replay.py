"""A decision made again from stored scores, by the same policy or another."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from components.common.artifacts.score_table import read_scores
from components.common.metrics.task_metrics import measure
from components.common.scoring.score_test_set import score_test_set
from components.evaluate.gate.replay import replay_gate
from pipeline.cli.app import app
from tests.components.evaluate.score_tables import SLICED, SLICES
from tests.datasets import TinySets
from tests.tiny import tiny_config


@pytest.mark.parametrize(
    ("column", "value", "allowed"),
    [
        ("weight/like", -1.0, "a weight is a number from 0 to 1e"),
        ("weight/like", np.inf, "a weight is"),
        ("weight/reply", np.nan, "a weight is"),
        ("label/like", 0.5, "a label is 0 or 1, or NaN where it is missing"),
        ("label/reply", np.inf, "a label is"),
        ("candidate/like", 1.5, "a probability is 0 to 1"),
        ("candidate/like", -np.inf, "a probability is"),
        ("champion/reply", -0.1, "a probability is"),
        ("slice/topic_1", None, "a slice is true or false"),
    ],
)
def test_a_replay_refuses_what_is_no_label_weight_or_probability(
    column: str, value: float | None, allowed: str, built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    path = score_test_set(model, sets.test, SLICED, model, tmp_path / "scores.parquet").path
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[7] = value
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, pa.array(values, table[column].type)), path)
    with pytest.raises(ValueError, match=rf"scores.parquet: column {column}, row 7: is .*; {allowed}"):
        replay_gate(path, SLICED)


def test_stored_scores_measure_and_decide_as_fresh_ones_and_by_another_policy_otherwise(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, SLICED, model, tmp_path / "scores.parquet")
    assert measure(read_scores(table.path, SLICED), SLICED)[0] == measure(table, SLICED)[0]
    lenient = {"min_rows": 10, "min_positives": 5, "min_slice_rows": 5, "floors": {"min_rce": -900.0}}
    lenient |= {"promote_if": "better"}
    for floors, expected in ((lenient, "HOLD"), (lenient | {"min_slice_rows": 100_000}, "ERROR")):
        config = tiny_config(evaluation={"slices": SLICES, "gate": floors})
        outcome, reason, _ = replay_gate(tmp_path, config)
        assert outcome == expected, reason


def test_a_replay_names_what_the_table_lacks(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    with pytest.raises(ValueError, match="has no column slice/topic_1; replay with the tasks and slices"):
        replay_gate(tmp_path, SLICED)
    with pytest.raises(FileNotFoundError, match="no score table"):
        replay_gate(tmp_path / "elsewhere", SLICED)
    (tmp_path / "other.parquet").write_text("not parquet")
    with pytest.raises(ValueError, match="not Parquet"):
        replay_gate(tmp_path / "other.parquet", SLICED)


def test_a_replay_refuses_columns_that_evaluate_does_not_write(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    path = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet").path
    table = pq.read_table(path)
    place = table.column_names.index("candidate/like")
    text = table.set_column(place, "candidate/like", table["candidate/like"].cast(pa.string()))
    twice = table.append_column("candidate/like", table["candidate/like"])
    for changed, words in (
        (text, "candidate/like: is string, which"),
        (twice, "more than one column candidate/"),
    ):
        pq.write_table(changed, path)
        with pytest.raises(ValueError, match=words):
            replay_gate(path, tiny_config())


def test_the_command_tells_its_decision_by_its_status(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    score_test_set(model, sets.test, SLICED, model, tmp_path / "scores.parquet")
    policy = tmp_path / "policy.yaml"
    policy.write_text(SLICED.to_yaml())
    done = CliRunner().invoke(
        app, ["gate", "replay", "--scores", str(tmp_path), "--policy", str(policy), "--json"]
    )
    decided = json.loads(done.output)
    assert done.exit_code == {"PROMOTE": 0, "HOLD": 3, "ERROR": 4}[decided["outcome"]]
    assert {rule["name"] for rule in decided["rules"]} >= {"rows", "non_inferior"}


def test_a_policy_may_be_the_gate_alone_for_scores_that_lie_in_a_run(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    evaluation = tmp_path / "evaluate" / "evaluation"
    evaluation.mkdir(parents=True)
    score_test_set(model, sets.test, tiny_config(), None, evaluation / "scores.parquet")
    policy = tmp_path / "policy.yaml"
    policy.write_text("gate: {min_rows: 100000}")
    call = ["gate", "replay", "--scores", str(evaluation), "--policy", str(policy)]
    with pytest.raises(FileNotFoundError, match=r"has only the section gate, and .* is in no run's folder"):
        CliRunner().invoke(app, call, catch_exceptions=False)
    shutil.copytree(sets.snapshot, tmp_path / "resolve" / "snapshot")
    done = CliRunner().invoke(app, call)
    assert (done.exit_code, "400 test rows; gate.min_rows is 100,000" in done.stdout) == (4, True)
    policy.write_text("evaluation: {gate: {min_row: 1}}")
    with pytest.raises(ValueError, match=r"policy.yaml: evaluation.gate.min_row: .*min_rows"):
        CliRunner().invoke(app, call, catch_exceptions=False)
