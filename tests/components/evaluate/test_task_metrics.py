"""What is measured of simulated score tables, and what the gate makes of a champion that falls behind its data."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.common.artifacts.decision import Rule
from components.common.artifacts.evaluation import METRICS_NAME, Evaluation, Interval
from components.common.artifacts.score_table import open_score_writer, read_scores
from components.common.metrics.task_metrics import measure
from components.evaluate.gate import decide
from recap_model import metrics
from recap_model.config import RecapConfig
from tests.tiny import tiny_config

TASKS = ["like", "reply"]
Array = np.ndarray


def config_of(**gate: object) -> RecapConfig:
    return tiny_config(evaluation={"gate": {"min_rows": 100, **gate}})


def sigmoid(logits: Array) -> Array:
    return 1.0 / (1.0 + np.exp(-logits))


def table_of(path: Path, labels: dict[str, Array], **models: dict[str, Array]) -> Path:
    """A score table of users of 20 rows each, from each task's labels and each model's probabilities."""
    rows = len(labels["like"])
    columns: dict[str, Array] = {"user": np.arange(rows) // 20}
    for task in TASKS:
        columns[f"label/{task}"] = labels[task].astype(np.float32)
        columns[f"weight/{task}"] = np.ones(rows, np.float32)
        columns |= {f"{model}/{task}": found[task].astype(np.float32) for model, found in models.items()}
    weights = {task: tiny_config().tasks[task].score_weight for task in TASKS}
    for model, found in models.items():
        score = sum(weight * found[task] for task, weight in weights.items())
        columns[f"score/{model}"] = np.asarray(score, np.float32)
    with open_score_writer(path) as writer:
        writer.write(pa.RecordBatch.from_pydict(columns))
    return path


def evaluate(path: Path, exact_rows: int = 1 << 20) -> Evaluation:
    return measure(read_scores(path, config_of()), config_of(), exact_rows).evaluation


class World:
    """Rows whose engagement changes from day to day: what is liked turns, and becomes more."""

    def __init__(self, day: int) -> None:
        random = np.random.default_rng(day)
        self.features = random.normal(0.0, 1.0, (6000, 2))
        self.labels = {
            task: random.random(len(self.features)) < predicted for task, predicted in self.model(day).items()
        }

    def model(self, day: int) -> dict[str, Array]:
        """What a model that has learnt a day predicts of these rows: the true rates of that day."""
        turned = np.array([np.cos(0.08 * day), np.sin(0.08 * day)])
        logits = self.features @ turned + 0.18 * day - 3.0
        return {"like": sigmoid(logits), "reply": sigmoid(logits - 0.5)}


def score_shift(rules: list[Rule]) -> Rule:
    return next(rule for rule in rules if rule.name == "score_shift")


def test_a_champion_that_drift_left_behind_has_a_successor(tmp_path: Path):
    gate, champion_day, promoted = config_of().evaluation.gate, 0, []
    for day in range(12, 24):
        world = World(day)
        stale, fresh = world.model(0), world.model(day - 1)
        path = table_of(tmp_path / f"{day}", world.labels, candidate=fresh, champion=stale)
        against_stale = evaluate(path)
        assert against_stale.score_psi is not None
        assert against_stale.score_psi > 1.0
        # Without a look at the labels, the shift of the scores alone holds each of twelve candidates.
        blind = decide(against_stale.model_copy(update={"score_support": None}), gate, TASKS, "1")
        assert blind[0] == "HOLD"
        assert [rule.name for rule in blind[2] if rule.status == "fail"] == ["score_shift"]
        assert decide(against_stale, gate, TASKS, "1")[0] == "PROMOTE"

        theirs = world.model(champion_day)
        path = table_of(tmp_path / f"{day}", world.labels, candidate=fresh, champion=theirs)
        outcome, _, rules = decide(evaluate(path), gate, TASKS, "1")
        assert score_shift(rules).status == "pass"
        if outcome == "PROMOTE":
            champion_day = day - 1
            promoted.append(day)
    assert promoted[0] == 12
    assert len(promoted) > 3


@pytest.mark.parametrize("shift", [1.5, -1.5])
def test_a_shift_of_the_scores_that_no_label_bears_out_is_held(shift: float, tmp_path: Path):
    world = World(5)
    champion = world.model(5)
    shifted = {task: sigmoid(np.log(found / (1 - found)) + shift) for task, found in champion.items()}
    found = evaluate(table_of(tmp_path / "scores", world.labels, candidate=shifted, champion=champion))
    assert found.score_psi is not None
    assert found.score_psi > 1.0
    assert found.score_support is not None
    assert found.score_support.value == pytest.approx(0.0, abs=0.1)
    rule = score_shift(decide(found, config_of().evaluation.gate, TASKS, "1")[2])
    assert rule.status == "fail"
    assert "the labels must support the change" in rule.words


def test_labels_bear_out_more_than_half_of_a_change_that_lowers_the_squared_error(tmp_path: Path):
    world = World(3)
    truth, other = world.model(3), world.model(9)
    for share in (0.25, 0.75):
        halfway = {task: share * truth[task] + (1 - share) * other[task] for task in TASKS}
        found = evaluate(table_of(tmp_path / "scores", world.labels, candidate=truth, champion=halfway))
        back = evaluate(table_of(tmp_path / "scores", world.labels, candidate=halfway, champion=other))
        assert found.score_support is not None
        assert back.score_support is not None
        assert found.score_support.value == pytest.approx(1.0, abs=0.35)
        assert back.score_support.value == pytest.approx(1.0 / share, rel=0.2)


@pytest.mark.parametrize("positives", [0, 1, 9, 10])
def test_bounds_need_ten_users_with_a_positive(positives: int, tmp_path: Path):
    world = World(0)
    labels = {task: np.zeros(len(world.features)) for task in TASKS}
    labels["like"][: 20 * positives : 20] = 1.0
    labels["reply"][:300] = 1.0
    found = evaluate(table_of(tmp_path / "scores", labels, candidate=world.model(0), champion=world.model(1)))
    like, reply = found.tasks["like"], found.tasks["reply"]
    assert (like.auc is None) == (positives == 0)
    assert like.difference is not None
    if positives < 10:
        assert like.interval.auc is like.interval.rce is like.difference.interval.rce is None
        assert like.undefined["interval"] == (
            f"{positives} users with a positive row, and errors and bounds need 10"
        )
    else:
        assert like.interval.auc is not None
        assert like.difference.interval.rce is not None
        assert "interval" not in like.undefined
    assert reply.interval.auc is not None


def test_metrics_are_exact_to_the_row_and_near_it_beyond(tmp_path: Path):
    world = World(4)
    model = {task: found.astype(np.float32) for task, found in world.model(6).items()}
    path = table_of(tmp_path / "scores", world.labels, candidate=model, champion=world.model(4))
    exact, binned = evaluate(path), evaluate(path, exact_rows=0)
    for task in TASKS:
        label = world.labels[task].astype(float)
        ours, near = exact.tasks[task], binned.tasks[task]
        assert ours.auc == pytest.approx(metrics.auc(label, model[task]), abs=1e-12)
        assert ours.pr_auc == pytest.approx(metrics.pr_auc(label, model[task]), abs=1e-12)
        assert ours.log_loss == pytest.approx(metrics.log_loss(label, model[task]), abs=1e-12)
        assert ours.ece == pytest.approx(metrics.expected_calibration_error(label, model[task]), abs=1e-12)
        assert near.auc == pytest.approx(ours.auc, abs=1e-4)
        assert near.ece == pytest.approx(ours.ece, abs=1e-3)
        assert near.difference is not None
        assert ours.difference is not None
        assert near.difference.rce == pytest.approx(ours.difference.rce, abs=5e-3)
        assert near.difference.error.rce == pytest.approx(ours.difference.error.rce, rel=1e-3)
        assert near.error.auc == pytest.approx(ours.error.auc, rel=1e-2)
        assert near.gauc == ours.gauc
    assert binned.score_support == exact.score_support


def test_metrics_of_an_earlier_version_are_read(tmp_path: Path):
    (tmp_path / METRICS_NAME).write_text(
        """{"rows": 400, "users": null, "not_finite": 0, "tasks": {"like": {
        "rows": 400, "positives": 90, "rate": 0.2, "auc": 0.7, "log_loss": 0.5, "rce": 4.0,
        "calibration_ratio": 1.0, "gauc": null, "error": {"auc": 0.1, "rce": null},
        "interval": {"auc": [0.6, 0.8], "rce": null}, "undefined": {"gauc": "no row has a user"}}},
        "slices": {"s": {"rows": 3, "tasks": {}}}, "lists": {"k": 10, "by": null, "undefined": "none"},
        "score_psi": null}"""
    )
    found = Evaluation.read(tmp_path)
    assert found.tasks["like"].interval.auc == Interval(0.6, 0.8)
    assert found.headline() == {
        "auc/like": 0.7,
        "rce/like": 4.0,
        "log_loss/like": 0.5,
        "calibration_ratio/like": 1.0,
    }
    (tmp_path / METRICS_NAME).write_text('{"tasks": []}')
    with pytest.raises(ValueError, match=r"metrics.json: not what evaluate writes: tasks"):
        Evaluation.read(tmp_path)
