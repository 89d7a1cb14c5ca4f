"""What a reader of a sequence needs of the rest of the config: one line for what is not there, with its field."""

from typing import Any

import pytest

from recap_model.config import ConfigError, parse_config
from tests.recap_model.sequences import sequence_config


@pytest.mark.parametrize(
    ("reader", "change", "message"),
    [
        (
            "din",
            {"inputs.item": {"table": "itme"}},
            "model.sequences.history.inputs.item.table: unknown table 'itme'",
        ),
        ("din", {"inputs.item": {}}, "inputs.item.table: needed by a column of kind id"),
        (
            "din",
            {"inputs.actions": {"table": "item"}},
            "inputs.actions.table: a column of kind actions reads no table",
        ),
        (
            "din",
            {"inputs.dwell_s": {"buckets": 8}},
            "inputs.dwell_s.buckets: a column of kind number has no buckets",
        ),
        (
            "din",
            {"inputs.dwell": {}},
            "inputs.dwell: unknown column of the sequence; columns: item, author, surface",
        ),
        (
            "din",
            {"candidate.topic": 1},
            "model.sequences.history.candidate.topic: unknown key; keys of inputs: item",
        ),
        ("din", {"candidate.time": 1}, "model.sequences.history.candidate.time: has no table in inputs"),
        (
            "din",
            {"candidate.item": "itm"},
            "candidate.item: unknown column 'itm'; columns of features.discrete: ",
        ),
        (
            "din",
            {"candidate.item": 7},
            "model.sequences.history.candidate.item: 7: features.discrete has 2 columns",
        ),
        ("din", {"candidate": {}}, "model.sequences.history.candidate: needed by din_config"),
        (
            "mean",
            {"candidate": {"item": 0}},
            "candidate: mean_config reads every candidate the same; remove it",
        ),
        ("transformer", {"width": 6}, "model.sequences.history.width: 6 is not a multiple of 4"),
        ("din", {"reader": {}}, "model.sequences.history.reader: exactly one of sum_config"),
        ("din", {"reader": {"din_config": {}, "sum_config": {}}}, "got sum_config, din_config"),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_field(reader: str, change: dict[str, Any], message: str):
    content = sequence_config(reader).model_dump(exclude_none=True)
    for path, value in change.items():
        section, _, key = path.rpartition(".")
        place = content["model"]["sequences"]["history"]
        place = place[section] if section else place
        place[key] = value
    with pytest.raises(ConfigError) as error:
        parse_config(content)
    assert message in str(error.value)


def test_a_sequence_that_features_do_not_have_is_named():
    content = sequence_config("din").model_dump(exclude_none=True)
    content["model"]["sequences"]["past"] = content["model"]["sequences"].pop("history")
    with pytest.raises(
        ConfigError, match=r"model\.sequences\.past: unknown sequence; sequences of features: history"
    ):
        parse_config(content)
