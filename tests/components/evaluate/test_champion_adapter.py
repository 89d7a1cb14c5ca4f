"""A champion on the rows of a later config: it reads its own columns, or says which are gone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import recap_model
from components.common.scoring.champion_adapter import ChampionError, ColumnMismatchError, ComparedModel
from recap_model import create_ranking_model, save_model
from recap_model.config import RecapConfig, parse_config
from recap_model.data.dataset.reader import DatasetReader
from recap_model.model.ranking_model import MultiTaskRankingModel
from tests.datasets import build_tiny
from tests.tiny import sparse_config, tiny_config, write_tiny_log

TASKS = ["like", "reply"]
LOG_RATIO = {"rate": {"kind": "ratio", "of": ["replies", "likes"]}}


def with_features(**features: Any) -> RecapConfig:
    content = tiny_config().model_dump(exclude_none=True)
    return parse_config({**content, "features": content["features"] | features})


def with_history(*keys: str, max_length: int = 5) -> RecapConfig:
    """With a derived sequence of these columns, of which the net reads the items."""
    columns: dict[str, Any] = {"item": "post_id", "time": {"kind": "time"}}
    derived = {"columns": {key: columns[key] for key in keys}, "max_length": max_length}
    content = with_features(derived_sequences={"history": derived}).model_dump(exclude_none=True)
    reader = {"inputs": {"item": {"table": "post"}}, "reader": {"mean_config": {}}}
    tables = {"post": {"num_embeddings": 50, "embedding_dim": 4, "hash": True}}
    model = content["model"] | {"tables": tables, "sequences": {"history": reader}}
    return parse_config({**content, "model": model})


def champion_of(config: RecapConfig, folder: Path) -> MultiTaskRankingModel:
    model = create_ranking_model(recap_model.data_spec(config), config, "cpu").eval()
    save_model(model, folder, config)
    return model


def probabilities(config: RecapConfig, log: Path, folder: Path, score: Callable[..., Any]) -> torch.Tensor:
    """What ``score`` says of the test rows that are built for a config."""
    reader = DatasetReader(build_tiny(folder, config, log).test, TASKS, 64, config=config)
    with torch.inference_mode():
        return torch.cat([score(batch) for _, batch in reader.batches_with_rows()])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (with_features(), with_features(continuous=["likes", "replies", "age_hours"])),
        (
            with_features(binary=[]),
            with_features(continuous=["age_hours", "has_video", "likes", "replies"], binary=[]),
        ),
        (with_features(user_embedding=None), with_features(discrete=["topic", "position"])),
        (with_history("item"), with_history("time", "item")),
    ],
    ids=["moved", "added", "another group", "more of a sequence"],
)
def test_columns_that_are_added_or_moved_leave_the_champions_scores_as_they_were(
    theirs: RecapConfig, ours: RecapConfig, tmp_path: Path
):
    log = write_tiny_log(tmp_path / "log")
    model = champion_of(theirs, tmp_path / "champion")
    alone = probabilities(
        theirs, log, tmp_path / "theirs", lambda batch: model(batch)["calibrated_probabilities"]
    )
    champion = ComparedModel(tmp_path / "champion", ours)
    beside = probabilities(ours, log, tmp_path / "ours", lambda batch: champion.scores(batch, TASKS)[0])
    assert torch.equal(alone, beside)


@pytest.mark.parametrize(
    ("theirs", "ours", "words"),
    [
        (with_features(), with_features(continuous=["likes"]), "age_hours, replies of features.continuous"),
        (
            with_features(),
            with_features(user_embedding={"column": "user_embedding", "width": 4, "slices": [[0, 2]]}),
            "user_embedding of features.user_embedding",
        ),
        (
            with_features(continuous=["likes", "rate"], derived=LOG_RATIO),
            with_features(
                continuous=["likes", "rate"],
                derived={"rate": {"kind": "ratio", "of": ["likes", "replies"]}},
            ),
            "rate of features.continuous",
        ),
        (sparse_config(), with_features(), "seen of features.sparse"),
        (with_history("item"), with_features(), "history of features.sequences"),
        (with_history("item"), with_history("item", max_length=4), "history of features.sequences"),
    ],
    ids=["gone", "other stretch", "computed otherwise", "lists gone", "sequence gone", "sequence cut"],
)
def test_a_column_that_is_gone_or_has_another_meaning_is_named(
    theirs: RecapConfig, ours: RecapConfig, words: str, tmp_path: Path
):
    champion_of(theirs, tmp_path)
    with pytest.raises(
        ColumnMismatchError, match=f"the champion reads {words}, which this config does not have"
    ):
        ComparedModel(tmp_path, ours)


def test_a_champion_whose_probabilities_are_not_finite_is_none_to_compare_with(tmp_path: Path):
    config = with_features(user_embedding=None)
    champion_of(config, tmp_path / "champion")
    champion = ComparedModel(tmp_path / "champion", config)
    log = write_tiny_log(tmp_path / "log")
    reader = DatasetReader(build_tiny(tmp_path / "sets", config, log).test, TASKS, 64, config=config)
    _, batch = next(reader.batches_with_rows())
    with torch.no_grad():
        next(champion._model.parameters()).fill_(torch.nan)
    with pytest.raises(ChampionError, match="the champion's probabilities of the test rows are not finite"):
        champion.scores(batch, TASKS)
