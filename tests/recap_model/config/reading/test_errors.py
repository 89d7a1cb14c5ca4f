"""Every error of a config at once, each in a line of our own words."""

import copy
import datetime
import re
from collections.abc import Iterator
from typing import Any

import pytest

from recap_model.config import ConfigError, parse_config
from recap_model.config.recap import parse_yaml
from tests.tiny import sparse_config

_MANY = """
features:
  continuous: [a, b]
  binary: {colunm: x, width: 3}
  discrete: [d, 2026-03-01]
  ids: {user: 5}
tasks:
  2026-03-01: {}
  3: {given: nope}
  like: {score_weight: heavy, labl: x}
  other: 3
model:
  featurization_config: {log1p_abs_config: {}}
  multi_task_type: share_all
  tower: {mlp_config: {layer_sizes: [8, 2]}}
  small_embeddings: {tables: [{name: a, num_embeddings: 0, embedding_dim: 4, index: 0}, 3]}
optimizer: {single_task_learning_rate: {constant: -1}}
training: {epochs: yes, compile: maybe, distribution: {kind: train_job, gpus: 1}}
data: {days: 1.5, split: {by: hash, colum: x}}
evaluation: {gate: {objectives: [nosuch], first_run: x}}
calibration: {tasks: {nosuch: platt, like: plat}}
registry: {tracking_uri: "postgresql://u:pa/ss@h/db", model_name: ""}
modle: {}
"""
_TASKS = "tasks: 2026-03-01, 3, like, other"
_ERRORS = f"""
tasks.2026-03-01: a name is text; put it in quotes
tasks.3: a name is text; put it in quotes
modle: there is no such setting; did you mean model?
features.binary.column: is required
features.binary.colunm: there is no such setting; did you mean column?
features.discrete.1: 2026-03-01: must be text; put it in quotes
features.ids.user: 5: must be text; put it in quotes
tasks.3.given: unknown task 'nope'; {_TASKS}
tasks.like.score_weight: 'heavy': must be a number
tasks.like.labl: there is no such setting; did you mean label?
tasks.other: 3: must be a mapping
model.backbone: needed by multi_task_type share_all
model.tower.mlp_config.layer_sizes: a tower ends in 1 unit, its logit; got 2
model.small_embeddings.tables.0.num_embeddings: 0: must be at least 1
model.small_embeddings.tables.1: 3: must be a mapping
optimizer.single_task_learning_rate.constant: -1: must be greater than 0.0
training.epochs: 'yes': must be a whole number
training.compile: 'maybe': must be true or false
training.distribution.nodes: is required
training.distribution.gpus: there is no such setting; those here are gpus_per_node, kind, nodes, processes, tables
data.days: 1.5: must be a whole number
data.split.column: is required
data.split.colum: there is no such setting; did you mean column?
evaluation.gate.objectives: unknown task 'nosuch'; {_TASKS}
evaluation.gate.first_run: 'x': must be 'floors_only' or 'require_approval'
calibration.tasks: unknown task 'nosuch'; {_TASKS}
calibration.tasks.like: 'plat': must be 'none', 'temperature', 'platt', 'beta', 'isotonic', 'piecewise' or 'auto'
registry.tracking_uri: the address holds a password, token or key, which logs and artifacts would keep; give it by \
PGPASSWORD in the environment, or ~/.pgpass
registry.model_name: '': a name must not be empty
"""


def test_all_errors_of_fields_and_sections_and_between_them_come_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_yaml(_MANY.encode(), "c.yaml")
    expected = {f"c.yaml: {line}" for line in _ERRORS.strip().splitlines()}
    assert set(str(caught.value).splitlines()) == expected


def _places(content: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The path of every value, sections too."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for name, value in items:
        yield (*path, name)
        if isinstance(value, dict | list):
            yield from _places(value, (*path, name))


_WRONG = ["x", -1, 1.5, 2**70, [], [3], {}, {"x": 1}, float("nan"), datetime.date(2026, 3, 1)]
_LIBRARY = re.compile(
    r"Input should|Field required|validation error|\b(list|dict|str|int)\[|type=|valid |datetime\."
)


def test_a_wrong_value_anywhere_is_reported_by_its_path_and_in_no_library_s_words():
    content = sparse_config().model_dump(mode="json")
    refused = 0
    for number, path in enumerate(_places(content)):
        for wrong in (_WRONG[number % len(_WRONG)], _WRONG[(number + 3) % len(_WRONG)]):
            changed = copy.deepcopy(content)
            holder = changed
            for name in path[:-1]:
                holder = holder[name]
            holder[path[-1]] = wrong
            said = _errors(changed)
            refused += bool(said)
            assert not _LIBRARY.search(said), said
            assert all(line.startswith("config: ") for line in said.splitlines()), said
    assert refused > 200


def _errors(content: dict[str, Any]) -> str:
    try:
        parse_config(content)
    except ConfigError as error:
        return str(error)
    return ""
