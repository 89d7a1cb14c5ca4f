"""Columns that name users, requests, candidates or days, and the ids that are worth a table."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.config_draft.profile import Codes, ColumnProfile

_CONSTANT = 0.98  # of an entity's rows that have its most frequent value, from which it has one value
_SEVERAL_ROWS = 2.0  # rows of an entity, on average, under which each value is constant
_BETWEEN_DAYS = 0.5  # of a column's variance
_UNKNOWN_VALUES = 0.5  # of the newest day's rows, with values of no other day
_LEAST_DAYS = 3


@dataclass(frozen=True)
class Entity:
    """Whose or what a row is.

    Attributes:
        role: user, request or candidate.
        column: its column of ids.
        codes: (rows,) a number for each id, -1 where it has none.
        least: entities that share a value, in the median, under which the value names the entity.
    """

    role: str
    column: str
    codes: Codes
    least: float


def find_entity_name(profile: ColumnProfile, entity: Entity, fraction: float) -> str:
    """Why a column of ids tells entities apart, or "": each has one value, which few others have.

    A postal code that three users have is as good as the user's id, and teaches nothing about new users.

    Args:
        fraction: of the log's rows that were looked at.
    """
    known = (entity.codes >= 0) & (profile.codes >= 0)
    if not known.any():
        return ""
    pairs, counts = np.unique(
        entity.codes[known] * profile.distinct + profile.codes[known], return_counts=True
    )
    owners, values = np.divmod(pairs, profile.distinct)
    entities = len(np.unique(owners))
    most = np.zeros(owners.max() + 1, dtype=np.int64)
    np.maximum.at(most, owners, counts)
    rows = known.sum()
    if rows / entities < _SEVERAL_ROWS or most.sum() < _CONSTANT * rows:
        return ""
    sharing = np.bincount(values)[values]
    # A row in few of the sample's users stands for more of the log's.
    typical = float(np.median(sharing)) / (fraction if rows / entities < 10 * _SEVERAL_ROWS else 1.0)
    if typical >= entity.least:
        return ""
    return f"names the {entity.role}: one value for each, which {typical:.0f} of them share"


def find_day_marker(profile: ColumnProfile, day: NDArray[np.int64], days: int, is_id: bool) -> str:
    """Why a column says which day a row is of, rather than what its label is, or ""."""
    present = profile.codes >= 0
    if days < _LEAST_DAYS or not present.any():
        return ""
    codes, day = profile.codes[present], day[present]
    if is_id or profile.distinct <= days:
        unknown = ~np.isin(codes[day == 0], codes[day > 0])
        if len(unknown) and unknown.mean() > _UNKNOWN_VALUES:
            return f"{unknown.mean():.0%} of the newest day's rows have a value of no other day"
        return ""
    counts = np.bincount(codes)
    ranks = (np.cumsum(counts) - counts / 2)[codes]
    sizes = np.bincount(day)
    means = np.bincount(day, ranks) / np.maximum(sizes, 1)
    between = (sizes * (means - ranks.mean()) ** 2).sum() / max(((ranks - ranks.mean()) ** 2).sum(), 1.0)
    if between > _BETWEEN_DAYS:
        return f"says which day it is: {between:.0%} of its variance lies between days"
    return ""


def known_later(codes: Codes, order: NDArray[np.float64]) -> float:
    """Fraction of the last fifth of the rows whose id is among the rows before.

    Args:
        order: (rows,) by which rows come earlier or later.
    """
    sequence = codes[np.argsort(order, kind="stable")]
    cut = len(sequence) * 4 // 5
    later = sequence[cut:]
    return float((np.isin(later, sequence[:cut]) & (later >= 0)).mean()) if len(later) else 0.0
