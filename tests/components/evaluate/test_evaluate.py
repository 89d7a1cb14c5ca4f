"""Evaluate over a trained tiny model: the same rows for both models, a sealed decision, a page."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import recap_model
from components.calibrate.calibrate import calibrate_model
from components.common import registry
from components.common.artifacts.decision import Decision
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.score_table import ScoreTable, read_scores
from components.common.artifacts.snapshot import MANIFEST_NAME, Champion, Snapshot
from components.common.metrics.accumulate import accumulate
from components.common.metrics.bootstrap import (
    METRICS,
    draw_counts,
    interval,
    replicate_metrics,
    standard_error,
)
from components.common.metrics.curves import roc_points
from components.common.metrics.task_metrics import measure
from components.common.scoring.champion_adapter import ChampionError
from components.common.scoring.score_test_set import score_test_set
from components.common.scoring.uncalibrated import UncalibratedPredictions
from components.evaluate.evaluate import evaluate_model
from components.evaluate.gate import decide
from components.evaluate.gate.replay import replay_gate
from components.evaluate.report.curves import draw_curves
from components.train.train import train_model
from pipeline.cli.app import app
from recap_model import create_ranking_model, load_model, metrics, save_model
from recap_model.calibration import AffineCalibrator
from recap_model.config import RecapConfig
from tests.datasets import TinySets, build_tiny
from tests.tiny import sparse_config, tiny_config, write_tiny_log

SLICES = [{"name": "topic_1", "column": "topic", "value": 1}]
SLICED = tiny_config(
    evaluation={"slices": SLICES, "gate": {"min_rows": 10, "min_positives": 5, "min_slice_rows": 5}}
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[TinySets, Path]:
    """Sets of a tiny log, and a calibrated model."""
    folder = tmp_path_factory.mktemp("evaluate")
    sets = build_tiny(folder, tiny_config(), write_tiny_log(folder / "log", rows=400))
    train_model(sets.snapshot, sets.train, folder / "model")
    calibrate_model(sets.snapshot, folder / "model", sets.calibration, folder / "calibrated")
    return sets, folder / "calibrated"


def test_a_first_run_is_measured_decided_and_written_whole(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    decision = evaluate_model(
        sets.snapshot, model, sets.test, sets.validated, tmp_path / "out", tmp_path / "page"
    )
    assert decision.outcome == "PROMOTE"
    assert Decision.read(tmp_path / "out") == decision
    table = pq.read_table(tmp_path / "out" / "scores.parquet")
    evaluation = Evaluation.read(tmp_path / "out")
    assert table.num_rows == evaluation.rows == 400
    columns = (table[f"{kind}/like"].to_numpy() for kind in ("label", "candidate", "weight"))
    assert evaluation.tasks["like"].auc == pytest.approx(metrics.auc(*columns), abs=1e-12)
    assert (tmp_path / "page").read_text() == (tmp_path / "out" / "report.html").read_text()
    assert {name.split("/")[0] for name in evaluation.headline()} == {
        "auc",
        "rce",
        "log_loss",
        "calibration_ratio",
    }
    assert all(np.isfinite(values).all() for values in roc_points(tmp_path / "out", sets.snapshot))


def test_calibration_and_scores_are_the_same_bytes_by_any_number_of_threads(
    built: tuple[TinySets, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sets, _ = built
    model = sets.train.parent / "model"
    for step in ("calibrate.calibrate", "common.scoring.score_test_set"):
        monkeypatch.setattr(f"components.{step}._BATCH_ROWS", 30)
    written = set()
    for threads in (1, 2, 7):
        monkeypatch.setattr("components.common.scoring.threads.cores", lambda threads=threads: threads)
        out = tmp_path / f"{threads}"
        calibrate_model(sets.snapshot, model, sets.calibration, out)
        score_test_set(out, sets.test, tiny_config(), out, tmp_path / "scores.parquet")
        report = (out / "calibration_report.json").read_text()
        written.add((report, (tmp_path / "scores.parquet").read_bytes()))
    assert len(written) == 1


def test_predictions_before_calibration_are_those_of_the_model_without_its_calibrators(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, config = built[0], tiny_config()
    trained = sets.train.parent / "model"
    calibrated = load_model(trained)
    calibrated.set_calibrators({"like": AffineCalibrator(2.0, 0.5)})
    save_model(calibrated, tmp_path / "model", config)
    before = UncalibratedPredictions()
    table = score_test_set(
        tmp_path / "model", sets.test, config, None, tmp_path / "after.parquet", uncalibrated=before
    )
    plain = score_test_set(trained, sets.test, config, None, tmp_path / "plain.parquet")
    predicted, weights = (
        pq.read_table(plain.path)[f"{kind}/like"].to_numpy() for kind in ("candidate", "weight")
    )
    assert list(before.reliability()) == ["like"]
    measured = before.reliability()["like"]
    assert measured.mean_predicted == pytest.approx(np.average(predicted, weights=weights), rel=1e-3)
    evaluation, curves = measure(table, config)
    charts = draw_curves(curves, evaluation, ["like", "reply"], config, before.reliability())
    drawn = [[entry.name for entry in chart.key] for chart in charts.reliability]
    assert ["candidate before calibration" in names for names in drawn] == [True, False]


def test_a_decision_changed_by_hand_is_refused(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    evaluate_model(sets.snapshot, model, sets.test, sets.validated, tmp_path / "out")
    path = tmp_path / "out" / "decision.json"
    path.write_text(path.read_text().replace('"PROMOTE"', '"HOLD"'))
    with pytest.raises(ValueError, match="changed after it was decided"):
        Decision.read(tmp_path / "out")


def _changed(table: ScoreTable, config: RecapConfig, **columns: np.ndarray) -> ScoreTable:
    """The table with other values in some columns; names are given with ``__`` for the slash."""
    content = pq.read_table(table.path)
    for name, values in columns.items():
        place = content.column_names.index(name.replace("__", "/"))
        content = content.set_column(place, content.column_names[place], pa.array(values))
    pq.write_table(content, table.path)
    return read_scores(table.path, config)


def test_a_model_compared_with_itself_differs_nowhere(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    table = score_test_set(model, sets.test, SLICED, model, tmp_path / "scores.parquet")
    content = pq.read_table(table.path)
    assert content["candidate/like"] == content["champion/like"]
    found, _ = measure(table, SLICED)
    for tasks in (found.tasks, found.slices["topic_1"].tasks):
        for task in tasks.values():
            changes = task.difference
            assert changes is not None
            assert {value for name in METRICS if (value := getattr(changes, name)) is not None} == {0.0}
            assert {error for error in changes.error.model_dump().values() if error is not None} == {0.0}
    assert found.score_psi == 0.0
    assert found.score_support is None
    assert found.lists.top_k_change == 0.0


@pytest.mark.parametrize("exact_rows", [1000, 0])
def test_the_bootstrap_spreads_as_much_as_resampled_users_do(
    exact_rows: int, built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    sums = next(accumulate(table, exact_rows))
    model = sums.models["candidate"]
    assert model.values is not None
    ours = replicate_metrics(
        draw_counts(2000, seed=1), model.values["auc"], sums.weight_sums, model.prediction_sums
    )
    content = pq.read_table(table.path)
    label, prediction, weight = (
        content[f"{kind}/like"].to_numpy() for kind in ("label", "candidate", "weight")
    )
    _, users = np.unique(content["user"].to_numpy(), return_inverse=True)
    random = np.random.default_rng(2)
    plain: dict[str, list[float]] = {"auc": [], "log_loss": [], "rce": [], "calibration_ratio": []}
    for _ in range(400):
        counts = random.poisson(1.0, 20)[users] * weight.astype(float)
        plain["auc"].append(metrics.auc(label, prediction, counts))
        plain["log_loss"].append(metrics.log_loss(label, prediction, counts))
        plain["rce"].append(metrics.relative_cross_entropy(label, prediction, counts))
        plain["calibration_ratio"].append(metrics.calibration_ratio(label, prediction, counts))
    for name, values in plain.items():
        assert standard_error(ours[name]) == pytest.approx(np.std(values), rel=0.2), name
        low, high = interval(float(np.mean(values)), float(np.std(values)), 0.95)
        assert low < np.mean(ours[name]) < high


def test_rows_without_a_user_or_a_request_have_nothing_in_common(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    content = pq.read_table(table.path)
    users, requests = (content[name].to_numpy() for name in ("user", "request"))
    named = users < 10
    whole = measure(_changed(table, tiny_config(), user=users, request=requests), tiny_config())[0]
    gaps = {"user": pa.array(users, mask=~named), "request": pa.array(requests, mask=~named)}
    found = measure(_changed(table, tiny_config(), **gaps), tiny_config())[0]
    label, prediction = (content[f"{kind}/like"].to_numpy() for kind in ("label", "candidate"))
    gauc = metrics.grouped_auc(label[named], prediction[named], users[named])
    assert found.users == 10
    assert found.tasks["like"].gauc == pytest.approx(gauc, abs=1e-12)
    assert found.lists.lists == len(np.unique(requests[named]))
    assert found.tasks["like"].auc == whole.tasks["like"].auc

    nobody = pa.nulls(len(users), pa.int64())
    found = measure(_changed(table, tiny_config(), user=nobody, request=nobody), tiny_config())[0]
    assert found.tasks["like"].undefined["gauc"] == "no row has a user"
    assert found.lists.undefined == "no row has a request"
    # Of rows that are independent, here by construction, the mean label's error is the binomial one.
    rate = label.mean()
    like = found.tasks["like"]
    assert like.calibration_ratio is not None
    expected = np.sqrt((1.0 - rate) / rate / len(label)) * like.calibration_ratio
    assert like.error.calibration_ratio == pytest.approx(expected, rel=0.35)


def test_a_metric_that_is_not_defined_is_null_and_says_why(built: tuple[TinySets, Path], tmp_path: Path):
    sets, model = built
    table = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    none, missing = np.zeros(table.rows, np.float32), np.full(table.rows, np.nan, np.float32)
    table = _changed(table, tiny_config(), label__like=none, label__reply=missing)
    found = measure(table, tiny_config())[0]
    assert found.tasks["like"].auc is None
    assert found.tasks["like"].undefined["auc"] == "all 400 labels are 0"
    assert found.tasks["reply"].undefined["rce"] == "no row has a label"
    assert Evaluation.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(("column", "value"), [("candidate/like", np.nan), ("score/candidate", np.inf)])
def test_a_score_that_is_not_finite_is_counted_and_ends_in_an_error(
    column: str, value: float, built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    table = score_test_set(model, sets.test, tiny_config(), None, tmp_path / "scores.parquet")
    assert measure(table, tiny_config())[0].not_finite == 0
    predictions = pq.read_table(table.path)[column].to_numpy().copy()
    predictions[3] = value
    changed = _changed(table, tiny_config(), **{column.replace("/", "__"): predictions})
    found, _ = measure(changed, tiny_config())
    assert found.not_finite == 1
    assert decide(found, tiny_config().evaluation.gate, list(tiny_config().tasks), None)[0] == "ERROR"


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


SEVENTH = Champion(version="7", run_id="x")


def with_champion(sets: TinySets, folder: Path, **changes: object) -> Path:
    """The sets' snapshot, as if version 7 had been champion when it was frozen."""
    snapshot, config = Snapshot.read(sets.snapshot)
    folder.mkdir()
    changed = snapshot.model_copy(update={"champion": SEVENTH, **changes})
    (folder / MANIFEST_NAME).write_text(changed.model_dump_json())
    (folder / "config.json").write_text(config.model_dump_json())
    return folder


