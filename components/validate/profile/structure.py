"""What a file's footer tells before a row of it is read: columns, types, widths, rows."""

import pyarrow as pa
from pyarrow.parquet import ParquetFile

from components.common.artifacts.snapshot import LogFile
from components.validate.profile.columns import Block
from components.validate.profile.file_faults import FileRule, Findings


def readable_blocks(
    parquet: ParquetFile, file: LogFile, blocks: list[Block], findings: Findings
) -> list[Block]:
    """The blocks of a file that can be measured; what is wrong with the others goes to ``findings``."""
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
    return [block for block in blocks if _is_readable(schema, block, file, findings)]


def _is_readable(schema: pa.Schema, block: Block, file: LogFile, findings: Findings) -> bool:
    problems = {column: _problem(schema, block, column) for column in block.columns}
    for column, problem in problems.items():
        if problem is not None:
            rule, observed, allowed, advice = problem
            findings.add(rule, f"column {column}", observed, allowed, advice, file=file.path)
    return not any(problems.values())


def _problem(schema: pa.Schema, block: Block, column: str) -> tuple[FileRule, str, str, str] | None:
    """Rule, what was found, what is allowed, what to do; None if the column is as it should be."""
    count = len(schema.get_all_field_indices(column))
    if count != 1:
        observed = "is not there" if not count else f"is there {count} times"
        return "column_present", observed, "a column is there once", f"write it, or change {block.section}"
    kind = schema.field(column).type
    if not block.allows(column, kind):
        return (
            "column_type",
            f"is {kind}",
            f"allowed are {block.allowed(column)}",
            f"mend the log, or change {block.section}",
        )
    wanted = block.list_width
    if wanted and pa.types.is_fixed_size_list(kind) and kind.list_size != wanted:
        return (
            "list_width",
            f"has lists of {kind.list_size}",
            f"{block.section} says {wanted}",
            "change one of them",
        )
    return None
