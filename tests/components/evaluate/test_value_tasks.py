"""A value task from the log to the decision: labels, model, calibration, metrics and gate, beside binary tasks."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import d2_tweedie_score, mean_absolute_error, r2_score

from components.calibrate.calibrate import calibrate_model
from components.common.artifacts.evaluation import Evaluation
from components.common.metrics.task_metrics import measure
from components.common.scoring.score_test_set import score_test_set
from components.evaluate.evaluate import evaluate_model
from components.evaluate.gate import decide
from components.evaluate.gate.replay import replay_gate
from components.train.train import train_model
from components.validate.validate import ValidationFailed, validate_snapshot
from recap_model import load_model
from recap_model.config import ConfigError, RecapConfig, parse_config
from recap_model.config.steps.calibration import CalibrationConfig
from recap_model.config.steps.evaluation import Floors
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.log.labels import read_labels
from recap_model.metrics.values import deviance_skill
from recap_model.scoring import score_rows
from tests.components.snapshots import snapshot_of
from tests.datasets import TinySets, build_tiny
from tests.tiny import tiny_config, write_tiny_log

TASKS: dict[str, Any] = {
    "like": {},
    "dwell": {"kind": "value", "label": "dwell_s", "cap": 60, "loss": "tweedie", "score_weight": 0.1},
    "reply": {},
    "long": {"kind": "value", "label": "dwell_s", "scale": 10, "loss": "mse", "only_where": "like"},
}
TERMS = {"liked_seconds": {"weight": 0.5, "of": ["like", "dwell"]}}


def value_config(tasks: dict[str, Any] | None = None) -> RecapConfig:
    gate = {
        "min_rows": 10,
        "min_positives": 5,
        "min_slice_rows": 5,
        "floors": {"min_rce": -900.0, "min_skill": -900.0},
    }
    evaluation = {"slices": [{"name": "topic_1", "column": "topic", "value": 1}], "gate": gate}
    return tiny_config(
        tasks=tasks or TASKS, score_terms=TERMS if tasks is None else {}, evaluation=evaluation
    )


def with_dwell(log: Path) -> Path:
    """Add seconds that rise with likes, a fifth of them 0 and some missing."""
    for number, file in enumerate(sorted(log.rglob("*.parquet"))):
        rows, random = pq.read_table(file), np.random.default_rng(number)
        seconds = random.gamma(2.0, 4.0 + 6.0 * np.log1p(rows["likes"].to_numpy()))
        seconds *= random.random(len(rows)) < 0.8
        pq.write_table(
            rows.append_column("dwell_s", pa.array(seconds, mask=random.random(len(rows)) < 0.1)), file
        )
    return log


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinySets, Path]:
    """Sets of a log with dwell times, and a calibrated model."""
    folder = tmp_path_factory.mktemp("values")
    sets = build_tiny(folder, value_config(), with_dwell(write_tiny_log(folder / "log", rows=400)))
    train_model(sets.snapshot, sets.train, folder / "model")
    calibrate_model(
        sets.snapshot, folder / "model", sets.calibration, folder / "calibrated", folder / "page.html"
    )
    return sets, folder / "calibrated"


def test_labels_are_the_logs_values_up_to_the_cap_and_masked_where_only_where_fails(
    built: tuple[TinySets, Path],
):
    sets, _ = built
    log = pq.read_table(sorted((sets.test.parent / "log").rglob("*.parquet"))[-1])
    seconds = log["dwell_s"].to_pandas().to_numpy().astype(np.float32)
    rows, _ = next(DatasetReader(sets.test, list(TASKS), 4096, config=value_config()).batches_with_rows())
    labels = rows.column("labels").flatten().to_numpy().reshape(-1, 4)
    np.testing.assert_array_equal(labels[:, 1], np.minimum(seconds, 60))
    np.testing.assert_array_equal(labels[:, 3], np.where(log["like"].to_numpy() == 1, seconds, np.nan))


def test_the_calibrated_model_gives_values_within_the_cap_a_score_and_the_same_rows_scored(
    built: tuple[TinySets, Path],
):
    sets, folder = built
    model = load_model(folder)
    _, batch = next(DatasetReader(sets.test, model.tasks, 400, config=value_config()).batches_with_rows())
    with torch.inference_mode():
        outputs = model(batch)
    like, dwell, reply, long = outputs["calibrated_probabilities"].unbind(dim=1)
    assert 0 <= dwell.min() < dwell.max() <= 60 * 1.5  # the calibrator may raise what the cap bounds
    assert long.max() > 1
    assert like.max() < 1
    torch.testing.assert_close(outputs["score"], like + 0.1 * dwell + reply + long + 0.5 * like * dwell)
    log = pq.read_table(sorted((sets.test.parent / "log").rglob("*.parquet"))[-1])
    scored = score_rows(model, log)
    np.testing.assert_allclose(scored[:, 1], dwell.numpy(), rtol=1e-4)
    figures = json.loads((folder / "calibration_report.json").read_text())
    assert figures["dwell"]["after"]["predicted_over_observed"] == pytest.approx(1.0, abs=0.15)
    assert "predicted / observed" in (folder.parent / "page.html").read_text()


@pytest.mark.parametrize("exact_rows", [1000, 100])
def test_metrics_are_those_of_scikit_learn_on_all_rows_and_on_a_slice(
    exact_rows: int, built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, value_config(), model, tmp_path / "scores.parquet")
    evaluation, _ = measure(table, value_config(), exact_rows)
    content = pq.read_table(table.path)
    label, value = (
        content["label/dwell"].to_numpy().astype(float),
        content["candidate/dwell"].to_numpy().astype(float),
    )
    for rows, measured in (
        (~np.isnan(label), evaluation.values["dwell"]),
        (
            ~np.isnan(label) & content["slice/topic_1"].to_numpy(),
            evaluation.slices["topic_1"].values["dwell"],
        ),
    ):
        y, v = label[rows], value[rows]
        assert measured.rows == len(y)
        assert measured.mae == pytest.approx(mean_absolute_error(y, v), rel=1e-5)
        assert measured.r2 == pytest.approx(r2_score(y, v), abs=1e-5)
        assert measured.calibration_ratio == pytest.approx(v.mean() / y.mean(), rel=1e-5)
        skill = 100 * d2_tweedie_score(y, v, power=1.5)
        assert measured.skill == pytest.approx(skill, abs=1e-3 if exact_rows == 1000 else 2.0)
        assert measured.difference is not None
        assert (measured.difference.skill, measured.difference.error.skill) == (0.0, 0.0)
    whole = evaluation.values["dwell"]
    assert whole.error.mae == pytest.approx(
        np.abs(value - label)[~np.isnan(label)].std() / np.sqrt(whole.rows), rel=0.5
    )
    assert sum(one.weight for one in whole.deciles) == pytest.approx(
        whole.rows if exact_rows == 1000 else 100, rel=0.35
    )


def test_a_calibrated_mean_is_judged_by_a_deviance_that_is_least_at_the_mean(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, value_config(), None, tmp_path / "scores.parquet")
    label, value = (
        pq.read_table(table.path)[f"{name}/dwell"].to_numpy().astype(float) for name in ("label", "candidate")
    )
    rows = ~np.isnan(label)
    huber = {**TASKS, "dwell": {"kind": "value", "label": "dwell_s", "scale": 6, "score_weight": 0.1}}
    config = value_config(huber)
    poisson = measure(table, config)[0].values["dwell"].skill
    assert poisson == pytest.approx(100 * d2_tweedie_score(label[rows], value[rows], power=1), abs=1e-3)
    kept = config.model_copy(update={"calibration": CalibrationConfig(tasks={"dwell": "none"})})
    own = measure(table, kept)[0].values["dwell"].skill
    assert own == pytest.approx(deviance_skill(label, value, family="huber", scale=6.0), abs=1e-3)


def test_the_gate_judges_values_by_skill_and_a_replay_decides_the_same(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    out = tmp_path / "evaluation"
    decision = evaluate_model(sets.snapshot, model, sets.test, sets.validated, out)
    words = {(rule.name, rule.task): rule.words for rule in decision.rules}
    assert words["floor_skill", "dwell"].startswith("dwell: skill is ")
    assert ("floor_auc", "dwell") not in words
    assert replay_gate(out, value_config())[2] == decision.rules
    page = (out / "report.html").read_text()
    assert "long, where like" in page
    assert "dwell, by decile" in page
    table = score_test_set(model, sets.test, value_config(), model, tmp_path / "scores.parquet")
    evaluation, _ = measure(table, value_config())
    strict = value_config().evaluation.gate.model_copy(
        update={"task_floors": {"dwell": Floors(min_xauc=0.5, min_skill=99.0)}}
    )
    floors = [rule for rule in decide(evaluation, strict, list(TASKS), None)[2] if rule.task == "dwell"]
    assert [(rule.name, rule.value, rule.status) for rule in floors] == [
        ("floor_xauc", evaluation.values["dwell"].xauc, "pass"),
        ("floor_skill", evaluation.values["dwell"].skill, "fail"),
    ]
    assert floors[1].words.endswith("it must be >= 99 (gate.task_floors.dwell.min_skill)")
    rules = decide(evaluation, value_config().evaluation.gate, list(TASKS), "1")[2]
    compared = {rule.task: rule.status for rule in rules if rule.name == "non_inferior"}
    assert compared == dict.fromkeys(TASKS, "pass")
    assert {rule.task for rule in rules if rule.name == "slice_harm"} == set(TASKS)


def test_a_champion_without_the_values_is_compared_on_the_other_tasks(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    binary = tiny_config(evaluation=value_config().evaluation.model_dump())
    (tmp_path / "other").mkdir()
    others = build_tiny(tmp_path / "other", binary, sets.test.parent / "log")
    train_model(others.snapshot, others.train, tmp_path / "champion")
    table = score_test_set(
        model, sets.test, value_config(), tmp_path / "champion", tmp_path / "scores.parquet"
    )
    evaluation: Evaluation = measure(table, value_config())[0]
    assert evaluation.values["dwell"].champion_undefined == "the model has no such task"
    rules = decide(evaluation, value_config().evaluation.gate, list(TASKS), "1")[2]
    assert {rule.task for rule in rules if rule.name == "new_task"} == {"dwell", "long"}


DWELL = {"kind": "value", "label": "dwell_s", "scale": 10}


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"d": {"kind": "value"}}, "tasks.d.scale: is required without a cap"),
        ({"d": {"cap": 3}}, "tasks.d.cap: of a value task; give kind: value, or remove it"),
        ({"d": DWELL | {"power": 1.5}}, "tasks.d.power: of the loss tweedie"),
        ({"d": DWELL | {"label": {"column": "x", "at_least": 1}}}, "tasks.d.label: a rule is true or false"),
        (
            {"d": DWELL | {"given": "e"}, "e": {}},
            "tasks.d.given: of a binary task; multiply predictions by score_terms",
        ),
        (
            {"d": DWELL | {"label": "likes"}},
            "tasks.d.label: column 'likes' is a feature too; a label is no input",
        ),
        ({"d": DWELL, "e": {"unless": "d"}}, "tasks.e.unless: 'd' is a value task; give a rule"),
        ({"d": DWELL | {"neg_downsampling_rate": 0.5}}, "tasks.d.neg_downsampling_rate: of a binary task"),
    ],
)
def test_settings_that_a_value_task_cannot_have_are_refused(tasks: dict[str, Any], message: str):
    _refuse(message, tasks=tasks)


@pytest.mark.parametrize(
    ("task", "floor", "line"),
    [
        (
            "d",
            {"min_rce": 0.0},
            "min_rce: is a floor of binary tasks, and d is a value task; it may have min_xauc, ",
        ),
        (
            "d",
            {"max_ece": 0.1},
            "max_ece: is a floor of binary tasks, and d is a value task; it may have min_xauc, ",
        ),
        (
            "e",
            {"min_xauc": 0.5},
            "min_xauc: is a floor of value tasks, and e is a binary task; it may have min_auc, ",
        ),
    ],
)
def test_a_floor_of_the_other_kind_is_refused(task: str, floor: dict[str, float], line: str):
    evaluation = {"gate": {"task_floors": {task: floor}}}
    _refuse(f"evaluation.gate.task_floors.{task}.{line}", tasks={"d": DWELL, "e": {}}, evaluation=evaluation)


def _refuse(message: str, **sections: Any) -> None:
    content = {**tiny_config().model_dump(exclude_none=True), **sections}
    with pytest.raises(ConfigError, match=re.escape(message)):
        parse_config(content)


@pytest.mark.parametrize(
    ("seconds", "line"),
    [
        (
            [-1.0] + [3.0] * 199,
            "value_range: task d has 5 labels that are negative or infinite in column dwell_s,",
        ),
        (
            [np.inf] + [3.0] * 199,
            "value_range: task d has 5 labels that are negative or infinite in column dwell_s,",
        ),
        (
            [1e300] + [3.0] * 199,
            "value_range: task d has 5 labels that are negative or infinite in column dwell_s,",
        ),
        (
            [3.0] * 200,
            "value_spread: task d has 1,000 labels, all of them equal, in 2026-03-01 to 2026-03-05; a value",
        ),
        (
            [None] * 200,
            "value_spread: task d has no label in 2026-03-01 to 2026-03-05; a value task has labels that",
        ),
    ],
)
def test_values_that_cannot_be_learned_are_one_line(seconds: list[float | None], line: str, tmp_path: Path):
    log = write_tiny_log(tmp_path / "log")
    for file in log.rglob("*.parquet"):
        pq.write_table(pq.read_table(file).append_column("dwell_s", pa.array(seconds, pa.float64())), file)
    config = tiny_config(tasks={"d": DWELL})
    with pytest.raises(ValidationFailed, match="^" + re.escape(line)):
        validate_snapshot(
            snapshot_of(log, config, tmp_path / "s"), tmp_path / "validated", tmp_path / "docs.html"
        )
    if seconds[0] is not None and not 0 <= seconds[0] < 1e300:
        batch = pq.read_table(file).to_batches()[0]
        with pytest.raises(
            ValueError, match=r"f: column dwell_s has value .*; the label of a value task is 0 or more"
        ):
            read_labels(batch, config, "f")