def test_a_champion_that_moves_while_it_is_compared_with_makes_an_error(
    built: tuple[TinySets, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sets, model = built
    folder = with_champion(sets, tmp_path / "snapshot")
    monkeypatch.setattr(registry, "connect", lambda uri: None)
    monkeypatch.setattr(registry, "download", lambda client, name, version, to: model)
    for now, expected in (("8", "now it is version 8"), (None, "now it is none")):
        champion = Champion(version=now, run_id="y") if now else None
        monkeypatch.setattr(registry, "champion", lambda client, name, champion=champion: champion)
        decision = evaluate_model(folder, model, sets.test, sets.validated, tmp_path / f"out-{now}")
        assert (decision.outcome, expected in decision.reason) == ("ERROR", True)
    monkeypatch.setattr(registry, "champion", lambda client, name: SEVENTH)
    assert evaluate_model(folder, model, sets.test, sets.validated, tmp_path / "same").outcome == "PROMOTE"


def test_a_champion_that_cannot_be_had_makes_an_error_not_a_crash(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    folder = with_champion(sets, tmp_path / "snapshot", tracking_uri=f"sqlite:///{tmp_path}/mlflow.db")
    decision = evaluate_model(folder, model, sets.test, sets.validated, tmp_path / "out")
    assert decision.outcome == "ERROR"
    assert "version 7 of tiny" in decision.reason
    assert replay_gate(tmp_path / "out", tiny_config())[:2] == (decision.outcome, decision.reason)


def test_a_champion_that_reads_a_column_which_is_gone_waits_for_a_person(
    built: tuple[TinySets, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    sets, model = built
    folder = with_champion(sets, tmp_path / "snapshot")
    more = sparse_config()
    theirs = create_ranking_model(recap_model.data_spec(more), more, "cpu").eval()
    save_model(theirs, tmp_path / "theirs", more)
    monkeypatch.setattr(registry, "connect", lambda uri: None)
    monkeypatch.setattr(registry, "download", lambda client, name, version, to: tmp_path / "theirs")
    decision = evaluate_model(folder, model, sets.test, sets.validated, tmp_path / "out")
    assert decision.outcome == "HOLD"
    assert decision.champion is not None
    assert "version 7 of tiny: the champion reads seen of features.sparse" in decision.reason
    assert replay_gate(tmp_path / "out", tiny_config())[:2] == (decision.outcome, decision.reason)


@pytest.mark.parametrize(
    ("anchor", "outcome", "rule", "words"),
    [
        ("7", "PROMOTE", None, "no worse than version 7 on any judged task"),
        ("4", "PROMOTE", "non_inferior_to_anchor", "nor than version 4 (the anchor) on any judged task"),
        ("mismatched", "PROMOTE", "anchor_columns", "no worse than version 7 on any judged task"),
        ("empty", "ERROR", "champion", "version empty of tiny: the anchor cannot be loaded"),
    ],
)
def test_a_candidate_is_held_against_the_anchor_on_the_same_rows(
    anchor: str,
    outcome: str,
    rule: str | None,
    words: str,
    built: tuple[TinySets, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    sets, model = built
    (tmp_path / "empty").mkdir()
    more = sparse_config()
    theirs = create_ranking_model(recap_model.data_spec(more), more, "cpu").eval()
    save_model(theirs, tmp_path / "mismatched", more)
    folder = with_champion(sets, tmp_path / "snapshot", anchor=Champion(version=anchor, run_id="y"))
    monkeypatch.setattr(registry, "connect", lambda uri: None)
    folders = {"4": model, "7": model}
    monkeypatch.setattr(
        registry,
        "download",
        lambda client, name, version, to: folders.get(version, tmp_path / version),
    )
    monkeypatch.setattr(registry, "champion", lambda client, name: SEVENTH)
    decision = evaluate_model(folder, model, sets.test, sets.validated, tmp_path / "out")
    assert (decision.outcome, words in decision.reason) == (outcome, True), decision.reason
    assert rule is None or rule in {one.name for one in decision.rules}
    assert decision.anchor is not None
    assert (decision.anchor.version, decision.anchor.better) == (anchor, False)
    assert Decision.read(tmp_path / "out") == decision
    compared = Evaluation.read(tmp_path / "out").tasks["like"].anchor_difference
    assert (compared is not None and compared.rce == 0.0) == (anchor == "4")
    assert replay_gate(tmp_path / "out", tiny_config())[:2] == (decision.outcome, decision.reason)


def test_a_broken_champion_model_is_told_from_a_broken_candidate(
    built: tuple[TinySets, Path], tmp_path: Path
):
    sets, model = built
    (tmp_path / "empty").mkdir()
    with pytest.raises(ChampionError, match="the champion cannot be loaded"):
        score_test_set(model, sets.test, tiny_config(), tmp_path / "empty", tmp_path / "scores.parquet")
