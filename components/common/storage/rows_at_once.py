"""How many rows of a log file are read at once: memory is bounded also where histories are long."""

from collections.abc import Iterable

from pyarrow.parquet import ParquetFile

from recap_model.data.log.column_roles import SEQUENCE_ROLES, LogColumn

_EVENTS_AT_ONCE = 1 << 24


def rows_at_once(parquet: ParquetFile, columns: Iterable[LogColumn], most: int) -> int:
    """At most ``most`` rows, fewer where the sequences among the columns are long.

    A log may have histories a thousand times as long as what is read of them.
    """
    names = tuple({f"{column.name}." for column in columns if column.role in SEQUENCE_ROLES})
    longest = 0.0
    for number in range(parquet.num_row_groups if names else 0):
        group = parquet.metadata.row_group(number)
        leaves = [group.column(leaf) for leaf in range(group.num_columns)]
        events = sum(leaf.num_values for leaf in leaves if leaf.path_in_schema.startswith(names))
        longest = max(longest, events / max(group.num_rows, 1))
    return max(1, min(most, int(_EVENTS_AT_ONCE / max(longest, 1.0))))
