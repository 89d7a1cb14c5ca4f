"""Moving the champion: of several promoters one wins, and a dead one leaves nothing that does not heal."""

import signal
from pathlib import Path

import pytest

from components.common import registry
from components.common.registry.promotion import move_champion as moving
from components.common.registry.promotion.move_champion import (
    ChampionChangedError,
    move_champion,
    settle_aliases,
)
from components.common.registry.promotion.promotion_log import (
    Audit,
    Promotion,
    append_promotion,
    read_promotions,
    record_name,
)
from tests.chaos.promoters import new_race, promote_until_write, race
from tests.components.registries import new_registry

AUDIT = Audit(who="someone", when="2026-03-01T00:00:00+00:00", why="better", decision="d")


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """A registry with nine versions of m and no champion."""
    uri = new_registry(tmp_path / "workspace")
    client = registry.connect(uri)
    client.create_registered_model("m")
    for _ in range(9):
        client.create_model_version("m", tmp_path.as_uri())
    return uri


@pytest.fixture
def client(uri: str):
    return registry.connect(uri)


@pytest.fixture
def no_lease(monkeypatch) -> None:
    monkeypatch.setattr("components.common.registry.promotion.move_champion.LEASE_S", 0.0)


def _audit(why: str = "better") -> Audit:
    return Audit(why=why)


def test_a_first_champion_has_no_previous(client):
    move = move_champion(client, "m", None, "1", AUDIT)
    assert registry.aliases(client, "m") == {"champion": "1"}
    assert (move.source, move.to, move.who, move.why, move.decision) == (None, "1", "someone", "better", "d")


def test_the_old_champion_becomes_previous_and_the_challenger_champion(client):
    move_champion(client, "m", None, "1", _audit())
    registry.move_alias(client, "m", "challenger", "2")
    move_champion(client, "m", "1", "2", _audit())
    assert registry.aliases(client, "m") == {"champion": "2", "previous": "1"}


def test_a_challenger_that_is_not_promoted_stays(client):
    registry.move_alias(client, "m", "challenger", "3")
    move_champion(client, "m", None, "2", _audit())
    assert registry.aliases(client, "m") == {"champion": "2", "challenger": "3"}


def test_a_champion_that_moved_is_not_overwritten(client):
    move_champion(client, "m", None, "1", _audit())
    with pytest.raises(
        ChampionChangedError,
        match="m: the champion is version 1; this was decided against none, so nothing was moved",
    ):
        move_champion(client, "m", None, "2", _audit())
    with pytest.raises(
        ChampionChangedError,
        match="m: the champion is version 1; this was decided against version 7, so nothing was moved",
    ):
        move_champion(client, "m", "7", "2", _audit())
    assert registry.aliases(client, "m") == {"champion": "1"}


def test_the_champion_is_not_moved_to_itself(client):
    move_champion(client, "m", None, "1", _audit())
    assert move_champion(client, "m", "1", "1", _audit()) is None
    assert len(read_promotions(client, "m")) == 1


def test_a_version_that_is_not_there_is_no_champion(client):
    with pytest.raises(registry.RegistryError, match="m: has no version 77"):
        move_champion(client, "m", None, "77", _audit())
    assert registry.aliases(client, "m") == {}


def test_the_same_attempt_is_made_once_even_after_a_rollback(client):
    first = move_champion(client, "m", None, "1", AUDIT)
    move_champion(client, "m", "1", "2", _audit())
    assert move_champion(client, "m", None, "1", AUDIT).number == first.number
    assert registry.aliases(client, "m")["champion"] == "2"


def test_an_alias_that_was_moved_by_other_means_is_respected(client):
    move_champion(client, "m", None, "1", _audit())
    registry.move_alias(client, "m", "champion", "5")
    with pytest.raises(ChampionChangedError, match="the champion is version 5"):
        move_champion(client, "m", "1", "2", _audit())
    move_champion(client, "m", "5", "2", _audit())
    assert registry.aliases(client, "m") == {"champion": "2", "previous": "5"}


