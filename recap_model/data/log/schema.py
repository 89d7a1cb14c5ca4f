"""The columns of the log that a config names, each in its role, and whether a file has them as they must be."""

from collections.abc import Collection, Iterable, Iterator

import pyarrow as pa

from recap_model.config import RecapConfig
from recap_model.config.data.dataset import SplitByColumn, SplitByHash
from recap_model.config.data.features import DENSE_GROUPS, ListColumn
from recap_model.config.data.sequences import Sequence, SequenceKind
from recap_model.config.model.table_columns import TableColumn, shared_table_columns
from recap_model.data.log.column_roles import LogColumn, Role

_ROLE_BY_KIND: dict[SequenceKind, Role] = {
    "id": "sequence_id",
    "category": "sequence_id",
    "actions": "sequence_actions",
    "number": "sequence_number",
    "time": "sequence_time",
}


def log_columns(config: RecapConfig) -> list[LogColumn]:
    """Every column that a step reads, by role, in the order in which validate profiles them."""
    features, split = config.features, config.data.split
    split_columns = [split.column] if isinstance(split, SplitByColumn | SplitByHash) else []
    named: list[tuple[Role, str, Iterable[str | None]]] = [
        ("label", "tasks", label_columns(config)),
        ("value", "tasks", value_columns(config).values()),
        ("weight", "features.weight", [features.weight]),
        ("id", "features.ids", features.ids.model_dump().values()),
        ("split", "data.split", split_columns),
        ("timestamp", "features.timestamps", features.timestamps.model_dump().values()),
    ]
    columns = list(_feature_columns(config))
    fields = _label_fields(config)
    hashed = isinstance(split, SplitByHash)
    columns += [
        LogColumn(
            name, role, fields[name] if section == "tasks" else section, any_id=role == "split" and hashed
        )
        for role, section, names in named
        for name in dict.fromkeys(names)
        if name
    ]
    columns += list(_derived_sources(config, columns))
    columns += list(_event_sources(config))
    columns += list(_outcome_columns(config, columns))
    return columns + list(_slice_columns(config))


def label_columns(config: RecapConfig) -> list[str]:
    """Columns of 0 and 1 that labels are made of, each once."""
    conditions = [
        rule
        for task, settings in config.tasks.items()
        for field, rule in settings.conditions(task)
        if field != "label" or settings.kind == "binary"
    ]
    return list(dict.fromkeys(rule.column for rule in conditions if rule.column and not rule.is_comparison))


def _label_fields(config: RecapConfig) -> dict[str, str]:
    """The first field that names each column of labels."""
    fields: dict[str, str] = {}
    for task, settings in config.tasks.items():
        for field, rule in settings.conditions(task):
            if rule.column:
                fields.setdefault(rule.column, f"tasks.{task}.{field}")
    return fields


def value_columns(config: RecapConfig) -> dict[str, str]:
    """The label column of each value task."""
    return {task: str(config.tasks[task].label_rule(task)) for task in config.value_tasks}


def _outcome_columns(config: RecapConfig, known: list[LogColumn]) -> Iterator[LogColumn]:
    """What label rules compare, and what with; numbers are measured where the log's column has no other role."""
    sections: dict[tuple[str, Role], str] = {}
    for task, settings in config.tasks.items():
        for field, rule in settings.conditions(task):
            if rule.column and rule.is_comparison:
                role: Role = "outcome_text" if isinstance(rule.equals, str) else "outcome"
                names = [rule.column, *(bound for bound in rule.bounds if isinstance(bound, str))]
                sections = {(name, role): f"tasks.{task}.{field}" for name in names} | sections
    measured = {column.name for column in known if column.measured}
    for (name, role), section in sections.items():
        yield LogColumn(name, role, section, measured=role == "outcome" and name not in measured)


def _feature_columns(config: RecapConfig) -> Iterator[LogColumn]:
    features = config.features
    any_id = _columns_with_any_id(config)
    for group, (role, _, is_ids) in DENSE_GROUPS.items():
        value, section = getattr(features, group), f"features.{group}"
        if isinstance(value, ListColumn):
            yield LogColumn(value.column, role, section, value.width)
        elif value:
            for name in value:
                if name not in features.derived:
                    yield LogColumn(name, role, section, any_id=is_ids and name in any_id)
    large = config.model.large_embeddings
    looked_up = {table.name for table in (large.tables if large else []) if table.hash or table.vocab}
    looked_up |= {column.name for column in _shared(config, any_id=True) if column.group == "sparse"}
    looked_up -= {column.name for column in _shared(config, any_id=False) if column.group == "sparse"}
    for name in features.sparse:
        yield LogColumn(name, "sparse", "features.sparse", 0, any_id=name in looked_up)
    for name, sequence in features.sequences.items():
        yield from sequence_columns(sequence, f"features.sequences.{name}", _plain_keys(config, name))


def sequence_columns(sequence: Sequence, section: str, plain: Collection[str] = ()) -> Iterator[LogColumn]:
    """The columns of lists of one sequence; those of the keys ``plain`` have no text."""
    for key, column in sequence.columns.items():
        role = _ROLE_BY_KIND[column.kind]
        yield LogColumn(
            column.column,
            role,
            f"{section}.columns.{key}",
            0,
            any_id=role == "sequence_id" and key not in plain,
            newest_last=sequence.order == "oldest_first",
            values=tuple(column.values or ()),
        )


