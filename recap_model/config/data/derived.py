"""Derived columns: computed from other columns, identically in training and serving."""

from typing import Literal

from pydantic import Field, model_validator

from recap_model.config.base import StrictModel
from recap_model.config.fields.names import ColumnName
from recap_model.config.fields.numbers import TableSize

DerivedKind = Literal[
    "ratio", "difference", "product", "hour_of_day", "day_of_week", "hours_between", "cross"
]
_SOURCES = {"hour_of_day": (1, 1), "day_of_week": (1, 1), "cross": (2, 8)}


class DerivedColumn(StrictModel):
    """One column out of others of the same row; missing where one of those is.

    ``ratio`` is the first over the second, missing where that is 0; ``difference`` the first less the second;
    ``product`` of both. ``hour_of_day`` (0 to 23) and ``day_of_week`` (0 is Monday) are of milliseconds since
    1970-01-01 UTC, as is ``hours_between``, from the first time to the second. ``cross`` hashes ids together into so
    many ``buckets``: a discrete column of its own for a pair that says more than each.
    """

    kind: DerivedKind = Field(description="how it is computed, as said above")
    of: list[ColumnName] = Field(min_length=1, description="columns of the log")
    buckets: TableSize | None = Field(None, description="of a cross: its ids are 0 to buckets - 1")

    @property
    def is_of_times(self) -> bool:
        """Whether the columns that it is ``of`` are times."""
        return self.kind in ("hour_of_day", "day_of_week", "hours_between")

    @model_validator(mode="after")
    def _takes_its_columns(self) -> "DerivedColumn":
        least, most = _SOURCES.get(self.kind, (2, 2))
        if not least <= len(self.of) <= most:
            wanted = str(least) if least == most else f"{least} to {most}"
            raise ValueError(f"of: {len(self.of)} columns; {self.kind} is of {wanted}")
        if (self.kind == "cross") != (self.buckets is not None):
            raise ValueError("buckets: a cross needs them, and nothing else takes them")
        return self
