"""Assign the columns of a sample to feature groups, each with the reason."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.config_draft.entities import Entity, find_day_marker, find_entity_name
from pipeline.config_draft.leaks import find_leak
from pipeline.config_draft.profile import ColumnProfile, profile_column
from pipeline.config_draft.sample import LogSample
from recap_model.config.data.features import EMBEDDING_GROUPS
from recap_model.data.log.column_roles import LogColumn, Role, form_of
from recap_model.data.log.columns import (
    FIRST_PLAUSIBLE_MS,
    LAST_PLAUSIBLE_MS,
    decoded,
    is_list,
    is_text,
    milliseconds,
    plain_type,
)

MIN_COUNT = 20
"""Rows of an id from which a table has an entry for it."""

_ID_NAME_SUFFIXES = ("id", "type", "code", "category", "kind")
_SPLIT_VALUES = {"train", "calibration", "test"}
_MOST_CODES = 64  # values of a column of integers up to which they are codes
_KNOWN_ROWS = 0.05  # of the rows: fewer with a frequent id leave nothing to learn


@dataclass
class Columns:
    """Columns by feature group; ``left_out`` has the reason for each excluded column.

    Attributes:
        embeddings: column and width by group.
        split: the column that names each row's set, if there is one.
    """

    continuous: dict[str, ColumnProfile] = field(default_factory=dict)
    binary: dict[str, ColumnProfile] = field(default_factory=dict)
    ids: dict[str, ColumnProfile] = field(default_factory=dict)
    embeddings: dict[str, tuple[str, int]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    split: str | None = None


@dataclass(frozen=True)
class Grouping:
    """What columns are judged by.

    Attributes:
        labels: (rows,) of 0, 1 or NaN by task; of value tasks, whether the value is over 0.
        label_columns: label columns of the log.
        discrete: columns that the user calls ids.
        entities: users, requests and candidates.
        impressed: (rows,) milliseconds of the impression, NaN where missing; None if the log has no such time.
    """

    log: LogSample
    labels: Mapping[str, NDArray[np.float64]]
    label_columns: Iterable[str]
    discrete: frozenset[str]
    entities: Iterable[Entity]
    impressed: NDArray[np.float64] | None = None

    def assign(self, names: Iterable[str]) -> Columns:
        """Assign columns to groups."""
        names, columns = list(names), Columns()
        prefixes = {_name_prefix(label) for label in self.label_columns} - {""}
        if len({_name_prefix(name) for name in names}) == 1:  # one that all columns share says nothing
            prefixes = set()
        for name in names:
            if _name_prefix(name) in prefixes:
                columns.left_out[name] = "named like a label, and so perhaps one"
            elif name not in self.log.rows.schema.names:
                columns.left_out[name] = describe_missing(self.log, name)
            elif is_list(self.log.rows.schema.field(name).type):
                self._assign_list(columns, name, decoded(self.log.rows[name]))
            else:
                self._assign_scalar(columns, name, decoded(self.log.rows[name]))
        return columns

    def _assign_scalar(self, columns: Columns, name: str, column: pa.Array) -> None:
        if reason := self._type_problem(name, column):
            columns.left_out[name] = reason
            return
        form, is_discrete = form_of(column.type), name in self.discrete
        is_word = form in ("text", "binary")
        is_unit = form == "boolean" or (not is_word and _values(column, 3) <= {0, 1})
        is_named = is_word or is_discrete or (form == "integer" and is_named_as_id(name))
        is_id = is_named or (form == "integer" and not is_unit and _are_codes(column))
        profile = profile_column(column, self.labels, is_id)
        if is_word and not is_discrete and set(pc.unique(column).to_pylist()) == _SPLIT_VALUES:
            columns.split = name
            columns.left_out[name] = "each row's set: data.split reads it"
            return
        if is_binary := is_unit and not is_named:
            role: Role = "binary"
        else:
            role = "discrete" if is_id else "continuous"
        reason = find_leak(column, profile, self.labels, is_binary)
        reason = reason or _value_problem(column, profile, self.log.day)
        if not is_discrete:
            reason = reason or self._identity_problem(profile, is_id)
        reason = reason or self.find_refusal(LogColumn(name, role, f"features.{role}", any_id=is_id))
        if reason:
            columns.left_out[name] = reason
        else:
            {"binary": columns.binary, "discrete": columns.ids, "continuous": columns.continuous}[role][
                name
            ] = profile

    def _identity_problem(self, profile: ColumnProfile, is_id: bool) -> str:
        """Why a column names users, requests, days or its own row, or ""."""
        if day := find_day_marker(profile, self.log.day, self.log.days, is_id):
            return day
        if not is_id:
            return ""
        for entity in self.entities:
            if reason := find_entity_name(profile, entity, self.log.fraction):
                return reason
        return find_rare_ids(profile, self.log.fraction)

    def _type_problem(self, name: str, column: pa.Array) -> str:
        """Why a column of this type cannot be an input, or ""."""
        form = form_of(column.type)
        looks_like_times = form == "integer" and not is_named_as_id(name) and look_like_times(column)
        if form == "timestamp" or looks_like_times:
            return self._describe_time(column, form)
        if form == "null":
            return "no value in the rows looked at"
        if form != "other":
            return ""
        cast = pa.types.is_decimal(column.type) or pa.types.is_duration(column.type)
        advice = "; an input if the log writes it as a number" if cast else ""
        return f"of type {column.type}, which the model does not read{advice}"

    def _describe_time(self, column: pa.Array, form: str) -> str:
        if self.impressed is not None:
            times = milliseconds(column, "a time").cast(pa.float64()).to_numpy(zero_copy_only=False)
            later = times > self.impressed
            if later.mean() > 0.01:
                return f"a time after the impression in {later.mean():.0%} of the rows, so rather what came of it"
        looks = "a time" if form == "timestamp" else "looks like a time in milliseconds"
        return f"{looks}; features.derived makes hours, days and ages of it"

    def _assign_list(self, columns: Columns, name: str, column: pa.Array) -> None:
        lengths = pc.unique(pc.list_value_length(column.drop_null())).to_pylist()
        form = form_of(column.type.value_type)
        free = [group for group in EMBEDDING_GROUPS if group not in columns.embeddings]
        if form in ("integer", "text", "binary"):
            reason = "lists of ids; name it in features.sparse, with a table in model.large_embeddings"
        elif form != "float" or len(lengths) != 1 or not lengths[0]:
            reason = f"of type {column.type}; the model reads lists of one length, of floats or of ids"
        elif not free:
            reason = "a fourth embedding; a model has places for three"
        else:
            group = name if name in free else _match_embedding_group(name, free)
            reason = self.find_refusal(LogColumn(name, "embedding", f"features.{group}", lengths[0]))
            if not reason:
                columns.embeddings[group] = (name, lengths[0])
                return
        columns.left_out[name] = reason

    def find_refusal(self, column: LogColumn) -> str:
        """Why a run would refuse the column in a file of the log, or ""."""
        for path, schema in self.log.schemas.items():
            if refusal := column.refusal(schema):
                return f"{refusal.observed} in {path}, which a run refuses; {refusal.allowed}"
        return ""


def describe_missing(log: LogSample, name: str) -> str:
    """Why a column of some files is not among the sample's."""
    kinds: dict[pa.DataType, str] = {}
    for path, schema in log.schemas.items():
        places = schema.get_all_field_indices(name)
        if len(places) > 1:
            return "more than once in a file"
        if not places:
            return f"not in {path}, which a run refuses"
        kinds.setdefault(plain_type(schema.field(places[0]).type), path)
    (first, _), *others = kinds.items()
    return f"of type {first} in one file and " + ", ".join(f"{kind} in {path}" for kind, path in others)


