"""Custom expectations of the config or of the Python file that resolve froze, parsed before a row is read."""

import hashlib
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from components.common.artifacts.snapshot import EXPECTATIONS_NAME, Snapshot
from components.validate.checks.great_expectations import (
    MAP_EXPECTATIONS,
    Expectation,
    UnknownExpectationError,
    create_expectation,
)
from components.validate.profile.columns import list_blocks, list_columns
from recap_model.config import RecapConfig
from recap_model.config.steps.drift import Severity

FUNCTION = "expectations"
_COLUMN_FIELDS = ("column", "column_A", "column_B")
_TABLE_EXPECTATIONS = ("expect_table_row_count_to_be_between", "expect_table_row_count_to_equal")
# Map expectations of Great Expectations whose outcome for a row depends on other rows, or on the column's type.
_NOT_ROW_WISE = (
    "expect_column_values_to_be_unique",
    "expect_column_values_to_be_increasing",
    "expect_column_values_to_be_decreasing",
    "expect_column_value_z_scores_to_be_less_than",
    "expect_column_values_to_not_be_outliers",
    "expect_column_values_to_be_of_type",
    "expect_column_values_to_be_in_type_list",
    "expect_multicolumn_values_to_be_unique",
    "expect_compound_columns_to_be_unique",
)
_RETURN_TYPE = "a list of expectations, or of mappings with type, kwargs and severity"


@dataclass(frozen=True)
class CustomExpectation:
    """An expectation, the field of the config or item of the file that it is from, and its columns."""

    expectation: Expectation
    severity: Severity
    source: str
    columns: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.expectation.configuration.type)

    @property
    def kwargs(self) -> dict[str, Any]:
        return dict(self.expectation.configuration.kwargs)

    @property
    def is_row_wise(self) -> bool:
        """Whether each row meets it or not, whatever the other rows are."""
        return isinstance(self.expectation, MAP_EXPECTATIONS) and self.name not in _NOT_ROW_WISE


@dataclass(frozen=True)
class ExpectationSource:
    """Where custom expectations come from; other processes build them from it, as those of a file are not pickled.

    Attributes:
        path, code: of the file that resolve froze; its verified content, None without a file.
    """

    config: RecapConfig
    path: Path
    code: bytes | None

    @classmethod
    def read(cls, folder: str | Path, snapshot: Snapshot, config: RecapConfig) -> "ExpectationSource":
        """Read a snapshot's folder. Raises ValueError if the file is not the one that resolve wrote."""
        path = Path(folder) / EXPECTATIONS_NAME
        if config.validation.expectations_file is None:
            return cls(config, path, None)
        code = path.read_bytes() if path.is_file() else b""
        if hashlib.sha256(code).hexdigest() != snapshot.expectations_sha256:
            raise ValueError(f"{path}: lost or changed since resolve wrote it; run resolve again")
        return cls(config, path, code)

    def build(self) -> list[CustomExpectation]:
        """Build all expectations.

        Raises ValueError, with the source, for an unknown or unsupported type, an invalid field, a column that the
        config does not name, or an error in the file.
        """
        custom = [
            _build(
                f"validation.expectations.{number}", item.type, dict(item.kwargs), item.severity, self.config
            )
            for number, item in enumerate(self.config.validation.expectations)
        ]
        if self.code is not None:
            custom += _build_from_file(self.code, self.path, self.config)
        return custom


def _build(
    source: str, kind: str, kwargs: dict[str, Any], severity: Severity, config: RecapConfig
) -> CustomExpectation:
    try:
        expectation = create_expectation(kind, kwargs)
    except UnknownExpectationError as error:
        raise ValueError(f"{source}.type: {error}") from None
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{source}.kwargs: {kind}: {_describe_first_error(error)}") from None
    return _bind_columns(source, expectation, severity, config)


def _bind_columns(
    source: str, expectation: Expectation, severity: Severity, config: RecapConfig
) -> CustomExpectation:
    kind = str(expectation.configuration.type)
    kwargs = expectation.configuration.kwargs
    columns = tuple(
        [kwargs[name] for name in _COLUMN_FIELDS if name in kwargs] + list(kwargs.get("column_list", ()))
    )
    if not columns and kind not in _TABLE_EXPECTATIONS:
        raise ValueError(
            f"{source}.type: {kind} has no column; allowed are those of columns, and "
            f"{', '.join(_TABLE_EXPECTATIONS)}"
        )
    blocks = list_blocks(config)
    scalar = list_columns([block for block in blocks if block.list_width is None])
    for column in columns:
        if column not in scalar:
            known = list_columns(blocks)
            reason = "has lists" if column in known else "is not in the config"
            raise ValueError(f"{source}.kwargs: column {column!r} {reason}; allowed are {', '.join(scalar)}")
    return CustomExpectation(expectation, severity, source, columns)


def _build_from_file(code: bytes, path: Path, config: RecapConfig) -> Iterator[CustomExpectation]:
    name = str(config.validation.expectations_file)
    returned = _call(code, path, name)
    if not isinstance(returned, list):
        raise ValueError(f"{name}: {FUNCTION}() returns {type(returned).__name__}; it returns {_RETURN_TYPE}")
    for number, item in enumerate(returned):
        source = f"{name}: {FUNCTION}()[{number}]"
        if isinstance(item, Expectation):
            severity: Severity = "critical" if str(item.severity).endswith("critical") else "warning"
            yield _bind_columns(source, item, severity, config)
            continue
        if not isinstance(item, dict) or not {"type"} <= set(item) <= {"type", "kwargs", "severity"}:
            raise ValueError(f"{source}: is {_shorten(item)}; {FUNCTION}() returns {_RETURN_TYPE}")
        severity = item.get("severity", "warning")
        if severity not in ("critical", "warning"):
            raise ValueError(f"{source}.severity: {severity!r}; allowed are critical and warning")
        yield _build(source, str(item["type"]), dict(item.get("kwargs", {})), severity, config)


def _call(code: bytes, path: Path, name: str) -> Any:
    """Call the function of a file whose bytes were verified; an import could run cached bytecode instead."""
    module = ModuleType("recap_custom_expectations")
    module.__file__ = str(path)
    try:
        exec(compile(code, path, "exec", dont_inherit=True), vars(module))
        function = getattr(module, FUNCTION, None)
        if not callable(function):
            raise ValueError(f"{name}: has no function {FUNCTION}(); it returns {_RETURN_TYPE}")
        return function()
    except Exception as error:  # a user's file: its errors are reported in one line
        if line := _find_line(path, error):
            raise ValueError(f"{name}, line {line}: {type(error).__name__}: {_shorten(error)}") from None
        raise


def _find_line(path: Path, error: Exception) -> int:
    """The file's line that raised an error; 0 if the error was raised elsewhere."""
    lines = [
        frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)
    ]
    return (lines[-1] or 0) if lines else 0


def _describe_first_error(error: Exception) -> str:
    """The first invalid field that Great Expectations reports, in one line."""
    if not hasattr(error, "errors"):
        return _shorten(error)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"] if part != "__root__")
    return _shorten(f"{field}: {first['msg']}" if field else first["msg"])


def _shorten(value: object) -> str:
    return " ".join(str(value).split())[:200]
