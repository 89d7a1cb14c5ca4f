"""The packaged configs of the sample log fit the log."""

from pathlib import Path

import pytest

import pipeline
from pipeline.simulator.columns import (
    BINARY,
    CONTINUOUS,
    DISCRETE,
    EMBEDDING_WIDTH,
    EMBEDDINGS,
    SCHEMA,
    log_schema,
)
from pipeline.simulator.history import HISTORY_LENGTH
from pipeline.simulator.labels import TASKS, task_names
from pipeline.simulator.parameters import DEFAULT_DAYS
from recap_model import load_config
from recap_model.config import RecapConfig

SAMPLE_YAML = Path(pipeline.__file__).parent / "configs" / "sample.yaml"


def _config() -> RecapConfig:
    return load_config(SAMPLE_YAML)


def test_it_reads_every_column_of_the_log():
    features = _config().features
    assert sorted(features.continuous) == sorted(CONTINUOUS)
    assert sorted(features.binary) == sorted(BINARY)
    assert sorted(features.discrete) == sorted(DISCRETE)
    for name in EMBEDDINGS:
        assert getattr(features, name).model_dump(exclude_none=True) == {
            "column": name,
            "width": EMBEDDING_WIDTH,
        }
    stamps = features.timestamps
    assert {stamps.served, stamps.impressed, stamps.engaged} <= set(SCHEMA.names)


def test_it_has_the_published_tasks_and_score_weights():
    config = _config()
    assert list(config.tasks) == list(TASKS)
    weights = [task.score_weight for task in config.tasks.values()]
    assert weights == [0.5, 1.0, 13.5, 12.0, 0.005, 75.0, 11.0, 10.0, -74.0, -369.0]


def test_its_window_is_the_default_log():
    config = _config()
    assert config.data.days == DEFAULT_DAYS
    assert config.data.rectify_labels is not None
    assert config.data.rectify_labels.window_hours == 3.0


def test_its_tables_read_the_columns_they_are_named_after():
    config = _config()
    assert isinstance(config.features.discrete, list)
    assert config.model.small_embeddings is not None
    for table in config.model.small_embeddings.tables:
        assert config.features.discrete[table.index] == table.name
    assert config.model.position_debias_config is not None
    assert config.features.discrete[config.model.position_debias_config.position_feature_index] == "position"


@pytest.mark.parametrize("name", ["history", "phoenix_nano"])
def test_configs_of_histories_read_columns_of_that_log(name: str):
    config = load_config(SAMPLE_YAML.with_name(f"{name}.yaml"))
    schema = log_schema(history=True)
    features = config.features
    rules = [condition for task in config.tasks for condition in config.tasks[task].conditions(task)]
    labels = {rule.column for _, rule in rules} or set(config.tasks)
    assert {*features.columns(), *features.sequence_columns(), *labels} <= set(schema.names)
    history = features.sequences["history"]
    assert set(history.columns["actions"].values or ()) <= set(task_names(history=True))
    assert history.max_length == HISTORY_LENGTH
    outcomes = {*task_names(history=True), "dwell_s", "engaged_ms"}
    assert not outcomes & {*features.columns(), *features.sequence_columns()}
