"""Parameters of a simulated log; equal parameters give identical bytes."""

from datetime import date, timedelta
from typing import Annotated, Literal

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, model_validator

from recap_model.config import StrictModel

DEFAULT_ROWS = 60_000
DEFAULT_DAYS = 6
DEFAULT_START = date(2026, 3, 1)
DEFAULT_DRIFT = 0.02


class SampleParameters(StrictModel):
    """The parameters stored in `_sample.json`.

    A day's rows depend only on the seed, the day's number, the rows per day, the drift and ``history``.
    """

    format: Literal["recap-sample/1"] = "recap-sample/1"
    rows: PositiveInt = Field(DEFAULT_ROWS, description="impressions over the first `days` days")
    days: PositiveInt = Field(DEFAULT_DAYS, description="days written by the first call")
    start: date = DEFAULT_START
    seed: NonNegativeInt = 0
    drift: Annotated[NonNegativeFloat, Field(le=10.0)] = Field(
        DEFAULT_DRIFT,
        description="daily step of the rates' random walk (log odds) and rotation of the interests (radians)",
    )
    truth: bool = Field(False, description="also write the true probabilities under _truth/")
    history: bool = Field(
        False, description="tastes that drift within a day, dwell times, and each user's last events"
    )

    @model_validator(mode="after")
    def _check_rows_and_days(self) -> "SampleParameters":
        if self.rows < self.days:
            raise ValueError(
                f"rows must be at least days: {self.rows} rows leave some of {self.days} days empty"
            )
        if self.days > (date.max - self.start).days:
            raise ValueError(f"{self.days} days from {self.start} go past the year 9999")
        return self

    @property
    def rows_per_day(self) -> int:
        """Rows per day; the first days have one more if the division has a remainder."""
        return self.rows // self.days

    def rows_of(self, number: int) -> int:
        """Rows of day ``number``, counted from 0."""
        return self.rows_per_day + (number < self.rows % self.days)

    def date_of(self, number: int) -> date:
        """The date of day ``number``, counted from 0."""
        return self.start + timedelta(days=number)
