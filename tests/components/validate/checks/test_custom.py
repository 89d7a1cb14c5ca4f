"""Expectations of one's own: as Great Expectations would judge all rows, refused in one line where they are wrong."""

import importlib.util
import json
import py_compile
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from components.resolve.resolve import resolve_run
from components.validate.checks.great_expectations import create_expectation, gx
from components.validate.result import ValidationResult
from components.validate.validate import ValidationFailed, validate_snapshot
from recap_model.config import ConfigError, RecapConfig
from tests.components.registries import new_registry
from tests.components.validate.broken import replaced, validate, write_broken
from tests.components.validate.changed_logs import nulls_in, verdict_in
from tests.tiny import tiny_config

WINDOW = "2026-03-01 to 2026-03-05"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_broken(tmp_path_factory.mktemp("own") / "log", replaced("likes", nulls_in(0.1)))


def own(kind: str, severity: str = "warning", **kwargs: Any) -> RecapConfig:
    return tiny_config(validation={"expectations": [{"type": kind, "kwargs": kwargs, "severity": severity}]})


HOLDING_AND_FAILING: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "expect_column_values_to_be_between": (
        {"column": "likes", "min_value": 0, "max_value": 1e6},
        {"column": "likes", "min_value": 0, "max_value": 20},
    ),
    "expect_column_values_to_be_in_set": (
        {"column": "topic", "value_set": list(range(7))},
        {"column": "topic", "value_set": list(range(6))},
    ),
    "expect_column_mean_to_be_between": (
        {"column": "age_hours", "min_value": 10, "max_value": 14},
        {"column": "age_hours", "max_value": 10},
    ),
    "expect_column_max_to_be_between": (
        {"column": "position", "max_value": 4},
        {"column": "position", "max_value": 4, "strict_max": True},
    ),
    "expect_column_min_to_be_between": (
        {"column": "position", "min_value": 0},
        {"column": "position", "min_value": 1},
    ),
    "expect_column_sum_to_be_between": (
        {"column": "has_video", "min_value": 400, "max_value": 600},
        {"column": "has_video", "min_value": 900},
    ),
    "expect_column_values_to_not_be_null": (
        {"column": "likes", "mostly": 0.97},
        {"column": "likes", "mostly": 0.99},
    ),
    "expect_table_row_count_to_be_between": ({"min_value": 1000}, {"min_value": 1000, "strict_min": True}),
    "expect_table_row_count_to_equal": ({"value": 1000}, {"value": 999}),
    "expect_column_pair_values_a_to_be_greater_than_b": (
        {"column_A": "impressed_ms", "column_B": "served_ms", "or_equal": True},
        {"column_A": "likes", "column_B": "replies"},
    ),
    "expect_column_unique_value_count_to_be_between": (
        {"column": "topic", "max_value": 7},
        {"column": "topic", "max_value": 6},
    ),
    "expect_compound_columns_to_be_unique": (
        {"column_list": ["request_id", "post_id"]},
        {"column_list": ["user_id", "position"]},
    ),
}


@pytest.mark.parametrize("kind", HOLDING_AND_FAILING)
def test_the_verdict_is_that_of_great_expectations_on_all_rows(log: Path, tmp_path: Path, kind: str):
    frame = pd.concat([pd.read_parquet(path) for path in sorted(log.rglob("*.parquet"))])
    batch = gx.get_context(mode="ephemeral").data_sources.add_pandas("p").add_dataframe_asset("a")
    batch = batch.add_batch_definition_whole_dataframe("b").get_batch({"dataframe": frame})
    for number, kwargs in enumerate(HOLDING_AND_FAILING[kind]):
        verdict = validate(tmp_path / str(number), log, own(kind, **kwargs))
        found = next(result for result in verdict.results if result.rule == kind)
        assert found.success == batch.validate(create_expectation(kind, kwargs)).success == (number == 0)


def test_a_failure_says_column_rows_value_and_where_to_change_it(log: Path, tmp_path: Path):
    config = own("expect_column_values_to_be_in_set", column="topic", value_set=[0, 1, 2, 3, 4, 5])
    verdict = validate(tmp_path, log, config)
    (line,) = verdict.lines("warning")
    assert line.startswith("expect_column_values_to_be_in_set: column topic does not hold for 1")
    assert line.endswith(
        ", such as 6, in all 1,000 rows; value_set [0, 1, 2, 3, 4, 5]; fix the log, or change "
        "validation.expectations.0"
    )
    (failure,) = verdict.failures("warning")
    assert 1 <= len(failure.examples) <= 5
    assert {example["topic"] for example in failure.examples} == {6}


