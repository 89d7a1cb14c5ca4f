"""Aligned columns of lists are drafted as a sequence, with the kind of each and a net that reads them."""

from datetime import date

import numpy as np
import pyarrow as pa
import yaml

from pipeline.config_draft.config import ColumnRoles, draft_config
from pipeline.config_draft.sample import LogSample
from recap_model import create_ranking_model
from recap_model.config import data_spec, parse_config
from tests.tiny import TASKS, tiny_rows, with_histories

ROLES = ColumnRoles(
    {task: task for task in TASKS}, {"user": "user_id"}, {"impressed": "impressed_ms"}, discrete=("post_id",)
)


def drafted(rows: pa.Table, roles: ColumnRoles = ROLES) -> dict:
    return yaml.safe_load(
        draft_config(LogSample(rows, [len(rows)] * 5, np.arange(len(rows)) % 5), roles, "tiny")
    )


def test_aligned_lists_are_a_sequence_that_a_net_reads():
    rows = tiny_rows(date(2026, 3, 1), 200)
    posts = pa.array(np.arange(200) // 2)  # one that comes once is taken for the id of a row
    rows = with_histories(rows.set_column(rows.column_names.index("post_id"), "post_id", posts))
    rows = rows.append_column("other", pa.array([[1] * (n % 3) for n in range(200)]))
    content = drafted(rows)
    assert content["features"]["sequences"] == {
        "hist": {
            "columns": {
                "ids": {"column": "hist_ids", "kind": "id"},
                "actions": {"column": "hist_actions", "kind": "actions", "values": ["like", "reply"]},
                "dwell": {"column": "hist_dwell", "kind": "number"},
                "ms": {"column": "hist_ms", "kind": "time"},
            },
            "max_length": 50,
            "order": "oldest_first",
        }
    }
    assert content["model"]["sequences"]["hist"] == {
        "inputs": {"ids": {"table": "hist_ids"}, "actions": {}, "dwell": {}, "ms": {}},
        "candidate": {"ids": "post_id"},
        "reader": {"din_config": {}},
    }
    config = parse_config(content)
    create_ranking_model(data_spec(config), config, "cpu")


def test_without_known_candidates_or_times_the_rest_is_read_by_its_mean():
    rows = with_histories(tiny_rows(date(2026, 3, 1), 200))
    reversed_lists = [items[::-1] for items in rows["hist_ids"].to_pylist()]
    rows = rows.set_column(rows.column_names.index("hist_ids"), "hist_ids", pa.array(reversed_lists))
    content = drafted(rows, ColumnRoles({task: task for task in TASKS}, {"user": "user_id"}, {}))
    assert "ms" not in content["features"]["sequences"]["hist"]["columns"]
    assert content["model"]["sequences"]["hist"]["reader"] == {"mean_config": {}}
    parse_config(content)


def test_lists_of_one_length_are_no_sequence():
    rows = tiny_rows(date(2026, 3, 1), 200)
    rows = rows.append_column("a", pa.array(np.arange(400).reshape(200, 2).tolist()))
    rows = rows.append_column("b", pa.array(np.ones((200, 2)).tolist()))
    assert "sequences" not in drafted(rows)["features"]
