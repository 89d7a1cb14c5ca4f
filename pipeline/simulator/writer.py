"""Write a simulated log, each day's partition atomically."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from components.common.runtime.atomic_output import atomic_directory, atomic_file
from pipeline.simulator.columns import Block, log_rows, log_schema, truth_rows, truth_schema
from pipeline.simulator.dwell import make_dwell
from pipeline.simulator.history import EventLog
from pipeline.simulator.impressions import make_impressions
from pipeline.simulator.labels import TASKS, make_engagements
from pipeline.simulator.parameters import (
    DEFAULT_DAYS,
    DEFAULT_DRIFT,
    DEFAULT_ROWS,
    DEFAULT_START,
    SampleParameters,
)
from pipeline.simulator.population import Population, day_state, make_population
from pipeline.simulator.posts import candidate_pool
from recap_model.config.reading.errors import first_reason

PARAMETERS_NAME = "_sample.json"
TRUTH_NAME = "_truth"
BLOCK_ROWS = 65_536
BLOCKS_PER_FILE = 8

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True)
class SampleReport:
    """The log's rows and days, and the days that this call has written."""

    out: Path
    rows: int
    first_day: date
    last_day: date
    written: list[date]


def write_log(
    out: str | Path,
    *,
    rows: int = DEFAULT_ROWS,
    days: int = DEFAULT_DAYS,
    start: date = DEFAULT_START,
    seed: int = 0,
    drift: float = DEFAULT_DRIFT,
    truth: bool = False,
    history: bool = False,
    on_progress: OnProgress | None = None,
) -> SampleReport:
    """Write ``rows`` impressions over ``days`` daily partitions, from ``start`` on.

    Existing days are kept, so that an interrupted call is completed by repeating it.

    Args:
        out: a new or empty folder, or a log of the same parameters.
        drift: daily step of the rates' random walk (log odds) and rotation of the interests (radians).
        truth: also write the true probabilities, under ``out/_truth``.
        history: tastes that drift within a day, dwell times, and each user's last events.
        on_progress: called with the rows done and the total, after each block.

    Raises:
        ValueError: a parameter is out of range, or ``out`` holds other files.
        NotADirectoryError: ``out`` is a file.
    """
    out = Path(out)
    parameters = _validate_parameters(
        rows=rows, days=days, start=start, seed=seed, drift=drift, truth=truth, history=history
    )
    _prepare_folder(out, parameters)
    return _write_days(out, parameters, range(days), on_progress)


def extend_log(out: str | Path, days: int = 1, on_progress: OnProgress | None = None) -> SampleReport:
    """Append ``days`` days to a sample log, with the log's own parameters.

    An interrupted log is completed first.

    Raises:
        ValueError: ``days`` is under 1, or the parameters cannot be read.
        FileNotFoundError: there is no sample log at ``out``.
    """
    out = Path(out)
    if days < 1:
        raise ValueError(f"days: {days} days cannot be added; give 1 or more")
    if not is_sample_log(out):
        raise FileNotFoundError(f"{out}: no sample log here (no {PARAMETERS_NAME}); write one first")
    parameters = _read_parameters(out)
    existing = _existing_days(out, parameters)
    after = max(existing) + 1 if existing else 0
    end = max(after, parameters.days) + days
    if end > (date.max - parameters.start).days:
        raise ValueError(f"days: {days} more days go past the year 9999")
    return _write_days(out, parameters, range(after, end), on_progress)


def is_sample_log(out: str | Path) -> bool:
    """Whether the folder holds a sample log, complete or not."""
    return (Path(out) / PARAMETERS_NAME).is_file()


def _validate_parameters(**given: object) -> SampleParameters:
    try:
        return SampleParameters.model_validate(given)
    except ValidationError as error:
        raise ValueError(first_reason(error)) from None


def _prepare_folder(out: Path, parameters: SampleParameters) -> None:
    """Prepare ``out`` for a log with these parameters; raises if it holds anything else."""
    if out.exists() and not out.is_dir():
        raise NotADirectoryError(f"{out}: a file; a log is a folder, give the path of a new or empty one")
    if is_sample_log(out):
        return _check_same_parameters(out, _read_parameters(out), parameters)
    if out.is_dir():
        partial = f".{PARAMETERS_NAME}.partial-"
        foreign = sorted(path.name for path in out.iterdir() if not path.name.startswith(partial))
        if foreign:
            raise ValueError(
                f"{out}: holds {foreign[0]!r}, which is of no sample log; give a new or empty folder"
            )
    with atomic_file(out / PARAMETERS_NAME) as file:
        file.write_text(parameters.model_dump_json(indent=2) + "\n")


def _check_same_parameters(out: Path, existing: SampleParameters, requested: SampleParameters) -> None:
    differing = [
        f"{name} {getattr(existing, name)} and not {getattr(requested, name)}"
        for name in SampleParameters.model_fields
        if getattr(existing, name) != getattr(requested, name)
    ]
    if differing:
        raise ValueError(
            f"{out}: holds a sample log of {', '.join(differing)}; give another folder, or extend this log"
        )


