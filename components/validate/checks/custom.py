"""Expectations of one's own: of the config, or of the Python file that resolve froze; checked before a row is read.

What a profile knows exactly is held to the profile, of every row: extremes, means, nulls, numbers of rows.
Everything else is held to the bounded sample, and says so.
"""

import hashlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from components.common.artifacts.snapshot import EXPECTATIONS_NAME, Snapshot
from components.validate.checks.great_expectations import (
    Expectation,
    NoSuchExpectationError,
    expectation_named,
)
from components.validate.profile.columns import blocks_of, columns_of
from recap_model.config import RecapConfig
from recap_model.config.steps.drift import Severity

FUNCTION = "expectations"
_COLUMN_FIELDS = ("column", "column_A", "column_B")
_OF_THE_TABLE = ("expect_table_row_count_to_be_between", "expect_table_row_count_to_equal")
_FORM = "a list of expectations, or of mappings with type, kwargs and severity"


@dataclass(frozen=True)
class Own:
    """One expectation, where it was given, and the columns that it speaks of."""

    expectation: Expectation
    severity: Severity
    place: str
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.expectation.configuration.type)

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self.expectation.configuration.kwargs)


def read_own(folder: str | Path, snapshot: Snapshot, config: RecapConfig) -> list[Own]:
    """All expectations of one's own.

    Raises ValueError, in one line that says where, for a type that does not exist or does not fit, a wrong field, a
    column that is not read, or a file that does not run.
    """
    found = [
        _checked(f"validation.expectations.{number}", item.type, dict(item.kwargs), item.severity, config)
        for number, item in enumerate(config.validation.expectations)
    ]
    if config.validation.expectations_file is not None:
        found += _of_file(Path(folder), snapshot, config)
    return found


def _checked(place: str, kind: str, kwargs: dict[str, Any], severity: Severity, config: RecapConfig) -> Own:
    try:
        expectation = expectation_named(kind, kwargs)
    except NoSuchExpectationError as error:
        raise ValueError(f"{place}.type: {error}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{place}.kwargs: {kind}: {_first_reason(error)}") from None
    return _with_columns(place, expectation, severity, config)


def _with_columns(place: str, expectation: Expectation, severity: Severity, config: RecapConfig) -> Own:
    kind = str(expectation.configuration.type)
    kwargs = expectation.configuration.kwargs
    columns = tuple(
        [kwargs[name] for name in _COLUMN_FIELDS if name in kwargs] + list(kwargs.get("column_list", ()))
    )
    if not columns and kind not in _OF_THE_TABLE:
        raise ValueError(
            f"{place}.type: {kind} speaks of no column; allowed are those of columns, and {', '.join(_OF_THE_TABLE)}"
        )
    blocks = blocks_of(config)
    scalar = columns_of([block for block in blocks if block.list_width is None])
    for column in columns:
        if column not in scalar:
            known = columns_of(blocks)
            why = "is of lists" if column in known else "is none that the config names"
            raise ValueError(f"{place}.kwargs: column {column!r} {why}; allowed are {', '.join(scalar)}")
    return Own(expectation, severity, place, columns)


def _of_file(folder: Path, snapshot: Snapshot, config: RecapConfig) -> Iterator[Own]:
    path, name = folder / EXPECTATIONS_NAME, str(config.validation.expectations_file)
    code = path.read_bytes() if path.is_file() else b""
    if hashlib.sha256(code).hexdigest() != snapshot.expectations_sha256:
        raise ValueError(f"{path}: lost or changed since resolve wrote it; run resolve again")
    given = _call(code, path, name)
    if not isinstance(given, list):
        raise ValueError(f"{name}: {FUNCTION}() returns {type(given).__name__}; it returns {_FORM}")
    for number, item in enumerate(given):
        place = f"{name}: {FUNCTION}()[{number}]"
        if isinstance(item, Expectation):
            severity: Severity = "critical" if str(item.severity).endswith("critical") else "warning"
            yield _with_columns(place, item, severity, config)
            continue
        if not isinstance(item, dict) or not {"type"} <= set(item) <= {"type", "kwargs", "severity"}:
            raise ValueError(f"{place}: is {_short(item)}; {FUNCTION}() returns {_FORM}")
        severity = item.get("severity", "warning")
        if severity not in ("critical", "warning"):
            raise ValueError(f"{place}.severity: {severity!r}; allowed are critical and warning")
        yield _checked(place, str(item["type"]), dict(item.get("kwargs", {})), severity, config)


def _call(code: bytes, path: Path, name: str) -> Any:
    """What the function of a file returns, whose bytes were checked: an import would run bytecode beside it."""
    module = ModuleType("recap_own_expectations")
    module.__file__ = str(path)
    try:
        exec(compile(code, path, "exec", dont_inherit=True), vars(module))
        make = getattr(module, FUNCTION, None)
        if not callable(make):
            raise ValueError(f"{name}: has no function {FUNCTION}(); it returns {_FORM}")
        return make()
    except Exception as error:  # the file is not ours, and whatever it raises is its fault, in one line
        if make_line := _line_in(path, error):
            raise ValueError(f"{name}, line {make_line}: {type(error).__name__}: {_short(error)}") from None
        raise


def _line_in(path: Path, error: Exception) -> int:
    """The line of the file in which an error arose; 0 if it did not arise there."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return (lines[-1] or 0) if lines else 0


def _first_reason(error: Exception) -> str:
    """The first field that Great Expectations complains of, in one line."""
    if not hasattr(error, "errors"):
        return _short(error)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part != "__root__")
    return _short(f"{field}: {first['msg']}" if field else first["msg"])


def _short(value: object) -> str:
    return " ".join(str(value).split())[:200]
