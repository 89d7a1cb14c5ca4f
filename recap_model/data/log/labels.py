"""Labels of tasks from columns of the log: label rules, windows, exclusions and masks.

A label is made in this order, each step in three-valued logic, with NaN for what is missing:

1. `label`: a column, or a rule (see `LabelRule`).
2. `within`: a positive that came too late is 0.
3. `unless`: a positive is 0 where it holds, and missing where that is missing.
4. `given`: a missing label is 0 where that of the task it is conditional on is 0.
5. `only_where`: a label is missing where it does not hold, or is missing.

A task that `unless`, `given` or `only_where` names counts with its finished label.
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recap_model.config import RecapConfig
from recap_model.config.data.labels import LabelRule, LabelWindow
from recap_model.data.log.columns import decoded, is_binary, is_text, milliseconds
from recap_model.data.log.schema import label_columns, value_columns
from recap_model.data.log.values import invalid_values

_MS_PER_HOUR = 3_600_000

Values = NDArray[np.float32]


def read_labels(batch: pa.RecordBatch, config: RecapConfig, where: str) -> Values:
    """Labels of all tasks: (rows, tasks) float32; 0, 1, or a value up to its task's cap; NaN where missing.

    Raises ValueError that begins with ``where`` for a label column with another value, or a comparison of a number
    with a text.
    """
    for column in label_columns(config):
        _check_values(batch.column(column), "label", f"{where}: column {column}")
    for column in value_columns(config).values():
        _check_values(batch.column(column), "value", f"{where}: column {column}")
    return evaluate_labels(batch, config, config.tasks, where)


def evaluate_labels(batch: pa.RecordBatch, config: RecapConfig, tasks: Iterable[str], where: str) -> Values:
    """Labels of some tasks: (rows, tasks) float32. A label column's values that are neither 0 nor missing count as 1.

    Raises ValueError that begins with ``where`` for a comparison of a number with a text.
    """
    labels = _Labels(batch, config, where)
    return np.stack([labels[task] for task in tasks], axis=1)


def label_sources(config: RecapConfig, tasks: Iterable[str]) -> list[str]:
    """Columns of the log that the labels of some tasks are made of."""
    names: dict[str, None] = {}
    waiting, seen = list(tasks), set(tasks)
    while waiting:
        task = waiting.pop(0)
        settings = config.tasks[task]
        for _, rule in settings.conditions(task):
            bounds = [bound for bound in rule.bounds if isinstance(bound, str)]
            names |= dict.fromkeys([*([rule.column] if rule.column else []), *bounds])
        if (window := config.label_window(task)) is not None:
            times = (
                getattr(config.features.timestamps, name) for name in (window.of, "impressed", "engaged")
            )
            names |= dict.fromkeys(name for name in times if name)
        for other in (settings.unless, settings.given, settings.only_where):
            if isinstance(other, str) and other not in seen:
                seen.add(other)
                waiting.append(other)
    return list(names)


class _Labels:
    """Labels of a batch's rows by task, each computed once."""

    def __init__(self, batch: pa.RecordBatch, config: RecapConfig, where: str) -> None:
        self._batch, self._config, self._where = batch, config, where
        self._known: dict[str, Values] = {}
        self._late: dict[LabelWindow, NDArray[np.bool_]] = {}

    def __getitem__(self, task: str) -> Values:
        if task not in self._known:
            self._known[task] = self._label(task)
        return self._known[task]

    def _label(self, task: str) -> Values:
        settings = self._config.tasks[task]
        label = self._condition(settings.label_rule(task), f"tasks.{task}.label")
        if settings.cap is not None:
            label = np.minimum(label, np.float32(settings.cap))
        window = self._config.label_window(task)
        if window is not None:
            if window not in self._late:
                self._late[window] = self._is_late(window)
            label = np.where(self._late[window] & (label > 0.0), np.float32(0.0), label)
        if settings.unless is not None:
            excluded = self._condition_or_task(settings.unless, f"tasks.{task}.unless")
            label = np.where(label > 0.0, label * (np.float32(1.0) - excluded), label)
        if settings.given is not None:
            label = np.where(np.isnan(label) & (self[settings.given] == 0.0), np.float32(0.0), label)
        if settings.only_where is not None:
            inside = self._condition_or_task(settings.only_where, f"tasks.{task}.only_where")
            label = np.where(inside > 0.5, label, np.float32(np.nan))
        return label

    def _condition_or_task(self, rule: str | LabelRule, path: str) -> Values:
        return self[rule] if isinstance(rule, str) else self._condition(rule, path)

    def _condition(self, rule: str | LabelRule, path: str) -> Values:
        """A rule as numbers; a column of labels as it is."""
        if isinstance(rule, str):
            column = decoded(self._batch.column(rule))
            numbers: Values = column.cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
            return numbers
        truth = self._evaluate(rule, path).cast(pa.float32())
        values: Values = truth.to_numpy(zero_copy_only=False)
        return values

    def _evaluate(self, rule: str | LabelRule, path: str) -> pa.BooleanArray:
        if isinstance(rule, str) or (rule.column is not None and not rule.is_comparison):
            values = _numbers(self._batch.column(rule if isinstance(rule, str) else rule.column))
            return pc.not_equal(values, 0.0)
        if rule.column is not None:
            return self._compare(rule, path)
        operands = [self._evaluate(operand, path) for operand in rule.operands]
        if rule.negated is not None:
            return pc.invert(operands[0])
        combine = pc.or_kleene if rule.any_of is not None else pc.and_kleene
        result = operands[0]
        for operand in operands[1:]:
            result = combine(result, operand)
        return result

    def _compare(self, rule: LabelRule, path: str) -> pa.BooleanArray:
        column = decoded(self._batch.column(str(rule.column)))
        if rule.equals is not None:
            return _equal(column, rule.equals, f"{self._where}: {path}: column {rule.column}")
        values = _numbers(column)
        low, high = rule.between or (rule.at_least, rule.at_most)
        bounds = [(pc.greater_equal, low), (pc.less_equal, high)]
        results = [compare(*self._operands(values, bound)) for compare, bound in bounds if bound is not None]
        return results[0] if len(results) == 1 else pc.and_kleene(*results)

    def _operands(self, values: pa.Array, bound: float | str) -> tuple[pa.Array, pa.Array | pa.Scalar]:
        """The two sides of a comparison: with a number in the column's own precision, with a column in float64."""
        if isinstance(bound, str):
            return values.cast(pa.float64()), _numbers(self._batch.column(bound)).cast(pa.float64())
        return values, pa.scalar(bound, values.type)

    def _is_late(self, window: LabelWindow) -> NDArray[np.bool_]:
        """Whether a positive of each row came too late, or its impression without a known time."""
        window_ms = window.hours * _MS_PER_HOUR
        start = self._times[window.of]
        late = self._times["engaged"] - start >= window_ms
        if window.of == "served":
            late |= ~(self._times["impressed"] - start < window_ms)
        return late

    @cached_property
    def _times(self) -> dict[str, NDArray[np.float64]]:
        """Milliseconds of each role of a time that is in the batch; NaN where missing."""
        times = {}
        for role, name in self._config.features.timestamps:
            if name is not None and role != "computed" and name in self._batch.schema.names:
                column = milliseconds(self._batch.column(name), f"{self._where}: column {name}")
                times[role] = pc.cast(column, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return times


def _numbers(column: pa.Array) -> pa.Array:
    """A column of numbers or booleans as float32 or float64, with null for NaN."""
    column = decoded(column)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if not pa.types.is_floating(column.type):
        column = column.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _equal(column: pa.Array, value: float | str, what: str) -> pa.BooleanArray:
    """Whether each value is a number, a truth value or a text. Raises ValueError beginning with ``what``."""
    is_word = is_text(column.type) or is_binary(column.type)
    if pa.types.is_null(column.type):
        return column.cast(pa.bool_())
    if is_word != isinstance(value, str):
        kind = "a text" if isinstance(value, str) else "a number"
        raise ValueError(
            f"{what} is {column.type}, and equals has {kind}; compare it with {'a text' if is_word else 'a number'}"
        )
    if isinstance(value, str):
        return pc.equal(column, pa.scalar(value, column.type) if is_text(column.type) else value.encode())
    if pa.types.is_integer(column.type) and isinstance(value, int) and not isinstance(value, bool):
        return pc.equal(column, value)
    numbers = _numbers(column)
    return pc.equal(numbers, pa.scalar(float(value), numbers.type))


def _check_values(column: pa.Array, role: Literal["label", "value"], what: str) -> None:
    values = decoded(column).cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    wrong = invalid_values(role, values)
    allowed = (
        "a label is 0, 1 or null" if role == "label" else "the label of a value task is 0 or more, or null"
    )
    if wrong.any():
        raise ValueError(
            f"{what} has value {values[wrong][0]:g}; {allowed}; fix the log, or name another column"
        )