def find_rare_ids(profile: ColumnProfile, fraction: float) -> str:
    """Why ids come too seldom to be learned, or ""."""
    counts = profile.counts
    if counts[counts >= MIN_COUNT * fraction].sum() >= _KNOWN_ROWS * counts.sum():
        return ""
    rows = 1 + profile.same / fraction
    return f"its values come {rows:.1f} times each, too seldom to learn (model…min_count is {MIN_COUNT})"


def look_like_times(column: pa.Array) -> bool:
    """Whether integers are plausible milliseconds since 1970, placeholders aside."""
    times = milliseconds(column, "a time").drop_null().to_numpy(zero_copy_only=False)
    return bool(len(times) and times.min() >= FIRST_PLAUSIBLE_MS and times.max() < LAST_PLAUSIBLE_MS)


def find_given_task(label: NDArray[np.float64], others: Mapping[str, NDArray[np.float64]]) -> str | None:
    """The task that a label is conditional on: the label is NaN exactly where that task's label is not 1."""
    known = ~np.isnan(label)
    for task, other in others.items():
        if not known.all() and np.array_equal(known, other == 1.0):
            return task
    return None


def label_values(rows: pa.Table, name: str) -> pa.Array:
    """A label's values, float64, null where it is missing."""
    values = decoded(rows[name]).cast(pa.float64())
    return pc.if_else(pc.is_nan(values), pa.scalar(None, pa.float64()), values)


def _value_problem(column: pa.Array, profile: ColumnProfile, day: NDArray[np.int64]) -> str:
    """Why a scalar column with these values cannot be an input, or ""."""
    rows = round((1.0 - profile.missing) * len(column))
    if profile.distinct < 2:
        return "one value only in the rows looked at" if rows else "no value in the rows looked at"
    if is_text(column.type) and profile.distinct > rows / 2:
        return "words that hardly come twice"
    newest = profile.codes[day == 0]
    if pa.types.is_integer(column.type) and len(np.unique(newest)) == len(newest) > _MOST_CODES:
        return "another number in each row of a day, so rather an id of the row"
    return ""


def _values(column: pa.Array, most: int) -> set[object]:
    return set(pc.unique(column.drop_null())[:most].to_pylist())


def _are_codes(column: pa.Array) -> bool:
    """Whether integers are codes of categories: few values, which are not a count's.

    A count's values begin at 0, and the larger, the rarer they are (rank correlation under -0.7).
    """
    counted = pc.value_counts(column.drop_null())
    if not 2 <= len(counted) <= _MOST_CODES:
        return False
    values = counted.field("values").to_numpy(zero_copy_only=False)
    rows = counted.field("counts").to_numpy(zero_copy_only=False)
    if values.min() != 0 or len(values) < 4:
        return True
    ranks = np.stack([np.argsort(np.argsort(numbers)) for numbers in (values, rows)])
    correlation = np.cov(ranks)[0, 1] / ranks[0].var(ddof=1)  # ranks have one variance
    return bool(correlation > -0.7)


def is_named_as_id(name: str) -> bool:
    """Whether the name of a column, or of lists, ends as one of ids or codes does."""
    return name.lower().split("_")[-1].removesuffix("s") in _ID_NAME_SUFFIXES


def _name_prefix(name: str) -> str:
    return name.rpartition(".")[0]


def _match_embedding_group(name: str, free: list[str]) -> str:
    return next((group for group in free if group.split("_")[0] in name.lower()), free[0])