def test_of_two_moves_after_the_same_one_the_first_wins(client):
    append_promotion(client, "m", None, "1", 0, _audit("first"))
    append_promotion(client, "m", None, "2", 0, _audit("second"))
    append_promotion(client, "m", "1", "3", 1, _audit("third"))
    append_promotion(client, "m", "2", "4", 2, _audit("after the loser"))
    assert [(move.why, move.number) for move in read_promotions(client, "m")] == [("first", 1), ("third", 3)]


def test_a_record_goes_on_when_one_of_its_moves_was_deleted(client):
    for to, after in (("1", 0), ("2", 1), ("3", 2)):
        append_promotion(client, "m", None, to, after, _audit())
    client.delete_model_version(record_name("m"), "2")
    assert [move.to for move in read_promotions(client, "m")] == ["1", "3"]


@pytest.mark.usefixtures("no_lease")
def test_a_recorded_move_of_a_dead_promoter_is_completed_by_the_next(client):
    move_champion(client, "m", None, "1", _audit())
    append_promotion(client, "m", "1", "2", 1, _audit("died"))
    assert registry.aliases(client, "m") == {"champion": "1"}
    with pytest.raises(ChampionChangedError, match="the champion is version 2"):
        move_champion(client, "m", "1", "3", _audit())
    assert registry.aliases(client, "m") == {"champion": "2", "previous": "1"}


def test_a_promoter_waits_for_another_ones_aliases_no_longer_than_the_lease(client, monkeypatch):
    monkeypatch.setattr("components.common.registry.promotion.move_champion.LEASE_S", 0.3)
    append_promotion(client, "m", None, "1", 0, _audit("died"))
    assert [move.applied for move in settle_aliases(client, "m")] == [True]
    assert registry.aliases(client, "m") == {"champion": "1"}


def test_a_promoter_that_wakes_up_late_leaves_the_newest_champion(client):
    move_champion(client, "m", None, "1", _audit())
    late = read_promotions(client, "m")[0]
    move_champion(client, "m", "1", "2", _audit())
    moving._apply(client, "m", late)
    assert registry.aliases(client, "m") == {"champion": "2", "previous": "1"}


def test_of_eight_promoters_at_once_one_wins_and_the_others_are_told_each_time(tmp_path: Path):
    assert race(new_race(tmp_path, 5), "m", 5) == {"1 won, 7 were told that the champion changed": 5}


@pytest.mark.usefixtures("no_lease")
def test_a_promoter_killed_before_any_write_leaves_one_champion_and_the_next_can_promote(
    uri: str, client, tmp_path: Path
):
    """It writes six times: the record, its entry, two aliases, the challenger's end, the mark."""
    current = "1"
    move_champion(client, "m", None, current, _audit())
    for call, to in ((2, "2"), (3, "3"), (4, "4"), (5, "5"), (6, "6")):
        registry.move_alias(client, "m", "challenger", to)
        ended = promote_until_write(uri, "m", current, to, call, tmp_path / "output")
        assert ended.status == -signal.SIGKILL, ended.output
        assert registry.aliases(client, "m")["champion"] in (current, to)
        settle_aliases(client, "m")
        recorded = call > 2
        held = registry.aliases(client, "m")
        assert held["champion"] == (to if recorded else current)
        if recorded:
            assert held == {"champion": to, "previous": current}
            current = to
    move_champion(client, "m", current, "7", _audit())
    assert registry.aliases(client, "m") == {"champion": "7", "previous": current}
    assert all(isinstance(move, Promotion) and move.applied for move in read_promotions(client, "m"))


def test_a_record_of_which_a_tag_was_removed_is_refused_in_a_line(client):
    move_champion(client, "m", None, "1", _audit())
    client.delete_model_version_tag(record_name("m"), "1", "recap.move.after")
    with pytest.raises(
        registry.RegistryError,
        match=r"version 1: is not a valid promotion record \(it lacks the tag .*after\)",
    ):
        read_promotions(client, "m")
