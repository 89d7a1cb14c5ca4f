"""From the published ranker's configuration file to a config, and from its records to a trained model."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from components.train.train import train_model
from pipeline.cli.app import app
from pipeline.importers.tfrecord import import_tfrecord
from pipeline.importers.tml_config import import_tml_config
from recap_model.config import ConfigError, load_config
from recap_model.config.recap import data_spec
from tests.datasets import build_tiny
from tests.pipeline.importers.published import (
    PREFIX,
    RENAMED,
    published_config,
    segdense_schema,
    write_records,
)

HEAVY_RANKER = Path("pipeline/configs/heavy_ranker.yaml")
SMALL = {"continuous": 7, "binary": 4, "discrete": 3}
FAVORITED = f"{PREFIX}is_favorited"


def write(folder: Path, config: dict[str, Any], schema: dict[str, Any] | None) -> Path:
    path = folder / "local_prod.yaml"
    path.write_text(yaml.safe_dump(config))
    if schema is not None:
        (folder / "segdense.json").write_text(json.dumps(schema))
    return path


@pytest.mark.parametrize("schema", [None, segdense_schema()])
def test_the_published_file_becomes_the_packaged_config_of_the_heavy_ranker(tmp_path: Path, schema: Any):
    path, packaged = write(tmp_path, published_config(), schema), load_config(HEAVY_RANKER)
    done = CliRunner().invoke(app, ["import", "tml-config", str(path), "--out", str(tmp_path / "mine.yaml")])
    assert done.exit_code == 0, done
    config = load_config(tmp_path / "mine.yaml")
    assert config.model == packaged.model
    assert config.optimizer == packaged.optimizer
    assert config.tasks == packaged.tasks
    assert data_spec(config) == data_spec(packaged)
    assert config.features.model_dump(exclude_unset=True) == {
        "continuous": {"column": RENAMED["continuous"], "width": 6000, "slices": [(0, 2117)]},
        "binary": {"column": RENAMED["binary"], "width": 512, "slices": [(0, 59)]},
        **{group: {"column": name, "width": 200} for group, name in RENAMED.items() if "embedding" in group},
        "ids": {"user": "meta.user_id", "candidate": "meta.tweet_id"},
    }
    assert (config.training.batch_size, config.training.max_steps) == (128, 1000)
    assert config.data.split.model_dump()["column"] == "meta.user_id"
    assert "no tower for them: recap.engagement.is_bookmarked, " in done.stdout
    again = CliRunner().invoke(app, ["import", "tml-config", str(path), "--out", str(tmp_path / "mine.yaml")])
    assert isinstance(again.exception, FileExistsError)


def test_times_windows_masks_and_lists_of_ids_are_carried_over(tmp_path: Path):
    published, schema = published_config(), segdense_schema(SMALL, 5)
    np.save(tmp_path / "mask.npy", np.array([1, 0, 1, 1, 0, 0, 1]))
    data = published["train_data"]
    data["explicit_datetime_inputs"] = {
        "data_root": "x",
        "end_datetime": "2023-03-01 05",
        "hours": 90,
        "num_missing_hours_tolerated": 25,
    }
    data["preprocess"] = {
        "truncate_and_slice": {"continuous_feature_mask_path": "mask.npy", "binary_feature_truncation": 4},
        "rectify_labels": {
            "label_rectification_window_in_hours": 2.5,
            "served_timestamp_field": "meta__served",
            "impressed_timestamp_field": "impressed",
            "label_to_engaged_timestamp_field": dict.fromkeys(data["tasks"], "engaged"),
        },
    }
    data["seg_dense_schema"]["renamed_features"] |= {"meta__served": "served"}
    table = {
        "name": "author_ids",
        "num_embeddings": 10,
        "embedding_dim": 2,
        "pretrained": None,
        "vocab": None,
    }
    published["model"]["large_embeddings"] = {"tables": [table]}
    published["model"]["small_embeddings"] = {"tables": [table | {"name": "small", "index": 2}]}
    for field in ("pretrained", "vocab"):
        del published["model"]["small_embeddings"]["tables"][0][field]
    schema["schema"] += [
        {"feature_name": name, "dtype": "int64_list", "length": 1}
        for name in ("served", "impressed", "engaged")
    ]
    schema["schema"].append({"feature_name": "author_ids", "dtype": "int64_list", "length": -1})
    imported = import_tml_config(write(tmp_path, published, schema))
    features, content = imported.config.features, imported.config.model_dump()
    assert content["features"]["continuous"]["slices"] == [(0, 1), (2, 4), (6, 7)]
    assert content["features"]["binary"] == {"column": RENAMED["binary"], "width": 4, "slices": None}
    assert (features.sparse, features.width("discrete")) == (["author_ids"], 3)
    assert (features.timestamps.served, features.timestamps.impressed) == ("served", "impressed")
    assert features.timestamps.engaged == "engaged"
    assert imported.time == "impressed"
    assert (imported.config.data.days, imported.config.data.tolerated_missing_days) == (4, 1)
    assert imported.config.data.rectify_labels is not None
    assert imported.config.data.rectify_labels.window_hours == 2.5
    del data["preprocess"]["rectify_labels"]["label_to_engaged_timestamp_field"][FAVORITED]
    data["preprocess"]["downsample_negatives"] = {"batch_multiplier": 4, "num_negatives": 100}
    imported = import_tml_config(write(tmp_path, published, schema))
    assert imported.config.data.rectify_labels is None
    assert any(note.startswith("Left out: preprocess.rectify_labels") for note in imported.notes)
    assert any(note.startswith("Left out: preprocess.downsample_negatives") for note in imported.notes)


BROKEN: dict[str, tuple[dict[str, Any], str]] = {
    "no data": ({"train_data": None}, "train_data: is required"),
    "no schema": ({"train_data.seg_dense_schema": None}, "train_data.seg_dense_schema: is required"),
    "no tasks of the data": ({"train_data.tasks": {}}, "train_data.tasks: .*at least 1"),
    "no tasks of the model": ({"model.tasks": {}}, "model.tasks: no task; a model predicts at least one"),
    "another task": (
        {f"train_data.tasks.{FAVORITED}": None},
        f"train_data.tasks: no '{FAVORITED}', which model.tasks has",
    ),
    "a rate of 2": (
        {f"train_data.tasks.{FAVORITED}": {"pos_downsampling_rate": 2.0}},
        f"train_data.tasks.{FAVORITED}.pos_downsampling_rate: 2.0: ",
    ),
    "a misspelt group": (
        {"train_data.seg_dense_schema.renamed_features.continous": "x"},
        "unknown group 'continous'; did you mean continuous?",
    ),
    "no group": (
        {"train_data.seg_dense_schema.renamed_features": {"meta__user_id": "meta.user_id"}},
        "no group of inputs; groups are continuous, binary",
    ),
    "a feature that the schema lacks": (
        {"train_data.seg_dense_schema.renamed_features.binary": "home_recap_2022_binry__segdense_vals"},
        "unknown feature 'home_recap_2022_binry__segdense_vals'; .* did you mean 'home_recap_2022_binary",
    ),
    "a truncation past the end": (
        {"train_data.preprocess.truncate_and_slice.binary_feature_truncation": 600},
        "binary_feature_truncation: 600: feature .* has 512 entries",
    ),
    "a mask that is not there": (
        {
            "train_data.preprocess.truncate_and_slice": {"binary_feature_mask_path": "none.npy"},
        },
        "binary_feature_mask_path: .*none.npy: no such file",
    ),
    "a field of preprocess that is not published": (
        {"train_data.preprocess.truncate": 7},
        "train_data.preprocess.truncate: there is no such setting; those here are downcast",
    ),
    "a wrong model": (
        {"model.backbone.pos_weight": 2.0},
        "model.backbone.pos_weight: 2.0: weighs the positives in a task's loss, which only a tower has",
    ),
    "a list instead of a section": ({"model.tasks": []}, "model.tasks"),
}


def put(content: dict[str, Any], path: str, value: Any) -> None:
    """Set the field at a path; the name of a task, which has dots, is its last part."""
    parts = [*path.split(f".{PREFIX}")[0].split(".")]
    if f".{PREFIX}" in path:
        parts.append(PREFIX + path.split(f".{PREFIX}")[1])
    for part in parts[:-1]:
        content = content[part]
    content[parts[-1]] = value


@pytest.mark.parametrize("case", BROKEN)
def test_what_cannot_be_carried_over_is_one_line(tmp_path: Path, case: str):
    changes, message = BROKEN[case]
    published = published_config()
    for path, value in changes.items():
        put(published, path, value)
        if value is None and PREFIX in path:
            del published["train_data"]["tasks"][FAVORITED]
    path = write(tmp_path, published, segdense_schema())
    with pytest.raises(ConfigError, match=message) as raised:
        import_tml_config(path)
    assert all(line.startswith(f"{path}: ") for line in str(raised.value).splitlines())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("{}", "no features; a segdense schema is a list of them"),
        ('{"schema": [{"feature_name": "x", "length": 1}]}', "schema.0.dtype: is required"),
        (
            '{"schema": [{"feature_name": "x", "dtype": "float", "length": 1}]}',
            "schema.0.dtype: 'float': must be 'int64_list', 'float_list' or 'bytes_list'",
        ),
        (
            json.dumps({"schema": segdense_schema()["schema"] * 2}),
            f"feature '{RENAMED['continuous']}' is given twice",
        ),
        (
            json.dumps(segdense_schema({**SMALL, "continuous": -1}, 5)),
            "has length -1; a group has a fixed length",
        ),
        (
            json.dumps(segdense_schema(SMALL, 5)).replace("int64_list", "bytes_list"),
            "is a bytes_list; allowed are float_list, int64_list",
        ),
    ],
)
def test_a_schema_that_is_none_or_does_not_fit_is_one_line(tmp_path: Path, content: str, message: str):
    path = write(tmp_path, published_config(), None)
    (tmp_path / "segdense.json").write_text(content)
    with pytest.raises(ConfigError, match=message):
        import_tml_config(path)
    with pytest.raises(FileNotFoundError, match="no such file; give the segdense schema"):
        import_tml_config(path, tmp_path / "none.json")
    with pytest.raises(FileNotFoundError, match="no such file; give the published configuration"):
        import_tml_config(tmp_path / "none.yaml")


def test_a_model_is_trained_on_imported_records_by_the_imported_config(tmp_path: Path):
    published, schema = published_config(), segdense_schema(SMALL, 5)
    cut = published["train_data"]["preprocess"]["truncate_and_slice"]
    cut |= {"continuous_feature_truncation": 6, "binary_feature_truncation": 3}
    net = published["model"]["backbone"]["mask_net_config"]
    net["mask_blocks"] = [{"aggregation_size": 4, "output_size": 4}]
    net["mlp"]["layer_sizes"] = [8]
    path = write(tmp_path, published, schema)
    imported = import_tml_config(path, tmp_path / "segdense.json")
    write_records(tmp_path / "records", schema, rows=600)
    import_tfrecord(tmp_path / "records", tmp_path / "log", day=date(2026, 3, 1))
    sets = build_tiny(tmp_path / "sets", imported.config, tmp_path / "log")
    manifest = train_model(sets.snapshot, sets.train, tmp_path / "model")
    assert manifest.steps == 4
    assert set(manifest.losses) == set(imported.config.tasks)
