"""What a file's footer tells before a row of it is read: columns, types, widths, rows."""

from collections.abc import Iterable

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from components.common.artifacts.snapshot import LogFile
from components.validate.profile.columns import Block
from components.validate.profile.file_faults import Findings
from recap_model.data.log.schema import LogColumn


def readable_blocks(
    parquet: ParquetFile, file: LogFile, blocks: list[Block], others: Iterable[LogColumn], findings: Findings
) -> list[Block]:
    """The blocks of a file that can be measured; what is wrong with the others goes to ``findings``.

    Args:
        others: roles of the blocks' columns in which they are not measured.
    """
    schema = parquet.schema_arrow
    if parquet.metadata.num_rows != file.rows:
        findings.add(
            "file_unchanged",
            "the file",
            f"has {parquet.metadata.num_rows:,} rows",
            f"resolve saw {file.rows:,}",
            "run resolve again",
            file=file.path,
        )
        return []
    refused = _refused(
        [*(column for block in blocks for column in block.members), *others], schema, file, findings
    )
    return [block for block in blocks if refused.isdisjoint(block.columns)]


def _refused(columns: list[LogColumn], schema: pa.Schema, file: LogFile, findings: Findings) -> set[str]:
    refused: set[str] = set()
    for column in columns:
        if refusal := column.refusal(schema):
            refused.add(column.name)
            findings.add(
                refusal.rule,
                f"column {column.name}",
                refusal.observed,
                refusal.allowed,
                refusal.advice,
                file=file.path,
            )
    return refused
