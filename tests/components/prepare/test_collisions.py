"""Collisions of hashed ids: against counting all of them, in any order, and from the log through prepare."""

import logging
import pickle
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.prepare.statistics.collisions import CollisionCounter, expected_collision_rate
from components.train.train import train_model
from recap_model.config import RecapConfig
from recap_model.data.dataset.reader import DatasetReader
from recap_model.data.dataset.statistics import Collisions, FeatureStatistics
from recap_model.data.log.id_hashing import hash_buckets
from tests.components.prepare.conftest import grouped_config
from tests.datasets import TinySets, build_tiny
from tests.tiny import TASKS

IDS = st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 30), max_size=60)
SEEN, TOPIC, CROSS = "model.large_embeddings.seen", "model.small_embeddings.topic", "features.derived.both"


def counted(ids: list[int], buckets: int) -> tuple[int, float, int, float]:
    """Distinct ids, the share of them that share a place, impressions, the share of those, by counting all."""
    members: dict[int, set[int]] = defaultdict(set)
    for id_ in ids:
        members[int(hash_buckets(np.array([id_]), buckets)[0])].add(id_)
    impressions = Counter(ids)
    shared = [id_ for place in members.values() if len(place) > 1 for id_ in place]
    read = sum(impressions[id_] for id_ in shared)
    distinct = len(impressions)
    return distinct, len(shared) / max(distinct, 1), len(ids), read / max(len(ids), 1)


def result_of(found: Collisions) -> tuple[int, float, int, float]:
    return found.ids, found.collision_rate, found.impressions, found.impression_collision_rate


@given(IDS, IDS, st.integers(1, 50))
def test_a_counter_is_exact_in_any_order_and_in_parts(first: list[int], second: list[int], buckets: int):
    whole, parts = CollisionCounter(buckets), [CollisionCounter(buckets), CollisionCounter(buckets)]
    whole.add(np.array(first[::-1] + second, dtype=np.int64)[::-1])
    for part, ids in zip(parts, (first, second), strict=True):
        part.add(np.array(ids, dtype=np.int64))
    restored: CollisionCounter = pickle.loads(pickle.dumps(parts[0]))
    restored.merge(parts[1])
    assert restored.result() == whole.result()
    assert whole.result().exact
    assert result_of(whole.result()) == pytest.approx(counted(first + second, buckets))


@pytest.mark.parametrize("followed", [2**18, 2**22])
def test_many_ids_of_many_places_are_estimated_closely_in_little_memory(
    followed: int, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("components.prepare.statistics.collisions._FOLLOWED_BUCKETS", followed)
    random = np.random.default_rng(5)
    ids = random.integers(0, 2**62, 400_000)
    read = ids[np.minimum(random.zipf(1.5, 1_000_000) - 1, len(ids) - 1)]
    every = np.concatenate([ids, read])
    buckets = 1_000_000
    counter, parts = CollisionCounter(buckets), []
    for chunk in np.array_split(every, 20):
        counter.add(chunk)
        parts.append(CollisionCounter(buckets))
        parts[-1].add(chunk)
    for part in parts[-2::-1]:
        parts[-1].merge(part)
    found = counter.result()
    assert parts[-1].result() == found
    assert not found.exact
    where, per_place = np.unique(hash_buckets(ids, buckets), return_counts=True)
    shared = set(where[per_place > 1].tolist())
    truth = np.mean([place in shared for place in hash_buckets(ids, buckets).tolist()])
    truth_read = np.mean([place in shared for place in hash_buckets(every, buckets).tolist()])
    assert found.ids == pytest.approx(400_000, rel=0.012)
    assert found.collision_rate == pytest.approx(truth, abs=0.012)
    if followed >= buckets:
        assert found.impression_collision_rate == pytest.approx(truth_read)
    assert found.expected == pytest.approx(truth, abs=0.012)
    assert len(pickle.dumps(counter)) < 16 * buckets + 2_000_000


def test_the_expected_share_is_that_of_balls_thrown_into_bins():
    random = np.random.default_rng(1)
    shares = []
    for _ in range(200):
        buckets = random.integers(0, 50, 20)
        shares.append(np.mean(np.bincount(buckets, minlength=50)[buckets] > 1))
    assert expected_collision_rate(20, 50) == pytest.approx(np.mean(shares), abs=0.03)
    assert [expected_collision_rate(0, 5), expected_collision_rate(1, 5), expected_collision_rate(2, 1)] == [
        0.0,
        0.0,
        1.0,
    ]


def hashing_config() -> RecapConfig:
    """The topic, the lists and a cross of topic and position, hashed into few buckets."""
    content = grouped_config().model_dump(exclude_none=True)
    small = {"name": "topic", "num_embeddings": 5, "embedding_dim": 2, "index": 1, "hash": True}
    large = {"name": "seen", "num_embeddings": 40, "embedding_dim": 2, "hash": True}
    content["model"] |= {"small_embeddings": {"tables": [small]}, "large_embeddings": {"tables": [large]}}
    content["features"] |= {
        "discrete": ["position", "topic", "both"],
        "derived": {"both": {"kind": "cross", "of": ["topic", "position"], "buckets": 9}},
    }
    content["data"] |= {"negative_downsampling": None, "sampling_correction": "weights"}
    content["training"] |= {"epochs": 1}
    return RecapConfig.model_validate(content)


@pytest.fixture(scope="module")
def sets(log: Path, tmp_path_factory: pytest.TempPathFactory) -> TinySets:
    return build_tiny(tmp_path_factory.mktemp("hashed"), hashing_config(), log)


def test_build_reports_what_the_training_rows_hold(sets: TinySets):
    config = hashing_config()
    reader = DatasetReader(sets.train, list(TASKS), 10_000, config=config)
    (batch,) = reader.batches()
    found = FeatureStatistics.read(sets.train).collisions
    assert set(found) == {TOPIC, SEEN, CROSS}
    discrete, seen = batch.tensors()["discrete"], (batch.sparse or {})["seen"]
    assert result_of(found[TOPIC]) == pytest.approx(counted(discrete[:, 1].tolist(), 4))
    assert result_of(found[SEEN]) == pytest.approx(counted(seen[seen >= 0].tolist(), 39))
    pairs = [tuple(pair) for pair in discrete[:, [1, 0]].tolist()]
    members: dict[int, set[tuple[int, ...]]] = defaultdict(set)
    for pair, place in zip(pairs, discrete[:, 2].tolist(), strict=True):
        members[place].add(pair)
    shared = sum(len(place) for place in members.values() if len(place) > 1)
    assert found[CROSS].ids == len(set(pairs)) == 35
    assert found[CROSS].collision_rate == pytest.approx(shared / 35)
    assert found[CROSS].impressions == len(pairs)


def test_training_tells_of_what_is_shared_in_its_log_and_on_its_page(
    sets: TinySets, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO):
        train_model(sets.snapshot, sets.train, tmp_path / "model", tmp_path / "curves.html")
    assert f"event=hashed table={TOPIC} ids=7 places=4" in caplog.text
    (warned,) = [
        r.getMessage() for r in caplog.records if r.levelno == logging.WARNING and TOPIC in r.getMessage()
    ]
    assert "of 7 ids collide" in warned
    page = (tmp_path / "curves.html").read_text().replace("<wbr>", "")
    assert "ids that collide" in page
    assert all(path in page for path in (TOPIC, SEEN, CROSS))


def test_words_and_large_ids_are_counted_like_any(log: Path):
    counter = CollisionCounter(10)
    counter.add(np.array(pa.array([2**52 - 1, 5, 5]), dtype=np.int64))
    assert counter.result().ids == 2