def _read_parameters(out: Path) -> SampleParameters:
    path = out / PARAMETERS_NAME
    try:
        return SampleParameters.model_validate_json(path.read_text())
    except ValidationError as error:
        reason = first_reason(error)
    except UnicodeDecodeError as error:
        reason = str(error)
    raise ValueError(
        f"{path}: not the parameters of a sample log: {reason}; write a new log in another folder"
    )


def _partition(parameters: SampleParameters, number: int) -> str:
    return f"date={parameters.date_of(number).isoformat()}"


def _existing_days(out: Path, parameters: SampleParameters) -> list[int]:
    """Numbers of the days that have a partition; earlier dates are ignored."""
    numbers = []
    for path in out.glob("date=????-??-??"):
        try:
            number = (date.fromisoformat(path.name.removeprefix("date=")) - parameters.start).days
        except ValueError:
            continue
        if number >= 0:
            numbers.append(number)
    return sorted(numbers)


def _write_days(
    out: Path, parameters: SampleParameters, numbers: range, on_progress: OnProgress | None
) -> SampleReport:
    existing = set(_existing_days(out, parameters))
    todo = [number for number in numbers if number not in existing]
    total, done = sum(map(parameters.rows_of, todo)), 0
    population = make_population(parameters)
    for number in todo:
        _write_day(out, population, number, partial(_report_progress, on_progress, done, total))
        done += parameters.rows_of(number)
    present = _existing_days(out, parameters)
    return SampleReport(
        out=out,
        rows=sum(map(parameters.rows_of, present)),
        first_day=parameters.date_of(present[0]),
        last_day=parameters.date_of(present[-1]),
        written=[parameters.date_of(number) for number in todo],
    )


def _report_progress(on_progress: OnProgress | None, before: int, total: int, rows_of_day: int) -> None:
    if on_progress is not None:
        on_progress(before + rows_of_day, total)


def _write_day(
    out: Path, population: Population, number: int, on_rows_written: Callable[[int], None]
) -> None:
    """Write one partition; its truth is published before it."""
    partition, history = _partition(population.parameters, number), population.parameters.history
    with ExitStack() as folders:
        log = folders.enter_context(atomic_directory(out / partition))
        truth = None
        if population.parameters.truth:
            truth = folders.enter_context(atomic_directory(out / TRUTH_NAME / partition))
        rows = population.parameters.rows_of(number)
        blocks = _blocks(population, number, rows)
        per_file = BLOCK_ROWS * BLOCKS_PER_FILE
        for part, first in enumerate(range(0, rows, per_file)):
            name = f"part-{part:05d}.parquet"
            with ExitStack() as files:
                log_file = files.enter_context(_open_parquet(log / name, log_schema(history)))
                truth_file = None
                if truth:
                    truth_file = files.enter_context(_open_parquet(truth / name, truth_schema(history)))
                for log_batch, truth_batch in islice(blocks, BLOCKS_PER_FILE):
                    log_file.write_batch(log_batch)
                    if truth_file is not None:
                        truth_file.write_batch(truth_batch)
                    first += len(log_batch)
                    on_rows_written(first)


def _blocks(
    population: Population, number: int, rows: int
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """A day's rows and their truth, `BLOCK_ROWS` at a time, so that memory does not grow with the day."""
    past = EventLog()
    # The day before is simulated again, so that a day does not depend on which days were written.
    if population.parameters.history and number > 0:
        for block in _simulate(population, number - 1, population.parameters.rows_of(number - 1)):
            _remember(past, block)
    for block in _simulate(population, number, rows):
        _remember(past, block)
        yield log_rows(block, past), truth_rows(block)


def _simulate(population: Population, number: int, rows: int) -> Iterator[Block]:
    day, posts = day_state(population, number, len(TASKS)), candidate_pool(population, number)
    for index, first in enumerate(range(0, rows, BLOCK_ROWS)):
        last = min(first + BLOCK_ROWS, rows)
        shown = make_impressions(
            population, day, posts, index, rows=last - first, span=(first / rows, last / rows)
        )
        engaged = make_engagements(population, day, posts, shown, index)
        dwell = None
        if population.parameters.history:
            dwell = make_dwell(population, day, posts, shown, engaged, index)
        yield Block(population, day, posts, shown, index, engaged, dwell)


def _remember(past: EventLog, block: Block) -> None:
    if block.dwell is not None:
        past.add(block.posts, block.shown, block.engaged, block.dwell)


def _open_parquet(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    # Dictionary encoding helps only for repeated values, not for continuous numbers and embeddings.
    leaves = [_leaf(field.name, field.type) for field in schema]
    coded = [name for name, kind in leaves if kind in (pa.int64(), pa.int8(), pa.string())]
    return pq.ParquetWriter(path, schema, compression="zstd", compression_level=1, use_dictionary=coded)


def _leaf(name: str, kind: pa.DataType) -> tuple[str, pa.DataType]:
    """The path of a column's values in a Parquet file, and their type."""
    return _leaf(f"{name}.list.element", kind.value_type) if isinstance(kind, pa.ListType) else (name, kind)
