"""Which columns read which shared table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from recap_model.config.recap import RecapConfig


@dataclass(frozen=True)
class TableColumn:
    """A column of a batch whose ids read a table.

    Attributes:
        index: of a discrete column, its number.
        name: of a sparse column, or of a sequence.
        key: of a sequence's column.
    """

    group: Literal["discrete", "sparse", "sequences"]
    index: int = 0
    name: str = ""
    key: str = ""


def locate_column(column: int | str, discrete: Sequence[str]) -> TableColumn:
    """A column of `discrete` by its name or number; any other name is of `sparse`."""
    if isinstance(column, int):
        return TableColumn("discrete", index=column)
    if column in discrete:
        return TableColumn("discrete", index=list(discrete).index(column))
    return TableColumn("sparse", name=column)


def shared_table_columns(config: "RecapConfig") -> dict[str, list[TableColumn]]:
    """For each of ``model.tables``, the columns whose ids read it, each once."""
    discrete = config.features.discrete
    names = discrete if isinstance(discrete, list) else []
    model = config.model
    columns: dict[str, list[TableColumn]] = {name: [] for name in model.tables}
    for item in model.ids:
        columns[item.table].append(locate_column(item.column, names))
    for name, sequence in model.sequences.items():
        for key, side in sequence.inputs.items():
            if side.table is not None:
                columns[side.table].append(TableColumn("sequences", name=name, key=key))
                if key in sequence.candidate:
                    columns[side.table].append(locate_column(sequence.candidate[key], names))
    return {table: list(dict.fromkeys(read)) for table, read in columns.items()}


def shared_log_columns(config: "RecapConfig") -> dict[str, list[str]]:
    """For each of ``model.tables``, the log's columns of ids that it is read by, each once."""
    features = config.features
    discrete = features.group_columns("discrete")

    def log_column(column: TableColumn) -> str | None:
        if column.group == "sparse":
            return column.name
        if column.group == "discrete":
            return discrete[column.index] if isinstance(features.discrete, list) else discrete[0]
        if column.name in features.sequences:
            return features.sequences[column.name].columns[column.key].column
        return features.derived_sequences[column.name].columns[column.key].column

    return {
        table: list(dict.fromkeys(name for name in map(log_column, columns) if name))
        for table, columns in shared_table_columns(config).items()
    }
