"""Checks of what shared tables and readers of sequences read, against the columns of `features`."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from recap_model.config.data.sequences import Sequence
from recap_model.config.model.sequences import SequenceReaderConfig

if TYPE_CHECKING:
    from recap_model.config.recap import RecapConfig

_ID_KINDS = ("id", "category")


def unknown_id_columns(config: "RecapConfig") -> Iterator[str]:
    """Columns of ``model.ids`` that are in no group of ids."""
    discrete = _discrete_names(config)
    for number, item in enumerate(config.model.ids):
        if isinstance(item.column, str) and item.column not in (*discrete, *config.features.sparse):
            yield (
                f"model.ids.{number}.column: unknown column {item.column!r}; columns of features.discrete and "
                f"features.sparse: {_listed((*discrete, *config.features.sparse))}"
            )


def unreadable_sequences(config: "RecapConfig") -> Iterator[str]:
    """Sequences that are not there, and columns of them that are not there or of another kind than they are read."""
    sequences = config.features.all_sequences()
    for name, reader in config.model.sequences.items():
        where = f"model.sequences.{name}"
        if name not in sequences:
            yield f"{where}: unknown sequence; sequences of features: {_listed(sequences)}"
            continue
        yield from _wrong_inputs(where, reader, sequences[name])
        for key, column in reader.candidate.items():
            discrete = _discrete_names(config)
            if isinstance(column, str) and column not in discrete:
                yield (
                    f"{where}.candidate.{key}: unknown column {column!r}; columns of features.discrete: "
                    f"{_listed(discrete)}"
                )


def _wrong_inputs(where: str, reader: SequenceReaderConfig, sequence: Sequence) -> Iterator[str]:
    for key, side in reader.inputs.items():
        path = f"{where}.inputs.{key}"
        if key not in sequence.columns:
            yield f"{path}: unknown column of the sequence; columns: {_listed(sequence.columns)}"
            continue
        kind = sequence.columns[key].kind
        if kind in _ID_KINDS and side.table is None:
            yield f"{path}.table: needed by a column of kind {kind}; name one of model.tables"
        if kind not in _ID_KINDS and side.table is not None:
            yield f"{path}.table: a column of kind {kind} reads no table; remove it, or change its kind"
        if kind != "time" and side.buckets is not None:
            yield f"{path}.buckets: a column of kind {kind} has no buckets; remove it"


def _discrete_names(config: "RecapConfig") -> list[str]:
    discrete = config.features.discrete
    return discrete if isinstance(discrete, list) else []


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
