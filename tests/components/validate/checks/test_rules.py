"""Severity is honoured, what Great Expectations lets pass is caught, examples name rows, docs are readable."""

import json
import logging
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import components.validate
from components.validate.checks.great_expectations import Validator
from components.validate.checks.rules.partitions import PartitionRows
from components.validate.checks.suite import SUBJECTS, build_expectation
from components.validate.validate import ValidationFailed
from recap_model.config import ConfigError
from recap_model.config.steps.drift import DriftRule
from recap_model.config.steps.validation import RuleName
from tests.components.validate.broken import BROKEN, lines_of, replaced, validate, write_broken
from tests.components.validate.changed_logs import nulls_in, verdict_in
from tests.tiny import tiny_config, write_tiny_log

WARNINGS = {
    "feature_null_rate_change": [replaced("likes", nulls_in(0.9))],
    "feature_non_finite_rate": [
        replaced("likes", lambda column: pa.array([float("nan"), np.inf, 1.0, 2.0] * 50, pa.float32()))
    ],
    "binary_values": [replaced("has_video", lambda column: pa.array([7] * 200, pa.int8()))],
    "task_rate_change": [replaced("like", lambda column: pa.array([1] * 200, pa.int8()))],
    "task_null_rate_change": [replaced("like", nulls_in(0.5))],
    "embedding_norm_change": [
        replaced("user_embedding", lambda column: pa.array([[9.0] * 4] * 200, pa.list_(pa.float32(), 4)))
    ],
    "id_nulls": [replaced("user_id", nulls_in(0.1))],
    "rows_distinct": [
        replaced("post_id", lambda column: pa.array([1] * 200)),
        replaced("request_id", lambda column: pa.array([1] * 200)),
    ],
}


@pytest.mark.parametrize("rule", WARNINGS)
def test_a_warning_is_told_and_the_run_goes_on(tmp_path: Path, rule: str, caplog):
    root = write_broken(tmp_path / "log", *WARNINGS[rule])
    with caplog.at_level(logging.WARNING):
        verdict = validate(tmp_path, root)
    assert verdict.outcome == "warnings"
    assert rule in {item.rule for item in verdict.failures("warning")}
    assert any(record.getMessage().startswith(f"{rule}: ") for record in caplog.records)
    assert json.loads((tmp_path / "validated/_manifest.json").read_text())["verdict"] == "warnings"


@pytest.mark.parametrize("rule", ["feature_null_rate_change", "rows_distinct"])
def test_a_warning_ends_the_run_if_the_config_calls_it_critical(tmp_path: Path, rule: str):
    config = tiny_config(validation={"severity": {rule: "critical"}})
    lines = lines_of(tmp_path, write_broken(tmp_path / "log", *WARNINGS[rule]), config)
    assert [line.partition(":")[0] for line in lines] == [rule]


def test_a_critical_rule_lets_the_run_go_on_if_the_config_calls_it_a_warning(tmp_path: Path):
    config = tiny_config(validation={"severity": {"feature_missing": "warning"}})
    root = write_broken(tmp_path / "log", replaced("likes", nulls_in(1.0)))
    verdict = validate(tmp_path, root, config)
    assert [item.rule for item in verdict.failures("warning")] == ["feature_missing"]


def test_an_unknown_rule_in_severity_is_a_config_error():
    with pytest.raises(ConfigError, match=r"validation.severity.no_such_rule"):
        tiny_config(validation={"severity": {"no_such_rule": "warning"}})


def test_a_column_that_is_all_null_in_the_window_fails(tmp_path: Path):
    root = write_broken(tmp_path / "log", replaced("likes", nulls_in(1.0)), everywhere=True)
    (line,) = lines_of(tmp_path, root)
    assert line.startswith(
        "feature_missing: column likes has no value in any of 1,000 rows in 2026-03-01 to "
    )


def test_nulls_beyond_the_bound_fail_and_a_columns_own_bound_lets_them_pass(tmp_path: Path):
    root = write_broken(tmp_path / "log", replaced("likes", nulls_in(0.75)), everywhere=True)
    assert lines_of(tmp_path, root) == [
        "feature_null_rate: column likes has 75.0% missing values in 2026-03-01 to 2026-03-05; at most 50.0% "
        "(validation.max_null_rate); fix the log, or allow more in validation.columns.likes.max_null_rate"
    ]
    config = tiny_config(validation={"columns": {"likes": {"max_null_rate": 0.8}}})
    assert lines_of(tmp_path, root, config) == []


def test_a_rare_column_may_be_empty_where_chance_explains_it(tmp_path: Path):
    config = tiny_config(validation={"max_null_rate": 1.0})
    rare = write_broken(tmp_path / "log", replaced("likes", nulls_in(0.95)), everywhere=True, rows=20)
    table = pq.read_table(rare / BROKEN, partitioning=None)
    pq.write_table(replaced("likes", nulls_in(1.0))(table), rare / BROKEN)
    assert validate(tmp_path, rare, config).outcome == "passed"


def test_a_rare_task_gives_no_alarm_where_chance_explains_its_days(tmp_path: Path):
    root = write_broken(
        tmp_path / "log", replaced("reply", lambda column: pa.array([0] * 200)), everywhere=True
    )
    table = pq.read_table(root / BROKEN, partitioning=None)
    pq.write_table(replaced("reply", lambda column: pa.array([1] + [0] * 199))(table), root / BROKEN)
    assert validate(tmp_path, root).outcome == "passed"


