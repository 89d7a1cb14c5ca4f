"""Contents that are nearly right, drawn by hypothesis."""

import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from(
        ["", "..", "../../etc/passwd", "/etc/passwd", "\x00", "a\nb", "x" * 3000, "NaN", "é", "s3://b/../c"]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
)


@dataclass(frozen=True)
class Altered:
    """A content, and in a few words what was done to it."""

    what: str
    content: bytes = field(repr=False)


@st.composite
def altered(draw: st.DrawFn, content: bytes) -> Altered:
    """A file's bytes with a part cut off, overwritten or added, or, of JSON, with another value or key."""
    try:
        parsed = json.loads(content)
    except ValueError:
        parsed = None
    if isinstance(parsed, dict) and draw(st.integers(0, 3)):
        return Altered("another value", json.dumps(_another_value(draw, parsed)).encode())
    place, kind = (
        draw(st.integers(0, len(content))),
        draw(st.sampled_from(["cut", "overwrite", "insert", "remove"])),
    )
    given = draw(st.binary(min_size=1, max_size=8))
    rest = {"cut": b"", "overwrite": content[place + len(given) :], "insert": content[place:]}
    inserted = given if kind in ("overwrite", "insert") else b""
    changed = content[:place] + inserted + rest.get(kind, content[place + 8 * len(given) :])
    return Altered(f"{kind} at {place}", changed)


def _another_value(draw: st.DrawFn, value: Any) -> Any:
    """The same JSON but for one place, some levels down."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        match draw(st.sampled_from(["value", "value", "value", "remove", "rename"])):
            case "remove":
                return {name: inside for name, inside in value.items() if name != key}
            case "rename":
                return {
                    (draw(st.text(max_size=8)) if name == key else name): one for name, one in value.items()
                }
        return value | {key: _another_value(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], _another_value(draw, value[place]), *value[place + 1 :]]
    return draw(VALUES)
