"""The candidate beside the champion and the anchor, and champions that cannot be compared with."""

from pathlib import Path

import pytest

import recap_model
from components.common import registry
from components.common.artifacts.decision import Decision
from components.common.artifacts.evaluation import Evaluation
from components.common.artifacts.snapshot import MANIFEST_NAME, Champion, Snapshot
from components.common.scoring.champion_adapter import ChampionError
from components.common.scoring.score_test_set import score_test_set
from components.evaluate.evaluate import evaluate_model
from components.evaluate.gate.replay import replay_gate
from recap_model import create_ranking_model, save_model
from tests.datasets import TinySets
from tests.tiny import sparse_config, tiny_config

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
