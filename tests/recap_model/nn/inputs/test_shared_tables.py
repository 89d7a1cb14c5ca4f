"""Shared tables: one set of entries for a discrete column and for lists."""

import numpy as np
import pytest
import torch

from recap_model import ConfigError, create_ranking_model, load_model, save_model
from recap_model.config import parse_config
from recap_model.config.model.network import ModelConfig
from recap_model.config.model.table_columns import TableColumn, shared_table_columns
from recap_model.config.model.tables import TableConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.data.log.id_hashing import hash_buckets
from recap_model.data.log.schema import log_columns
from recap_model.nn import SharedTables
from recap_model.training.warm_start import warm_start
from tests.recap_model.models import WIDTHS, batch, section
from tests.tiny import tiny_config

TABLE = {"num_embeddings": 5, "embedding_dim": 2}
IDS = [{"table": "video", "column": 1}, {"table": "video", "column": "seen"}]


def shared(**table) -> ModelConfig:
    return section(small_embeddings=None, tables={"video": TABLE | table}, ids=IDS)


def test_an_id_reads_the_same_entry_in_every_column():
    inputs = create_ranking_model(WIDTHS, shared(), "cpu").inputs
    weight = inputs.shared_tables.table("video").table.weight
    rows = batch(
        3,
        discrete=torch.tensor([[0, 4], [0, -1], [0, 77]]),
        sparse={"seen": torch.tensor([[4, 2], [3, -1], [-1, -1]])},
    )
    single, listed = inputs(rows).embeddings[:2]
    torch.testing.assert_close(single, weight[[4, 0, 0]])
    torch.testing.assert_close(listed, torch.stack([weight[4] + weight[2], weight[3], 0 * weight[0]]))
    assert inputs.sparse == ["seen"]


@pytest.mark.parametrize("hashes", [1, 3])
def test_an_id_reads_the_sum_of_as_many_entries_as_hashes(hashes: int):
    tables = SharedTables(
        {"video": TableConfig(num_embeddings=50, embedding_dim=2, hash=True, hashes=hashes)}
    )
    weight = tables.table("video").table.weight
    ids = torch.tensor([[7, -1], [2**62, -9]])
    (found,) = tables([("video", ids)])
    buckets = [hash_buckets(ids, 49, number) + 1 for number in range(hashes)]
    expected = sum(weight[one] for one in buckets)
    torch.testing.assert_close(found[ids != -1], expected[ids != -1])
    torch.testing.assert_close(found[0, 1], hashes * weight[0])


def test_hashes_of_a_table_are_independent():
    ids = np.arange(200_000)
    first, second = hash_buckets(ids, 100, 0), hash_buckets(ids, 100, 1)
    pairs = np.bincount(first * 100 + second, minlength=10_000)
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert pairs.min() > 0
    assert pairs.max() < 60


def test_reading_together_in_training_is_reading_one_by_one_in_evaluation():
    tables = SharedTables({name: TableConfig(**TABLE) for name in ("video", "author")})
    readings = [
        ("author", torch.tensor([1, 2])),
        ("video", torch.tensor([[3, 1]])),
        ("author", torch.tensor([[4], [0]])),
    ]
    together = tables(readings)
    for one, other in zip(together, tables.eval()(readings), strict=True):
        assert torch.equal(one, other)


def test_a_vocabulary_is_of_all_columns_of_the_table_together():
    model = create_ranking_model(
        WIDTHS,
        shared(min_count=3),
        "cpu",
        statistics=FeatureStatistics(vocabularies={"model.tables.video": {70: 4, 60: 3, 5: 2}}),
    )
    assert model.inputs.shared_tables.table("video").entries(torch.tensor([60, 70, 5])).tolist() == [1, 2, 0]
    with pytest.raises(ValueError, match=r"no counts of model\.tables\.video, which its min_count needs"):
        model.set_statistics(FeatureStatistics())


