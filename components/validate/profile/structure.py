"""Checks of a file's footer before its rows are read: columns, types, list widths, number of rows."""

from collections.abc import Iterable

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from components.common.artifacts.snapshot import LogFile
from components.validate.profile.columns import Block
from components.validate.profile.file_faults import FileFaults
from recap_model.data.log.schema import LogColumn


def readable_blocks(
    parquet: ParquetFile, file: LogFile, blocks: list[Block], others: Iterable[LogColumn], faults: FileFaults
) -> list[Block]:
    """The blocks of a file that can be measured; faults of the others are added to ``faults``.

    Args:
        others: roles of the blocks' columns in which they are not measured.
    """
    schema = parquet.schema_arrow
    if parquet.metadata.num_rows != file.rows:
        faults.add(
            "file_unchanged",
            "the file",
            f"has {parquet.metadata.num_rows:,} rows",
            f"resolve saw {file.rows:,}",
            "run resolve again",
            file=file.path,
        )
        return []
    refused = _refused(
        [*(column for block in blocks for column in block.members), *others], schema, file, faults
    )
    return [block for block in blocks if refused.isdisjoint(block.columns)]


def _refused(columns: list[LogColumn], schema: pa.Schema, file: LogFile, faults: FileFaults) -> set[str]:
    refused: set[str] = set()
    for column in columns:
        if refusal := column.refusal(schema):
            refused.add(column.name)
            faults.add(
                refusal.rule,
                f"column {column.name}",
                refusal.observed,
                refusal.allowed,
                refusal.advice,
                file=file.path,
            )
    return refused
