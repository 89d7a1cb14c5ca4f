"""Labels made by rules, against labels written by hand, and rules that a config may not have."""

import re
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from recap_model.config import ConfigError, parse_config
from recap_model.data.log.labels import label_sources, read_labels
from tests.tiny import tiny_config

X = None
HOUR = 3_600_000


def _rows(**columns: Any) -> pa.RecordBatch:
    return pa.record_batch({name: pa.array(values) for name, values in columns.items()})


def _labels(tasks: dict[str, Any], rows: pa.RecordBatch, **sections: Any) -> NDArray[np.float32]:
    config = tiny_config(tasks=tasks, **sections)
    assert set(label_sources(config, config.tasks)) <= set(rows.schema.names)
    return read_labels(rows, config, "f")


ROWS = _rows(
    a=[0, 0, 0, 1, 1, 1, X, X, X],
    b=[0, 1, X, 0, 1, X, 0, 1, X],
    dwell_s=pa.array([0.0, 9.5, 10.0, 10.5, 30.0, float("nan"), X, float("inf"), 0.1], pa.float32()),
    length_s=[20, 5, 10, 11, X, 1, 1, 1, 0],
    event=["", "like", X, "hide", "like", "share", "like", X, "like"],
    id=pa.array([2**53 + 1, 2**53, 1, 0, X, 1, 1, 1, 1], pa.int64()),
    flag=[True, False, X, True, True, False, False, True, True],
)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("a", [0, 0, 0, 1, 1, 1, X, X, X]),
        ({"column": "a"}, [0, 0, 0, 1, 1, 1, X, X, X]),
        ({"not": "a"}, [1, 1, 1, 0, 0, 0, X, X, X]),
        ({"any_of": ["a", "b"]}, [0, 1, X, 1, 1, 1, X, 1, X]),
        ({"all_of": ["a", "b"]}, [0, 0, 0, 0, 1, X, 0, X, X]),
        ({"column": "dwell_s", "at_least": 10}, [0, 0, 1, 1, 1, X, X, 1, 0]),
        ({"column": "dwell_s", "at_most": 10}, [1, 1, 1, 0, 0, X, X, 0, 1]),
        ({"column": "dwell_s", "between": [9.5, 10.5]}, [0, 1, 1, 1, 0, X, X, 0, 0]),
        ({"column": "dwell_s", "at_least": "length_s"}, [0, 1, 1, 0, X, X, X, 1, 1]),
        ({"column": "dwell_s", "between": [10, "length_s"]}, [0, 0, 1, 1, X, X, X, 0, 0]),
        ({"column": "dwell_s", "equals": 0.1}, [0, 0, 0, 0, 0, X, X, 0, 1]),
        ({"column": "event", "equals": "like"}, [0, 1, X, 0, 1, 0, 1, X, 1]),
        ({"column": "id", "equals": 2**53 + 1}, [1, 0, 0, 0, X, 0, 0, 0, 0]),
        ({"column": "flag", "equals": True}, [1, 0, X, 1, 1, 0, 0, 1, 1]),
        ({"column": "flag", "equals": 0}, [0, 1, X, 0, 0, 1, 1, 0, 0]),
        (
            {"any_of": ["a", {"all_of": ["b", {"not": {"column": "event", "equals": "like"}}]}]},
            [0, 0, X, 1, 1, 1, X, X, X],
        ),
    ],
)
def test_a_rule_makes_the_labels_written_by_hand(rule: Any, expected: list[int | None]):
    labels = _labels({"like": {"label": rule}}, ROWS)
    np.testing.assert_array_equal(labels[:, 0], np.array(expected, dtype=np.float32))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"unless": "b"}, [0, 0, 0, 1, 0, X, X, X, X]),
        ({"unless": {"column": "length_s", "at_most": 5}}, [0, 0, 0, 1, X, 0, X, X, X]),
        ({"only_where": "b"}, [X, 0, X, X, 1, X, X, X, X]),
        ({"only_where": {"column": "length_s", "at_least": 10}}, [0, X, 0, 1, X, X, X, X, X]),
        (
            {"unless": {"column": "length_s", "equals": 11}, "only_where": {"not": "b"}},
            [0, X, X, 0, X, X, X, X, X],
        ),
    ],
)
def test_a_task_or_a_rule_excludes_positives_and_masks_rows(settings: Any, expected: list[int | None]):
    labels = _labels({"a": settings, "b": {}}, ROWS)
    np.testing.assert_array_equal(labels[:, 0], np.array(expected, dtype=np.float32))