def test_a_day_without_half_of_a_tasks_labels_is_told_with_task_and_day(tmp_path: Path):
    root = write_broken(tmp_path / "log", replaced("like", nulls_in(0.5)))
    (failure,) = validate(tmp_path, root).failures("warning")
    assert failure.line == (
        "task_null_rate_change: task like has no label in 50.0% of rows, the window 10.0%, "
        f"in {Path(BROKEN).parent}; "
        "a change of 25% and chance (validation.max_null_rate_change); look at the day's labels"
    )


def test_a_task_that_few_rows_have_a_label_of_gives_no_alarm_while_their_share_is_steady(tmp_path: Path):
    root = write_broken(tmp_path / "log", replaced("like", nulls_in(0.7)), everywhere=True)
    assert validate(tmp_path, root).outcome == "passed"


def test_examples_give_ids_and_values_of_rows_at_fault(tmp_path: Path):
    config = tiny_config(validation={"columns": {"likes": {"max": 20.0}}})
    with pytest.raises(ValidationFailed, match="feature_range"):
        validate(tmp_path, write_tiny_log(tmp_path / "log"), config)
    verdict = verdict_in(tmp_path / "docs.html")
    (failure,) = [rule for rule in verdict["rules"] if not rule["success"]]
    assert 1 <= len(failure["examples"]) <= 5
    for example in failure["examples"]:
        assert set(example) == {"request_id", "user_id", "post_id", "likes", "file"}
        assert example["likes"] > 20.0


def figures(*rows: tuple[float, float, float]) -> pd.DataFrame:
    """Figures of a rule with their bounds, beside one of another rule that is outside its own."""
    frame = pd.DataFrame([("partition_rows", *row) for row in rows], columns=COLUMNS)
    return pd.concat([frame, pd.DataFrame([("another", 9.0, 0.0, 1.0)], columns=COLUMNS)])


COLUMNS = ["rule", "value", "lowest", "highest"]
RULE = build_expectation(PartitionRows(), tiny_config())


def test_an_empty_frame_is_no_pass():
    with pytest.raises(ValueError, match="no rows to check; an empty result counts as a failure"):
        Validator().find_failing_rows(pd.DataFrame({name: [] for name in COLUMNS}), [RULE])


def test_a_figure_is_held_to_its_own_rules_bounds_and_nan_is_outside_them():
    nan, inf = float("nan"), float("inf")
    frame = figures((1.0, 0.0, inf), (nan, 0.0, 1.0), (3.0, nan, 4.0), (-1.0, 0.0, 1.0), (2.0, -inf, 1.0))
    (rows,) = Validator().find_failing_rows(frame, [RULE])
    assert rows == [1, 2, 3, 4]


def test_an_expectation_that_cannot_be_computed_is_no_pass():
    with pytest.raises(ValueError, match="cannot be computed"):
        Validator().find_failing_rows(pd.DataFrame({"value": [1.0]}), [RULE])


def test_every_rule_has_a_severity_in_the_config_a_sentence_in_the_suite_and_a_row_in_the_readme(
    tmp_path: Path,
):
    names = {rule.name for rules in SUBJECTS.values() for rule in rules}
    assert names | {"rows_distinct"} == {*get_args(RuleName), *get_args(DriftRule)}
    readme = Path(components.validate.__file__).with_name("README.md").read_text()
    assert [name for name in names if f"`{name}`" not in readme] == []
    validate(tmp_path, write_tiny_log(tmp_path / "log"))
    suite = json.loads((tmp_path / "validated/expectation_suite.json").read_text())
    stated = {one["kwargs"]["rule"]: one for one in suite["expectations"]}
    assert (
        stated["feature_null_rate"]["description"]
        == "A feature column is missing in few of the window's rows."
    )
    assert stated["feature_null_rate"]["meta"]["bounds"] == {"validation.max_null_rate": 0.5}
    assert stated["feature_null_rate"]["severity"] == "critical"


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [str(value) for name, value in attrs if name in ("src", "href") and value]


def test_docs_say_the_verdict_first_and_need_no_network(tmp_path: Path):
    root = write_broken(tmp_path / "log", *WARNINGS["binary_values"])
    validate(tmp_path, root)
    text = (tmp_path / "docs.html").read_text()
    parser = _Links()
    parser.feed(text)
    assert parser.found == []
    assert "@import" not in text
    assert "url(" not in text
    assert text.index("The log passed, with warnings") < text.index("What is wrong") < text.index("<h2>Rules")
    assert verdict_in(tmp_path / "docs.html")["verdict"] == "warnings"


def test_copies_of_rows_are_found_wherever_they_lie_in_a_log_larger_than_the_sample(tmp_path: Path):
    root = write_broken(
        tmp_path / "log", lambda table: pa.concat_tables([table, table]), rows=6000, everywhere=False
    )
    verdict = validate(tmp_path, root)
    (line,) = verdict.lines("warning")
    assert line.startswith("rows_distinct: request_id and post_id are not unique: ")
    assert BROKEN in line
    clean = validate(tmp_path, write_tiny_log(tmp_path / "clean", rows=6000))
    assert clean.outcome == "passed"


def test_rows_without_a_request_are_no_copies_of_each_other(tmp_path: Path):
    def without_requests(table: pa.Table) -> pa.Table:
        table = replaced("request_id", lambda ids: pa.nulls(len(ids), ids.type))(table)
        return replaced("post_id", lambda ids: pa.array(np.arange(len(ids)) % 8))(table)

    verdict = validate(tmp_path, write_broken(tmp_path / "log", without_requests))
    (line,) = verdict.lines("warning")
    assert line.startswith("id_nulls: column request_id is null in 200 of 1,000 rows")
