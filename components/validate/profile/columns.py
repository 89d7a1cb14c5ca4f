"""Which columns of the log are checked, in which role: the blocks that a file is read in."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import pyarrow as pa

from recap_model.config import RecapConfig
from recap_model.config.data import SplitByColumn, SplitByHash
from recap_model.config.features import EMBEDDING_GROUPS, ListColumn
from recap_model.config.inputs import SmallEmbeddingTableConfig
from recap_model.data.log.columns import is_text, is_time, plain_type

Role = Literal[
    "continuous",
    "binary",
    "discrete",
    "embedding",
    "sparse",
    "label",
    "weight",
    "id",
    "split",
    "timestamp",
    "moment",  # a time that only derived columns are computed from
    "direction",  # an embedding once more: its cosines with fixed vectors, which only drift looks at
]
FEATURE_ROLES: tuple[Role, ...] = ("continuous", "binary", "discrete", "embedding", "sparse")
_ROLE_OF_GROUP: dict[str, Role] = {
    "continuous": "continuous",
    "binary": "binary",
    "discrete": "discrete",
    **dict.fromkeys(EMBEDDING_GROUPS, "embedding"),
}

_DIRECTIONS = 4
_TIMES_IN_WORDS = "timestamps, dates, or integers (milliseconds since 1970-01-01 UTC)"
_TypeTest = Callable[[pa.DataType], bool]
_LISTS: tuple[_TypeTest, ...] = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
_NUMBERS: tuple[_TypeTest, ...] = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean)
_IDS: tuple[_TypeTest, ...] = (pa.types.is_integer, is_text)


@dataclass(frozen=True)
class Block:
    """Columns of one role that are measured as one array of (rows, width).

    Attributes:
        section: the part of the config that names the columns.
        columns: scalar columns, one for each position; or just one column, of lists.
        list_width: numbers in each list; None for scalar columns, 0 for lists of any length.
        words: of discrete columns those that may be of words: what reads them looks ids up or hashes them.
    """

    role: Role
    section: str
    columns: tuple[str, ...]
    list_width: int | None = None
    words: frozenset[str] = frozenset()

    @property
    def key(self) -> str:
        """The block's name in a profile."""
        return self.role if self.list_width is None else f"{self.role}:{self.columns[0]}"

    @property
    def width(self) -> int:
        """Positions that are measured: of an embedding its norm, of a sparse list its length."""
        if self.role == "direction":
            return _DIRECTIONS
        if self.list_width is None or self.role in ("embedding", "sparse"):
            return len(self.columns)
        return self.list_width

    @property
    def labels(self) -> list[str]:
        """A name for each position: the column, or ``column[position]``."""
        if self.role == "direction":
            return [f"{self.columns[0]}, direction {number}" for number in range(1, _DIRECTIONS + 1)]
        if self.width == len(self.columns) and (self.list_width is None or self.list_width != 1):
            return list(self.columns)
        return [f"{self.columns[0]}[{position}]" for position in range(self.width)]

    def allowed(self, column: str) -> str:
        """The types that one of the block's columns may have, in words."""
        if self.list_width is not None:
            size = f"of {self.list_width} " if self.list_width else ""
            return f"lists {size}{'integers' if self.role == 'sparse' else 'numbers'}"
        if self.role == "discrete" and column not in self.words:
            return "integers; words only where a table with min_count or hash reads them"
        return {
            "id": "integers or strings",
            "split": "integers or strings",
            "timestamp": _TIMES_IN_WORDS,
            "moment": _TIMES_IN_WORDS,
            "discrete": "integers or words",
        }.get(self.role, "numbers or booleans")

    def allows(self, column: str, kind: pa.DataType) -> bool:
        """Whether one of the columns may have this Arrow type; a list's width is looked at separately."""
        kind = plain_type(kind)
        if self.role in (*FEATURE_ROLES, "moment") and pa.types.is_null(kind):
            return True
        if self.list_width is None:
            return any(test(kind) for test in self._scalar_tests()) or (
                column in self.words and is_text(kind)
            )
        return any(test(kind) for test in _LISTS) and any(
            test(kind.value_type) for test in (*self._scalar_tests(), pa.types.is_null)
        )

    def _scalar_tests(self) -> tuple[_TypeTest, ...]:
        if self.role in ("id", "split"):
            return _IDS
        if self.role in ("timestamp", "moment"):
            return (is_time,)
        return (pa.types.is_integer,) if self.role == "sparse" else _NUMBERS