def _derived_sources(config: RecapConfig, known: list[LogColumn]) -> Iterator[LogColumn]:
    """What derived columns are computed from; measured where the log's column has no other role."""
    measured = {column.name for column in known if column.role not in ("label", "weight", "split")}
    known_roles: set[tuple[str, Role]] = {(column.name, column.role) for column in known}
    for derived in config.features.derived.values():
        role: Role = (
            "discrete" if derived.kind == "cross" else "moment" if derived.is_of_times else "continuous"
        )
        for name in derived.of:
            if (name, role) in known_roles:
                continue
            known_roles.add((name, role))
            section = "features.derived"
            yield LogColumn(name, role, section, any_id=role == "discrete", measured=name not in measured)
            measured.add(name)


def _event_sources(config: RecapConfig) -> Iterator[LogColumn]:
    """What derived sequences read of the rows that are their events; held to their type alone."""
    for name, sequence in config.features.derived_sequences.items():
        for key, column in sequence.columns.items():
            section = f"features.derived_sequences.{name}.columns.{key}"
            if column.known_at is not None:
                yield LogColumn(column.known_at, "timestamp", f"{section}.known_at", measured=False)
            if column.column is not None:
                role: Role = "continuous" if column.kind == "number" else "id"
                yield LogColumn(column.column, role, f"{section}.column", measured=False)


def _slice_columns(config: RecapConfig) -> Iterator[LogColumn]:
    """Columns that slices are made by, and the sources of derived ones among them; held to their type alone."""
    for name in config.evaluation.slice_columns():
        if name not in config.features.derived:
            yield LogColumn(name, "slice", "evaluation.slices", measured=False)


def _columns_with_any_id(config: RecapConfig) -> set[str]:
    """Discrete columns whose ids tables look up or hash, or a cross hashes, and nothing reads as a number."""
    value, model = config.features.discrete, config.model
    columns = value if isinstance(value, list) else []
    tables = model.small_embeddings.tables if model.small_embeddings and columns else []
    looked_up = {columns[table.index] for table in tables if table.hash or table.min_count is not None}
    crossed = {name for one in config.features.derived.values() if one.kind == "cross" for name in one.of}
    plain = {columns[table.index] for table in tables if not table.hash and table.min_count is None}
    looked_up |= {
        columns[one.index] for one in _shared(config, any_id=True) if one.group == "discrete" and columns
    }
    plain |= {
        columns[one.index] for one in _shared(config, any_id=False) if one.group == "discrete" and columns
    }
    if columns and model.position_debias_config is not None:
        plain.add(columns[model.position_debias_config.position_feature_index])
    if model.featurization_config and "discrete" in model.featurization_config.feature_names_to_concat:
        plain |= set(columns)
    return (looked_up | crossed) - plain


def _plain_keys(config: RecapConfig, sequence: str) -> set[str]:
    """Keys of a sequence whose ids a table reads as the numbers of its entries."""
    return {column.key for column in _shared(config, any_id=False) if column.name == sequence}


def _shared(config: RecapConfig, any_id: bool) -> Iterator[TableColumn]:
    """Columns of the shared tables that look ids up or hash them, or of those that read an id as an entry."""
    for table, columns in shared_table_columns(config).items():
        if config.model.tables[table].takes_any_id == any_id:
            yield from columns


def select_columns(columns: Iterable[LogColumn], names: Collection[str]) -> list[LogColumn]:
    """Those of the columns that have one of the names."""
    return [column for column in columns if column.name in names]


def check_columns(schema: pa.Schema, columns: Iterable[LogColumn], where: str) -> None:
    """Raise ValueError for the first column that a file, or rows to score, do not have as its role allows.

    Args:
        where: names the file or the rows in the error.
    """
    for column in columns:
        if refusal := column.refusal(schema):
            raise ValueError(
                f"{where}: column {column.name} {refusal.observed}; {refusal.allowed}; {refusal.advice}"
            )


def check_request(schema: pa.Schema, config: RecapConfig, where: str) -> None:
    """Raise ValueError for a feature of rows to score that is there twice, or not as its role allows.

    A derived column may be given itself; then what it is computed from is not read.
    """
    features = config.features
    names, needed = set(schema.names), set(features.columns())
    given = {name for name in features.derived if name in names}
    for group, kind in DENSE_GROUPS.items():
        for name in given.intersection(features.group_columns(group)):
            check_columns(schema, [LogColumn(name, kind.role, f"features.{group}")], where)
    read = {
        source for name, column in features.derived.items() if name not in given for source in column.of
    } | {name for group in DENSE_GROUPS for name in features.group_columns(group)}
    read |= set(features.sparse)
    check_columns(schema, select_columns(log_columns(config), read & names & needed), where)
    for name, sequence in features.all_sequences().items():
        for column in sequence_columns(sequence, f"features.sequences.{name}", _plain_keys(config, name)):
            check_columns(schema, [column] if column.name in names else [], where)