@pytest.mark.parametrize(
    ("kind", "kwargs", "population"),
    [
        (
            "expect_column_values_to_be_in_set",
            {"column": "topic", "value_set": list(range(7)), "mostly": 0.9995},
            "all 1,000 rows",
        ),
        ("expect_column_values_to_be_unique", {"column": "post_id"}, "a sample of "),
        ("expect_column_max_to_be_between", {"column": "topic", "max_value": 6}, "all 1,000 rows"),
    ],
)
def test_a_result_says_which_rows_were_checked_and_a_row_outside_the_sample_is_one_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, kwargs: dict[str, Any], population: str
):
    """The last row of one file breaks each of the expectations; the sample has about ten rows."""
    monkeypatch.setattr("components.validate.profile.row_sample.SAMPLE_ROWS", 10)
    root = write_broken(
        tmp_path / "log",
        replaced("topic", lambda c: pa.array([*c.to_pylist()[:-1], 9], c.type)),
        replaced("post_id", lambda c: pa.array([*c.to_pylist()[:-1], c[0].as_py()], c.type)),
    )
    result = validate(tmp_path, root, own(kind, **kwargs))
    (found,) = [item for item in result.results if item.rule == kind]
    assert found.success == population.startswith("a sample")
    assert found.population.startswith(population)
    [stored] = [
        item
        for item in json.loads((tmp_path / "validated/verdict.json").read_text())["rules"]
        if item["rule"] == kind
    ]
    assert stored["population"] == found.population
    assert f"<td>{found.population}</td>" in (tmp_path / "docs.html").read_text().replace(
        ' class="words"', ""
    )


def test_rows_of_a_file_that_cannot_be_read_are_not_said_to_be_checked(tmp_path: Path):
    root = write_broken(tmp_path / "log", lambda table: table.drop_columns(["topic"]))
    kind = "expect_column_values_to_be_in_set"
    with pytest.raises(ValidationFailed, match="column_present"):
        validate(tmp_path, root, own(kind, column="topic", value_set=[0]))
    (found,) = [rule for rule in verdict_in(tmp_path / "docs.html")["rules"] if rule["rule"] == kind]
    assert found["population"] == "800 of 1,000 rows"


def test_of_every_row_is_said_with_the_window(log: Path, tmp_path: Path):
    (line,) = validate(tmp_path, log, own("expect_column_values_to_not_be_null", column="likes")).lines(
        "warning"
    )
    assert line == (
        f"expect_column_values_to_not_be_null: column likes is null in 20 of 1,000 rows in {WINDOW}; fix the "
        "log, or change validation.expectations.0"
    )


def test_a_critical_one_ends_the_run(log: Path, tmp_path: Path):
    config = own("expect_column_values_to_be_between", "critical", column="likes", max_value=20)
    with pytest.raises(
        ValidationFailed, match=r"^expect_column_values_to_be_between: column likes has values"
    ):
        validate(tmp_path, log, config)
    assert not (tmp_path / "validated").exists()


def test_a_column_without_a_value_is_no_pass(tmp_path: Path):
    root = write_broken(tmp_path / "log", replaced("likes", nulls_in(1.0)), everywhere=True)
    content = {"severity": {"feature_missing": "warning"}, "max_null_rate": 1.0}
    given = {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "likes", "value_set": [1]}}
    verdict = validate(tmp_path, root, tiny_config(validation=content | {"expectations": [given]}))
    line = verdict.lines("warning")[-1]
    assert line.startswith(
        "expect_column_values_to_be_in_set: column likes has no value to check, which counts as a failure"
    )


def test_what_cannot_be_computed_is_no_pass(log: Path, tmp_path: Path):
    config = own("expect_column_values_to_match_strftime_format", column="likes", strftime_format="%Y")
    (line,) = validate(tmp_path, log, config).lines("warning")
    assert line.startswith("expect_column_values_to_match_strftime_format: column likes cannot be computed: ")