def blocks_of(config: RecapConfig) -> list[Block]:
    """Every column that a later step reads, by role; a column may have several."""
    features, scalars = config.features, _named_once(config)
    blocks = []
    for group, role in _ROLE_OF_GROUP.items():
        value = getattr(features, group)
        if isinstance(value, ListColumn):
            blocks.append(Block(role, f"features.{group}", (value.column,), value.width))
        if scalars.get(group):
            words = _words(config) if role == "discrete" else frozenset()
            blocks.append(Block(role, f"features.{group}", scalars[group], words=words))
    blocks += [Block("sparse", "features.sparse", (column,), 0) for column in features.sparse]
    split = config.data.split
    named: list[tuple[Role, str, Iterable[str | None]]] = [
        ("label", "tasks", config.label_columns().values()),
        ("weight", "features.weight", [features.weight]),
        ("id", "features.ids", features.ids.model_dump().values()),
        ("split", "data.split", [split.column] if isinstance(split, SplitByColumn | SplitByHash) else []),
        ("timestamp", "features.timestamps", features.timestamps.model_dump().values()),
        ("moment", "features.derived", scalars.get("moment", ())),
    ]
    for role, section, names in named:
        if columns := tuple(dict.fromkeys(name for name in names if name)):
            blocks.append(Block(role, section, columns))
    return blocks


def _named_once(config: RecapConfig) -> dict[str, tuple[str, ...]]:
    """The log's scalar columns of each group, and what only derived columns are computed from beside its like."""
    features = config.features
    named = {
        group: [name for name in value if name not in features.derived]
        for group in _ROLE_OF_GROUP
        if isinstance(value := getattr(features, group), list)
    }
    known = {name for names in named.values() for name in names}
    known |= {
        name for part in (features.ids, features.timestamps) for name in part.model_dump().values() if name
    }
    for column in features.derived.values():
        group = "discrete" if column.kind == "cross" else "moment" if column.is_of_times else "continuous"
        named.setdefault(group, []).extend(name for name in column.of if name not in known)
        known |= set(column.of)
    return {group: tuple(names) for group, names in named.items()}


def _words(config: RecapConfig) -> frozenset[str]:
    """Columns whose ids may be of any size: tables look them up or a cross hashes them; nothing else reads them."""
    value, model = config.features.discrete, config.model
    columns = value if isinstance(value, list) else []
    tables = model.small_embeddings.tables if model.small_embeddings else []
    looked_up = {columns[table.index] for table in tables if columns and _takes_any_id(table)}
    crossed = {name for one in config.features.derived.values() if one.kind == "cross" for name in one.of}
    plain = {columns[table.index] for table in tables if columns and not _takes_any_id(table)}
    if columns and model.position_debias_config is not None:
        plain.add(columns[model.position_debias_config.position_feature_index])
    if model.featurization_config and "discrete" in model.featurization_config.feature_names_to_concat:
        plain |= set(columns)
    return frozenset((looked_up | crossed) - plain)


def _takes_any_id(table: SmallEmbeddingTableConfig) -> bool:
    return table.hash or table.min_count is not None


def with_directions(blocks: Iterable[Block]) -> list[Block]:
    """Blocks, and behind each embedding's its directions."""
    found: list[Block] = []
    for block in blocks:
        found.append(block)
        if block.role == "embedding":
            found.append(replace(block, role="direction"))
    return found


def columns_of(blocks: list[Block]) -> list[str]:
    """The columns of some blocks, each once."""
    return list(dict.fromkeys(column for block in blocks for column in block.columns))