def test_tasks_that_a_label_names_count_with_their_finished_labels():
    rows = _rows(click=[1, 1, 1, 0, 0], report=[0, 1, 0, 0, 0], bought=[1, 1, X, X, 1], spam=[0, 0, 1, 0, 0])
    tasks = {
        "bought": {"only_where": "click"},
        "click": {"unless": "report"},
        "report": {},
        "opened": {"label": {"not": "spam"}, "given": "click"},
    }
    expected = [[1, 1, 0, 1], [X, 0, 1, 1], [X, 1, 0, 0], [X, 0, 0, 1], [X, 0, 0, 1]]
    np.testing.assert_array_equal(_labels(tasks, rows), np.array(expected, dtype=np.float32))


def test_a_window_of_a_task_takes_the_place_of_the_one_for_all():
    impressed, engaged = [0, 2, 0, 0, 0, X], [1, 3, 4, X, 1, 1]
    rows = _rows(
        like=[1, 1, 1, 1, 0, 1],
        **{
            f"{name}_ms": [X if hours is X else 10**12 + hours * HOUR for hours in times]
            for name, times in (("served", [0] * 6), ("impressed", impressed), ("engaged", engaged))
        },
    )
    tasks = {
        "all": {"label": "like"},
        "slow": {"label": "like", "within": {"hours": 5}},
        "seen": {"label": "like", "within": {"hours": 2, "of": "impressed"}},
    }
    labels = _labels(tasks, rows, data={"days": 5, "rectify_labels": {"window_hours": 3}})
    assert labels[:, 0].tolist() == [1, 0, 0, 1, 0, 0]
    assert labels[:, 1].tolist() == [1, 1, 1, 1, 0, 0]
    assert labels[:, 2].tolist() == [1, 1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("task", "message"),
    [
        (
            {"label": {"column": "event", "equals": 1}},
            "f: tasks.like.label: column event is string, and equals has a",
        ),
        (
            {"label": {"column": "id", "equals": "x"}},
            "f: tasks.like.label: column id is int64, and equals has a text",
        ),
        ({"label": "length_s"}, "f: column length_s has value 20; a label is 0, 1 or null"),
        (
            {"label": "a", "unless": {"not": "length_s"}},
            "f: column length_s has value 20; a label is 0, 1 or null",
        ),
    ],
)
def test_values_that_a_rule_cannot_read_are_refused(task: Any, message: str):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        _labels({"like": task}, ROWS)


LIKE = "tasks.like"


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ({"like": {"label": {"any_of": []}}}, f"{LIKE}.label.any_of: []: needs at least 1, has 0"),
        (
            {"like": {"label": {"at_least": 3}}},
            f"{LIKE}.label: a rule has exactly one of column, any_of, all_of, not",
        ),
        (
            {"like": {"label": {"any_of": ["a", {"column": "b", "at_least": 1, "equals": 2}]}}},
            f"{LIKE}.label.any_of.1: at_least and equals: a rule has one comparison",
        ),
        (
            {"like": {"label": {"column": "b", "between": [2, 1]}}},
            f"{LIKE}.label: between: [2, 1] holds no number",
        ),
        (
            {"like": {"label": {"column": "b", "atleast": 1}}},
            f"{LIKE}.label.atleast: there is no such setting; did you mean at_least?",
        ),
        (
            {"like": {"label": {"nott": "b"}}},
            f"{LIKE}.label.nott: there is no such setting; did you mean not?",
        ),
        (
            {"like": {"unless": "hide"}},
            f"{LIKE}.unless: unknown task 'hide'; tasks: like; a column is {{column: hide}}",
        ),
        (
            {"like": {"unless": "hide"}, "hide": {"only_where": "like"}},
            f"{LIKE}.unless: like needs hide needs like; `given`, `unless` and `only_where` must not form a cycle",
        ),
        ({"like": {"unless": "like"}}, f"{LIKE}.unless: like needs like; "),
        (
            {"like": {"label": {"all_of": ["a", {"column": "likes", "at_least": 3}]}}},
            f"{LIKE}.label: column 'likes' is a feature too; a label is no input",
        ),
        (
            {"like": {"label": {"column": "engaged_ms", "at_least": 3}}},
            f"{LIKE}.label: column 'engaged_ms' is features.timestamps.engaged too; a column has one role",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_with_its_path(tasks: Any, message: str):
    content = {**tiny_config().model_dump(exclude_none=True), "tasks": tasks}
    with pytest.raises(ConfigError, match=re.escape(f"config: {message}")):
        parse_config(content)


def test_a_feature_may_bound_a_label_and_say_which_rows_count():
    rule = {"column": "watched_s", "at_least": "age_hours"}
    tasks = {"watched": {"label": rule, "only_where": {"column": "topic", "equals": 1}}}
    config = tiny_config(tasks=tasks)
    assert config.derived_labels() == {"watched": "watched_s >= age_hours, only where topic = 1"}
    assert parse_config(config.model_dump(mode="json")) == config