@pytest.mark.parametrize(
    ("kind", "kwargs", "said"),
    [
        (
            "expect_column_values_to_be_betwen",
            {"column": "likes"},
            r"^validation.expectations.0.type: Great Expectations has no 'expect_column_values_to_be_betwen'; near "
            r"are expect_column_values_to_be_between",
        ),
        (
            "expect_column_values_to_be_between",
            {"column": "likes", "max": 3},
            r"^validation.expectations.0.kwargs: expect_column_values_to_be_between: max: extra fields not permitted",
        ),
        (
            "expect_column_values_to_be_between",
            {"column": "likes", "a\x85b": 3},
            r"^validation.expectations.0.kwargs: expect_column_values_to_be_between: a b: extra fields not permitted",
        ),
        (
            "expect_column_values_to_not_be_null",
            {"column": "nothing"},
            r"^validation.expectations.0.kwargs: column 'nothing' is not in the config; allowed are age",
        ),
        (
            "expect_column_values_to_not_be_null",
            {"column": "user_embedding"},
            r"^validation.expectations.0.kwargs: column 'user_embedding' has lists; allowed are ",
        ),
        (
            "expect_table_column_count_to_equal",
            {"value": 3},
            r"^validation.expectations.0.type: expect_table_column_count_to_equal has no column",
        ),
    ],
)
def test_a_wrong_expectation_is_refused_before_a_row_is_read(
    log: Path, tmp_path: Path, kind: str, kwargs: dict, said: str
):
    with pytest.raises(ValueError, match=said) as caught:
        validate(tmp_path, log, own(kind, **kwargs))
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "docs.html").exists()


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"expectations": [{"type": "unexpected"}]}, r"validation.expectations.0.type"),
        ({"expectations": [{"type": "expect_x", "severity": "info"}]}, r"validation.expectations.0.severity"),
        (
            {"expectations": [{"type": "expect_x", "kwargs": {"column": "likes", "min_value": -(10**400)}}]},
            r"validation.expectations.0.kwargs: a number of 1329 bits; give one under 2\*\*63",
        ),
        (
            {"expectations": [{"type": "expect_x", "kwargs": {"value_set": ["é", {"\ud800": 1}]}}]},
            r"validation.expectations.0.kwargs: '\\ud800': a text with half a character",
        ),
        ({"expectations_file": "../rules.py"}, r"validation.expectations_file.*leads out of its folder"),
    ],
)
def test_a_wrong_section_names_its_field(section: dict, said: str):
    with pytest.raises(ConfigError, match=said):
        tiny_config(validation=section)


def run_with(folder: Path, log: Path, code: str | None) -> ValidationResult:
    """Resolve and validate with a file of expectations beside the config."""
    config = folder / "config.yaml"
    config.write_text(tiny_config(validation={"expectations_file": "rules/mine.py"}).to_yaml())
    if code is not None:
        (folder / "rules").mkdir()
        (folder / "rules/mine.py").write_text(code)
    uri = new_registry(folder)
    resolve_run(config, str(log), folder / "snapshot", tracking_uri=uri, run_id="run-1", days=5)
    (folder / "rules/mine.py").write_text("changed after it was frozen")
    return validate_snapshot(folder / "snapshot", folder / "validated", folder / "docs.html")


CODE = """
from great_expectations.expectations import ExpectColumnMaxToBeBetween

def expectations():
    return [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "position", "max_value": 3}},
        ExpectColumnMaxToBeBetween(column="topic", max_value=5, severity="warning"),
        ExpectColumnMaxToBeBetween(column="topic", max_value=6, severity="critical"),
    ]
"""


def test_a_file_gives_expectations_and_is_frozen_with_the_config(log: Path, tmp_path: Path):
    verdict = run_with(tmp_path, log, CODE)
    assert [line.rpartition("; ")[2] for line in verdict.lines("warning")] == [
        "fix the log, or change rules/mine.py: expectations()[0]",
        "fix the log, or change rules/mine.py: expectations()[1]",
    ]
    assert verdict.outcome == "warnings"


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("def expectations(:", r"^validation.expectations_file: .*rules/mine.py: not valid Python: .*line 1"),
        ("x = 1", r"^rules/mine.py: has no function expectations\(\)"),
        ("def expectations(): return 3", r"^rules/mine.py: expectations\(\) returns int; it returns a list"),
        ("def expectations(): return [3]", r"^rules/mine.py: expectations\(\)\[0\]: is 3; "),
        (
            "\ndef expectations(): return 1 / 0",
            r"^rules/mine.py, line 2: ZeroDivisionError: division by zero$",
        ),
        ("import nothing_there", r"^rules/mine.py, line 1: ModuleNotFoundError: No module named"),
        (
            "def expectations(): return [{'type': 'expect_column_max_to_be_between', 'severity': 'info'}]",
            r"^rules/mine.py: expectations\(\)\[0\].severity: 'info'; allowed are critical and warning",
        ),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(log: Path, tmp_path: Path, code: str, said: str):
    with pytest.raises(ValueError, match=said) as caught:
        run_with(tmp_path, log, code)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(log: Path, tmp_path: Path):
    with pytest.raises(
        FileNotFoundError, match=r"rules/mine.py: no such file beside the config; correct valid"
    ):
        run_with(tmp_path, log, None)


def test_a_frozen_file_that_changed_is_refused(log: Path, tmp_path: Path):
    run_with(tmp_path, log, CODE)
    altered = tmp_path / "altered.py"
    altered.write_text("raise SystemExit('bytecode beside the file was run')")
    frozen = tmp_path / "snapshot/expectations.py"
    cache = Path(importlib.util.cache_from_source(str(frozen)))
    py_compile.compile(
        str(altered), str(cache), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    validate_snapshot(tmp_path / "snapshot", tmp_path / "validated", tmp_path / "docs.html")
    (tmp_path / "snapshot/expectations.py").write_text(CODE + "\n")
    with pytest.raises(ValueError, match=r"expectations.py: lost or changed since resolve wrote it"):
        validate_snapshot(tmp_path / "snapshot", tmp_path / "validated", tmp_path / "docs.html")
