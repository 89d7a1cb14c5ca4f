"""A search space that a YAML text changes: entries by field path replace the default dimensions."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pipeline.experiments.frozen_data import check_same_data
from pipeline.experiments.tune.space.field_paths import Content, get, matching, parse_path, without_nulls
from pipeline.experiments.tune.space.space import Dimension, Space
from recap_model.config import ConfigError, RecapConfig
from recap_model.config.reading.yaml import read_yaml

FIXED = "fixed"


def read_space(space: Space, path: Path) -> Space:
    """`change_space` by the content of a file. Raises FileNotFoundError if there is none."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the search space as YAML")
    return change_space(space, path.read_bytes(), str(path))


def change_space(space: Space, text: bytes, source: str) -> Space:
    """The space with the dimensions of a YAML text, which replace the default ones of the fields that they name.

    An entry is, by field path, ``{low, high, log}``, ``{scale}``, a list of values, or ``fixed``.

    Raises:
        ConfigError: a line for each entry that names no field, has no range, or leads to a config that is not valid
            or needs other prepared sets.
    """
    entries = read_yaml(text, source) or {}
    if not isinstance(entries, dict):
        raise ConfigError(
            f"{source}: a search space is a mapping of field paths, not {type(entries).__name__}"
        )
    content, errors = space.content, []
    dimensions = {one.name: one for one in space.dimensions}
    for name, entry in entries.items():
        fields = set(matching(content, str(name)))
        replaced = [
            other
            for other in dimensions
            if fnmatchcase(other, str(name)) or fields & set(matching(content, other))
        ]
        for other in replaced:
            del dimensions[other]
        if entry == FIXED:
            if not fields and not replaced and not _is_field(space.config, str(name)):
                errors.append(f"{source}: {name}: no field of the config has this path")
            continue
        try:
            dimension = _parse(str(name), entry, content)
            _check(space.config, content, dimension)
            dimensions[str(name)] = dimension
        except ValueError as error:
            errors += [
                f"{source}: {name}: {line.removeprefix(f'{name}: ')}" for line in str(error).splitlines()
            ]
    if not dimensions and not errors:
        errors.append(f"{source}: every dimension is fixed; leave one to search")
    if errors:
        raise ConfigError("\n".join(errors))
    return Space(space.config, tuple(dimensions.values()))


def _is_field(config: RecapConfig, name: str) -> bool:
    """Whether a path without a value leads to an optional field: its null is in the complete config."""
    content: Any = config.model_dump(mode="json")
    *parents, last = parse_path(name)
    section = get(content, tuple(parents)) if parents else content
    return isinstance(section, Mapping) and last in section


def _parse(name: str, entry: Any, content: Content) -> Dimension:
    allowed = "give {low: 0.1, high: 1.0, log: true}, {scale: [0.5, 2.0]}, a list of values, or fixed"
    if isinstance(entry, list) and len(entry) > 1:
        now = without_nulls(get(content, parse_path(name)))
        return Dimension(name, "choice", choices=(*entry, *([] if now in entry or "*" in name else [now])))
    if isinstance(entry, Mapping) and set(entry) == {"scale"} and _is_range(entry["scale"]):
        low, high = (float(bound) for bound in entry["scale"])
        if low <= 0.0:
            raise ValueError(f"scale: {low:g}: a factor is over 0")
        if not matching(content, name):
            raise ValueError("no field of the config has this path")
        return Dimension(name, "scale", low, high)
    if isinstance(entry, Mapping) and {"low", "high"} <= set(entry) <= {"low", "high", "log"}:
        low, high, log = entry["low"], entry["high"], bool(entry.get("log", False))
        if not _is_range([low, high]):
            raise ValueError(f"low: {low}, high: {high}: two numbers, the lower one first")
        if log and low <= 0:
            raise ValueError(f"low: {low}: a logarithmic range begins over 0")
        kind = "int" if isinstance(low, int) and isinstance(high, int) else "float"
        return Dimension(name, "int" if kind == "int" else "float", float(low), float(high), log)
    raise ValueError(f"{entry!r}: {allowed}")


def _is_range(bounds: Any) -> bool:
    numbers = isinstance(bounds, list) and len(bounds) == 2
    numbers = numbers and all(isinstance(one, int | float) and not isinstance(one, bool) for one in bounds)
    return bool(numbers and bounds[0] < bounds[1])


def _check(config: RecapConfig, content: Content, dimension: Dimension) -> None:
    """Raise ValueError unless both ends, or every choice, are valid configs on the same prepared sets."""
    distribution = dimension.distribution()
    ends = getattr(distribution, "choices", None) or (
        [int(dimension.low), int(dimension.high)]
        if dimension.kind == "int"
        else [dimension.low, dimension.high]
    )
    if "*" in dimension.name and not matching(content, dimension.name):
        raise ValueError("no field of the config has this path")
    for value in ends:
        try:
            changed, _ = Space(config, (dimension,)).at({dimension.name: value})
        except ConfigError as error:
            raise ValueError(str(error).splitlines()[0].removeprefix("trial: ")) from None
        except (KeyError, IndexError, TypeError):
            raise ValueError("no field of the config has this path") from None
        check_same_data("a trial", changed, "the config", config)
