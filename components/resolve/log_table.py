"""A Delta or Iceberg table as a log: its days, and their files."""

from collections.abc import Iterator, Mapping
from datetime import date

from components.common.storage.log_files import ListedFile
from components.common.storage.tables.listing import TableListing
from components.resolve.window import Window


class LogTable(Mapping[date, list[ListedFile]]):
    """The days of a table's version, oldest first, each with its files; as `LogFolder`.

    Raises ValueError on access of a day with a file that cannot be read as it is.
    """

    def __init__(self, listing: TableListing) -> None:
        self._listing = listing
        self._days: dict[date, list[ListedFile]] = {}
        for listed in listing.files:
            day = date.fromisoformat(listed.partition.partition("/")[0].removeprefix("date="))
            self._days.setdefault(day, []).append(listed)
        self.check_has_files()

    def __getitem__(self, day: date) -> list[ListedFile]:
        return [self._listing.check_readable(listed) for listed in self._days[day]]

    def __iter__(self) -> Iterator[date]:
        return iter(self._days)

    def __len__(self) -> int:
        return len(self._days)

    @property
    def not_read(self) -> list[str]:
        """A table's files whose rows have no date."""
        count = self._listing.without_day
        return [f"{count} file{'s' * (count > 1)} of rows without a date"] if count else []

    def check_has_files(self) -> None:
        """Raise ValueError if no day has a file."""
        if not self._days:
            raise ValueError(f"{self._listing.table.address}: the table has no row with a date; write some")

    def check_stray_days(self, window: Window, is_newest: bool) -> None:
        """A table has nothing beside its days."""
