"""Fields of a config by their dotted paths: list, match, read and change them."""

from collections.abc import Iterator, Mapping
from copy import deepcopy
from fnmatch import fnmatchcase
from typing import Any

Path = tuple[str | int, ...]
Content = dict[str, Any]


class _Removed:
    """The type of `REMOVED`."""

    def __repr__(self) -> str:
        return "removed"


REMOVED = _Removed()
"""In changes, the value of a field that is removed."""

Changes = Mapping[Path, Any]


def leaves(content: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """The path and value of each field that is no section, items of lists too."""
    if isinstance(content, Mapping):
        for name, value in content.items():
            yield from leaves(value, (*path, name))
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from leaves(value, (*path, number))
    else:
        yield path, content


def matching(content: Content, pattern: str) -> dict[Path, Any]:
    """The fields that a dotted path names: itself, or all fields below it; ``*`` stands for any text.

    >>> matching({"a": {"sizes": [2, 1]}, "b": 3}, "*.sizes")
    {('a', 'sizes', 0): 2, ('a', 'sizes', 1): 1}
    """
    return {
        path: value
        for path, value in leaves(content)
        if fnmatchcase(dotted_path(path), pattern) or fnmatchcase(dotted_path(path), f"{pattern}.*")
    }


def dotted_path(path: Path) -> str:
    """A path as it is written: ``training.batch_size``."""
    return ".".join(str(part) for part in path)


def parse_path(text: str) -> Path:
    """The path that a dotted text names; a part of digits is the number of an item.

    >>> parse_path("model.stratifiers.0.name")
    ('model', 'stratifiers', 0, 'name')
    """
    return tuple(int(part) if part.isdigit() else part for part in text.split("."))


def get(content: Any, path: Path) -> Any:
    """The value of a field; None if it is not there."""
    for key in path:
        try:
            content = content[key]
        except (KeyError, IndexError, TypeError):
            return None
    return content


def without_nulls(content: Any) -> Any:
    """Content without the fields that are null.

    >>> without_nulls({"a": None, "b": [{"c": None, "d": 1}]})
    {'b': [{'d': 1}]}
    """
    if isinstance(content, dict):
        return {name: without_nulls(value) for name, value in content.items() if value is not None}
    return [without_nulls(item) for item in content] if isinstance(content, list) else content


def apply(content: Content, changes: Changes) -> Content:
    """A copy of a config's sections with fields set or removed; sections on the way are created."""
    changed = deepcopy(content)
    for path, value in changes.items():
        inside: Any = changed
        for key in path[:-1]:
            if isinstance(inside, dict) and inside.get(key) is None:
                inside[key] = {}
            inside = inside[key]
        if value is not REMOVED:
            inside[path[-1]] = deepcopy(value)
        elif isinstance(inside, dict):
            inside.pop(path[-1], None)
    return changed
