"""Check custom expectations: on the profile, on every row, or on the row sample, which each result names.

The profile decides extremes, means, nulls and row counts. The local engine checks row-wise expectations on every row,
batch by batch, and all others on the sample. On Spark, Great Expectations' own Spark engine checks both on every row.
"""

from components.common.engine import Engine
from components.common.engine.spark import SparkEngine
from components.common.storage.file_groups import FileGroup
from components.validate.checks.custom.expectations import CustomExpectation, ExpectationSource
from components.validate.checks.custom.on_profile import check_on_profile
from components.validate.checks.custom.results import Sample, build_result
from components.validate.checks.custom.rows import RowCounter, RowCounts, RowReader, merge_counts
from components.validate.checks.great_expectations import ExpectationResult, Validator
from components.validate.checks.plain_columns import to_plain_columns
from components.validate.profile.file_faults import FileRule
from components.validate.profile.row_sample import concat_sample
from components.validate.profile.scan import Log, Scan, split_log
from components.validate.result import Result

_NO_ROW = "no row could be read"
_UNREADABLE: tuple[FileRule, ...] = ("file_readable", "file_unchanged", "column_present", "column_type")


def check_custom_expectations(
    custom: list[CustomExpectation], source: ExpectationSource, log: Log, scan: Scan, engine: Engine
) -> list[Result]:
    """A result for each expectation, in their order; none for a log without rows.

    Args:
        custom: built from ``source``, from which other processes build them again.
    """
    groups = split_log(log, engine)
    if not custom or not log.snapshot.rows:
        return []
    results = check_on_profile(custom, scan, log.snapshot, log.config, Validator())
    rest = [item for item in custom if item.source not in results]
    if not rest:
        return [results[item.source] for item in custom]
    sample = Sample.build(rest, scan, log.config)
    population = _describe_population(log, scan)
    on_rows = rest if isinstance(engine, SparkEngine) else [item for item in rest if item.is_row_wise]
    readable = [item for item in on_rows if _has_columns(item, scan)]
    if isinstance(engine, SparkEngine):
        outcomes = _check_on_spark(readable, log, scan, engine, groups)
    else:
        outcomes = _count_rows(readable, custom, source, log, scan, engine, groups)
    for item in on_rows:
        outcome = outcomes.get(item.source, ExpectationResult(False, 0, error=_NO_ROW))
        results[item.source] = build_result(item, outcome, population, sample)
    for item, outcome in sample.check([item for item in rest if item.source not in results]):
        results[item.source] = build_result(item, outcome, sample.population, sample)
    return [results[item.source] for item in custom]


def _list_skipped(scan: Scan) -> frozenset[str]:
    """Paths of files that cannot be read, or lack a column in its type: the run fails anyway."""
    return frozenset(path for fault in scan.faults if fault.rule in _UNREADABLE for path in fault.files)


def _describe_population(log: Log, scan: Scan) -> str:
    skipped, rows = _list_skipped(scan), log.snapshot.rows
    read = sum(file.rows for file in log.snapshot.files if file.path not in skipped)
    return f"all {rows:,} rows" if read == rows else f"{read:,} of {rows:,} rows"


def _has_columns(item: CustomExpectation, scan: Scan) -> bool:
    return any(set(item.columns) <= set(schema.names) for schema in scan.schemas)


def _build_reader(items: list[CustomExpectation], log: Log, scan: Scan) -> RowReader:
    columns = list(dict.fromkeys(name for item in items for name in item.columns))
    return RowReader(log, columns, _list_skipped(scan))


def _count_rows(
    items: list[CustomExpectation],
    custom: list[CustomExpectation],
    source: ExpectationSource,
    log: Log,
    scan: Scan,
    engine: Engine,
    groups: list[FileGroup],
) -> dict[str, ExpectationResult]:
    """Count the rows that fail row-wise expectations."""
    if not items:
        return {}
    numbers = [number for number, item in enumerate(custom) if item in items]
    counter = RowCounter(source, numbers, _build_reader(items, log, scan))
    counts: list[RowCounts] = engine.map(groups, counter, merge_counts)
    return {item.source: _judge(item, count) for item, count in zip(items, counts, strict=True)}


def _judge(item: CustomExpectation, count: RowCounts) -> ExpectationResult:
    if count.error or not count.rows:
        return ExpectationResult(False, 0, error=count.error or _NO_ROW)
    mostly = float(item.kwargs.get("mostly", 1.0))
    success = bool(count.checked) and (count.checked - count.failing) / count.checked >= mostly
    return ExpectationResult(success, count.checked, count.failing)


def _check_on_spark(
    items: list[CustomExpectation], log: Log, scan: Scan, engine: SparkEngine, groups: list[FileGroup]
) -> dict[str, ExpectationResult]:
    """Check expectations by Great Expectations' Spark engine, on rows that the executors read."""
    if not items:
        return {}
    reader = _build_reader(items, log, scan)
    columns = concat_sample([schema.empty_table().select(reader.columns) for schema in scan.schemas])
    assert columns is not None
    reader = RowReader(log, reader.columns, reader.skipped, columns.schema)
    frame = engine.read_frame(groups, reader.read_batches, to_plain_columns(columns).schema)
    outcomes = Validator(spark=True).count(frame, log.snapshot.rows, [item.expectation for item in items])
    return {item.source: outcome for item, outcome in zip(items, outcomes, strict=True)}
