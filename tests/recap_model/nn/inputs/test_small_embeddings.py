"""Small embeddings and their vocabularies."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recap_model.config.model.inputs import LargeEmbeddingsConfig, SmallEmbeddingsConfig
from recap_model.data.dataset.statistics import FeatureStatistics
from recap_model.data.log.id_hashing import hash_buckets
from recap_model.nn import LargeEmbeddings, SmallEmbeddings, Vocabulary

INT64 = st.integers(-(2**63), 2**63 - 2)


@given(st.sets(INT64, max_size=40), st.integers(1, 40), st.lists(INT64, max_size=20))
def test_a_vocabulary_finds_what_it_holds_and_nothing_else(held, size, asked):
    vocabulary = Vocabulary(size)
    vocabulary.fill(dict.fromkeys(held, 1))
    places = sorted(held - {-1})
    kept = places if len(places) <= size else sorted(sorted(places)[:size])
    ids = torch.tensor([*asked, *sorted(held)], dtype=torch.int64)
    expected = [kept.index(id_) + 1 if id_ in kept else 0 for id_ in ids.tolist()]
    assert vocabulary(ids).tolist() == expected


def test_an_empty_vocabulary_knows_no_id():
    largest = torch.iinfo(torch.int64).max
    assert Vocabulary(3)(torch.tensor([-1, 0, 5, largest])).tolist() == [0, 0, 0, 0]


def test_the_most_frequent_ids_are_held():
    vocabulary = Vocabulary(2, min_count=3)
    vocabulary.fill({7: 3, 100: 90, -5: 10, -1: 1000, 8: 2})
    assert vocabulary(torch.tensor([-5, 100, 7, 8, -1])).tolist() == [1, 2, 0, 0, 0]


def tables(**table) -> SmallEmbeddings:
    defaults = {"name": "topic", "num_embeddings": 4, "embedding_dim": 3, "index": 1}
    return SmallEmbeddings(SmallEmbeddingsConfig(tables=[defaults | table]))


def test_without_a_vocabulary_an_id_is_its_entry_and_others_are_unknown():
    module = tables()
    weight = module.weight_of(0)
    (out,) = module(torch.tensor([[9, 0], [9, 3], [9, 4], [9, -1]]))
    torch.testing.assert_close(out, weight[[0, 3, 0, 0]])


def test_a_hashed_id_reads_the_entry_of_its_hash_and_a_missing_one_the_unknown():
    plain = {"name": "plain", "num_embeddings": 1, "embedding_dim": 3, "index": 0}
    topic = {"name": "topic", "num_embeddings": 6, "embedding_dim": 3, "index": 1, "hash": True}
    module = SmallEmbeddings(SmallEmbeddingsConfig(tables=[plain, topic]))
    ids = [0, 3, 2**62, 17, -77, -(2**63)]
    _, out = module(torch.tensor([[0, id_] for id_ in [*ids, -1]]))
    entries = [1 + int(hash_buckets(np.array([id_]), 5)[0]) for id_ in ids]
    torch.testing.assert_close(out, module.weight_of(1)[[*entries, 0]])
    large = LargeEmbeddings(
        LargeEmbeddingsConfig(
            tables=[{"name": "seen", "num_embeddings": 6, "embedding_dim": 2, "hash": True}]
        )
    )
    (sums,) = large({"seen": torch.tensor([[*ids, -1]])})
    torch.testing.assert_close(sums, large.tables[0].table.weight[entries].sum(dim=0, keepdim=True))


@pytest.mark.parametrize(("key", "columns"), [("topic_id", ["position", "topic_id"]), ("1", [])])
def test_a_vocabulary_goes_by_the_columns_name_or_its_index(key, columns):
    module = tables(min_count=2)
    module.set_statistics(FeatureStatistics(vocabularies={key: {50: 5, 60: 1}}), columns)
    (out,) = module(torch.tensor([[0, 50], [0, 60]]))
    torch.testing.assert_close(out, module.weight_of(0)[[1, 0]])


def test_statistics_without_the_column_are_refused():
    with pytest.raises(ValueError, match="no counts of column 'topic_id', which the table 'topic'"):
        tables(min_count=2).set_statistics(FeatureStatistics(), ["position", "topic_id"])


def test_tables_of_all_widths_keep_their_order_and_their_own_entries():
    sizes = {"a": (3, 2), "b": (5, 4), "c": (4, 2), "d": (2, 4)}
    module = SmallEmbeddings(
        SmallEmbeddingsConfig(
            tables=[
                {"name": name, "num_embeddings": size, "embedding_dim": width, "index": index}
                for index, (name, (size, width)) in enumerate(sizes.items())
            ]
        )
    )
    ids = torch.tensor([[0, 4, 3, 1], [2, 0, 7, -1]])
    expected_entries = [[0, 2], [4, 0], [3, 0], [1, 0]]
    for number, (out, entries) in enumerate(zip(module(ids), expected_entries, strict=True)):
        torch.testing.assert_close(out, module.weight_of(number)[entries])
    assert [len(module.weight_of(number)) for number in range(4)] == [3, 5, 4, 2]
    assert len(list(module.parameters())) == 2
