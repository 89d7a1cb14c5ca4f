"""The search space: dimensions of a config's fields, and the config at a point of it."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from pipeline.experiments.tune.space.field_paths import (
    REMOVED,
    Changes,
    Content,
    Path,
    apply,
    dotted_path,
    get,
    matching,
    parse_path,
    without_nulls,
)
from pipeline.experiments.tune.space.sharing import SHARING_FIELD, change_sharing
from recap_model.config import RecapConfig, parse_config

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Point = dict[str, Any]
"""A value of each dimension: a number, or the JSON text of a choice."""

# Steps of a schedule follow the run's length, and are not scaled with its rates.
_STEPS = ("num_ramp_steps", "final_num_steps", "learning_rate_boundaries")
_DIGITS = 3


@dataclass(frozen=True)
class Dimension:
    """One dimension of the search.

    Attributes:
        name: the dotted path of a field, or a pattern of paths.
        kind: ``float`` and ``int`` set the field to a number from ``low`` to ``high``; ``scale`` multiplies the
            numbers of all fields that the name matches by a factor; ``choice`` sets the field to one of ``choices``.
        log: whether the number, or the factor, is drawn on a logarithmic scale.
    """

    name: str
    kind: Literal["float", "int", "scale", "choice"]
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def distribution(self) -> "BaseDistribution":
        """The dimension as Optuna's distribution."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution([json.dumps(choice) for choice in self.choices])
        if self.kind == "int":
            return IntDistribution(int(self.low), int(self.high), log=self.log)
        return FloatDistribution(self.low, self.high, log=self.log or self.kind == "scale")

    def current(self, content: Content) -> Any:
        """The point at which the config stands, or the nearest one."""
        value = get(content, parse_path(self.name))
        if value is None and (found := matching(content, self.name)):
            value = next(iter(found.values()))
        if self.kind == "choice":
            return json.dumps(without_nulls(value))
        if self.kind == "scale":
            return min(max(1.0, self.low), self.high)
        number = min(max(float(value or self.low), self.low), self.high)
        return int(number) if self.kind == "int" else number

    def changes(self, content: Content, value: Any) -> Changes:
        """The fields that change at a value of this dimension."""
        found = matching(content, self.name) if "*" in self.name or self.kind == "scale" else {}
        if self.kind == "scale":
            return {path: _scaled(path, old, value) for path, old in found.items() if _is_scaled(path, old)}
        new = json.loads(value) if self.kind == "choice" else value
        new = _rounded(new) if self.kind == "float" else new
        paths = list(found) or [parse_path(self.name)]
        return dict.fromkeys(paths, REMOVED if new is None else new)

    @property
    def words(self) -> str:
        """The range in words."""
        if self.kind == "choice":
            return " | ".join(json.dumps(choice) for choice in self.choices)
        times = "current value times " if self.kind == "scale" else ""
        return f"{times}{self.low:g} to {self.high:g}{' (log)' if self.log or self.kind == 'scale' else ''}"


@dataclass(frozen=True)
class Space:
    """Dimensions around a config."""

    config: RecapConfig
    dimensions: tuple[Dimension, ...]

    @cached_property
    def content(self) -> Content:
        """The config's sections, which are not to be changed."""
        content: Content = self.config.model_dump(mode="json")
        return content

    def distributions(self) -> dict[str, "BaseDistribution"]:
        return {one.name: one.distribution() for one in self.dimensions}

    @cached_property
    def current_point(self) -> Point:
        """The point at which the config stands."""
        return {one.name: one.current(self.content) for one in self.dimensions}

    def at(self, point: Mapping[str, Any]) -> tuple[RecapConfig, Changes]:
        """The config at a point, and its changes against the config of the space.

        Schedules that are given in steps keep their fraction of the run, and experts get the backbone's layers.

        Raises ConfigError for a point that is no valid config.
        """
        content = self.content
        changes: dict[Path, Any] = {}
        current = self.current_point
        for one in self.dimensions:
            value = point[one.name]
            if value != current[one.name] and one.name != SHARING_FIELD:
                changes |= one.changes(content, value)
        changes |= _rescaled_steps(content, apply(content, changes))
        if (sharing := point.get(SHARING_FIELD, current.get(SHARING_FIELD))) != current.get(SHARING_FIELD):
            changes = change_sharing(content, changes, json.loads(sharing))
        changes = {
            path: value for path, value in changes.items() if value is REMOVED or value != get(content, path)
        }
        return parse_config(apply(content, changes), "trial"), changes


def is_valid(config: RecapConfig, changes: Changes) -> bool:
    """Whether a config with these changes is one."""
    try:
        parse_config(apply(config.model_dump(mode="json"), changes))
    except ValueError:
        return False
    return True


def _is_scaled(path: Path, value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and not any(name in path for name in _STEPS)


def _scaled(path: Path, value: Any, factor: float) -> Any:
    """A number times a factor; a width of 1, as of a tower's logit, stays."""
    if isinstance(value, int):
        return value if value == 1 else max(1, round(value * factor))
    return _rounded(value * factor)


def _rounded(value: Any) -> Any:
    """A number of three digits, so that a config stays readable."""
    if not isinstance(value, float) or value == 0.0:
        return value
    return round(value, _DIGITS - 1 - math.floor(math.log10(abs(value))))


def _rescaled_steps(before: Content, after: Content) -> dict[Path, Any]:
    """Steps of schedules that keep their fraction of a run whose number of steps changed."""
    ratio = _relative_steps(after) / _relative_steps(before)
    if ratio == 1.0:
        return {}
    changed: dict[Path, Any] = {}
    for name in (*_STEPS, "every_steps"):
        for path, value in {
            **matching(after, f"optimizer.*.{name}"),
            **matching(after, f"training.early_stopping.{name}"),
        }.items():
            if isinstance(value, int | float) and value >= 1:
                changed[path] = max(1, round(value * ratio))
    if after["training"].get("max_steps"):
        changed["training", "max_steps"] = max(1, round(after["training"]["max_steps"] * ratio))
    return changed


def _relative_steps(content: Content) -> float:
    """Steps for each training row."""
    training = content["training"]
    epochs = 1 if training.get("max_steps") else training["epochs"]
    return float(epochs) / float(training["batch_size"])


def describe_changes(changes: Changes) -> dict[str, str]:
    """Each changed field's path with its new value as text."""
    return {
        dotted_path(path): "removed" if value is REMOVED else json.dumps(value)
        for path, value in changes.items()
    }
