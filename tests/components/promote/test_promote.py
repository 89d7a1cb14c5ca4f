"""Obeying the decision: PROMOTE moves the champion while it holds, anything else moves nothing and says why."""

import json
from pathlib import Path
from typing import Any

import pytest

from components.common import registry
from components.common.artifacts.decision import Outcome
from components.common.artifacts.registered_version import RegisteredVersion
from components.common.registry import RegistryError
from components.common.registry.promotion import move_champion
from components.common.registry.promotion.promotion_log import Audit, append_promotion, read_promotions
from components.common.registry.promotion.rollback import roll_back
from components.promote.manual import promote_manually, read_decision
from components.promote.promote import PromotionResult, promote_version
from tests.components.registries import NAME, PROOF, new_registry, register, run_outputs

REGISTER_PROOF = "components.register.register.load_and_score"
PROOFS = (
    "components.promote.manual.load_and_score",
    "components.common.registry.promotion.rollback.load_and_score",
    REGISTER_PROOF,
)


class Runs:
    """Runs of a pipeline on one registry, from register on."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.uri = new_registry(place / "workspace")
        self.client = registry.connect(self.uri)

    def register(
        self, number: int, outcome: Outcome = "PROMOTE", against: str | None = None, **fields: Any
    ) -> RegisteredVersion:
        folder = self.place / str(number)
        inputs = run_outputs(folder, self.uri, f"run-{number}", outcome, against, seed=number, **fields)
        return register(inputs, folder / "version")

    def promote(self, number: int) -> PromotionResult:
        folder = self.place / str(number)
        return promote_version(folder / "version", folder / "evaluation", folder / "promotion")

    @property
    def aliases(self) -> dict[str, str]:
        return registry.aliases(self.client, NAME)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch) -> Runs:
    """With proofs taken for granted: they take seconds, and register's tests are about them."""
    for place in PROOFS:
        monkeypatch.setattr(place, lambda *_: PROOF)
    return Runs(tmp_path)


def test_a_first_version_is_promoted_and_recorded(runs: Runs):
    version = runs.register(1)
    promotion = runs.promote(1)
    assert (promotion.promoted, promotion.source, promotion.to) == (True, None, "1")
    assert runs.aliases == {"champion": "1"}
    (move,) = read_promotions(runs.client, NAME)
    assert (move.who, move.to, move.decision) == ("pipeline run run-1", "1", version.decision_digest)
    assert move.why == "the gate said PROMOTE."


def test_promotion_json_says_from_to_and_why(runs: Runs):
    runs.register(1)
    runs.promote(1)
    runs.register(2, against="1")
    runs.promote(2)
    written = json.loads((runs.place / "2/promotion/promotion.json").read_text())
    assert (written["promoted"], written["from"], written["to"]) == (True, "1", "2")
    assert written["reason"] == "tiny version 2 is champion: the gate said PROMOTE."
    assert written["decision_digest"] == read_decision(runs.client, NAME, "2").digest
    assert runs.aliases == {"champion": "2", "previous": "1"}


@pytest.mark.parametrize("outcome", ["HOLD", "ERROR"])
def test_a_decision_that_is_not_yes_moves_nothing(outcome: Outcome, runs: Runs):
    runs.register(1)
    runs.promote(1)
    runs.register(2, outcome, against="1")
    promotion = runs.promote(2)
    assert (promotion.promoted, promotion.source, promotion.to) == (False, "1", "1")
    assert promotion.reason == f"tiny version 2 is not promoted: the gate said {outcome}."
    assert runs.aliases == {"champion": "1", "candidate": "2"}


def test_a_champion_that_moved_since_the_decision_stays(runs: Runs):
    runs.register(1)
    runs.promote(1)
    for number in (2, 3):
        runs.register(number, against="1")
    runs.promote(2)
    promotion = runs.promote(3)
    assert not promotion.promoted
    assert "the champion is version 2; this was decided against version 1" in promotion.reason
    assert runs.aliases == {"champion": "2", "previous": "1", "candidate": "3"}


def test_promoting_again_changes_nothing(runs: Runs):
    runs.register(1)
    assert runs.promote(1) == runs.promote(1)
    assert len(read_promotions(runs.client, NAME)) == 1


