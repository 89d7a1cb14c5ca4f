"""The measured columns of the log by role, in blocks that are read as one array."""

from dataclasses import dataclass
from functools import cached_property

from recap_model.config import RecapConfig
from recap_model.data.log.column_roles import FEATURE_ROLES as FEATURE_ROLES
from recap_model.data.log.column_roles import LogColumn, Role
from recap_model.data.log.labels import label_sources
from recap_model.data.log.schema import log_columns, select_columns, sequence_columns

# Of an embedding the norm, of a list of ids the length, of a sequence's column the newest event.
_ONE_VALUE = ("embedding", "sparse", "sequence_id", "sequence_number", "sequence_time")


@dataclass(frozen=True)
class Block:
    """Columns of one role that are measured as one array of (rows, width).

    Attributes:
        members: scalar columns, one for each position; or just one column, of lists; or the columns of a sequence; or
            of derived labels all columns that they are made of.
        name: of the sequence.
        config: of derived labels, which has their rules.
    """

    role: Role
    members: tuple[LogColumn, ...]
    name: str = ""
    config: RecapConfig | None = None

    @cached_property
    def tasks(self) -> list[str]:
        """The tasks whose derived labels are the positions."""
        return [] if self.config is None else list_derived(self.config)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The members' names, each once."""
        return tuple(dict.fromkeys(member.name for member in self.members))

    @property
    def section(self) -> str:
        """The part of the config that names the first member."""
        return self.members[0].section

    @property
    def list_width(self) -> int | None:
        """Numbers in each list; None for scalar columns, 0 for lists of any length."""
        return self.members[0].width

    @property
    def key(self) -> str:
        """The block's name in a profile."""
        if self.name:
            return f"{self.role}:{self.name}"
        return self.role if self.list_width is None else f"{self.role}:{self.columns[0]}"

    @property
    def width(self) -> int:
        """Positions that are measured: of an embedding its norm, of a sparse list or a sequence its length."""
        if self.tasks:
            return len(self.tasks)
        if self.name or self.role in _ONE_VALUE:
            return 1
        if self.members[0].values:
            return len(self.members[0].values)
        return len(self.members) if self.list_width is None else self.list_width

    @property
    def are_ids(self) -> bool:
        """Whether the values have no order."""
        return self.role in ("discrete", "sequence_id")

    def any_id(self, position: int) -> bool:
        """Whether a position's values may be hashes of text, which are not shown as numbers."""
        if self.role == "sequence_id":
            return self.members[0].any_id
        return self.list_width is None and self.members[position].any_id

    @property
    def labels(self) -> list[str]:
        """A name for each position: the column, or ``column[position]``, or ``tasks.TASK``; of a sequence its own."""
        if self.tasks:
            return [f"tasks.{task}" for task in self.tasks]
        if self.name:
            return [self.name]
        if self.members[0].values:
            return [f"{self.columns[0]}[{value}]" for value in self.members[0].values]
        if self.width == len(self.columns) and (self.list_width is None or self.list_width != 1):
            return list(self.columns)
        return [f"{self.columns[0]}[{position}]" for position in range(self.width)]

    @property
    def sources(self) -> list[str]:
        """The log's column of each position; of a sequence or a derived label its name."""
        if self.tasks:
            return self.labels
        if self.name:
            return [self.name]
        return list(self.columns) if self.list_width is None else [self.columns[0]] * self.width


def list_blocks(config: RecapConfig) -> list[Block]:
    """List every column that is measured, by role; a column may have several."""
    members: dict[str, list[LogColumn]] = {}
    for column in log_columns(config):
        if column.measured:
            members.setdefault(Block(column.role, (column,)).key, []).append(column)
    blocks = [Block(columns[0].role, tuple(columns)) for columns in members.values()]
    blocks += [
        Block("sequence", tuple(sequence_columns(sequence, f"features.sequences.{name}")), name)
        for name, sequence in config.features.sequences.items()
    ]
    tasks = list_derived(config)
    if tasks:
        sources = select_columns(log_columns(config), label_sources(config, tasks))
        blocks.append(Block("derived_label", tuple(sources), config=config))
    return blocks


def list_derived(config: RecapConfig) -> list[str]:
    """The binary tasks whose labels are made of several columns."""
    return [task for task in config.binary_tasks if config.tasks[task].has_derived_label]


def locate_label(config: RecapConfig, task: str) -> tuple[str, str]:
    """The block of a task's label in a profile, and the label's name there; of a value task its column as it is."""
    rule = config.tasks[task].label_rule(task)
    if config.tasks[task].kind == "value":
        return "value", str(rule)
    is_derived = config.tasks[task].has_derived_label
    return ("derived_label", f"tasks.{task}") if is_derived else ("label", str(rule))


def list_columns(blocks: list[Block]) -> list[str]:
    """List the columns of some blocks, each once."""
    return list(dict.fromkeys(column for block in blocks for column in block.columns))
