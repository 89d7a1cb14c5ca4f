"""The anchor: the last champion that was significantly better than the anchor of its time."""

import pytest

from components.common import registry
from components.common.registry.anchor import choose_anchor
from components.common.registry.promotion.promotion_log import Promotion

NO, YES, HELD = (
    {registry.OUTCOME_TAG: "PROMOTE", registry.BETTER_TAG: "no"},
    {registry.OUTCOME_TAG: "PROMOTE", registry.BETTER_TAG: "yes"},
    {registry.OUTCOME_TAG: "HOLD", registry.BETTER_TAG: "no"},
)
OLD = {registry.OUTCOME_TAG: "PROMOTE"}


def moves(text: str) -> list[Promotion]:
    """Promotions of a text: ``3`` promotes version 3, ``3!`` is a person's approval, ``<3`` a rollback."""
    return [
        Promotion(
            number=number,
            after=number - 1,
            source=None,
            to=word.strip("<!"),
            applied=True,
            why="approved: by design" if word.endswith("!") else "no worse",
            decision="" if word.startswith("<") else "d",
        )
        for number, word in enumerate(text.split(), 1)
    ]


@pytest.mark.parametrize(
    ("promoted", "tags", "champion", "last", "expected"),
    [
        ("1", {"1": NO}, "1", 30, "1"),
        ("1 2 3", {"1": NO, "2": YES, "3": NO}, "3", 30, "2"),
        ("1 2 3", {"1": NO, "2": NO, "3": NO}, "3", 30, "1"),
        ("1 2 3 4", {"1": YES, "2": NO, "3": NO, "4": NO}, "4", 3, "2"),
        ("1 2 3", {"1": NO, "3": NO}, "3", 30, "1"),
        ("1 2 3", {"1": NO, "2": NO, "3": NO, "9": YES}, "3", 30, "1"),
        ("1 2 3", {"3": NO}, "3", 30, "3"),
        ("1 2 3 4", {"1": OLD, "2": OLD, "3": OLD, "4": OLD}, "4", 30, "1"),
        ("1 2! 3", {"1": NO, "2": HELD, "3": NO}, "3", 30, "2"),
        ("1 2! 3!", {"1": NO, "2": NO, "3": NO}, "3", 30, "1"),
        ("1 2 3 <2", {"1": NO, "2": NO, "3": YES}, "2", 30, "1"),
        ("1 2! <1 <2", {"1": NO, "2": HELD}, "2", 30, "2"),
        ("1 2 3", {"1": NO, "2": NO, "3": NO, "4": NO}, "4", 30, "4"),
        ("", {"1": OLD}, "1", 30, "1"),
    ],
    ids=[
        "a first champion is its own anchor",
        "the newest that was better",
        "none was better: the oldest",
        "one that is further back is forgotten",
        "a deleted version is passed over",
        "a version that was never champion does not count",
        "all others are deleted",
        "versions without the tag count as not better",
        "a held version that a person approved sets a new standard",
        "an approval that the gate agreed with does not",
        "what was rolled back over is no anchor",
        "a rollback keeps what an approval said",
        "the alias was moved outside Recap",
        "no promotion was recorded",
    ],
)
def test_the_anchor_follows_from_what_the_registry_holds(
    promoted: str, tags: dict[str, dict[str, str]], champion: str, last: int, expected: str
):
    assert choose_anchor(moves(promoted), tags, champion, last) == expected
