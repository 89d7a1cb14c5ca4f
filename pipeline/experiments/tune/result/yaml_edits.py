"""Change fields of a YAML text and leave everything else, comments too, as it is written."""

from typing import Any

import yaml

from pipeline.experiments.tune.space.field_paths import REMOVED, Changes, Path
from recap_model.config import RecapConfig
from recap_model.config.recap import parse_yaml


def edit_config(text: str, changes: Changes, expected: RecapConfig) -> tuple[str, bool]:
    """A config's text with fields changed, and whether its comments are kept.

    If the edited text does not read as ``expected``, as where an alias stands for what is changed, the whole config
    is written instead, without comments.
    """
    try:
        edited = edit(text, changes)
        if parse_yaml(edited.encode(), "the edited config") == expected:
            return edited, True
    except (ValueError, yaml.YAMLError):
        pass
    return expected.to_yaml(), False


def edit(text: str, changes: Changes) -> str:
    r"""Set or remove fields by their paths.

    >>> edit("a: 1  # one\nb:\n  c: [1, 2]\n", {("a",): 5, ("b", "c", 1): 7, ("b", "d"): {"e": None}})
    'a: 5  # one\nb:\n  c: [1, 7]\n  d: {e: null}\n'

    Raises ValueError where the text cannot be edited so.
    """
    for path, value in changes.items():
        text = _remove(text, path) if value is REMOVED else _set(text, path, value)
    return text


def _set(text: str, path: Path, value: Any) -> str:
    node, known = _deepest(text, path)
    for key in reversed(path[known + 1 :] if known < len(path) else ()):
        value = {key: value}
    if known == len(path):
        return _replace(text, path, value)
    if not isinstance(node, yaml.MappingNode):
        if node.tag == "tag:yaml.org,2002:null" and known:  # a section without content
            return _replace(text, path[:known], {path[known]: value})
        raise ValueError(f"{path[known]}: its parent is not a mapping")
    entry = f"{_dump(path[known])}: {_dump(value)}"
    if node.flow_style:
        at = node.end_mark.index - 1
        inside = text[node.start_mark.index + 1 : at].strip()
        return f"{text[:at].rstrip()}{', ' if inside else ''}{entry}{text[at:]}"
    indent = " " * node.value[0][0].start_mark.column
    at = _end_of_line(text, _end(node))
    return f"{text[:at]}\n{indent}{entry}{text[at:]}"


def _replace(text: str, path: Path, value: Any) -> str:
    node, _ = _deepest(text, path)
    start, end = node.start_mark.index, _end(node)
    if not _is_block(node):
        gap = " " if start == end and text[start - 1 : start] == ":" else ""
        return f"{text[:start]}{gap}{_dump(value)}{text[end:]}"
    key, _ = _entry(text, path)
    colon = text.index(":", key.end_mark.index) + 1
    return f"{text[:colon]} {_dump(value)}{text[end:]}"


def _is_block(node: yaml.Node) -> bool:
    """Whether a node is a mapping or a list that is written on lines of its own."""
    return isinstance(node, yaml.CollectionNode) and not node.flow_style


def _remove(text: str, path: Path) -> str:
    node, known = _deepest(text, path)
    if known < len(path):
        return text
    key, parent = _entry(text, path)
    if not parent.flow_style:
        start = text.rfind("\n", 0, key.start_mark.index) + 1
        if text[start : key.start_mark.index].strip() or len(parent.value) == 1:
            raise ValueError(f"{path[-1]}: cannot be removed by itself")
        return text[:start] + text[_end_of_line(text, _end(node)) + 1 :]
    start, end = key.start_mark.index, _end(node)
    after = text[end:]
    if after.lstrip().startswith(","):
        end += len(after) - len(after.lstrip()) + 1
        end += len(text[end:]) - len(text[end:].lstrip())
    else:
        before = text[:start].rstrip()
        start = len(before) - before.endswith(",")
    return text[:start] + text[end:]


def _deepest(text: str, path: Path) -> tuple[yaml.Node, int]:
    """The node of the longest beginning of a path that is there, and the beginning's length."""
    node = yaml.compose(text, yaml.SafeLoader)
    if node is None:
        raise ValueError("the text is empty")
    for number, key in enumerate(path):
        following = _child(node, key)
        if following is None:
            return node, number
        node = following
    return node, len(path)


def _child(node: yaml.Node, key: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        return next((value for name, value in node.value if name.value == str(key)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
        return node.value[key]
    return None


def _entry(text: str, path: Path) -> tuple[yaml.Node, yaml.MappingNode]:
    """The key node of a field, and its mapping. Raises ValueError for an item of a list."""
    parent, _ = _deepest(text, path[:-1])
    if isinstance(parent, yaml.MappingNode):
        return next(name for name, _ in parent.value if name.value == str(path[-1])), parent
    raise ValueError(f"{path[-1]}: an item of a list is changed as a whole")


def _end(node: yaml.Node) -> int:
    """Where a node's own text ends; PyYAML's mark of a block is behind the comments after it."""
    if _is_block(node) and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.index
    return end


def _end_of_line(text: str, at: int) -> int:
    end = text.find("\n", at)
    return len(text) if end < 0 else end


def _dump(value: Any) -> str:
    text = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=1_000_000)
    return text.removesuffix("\n").removesuffix("\n...").strip()
