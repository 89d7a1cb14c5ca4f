"""Load untrusted YAML safely, with one-line errors."""

from collections.abc import Iterator
from typing import Any

import yaml

from recap_model.config.reading.errors import Path, dotted, in_one_line

_MOST_NODES = 1_000_000  # far beyond any config, and still loaded in seconds
_TAG = "tag:yaml.org,2002:"
_VALUE_TAGS = [f"{_TAG}{kind}" for kind in ("int", "float", "timestamp", "bool", "null")]
_UNQUOTED = "!unquoted"


class _UnquotedName(str):
    """A key, as it is written, that YAML reads as a number, a date, true or null."""


class _Loader(yaml.SafeLoader):
    """Reads yes, no, on, off and 1:30 as strings, as YAML 1.2 does, where PyYAML reads YAML 1.1.

    A task may be called so, and a number of steps is not ``yes``. Keys are strings, whatever they look like.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag in _VALUE_TAGS:
                key.tag = _UNQUOTED
        return super().construct_mapping(node, deep)

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)
        if kind is not yaml.ScalarNode or not implicit[0]:
            return tag
        is_word = tag == f"{_TAG}bool" and value.lower() not in ("true", "false")
        is_clock = tag in (f"{_TAG}int", f"{_TAG}float") and ":" in value
        return f"{_TAG}str" if is_word or is_clock else tag


_Loader.add_constructor(_UNQUOTED, lambda loader, node: _UnquotedName(node.value))


class ConfigError(ValueError):
    """A config that cannot be used: one line for each thing that is wrong with it."""


def read_yaml(text: bytes, source: str) -> Any:
    """Values of YAML or JSON; ``source`` names it in errors. Raises ConfigError if it is neither."""
    try:
        return _load(text)
    except RecursionError:
        raise ConfigError(f"{source}: not YAML: nested too deeply; a config has a few levels") from None
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError, AttributeError) as error:
        # The safe loader leaves all of these to its caller, for scalars that are not of their tag.
        reason = in_one_line(error) or type(error).__name__
        raise ConfigError(f"{source}: not YAML: {reason}") from None


def unquoted_names(content: object, path: Path = ()) -> Iterator[str]:
    """A line for each key that is a number, a date, true or null where a name is expected."""
    if isinstance(content, list):
        for number, item in enumerate(content):
            yield from unquoted_names(item, (*path, number))
    elif isinstance(content, dict):
        for name, value in content.items():
            if isinstance(name, _UnquotedName):
                yield f"{dotted((*path, name))}: a name is text; put it in quotes"
            yield from unquoted_names(value, (*path, name))


def _load(text: bytes) -> Any:
    """Load YAML whose aliases stand for no more than a config holds. Raises ValueError if they do."""
    loader = _Loader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _count_nodes(node, {}) > _MOST_NODES:
            raise ValueError(f"aliases stand for over {_MOST_NODES} values; write out what is needed")
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _count_nodes(node: yaml.Node, known: dict[int, int | None]) -> int:
    """Values under a node, an alias counted as often as it is used. Raises ValueError if one holds itself."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) not in known:
        known[id(node)] = None
        if isinstance(node, yaml.MappingNode):
            _refuse_duplicate_keys(node)
        parts = (
            node.value
            if isinstance(node, yaml.SequenceNode)
            else [part for pair in node.value for part in pair]
        )
        known[id(node)] = 1 + sum(_count_nodes(part, known) for part in parts)
    size = known[id(node)]
    if size is None:
        raise ValueError("an alias stands for what it is itself in; write out what is needed")
    return size


def _refuse_duplicate_keys(mapping: yaml.MappingNode) -> None:
    """Raise ValueError for a key that is there twice, of which the loader would drop the first without a word."""
    lines: dict[str, int] = {}
    for key, _ in mapping.value:
        if not isinstance(key, yaml.ScalarNode):
            continue
        line = key.start_mark.line + 1
        if key.value in lines:
            raise ValueError(
                f"{key.value!r} is written twice in one section, on lines {lines[key.value]} and {line}; keep one"
            )
        lines[key.value] = line