def test_promoting_again_after_a_rollback_does_not_undo_the_rollback(runs: Runs):
    for number, against in ((1, None), (2, "1")):
        runs.register(number, against=against)
        runs.promote(number)
    roll_back(runs.client, NAME)
    promotion = runs.promote(2)
    assert promotion.promoted
    assert "the champion moved to version 1 since" in promotion.reason
    assert runs.aliases == {"champion": "1", "previous": "2"}


def test_the_decision_of_another_run_is_refused(runs: Runs):
    runs.register(1)
    runs.register(2)
    with pytest.raises(ValueError, match="tiny version 2: was registered with another decision"):
        promote_version(runs.place / "2/version", runs.place / "1/evaluation", runs.place / "promotion")
    assert not (runs.place / "promotion").exists()
    assert "champion" not in runs.aliases


def test_a_version_that_was_altered_is_not_promoted(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(REGISTER_PROOF, lambda *_: PROOF)
    runs = Runs(tmp_path)
    runs.register(1)
    source = runs.client.get_model_version_download_uri(NAME, "1").removeprefix("file://")
    (Path(source) / "MLmodel").write_text("altered")
    with pytest.raises(RegistryError, match="tiny version 1: MLmodel was altered"):
        runs.promote(1)
    assert runs.aliases == {"candidate": "1"}


def test_a_version_of_other_files_than_register_has_loaded_is_not_promoted(runs: Runs):
    runs.register(1)
    runs.client.set_model_version_tag(NAME, "1", registry.DIGEST_TAG, "0" * 64)
    with pytest.raises(
        RegistryError, match=r"tiny version 1: recap.model_digest was altered after registration"
    ):
        runs.promote(1)
    assert runs.aliases == {"candidate": "1"}


def test_a_person_promotes_what_the_decision_allows(runs: Runs):
    runs.register(1)
    move = promote_manually(runs.client, NAME, "1", None)
    assert move.to == "1"
    assert promote_manually(runs.client, NAME, "1", None) is None


def test_a_person_approves_a_version_on_hold_with_a_reason(runs: Runs):
    runs.register(1, "HOLD")
    with pytest.raises(RegistryError, match=r"its decision is HOLD .the gate said HOLD.*--approve"):
        promote_manually(runs.client, NAME, "1", None)
    move = promote_manually(runs.client, NAME, "1", "by design")
    assert move.why == "approved: by design"
    assert runs.aliases == {"champion": "1"}


def test_nobody_approves_an_error(runs: Runs):
    runs.register(1, "ERROR")
    with pytest.raises(RegistryError, match=r"its decision is ERROR .* cannot be approved"):
        promote_manually(runs.client, NAME, "1", "please")


def test_an_approval_does_not_outlive_the_champion_it_was_decided_against(runs: Runs):
    runs.register(1)
    runs.promote(1)
    runs.register(2, "HOLD", against="1")
    runs.register(3, against="1")
    runs.promote(3)
    with pytest.raises(RegistryError, match="the champion is version 3; this was decided against version 1"):
        promote_manually(runs.client, NAME, "2", "all the same")


def test_rolling_back_returns_to_the_previous_champion_and_forth_only_by_name(runs: Runs):
    for number, against in ((1, None), (2, "1")):
        runs.register(number, against=against)
        runs.promote(number)
    assert roll_back(runs.client, NAME, why="replies fell").to == "1"
    assert runs.aliases == {"champion": "1", "previous": "2"}
    assert read_promotions(runs.client, NAME)[-1].why == "replies fell"
    with pytest.raises(RegistryError, match="tiny: is rolled back already, from version 2 to 1, by"):
        roll_back(runs.client, NAME)
    assert roll_back(runs.client, NAME, "1") is None
    assert roll_back(runs.client, NAME, "2").to == "2"


def test_a_rollback_that_was_broken_off_is_finished_by_the_next(runs: Runs, monkeypatch):
    monkeypatch.setattr(move_champion, "LEASE_S", 0.0)
    for number, against in ((1, None), (2, "1")):
        runs.register(number, against=against)
        runs.promote(number)
    append_promotion(
        runs.client, NAME, "2", "1", read_promotions(runs.client, NAME)[-1].number, Audit(why="died")
    )
    assert runs.aliases["champion"] == "2"
    assert roll_back(runs.client, NAME).why == "died"
    assert runs.aliases == {"champion": "1", "previous": "2"}


def test_a_rollback_while_the_aliases_follow_a_promotion_undoes_that_promotion(runs: Runs, monkeypatch):
    monkeypatch.setattr(move_champion, "LEASE_S", 0.0)
    for number, against in ((1, None), (2, "1"), (3, "2")):
        runs.register(number, against=against)
    runs.promote(1)
    runs.promote(2)
    held = registry.aliases

    def half_way(client, name):
        """Another promoter has recorded its move, and has moved one alias of the two."""
        monkeypatch.setattr(registry, "aliases", held)
        append_promotion(
            client,
            name,
            "2",
            "3",
            read_promotions(client, name)[-1].number,
            Audit(why="better", decision="d"),
        )
        registry.move_alias(client, name, "previous", "2")
        return held(client, name)

    monkeypatch.setattr(registry, "aliases", half_way)
    move = roll_back(runs.client, NAME)
    assert move is not None
    assert (move.source, move.to) == ("3", "2")
    assert runs.aliases == {"champion": "2", "previous": "3"}


def test_what_a_person_does_is_told_in_the_words_of_the_pipeline(runs: Runs, monkeypatch):
    sent = []
    for module in ("common.registry.promotion.rollback", "promote.promote"):
        monkeypatch.setattr(f"components.{module}.send", lambda event, content: sent.append((event, content)))
    runs.register(1)
    move = promote_manually(runs.client, NAME, "1", None)
    runs.promote(1)
    (event, content), (step_event, step_content) = sent
    assert event == step_event == "promoted"
    assert (content["version"], content["from"], content["to"], content["who"]) == ("1", None, "1", move.who)
    assert set(content) >= set(step_content) - {"outcome"}


def test_rolling_back_goes_to_any_earlier_champion_and_to_no_other_version(runs: Runs):
    for number, against in ((1, None), (2, "1"), (3, "2")):
        runs.register(number, against=against)
        runs.promote(number)
    runs.register(4, "HOLD", against="3")
    assert roll_back(runs.client, NAME, "1").source == "3"
    with pytest.raises(RegistryError, match="tiny version 4: was never champion"):
        roll_back(runs.client, NAME, "4")
    assert roll_back(runs.client, NAME, "1") is None
    with pytest.raises(RegistryError, match="tiny: has no version 9"):
        roll_back(runs.client, NAME, "9")


def test_there_is_nothing_to_roll_back_to_on_the_first_day(runs: Runs):
    runs.register(1)
    runs.promote(1)
    with pytest.raises(RegistryError, match="tiny: no version has the alias previous"):
        roll_back(runs.client, NAME)


def test_a_version_that_needs_approval_waits_as_challenger_until_a_person_gives_it(runs: Runs):
    runs.register(1, require_approval=True)
    for _ in range(2):
        promotion = runs.promote(1)
        assert (promotion.promoted, promotion.waits) == (False, True)
        assert "waits for approval (recap promote 1 --approve" in promotion.reason
        assert runs.aliases == {"candidate": "1", "challenger": "1"}
    with pytest.raises(RegistryError, match=r"require_approval requires a person's approval; .*--approve"):
        promote_manually(runs.client, NAME, "1", None)
    move = promote_manually(runs.client, NAME, "1", "looked at it")
    assert move.why == "approved: looked at it"
    assert runs.aliases == {"champion": "1"}


def test_promoting_again_after_an_approval_and_a_rollback_does_not_ask_again(runs: Runs):
    runs.register(1)
    runs.promote(1)
    runs.register(2, against="1", require_approval=True)
    runs.promote(2)
    promote_manually(runs.client, NAME, "2", "looked at it")
    roll_back(runs.client, NAME)
    promotion = runs.promote(2)
    assert promotion.promoted
    assert "approved: looked at it" in promotion.reason
    assert runs.aliases == {"champion": "1", "previous": "2"}


def test_a_hold_that_no_rule_gives_reason_for_waits_for_approval(runs: Runs):
    runs.register(1, "HOLD", rules=[])
    assert runs.promote(1).waits
    runs.register(2, "HOLD")
    assert not runs.promote(2).waits
    assert runs.aliases == {"candidate": "2", "challenger": "1"}


def test_a_version_does_not_wait_for_an_approval_that_could_not_be_given(runs: Runs):
    runs.register(1)
    runs.register(2)
    runs.promote(1)
    runs.register(3, require_approval=True)
    promotion = runs.promote(3)
    assert not promotion.waits
    assert "the champion is 1; this was decided against none" in promotion.reason
    assert "challenger" not in runs.aliases
