"""docs/errors.md has every error that the source can raise, and none that it cannot."""

import re

import pytest

from tests.docs.messages import GAP, ROOT, Message, messages

_CODE = re.compile(r"`([^`]+)`")


def entries() -> list[str]:
    """The patterns in the first column of the page's tables."""
    rows = [line for line in (ROOT / "docs/errors.md").read_text().splitlines() if line.startswith("| `")]
    return [pattern for row in rows for pattern in _CODE.findall(row.split(" | ")[0])]


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(GAP, ".*"), text, re.DOTALL) is not None


@pytest.fixture(scope="module")
def found() -> list[Message]:
    return [message for message in messages() if not message.is_carrier]


def test_a_message_is_found_in_each_package(found: list[Message]):
    assert {message.where.split("/")[0] for message in found} == {"recap_model", "components", "pipeline"}
    assert len(found) > 400


def test_every_error_has_an_entry(found: list[Message]):
    patterns = entries()
    missing = [
        f"{one.where}: {one.text}"
        for one in found
        if not any(matches(pattern, one.text) for pattern in patterns)
    ]
    assert not missing, "add to docs/errors.md:\n" + "\n".join(missing)


@pytest.mark.parametrize(
    "text", ["…: the moon is full; wait for another", "task …: has too many words", "no more tea"]
)
def test_an_error_that_is_nowhere_has_no_entry(text: str):
    assert not [pattern for pattern in entries() if matches(pattern, text)]


def test_every_entry_is_of_an_error(found: list[Message]):
    marked = [
        "step: the step's process was ended by …",
        "…: the step's container was …",
        "…No space left on device…; make room …",
        "…Read-only file system…; …",
        "…Permission denied…; …",
    ]  # printed, or the system's, not raised
    stale = [
        pattern
        for pattern in entries()
        if pattern not in marked and not any(matches(pattern, message.text) for message in found)
    ]
    assert not stale, "remove from docs/errors.md:\n" + "\n".join(stale)