def test_warm_start_copies_a_table_by_name_and_ids():
    counts = FeatureStatistics(vocabularies={"model.tables.video": {70: 4, 60: 3}})
    old = create_ranking_model(WIDTHS, shared(min_count=1), "cpu", statistics=counts)
    grown = FeatureStatistics(vocabularies={"model.tables.video": {65: 9, 70: 4}})
    new = create_ranking_model(WIDTHS, shared(min_count=1, num_embeddings=9), "cpu", statistics=grown)
    warm_start(new, old)
    before, after = (model.inputs.shared_tables.table("video") for model in (old, new))
    assert torch.equal(after(torch.tensor([70, 99])), before(torch.tensor([70, 99])))
    assert not torch.equal(after(torch.tensor([65])), before(torch.tensor([65])))
    fewer = create_ranking_model(WIDTHS, shared(hash=True, hashes=2), "cpu")
    assert "inputs.shared_tables.tables.video" in warm_start(
        fewer, create_ranking_model(WIDTHS, shared(hash=True), "cpu")
    )


def test_a_saved_model_reads_the_same_entries(tmp_path):
    np.save(tmp_path / "values.npy", np.ones((2, 2), dtype=np.float32))
    (tmp_path / "ids.txt").write_text("8\n-3\n")
    config = shared(vocab=str(tmp_path / "ids.txt"), pretrained=str(tmp_path / "values.npy"))
    model = create_ranking_model(WIDTHS, config, "cpu").eval()
    save_model(model, tmp_path / "model", config)
    (tmp_path / "ids.txt").unlink()
    table = load_model(tmp_path / "model").inputs.shared_tables.table("video")
    assert table(torch.tensor([8, -3])).tolist() == [[1.0, 1.0], [1.0, 1.0]]


def whole(**model) -> dict:
    content = tiny_config().model_dump(exclude_none=True)
    content["features"]["sparse"] = ["seen"]
    return content | {"model": content["model"] | model}


def test_columns_go_by_name_and_take_text_where_all_their_tables_do():
    tables = {"video": TABLE | {"hash": True}, "plain": TABLE}
    names = tiny_config().features.discrete
    ids = [
        {"table": "video", "column": names[1]},
        {"table": "video", "column": "seen"},
        {"table": "plain", "column": "seen"},
    ]
    config = parse_config(whole(tables=tables, ids=ids))
    seen = TableColumn("sparse", name="seen")
    assert shared_table_columns(config) == {
        "video": [TableColumn("discrete", index=1), seen],
        "plain": [seen],
    }
    any_id = {
        column.name: column.any_id for column in log_columns(config) if column.role in ("discrete", "sparse")
    }
    assert any_id == {names[0]: False, names[1]: True, "seen": False}


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"tables": {"video": TABLE}}, "model.tables.video: no column reads it"),
        ({"tables": {"video": TABLE}, "ids": [*IDS, IDS[0]]}, "model.ids.2: 1 reads table video twice"),
        ({"ids": IDS[:1]}, "model.ids.0.table: unknown table 'video'; tables: none"),
        (
            {"tables": {"video": TABLE}, "ids": [{"table": "video", "column": "seem"}]},
            "model.ids.0.column: unknown column 'seem'; columns of",
        ),
        (
            {"tables": {"video": TABLE}, "ids": [{"table": "video", "column": 9}]},
            "model.ids.0.column: 9: features.discrete has 2 columns",
        ),
        (
            {"tables": {"video": TABLE | {"hashes": 2}}, "ids": IDS},
            "model.tables.video.hashes: 2 entries of an id",
        ),
        (
            {"tables": {"video": TABLE | {"hash": True, "min_count": 2}}, "ids": IDS},
            "finds its ids in one way",
        ),
        (
            {"tables": {"video": TABLE | {"min_count": 2, "pretrained": "x.npy"}}, "ids": IDS},
            "model.tables.video.pretrained: values at the start",
        ),
        ({"tables": {"a.b": TABLE}, "ids": IDS}, "model.tables.a.b: must match"),
    ],
)
def test_what_does_not_fit_is_one_line_with_its_field(model, message):
    with pytest.raises(ConfigError) as error:
        parse_config(whole(**model))
    assert message in str(error.value)
