"""Sequences in the config: one form of columns, given or derived, and what they need of other sections."""

from typing import Any

import pytest

from recap_model.config import ConfigError, RecapConfig, parse_config
from recap_model.config.data.sequences import SequenceColumn
from tests.tiny import tiny_config

GIVEN = {
    "columns": {
        "item": "hist_ids",
        "actions": {"column": "hist_actions", "kind": "actions", "values": ["like", "reply"]},
        "time": {"column": "hist_ms", "kind": "time"},
    },
    "max_length": 3,
}
DERIVED = {
    "columns": {
        "item": "post_id",
        "actions": {"kind": "actions", "values": ["like", "reply"]},
        "time": {"kind": "time"},
    }
}


def config_with(sequences: Any = None, derived_sequences: Any = None, **features: Any) -> RecapConfig:
    content = tiny_config().model_dump(mode="json")
    content["features"] |= {"sequences": sequences or {}, "derived_sequences": derived_sequences or {}}
    for name, value in features.items():
        section = content["features"][name]
        content["features"][name] = section | value if isinstance(section, dict) else value
    return parse_config(content)


def test_the_name_of_a_column_alone_is_a_column_of_ids():
    sequence = config_with({"history": GIVEN}).features.sequences["history"]
    assert sequence.columns["item"] == SequenceColumn(column="hist_ids", kind="id")


def test_a_derived_sequence_is_read_like_one_with_a_column_for_each_key():
    features = config_with({"given": GIVEN}, {"history": DERIVED}).features
    read = features.all_sequences()
    assert list(read) == ["given", "history"]
    assert read["history"].columns["actions"] == SequenceColumn(
        column="history.actions", kind="actions", values=["like", "reply"]
    )
    assert (read["history"].max_length, read["history"].order) == (50, "newest_first")
    assert features.sequence_columns() == ["hist_ids", "hist_actions", "hist_ms"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"columns": {"item": "topic"}}, "column 'topic' is named twice"),
        ({"columns": {"a": "x", "b": "x"}}, "column 'x' is named twice"),
        ({"columns": {"length": "x"}}, "'length' is the key of the lengths"),
        ({"columns": {"a.b": "x"}}, r"features.sequences.history.columns.a.b: must match"),
        ({"columns": {}}, "columns: .*needs at least 1"),
        (
            {"columns": {"item": {"column": "x", "values": [1]}}},
            "values: actions need them, and nothing else",
        ),
        ({"columns": {"a": {"column": "x", "kind": "actions"}}}, "values: actions need them"),
        (
            {"columns": {"a": {"column": "x", "kind": "actions", "values": ["like", "like"]}}},
            "an action is named twice",
        ),
        (
            {"columns": {"a": {"column": "x", "kind": "actions", "values": list(range(64))}}},
            "takes at most 63",
        ),
        ({"columns": {"a": "like"}}, "tasks.like.label: column 'like' is a feature too"),
        ({"max_length": 0}, "max_length: 0: must be at least 1"),
        ({"order": "sorted"}, "order: 'sorted': must be"),
    ],
)
def test_a_sequence_that_does_not_fit_is_refused_by_its_path(change: dict, error: str):
    with pytest.raises(ConfigError, match=error):
        config_with({"history": GIVEN | change})


@pytest.mark.parametrize(
    ("change", "features", "error"),
    [
        ({}, {"ids": {"user": None}}, r"features.ids.user: needed by derived_sequences.history"),
        ({}, {"timestamps": {"impressed": None}}, "features.timestamps.impressed: needed by derived"),
        ({}, {"timestamps": {"engaged": None}}, r"columns.actions.known_at: an action counts from"),
        ({"only_where": "share"}, {}, r"derived_sequences.history.only_where: unknown task 'share'"),
        (
            {"columns": {"actions": {"kind": "actions", "values": ["share"]}}},
            {},
            r"columns.actions.values: unknown task 'share'; tasks: like, reply",
        ),
        (
            {"columns": {"dwell": {"column": "dwell_s", "kind": "number"}}},
            {},
            r"columns.dwell.known_at: 'dwell_s' is no feature and no id",
        ),
        (
            {"columns": {"time": {"column": "x", "kind": "time"}}},
            {},
            "time is of timestamps.impressed; remove",
        ),
        ({"columns": {"item": {"kind": "id"}}}, {}, "column: id is of a column; give the column"),
        ({"lookback_days": -1}, {}, "lookback_days: -1: must be at least 0"),
    ],
)
def test_a_derived_sequence_says_what_it_needs(change: dict, features: dict, error: str):
    with pytest.raises(ConfigError, match=error):
        config_with(None, {"history": DERIVED | change}, **features)


def test_a_value_with_a_time_of_its_own_may_be_any_column():
    dwell = {"column": "dwell_s", "kind": "number", "known_at": "left_ms"}
    config_with(None, {"history": DERIVED | {"columns": {"dwell": dwell}}})


def test_a_sequence_of_a_name_belongs_to_the_log_or_to_prepare():
    with pytest.raises(ConfigError, match="derived_sequences: 'history' is in sequences too"):
        config_with({"history": GIVEN}, {"history": DERIVED})


def test_times_need_the_time_of_impression():
    with pytest.raises(ConfigError, match=r"features.timestamps.impressed: needed by sequences.history"):
        config_with({"history": GIVEN}, timestamps={"impressed": None})
