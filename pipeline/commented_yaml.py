"""YAML with comments beside values and above sections."""

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

Path = tuple[str | int, ...]

_WIDTH = 118


def write_yaml(content: Mapping[str, Any], comments: Mapping[Path, str | Iterable[str]]) -> str:
    """Sections as YAML, an empty line between two.

    Args:
        comments: by path; a text stands behind the value's line, or above it where that is too long, lines above.

    >>> print(write_yaml({"a": {"b": [1, 2]}}, {("a",): ["first"], ("a", "b", 1): "second"}), end="")
    # first
    a:
      b:
      - 1
      - 2  # second
    """
    return "\n".join(_write_section({name: section}, comments) for name, section in content.items())


def _write_section(content: Mapping[str, Any], comments: Mapping[Path, str | Iterable[str]]) -> str:
    text = yaml.safe_dump(dict(content), sort_keys=False, width=_WIDTH, allow_unicode=True)
    lines = text.splitlines()
    nodes = list(_lines(yaml.compose(text), ()))
    at_line = {line: path for path, line, _ in nodes}
    folded = {line for _, line, last in nodes if last > line}  # scalars that no comment may stand in
    written: list[str] = []
    for number, line in enumerate(lines):
        comment = comments.get(at_line[number]) if number in at_line else None
        indent = line[: len(line) - len(line.lstrip())]
        if comment is None:
            written.append(line)
        elif isinstance(comment, str) and number not in folded and len(line) + len(comment) + 4 <= _WIDTH:
            written.append(f"{line}  # {comment}")
        else:
            width = _WIDTH - len(indent) - 2
            above = textwrap.wrap(comment, width) if isinstance(comment, str) else comment
            written += [*(f"{indent}# {words}" for words in above), line]
    return "\n".join(written) + "\n"


def _lines(node: yaml.Node | None, path: Path) -> Iterator[tuple[Path, int, int]]:
    """The first and last line of each key and item; of several in one line, the first is the last to be given."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _lines(value, (*path, key.value))
            yield (*path, key.value), key.start_mark.line, _last_line(value, key)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _lines(item, (*path, number))
            yield (*path, number), item.start_mark.line, _last_line(item, item)


def _last_line(value: yaml.Node, start: yaml.Node) -> int:
    """Where a scalar ends; where a key or an item of another kind begins."""
    return int((value.end_mark if isinstance(value, yaml.ScalarNode) else start.start_mark).line)
